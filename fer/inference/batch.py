"""The faces of many picture files, in order: reading, decoding and detecting overlap with the network."""

import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2

from fer.core import images, text
from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.labels import canonical
from fer.core.system import cores
from fer.inference import drawing, results
from fer.inference.recognizer import UNCERTAIN, Detection, Prediction, Recognizer

logger = logging.getLogger(__name__)

BATCH = 128  # faces a call of the network
AHEAD = 2 * BATCH  # pictures on their way at most: what bounds the memory
PATIENCE = 1.0  # seconds after which results are due although the batch is not full


@dataclass
class Result:
    """One picture file.

    Attributes:
        path: the file.
        error: why it cannot be used; else "".
        cropped: it was taken as a cropped face as it stands.
        predictions: its faces, the largest first.
    """

    path: Path
    error: str = ""
    cropped: bool = False
    predictions: list[Prediction] = field(default_factory=list)


def recognize(paths: Iterable[Path], recognizer: Recognizer) -> Iterator[Result]:
    """Labels image files one after the other, in constant memory.

    Args:
        paths: the files; taken only as fast as they are needed.
        recognizer: labels them; as many threads read and search as it has detectors.

    Yields:
        A result for every path, in their order.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each thread has a picture of its own: OpenCV must not divide one further
    pool = ThreadPoolExecutor(len(recognizer.detectors), "pictures")
    try:
        paths = iter(paths)
        ahead = deque(pool.submit(_read_and_detect, recognizer, path) for path in islice(paths, AHEAD))
        while ahead:
            searched: list[tuple[Result, Detection]] = []
            due = time.monotonic() + PATIENCE
            while ahead and sum(len(faces.faces) for _, faces in searched) < BATCH and len(searched) < AHEAD:
                if searched and time.monotonic() > due:
                    break
                searched.append(ahead.popleft().result())
                ahead.extend(pool.submit(_read_and_detect, recognizer, path) for path in islice(paths, 1))
            predictions = recognizer.classify([detection for _, detection in searched])
            for (result, _), found in zip(searched, predictions, strict=True):
                result.predictions = found
                yield result
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def _read_and_detect(recognizer: Recognizer, path: Path) -> tuple[Result, Detection]:
    try:
        detection = recognizer.detect(images.read(path))
        return Result(path, cropped=detection.cropped), detection
    except FerError as error:
        reason = str(error) if str(path) in str(error) else f"{path}: {error}"
        return Result(path, error=reason), Detection()


class Copies:
    """Writes annotated copies beside the work, in threads of its own. Use it as a context manager.

    Args:
        root: the folder of the pictures, or a single one.
        target: the folder of the copies; they lie in it as the pictures do in `root`.
    """

    def __init__(self, root: Path, target: Path):
        self.root = root if os.path.isdir(root) else root.parent
        self.target = target
        self.pool = ThreadPoolExecutor(cores(), "copies")
        self.waiting = threading.Semaphore(2 * cores())  # what bounds the memory

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.pool.shutdown()

    def add(self, result: Result) -> None:
        """Draws a picture's faces; waits where copies are slower than the work."""
        self.waiting.acquire()
        self.pool.submit(self._write, result)

    def _write(self, result):
        try:
            drawn = drawing.annotate(images.read(result.path), result.predictions)
            path = self.target / result.path.relative_to(self.root)
            try:
                data = images.encode(drawn, path.suffix.lower())
            except FerError:  # .pgm holds no colours, .webp no panoramas
                path, data = path.with_name(path.name + ".png"), images.encode(drawn, ".png")
            with replacing(path, durable=False) as temporary:
                temporary.write_bytes(data)
        except FerError as error:
            logger.warning("no annotated copy: %s", error)
        finally:
            self.waiting.release()


def summarize(output: str | Path, root: Path, labels: tuple[str, ...]) -> tuple[Counter, str]:
    """Counts the rows of a finished table, those of earlier runs too; the largest face speaks for its picture.

    Args:
        output: the table.
        root: the folder that was labelled.
        labels: the model's.

    Returns:
        Pictures by status, and a table of folder by predicted label, "" where no folder below `root` names a label.
    """
    counts: Counter[str] = Counter()
    table: Counter[tuple[str, str]] = Counter()
    for row in results.read(output):
        if row["face"] in (None, "", 0, "0"):
            counts[row["status"]] += 1
            if (label := _folder_label(row["source"], root, labels)) is not None:
                doubted = results.is_uncertain(row)
                table[label, UNCERTAIN if doubted else row["label"] or row["status"]] += 1
    columns = tuple(dict.fromkeys((*labels, UNCERTAIN, *results.STATUSES)))
    return counts, text.count_table(table, columns, "folder \\ predicted") if table else ""


def _folder_label(source, root, labels):
    """The label that the nearest folder names, as far up as the root itself."""
    for folder in Path(source).parents:
        if (label := canonical(folder.name)) in labels:
            return label
        if folder == root:
            break
    return None
