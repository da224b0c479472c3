"""Labels many image files, in order: reading, decoding and detecting overlap with the network."""

import functools
import logging
import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from fer.core import images, text
from fer.core.errors import FerError, first_line
from fer.core.files import replacing
from fer.core.labels import canonical
from fer.core.system import cores
from fer.inference import drawing, results
from fer.inference.recognizer import UNCERTAIN, Detection, Prediction, Recognizer, is_square

logger = logging.getLogger(__name__)

BATCH = 128  # faces in one call of the network
AHEAD = 2 * BATCH  # images in memory at most
SAMPLE = 40  # images that tell whether a folder holds cropped faces ...
LEAST_SAMPLE = 8  # ... and at least so many
PATIENCE = 1.0  # seconds after which an incomplete batch is labelled

Read = Callable[[str | Path], np.ndarray]


@dataclass
class Result:
    """The result of one image file.

    Attributes:
        path: the file, as `recognize` was given it.
        error: why it cannot be read or searched; "" otherwise.
        cropped: True if the whole image was taken as one face.
        square: True if the image is square, see `recognizer.is_square`.
        predictions: its faces, the largest first.
    """

    path: str | Path
    error: str = ""
    cropped: bool = False
    square: bool = False
    predictions: list[Prediction] = field(default_factory=list)


def recognize(
    paths: Iterable[str | Path],
    recognizer: Recognizer,
    *,
    read: Read | None = None,
    readers: int | None = None,
) -> Generator[Result, None, None]:
    """Labels image files one after the other, in constant memory.

    Args:
        paths: the files; taken only as fast as they are needed.
        recognizer: labels them.
        read: reads one file; `images.read` if None. It is called from several threads.
        readers: threads that read; as many as the recognizer has detectors if None. More of them hide the latency of
            a network.

    Yields:
        A result for every path, in their order.
    """
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each thread has an image of its own: OpenCV's threads would only compete
    pool = ThreadPoolExecutor(readers or len(recognizer.detectors), "images")
    try:
        paths = iter(paths)
        ahead = deque(pool.submit(_read_and_detect, recognizer, path, read) for path in islice(paths, AHEAD))
        while ahead:
            searched: list[tuple[Result, Detection]] = []
            due = time.monotonic() + PATIENCE
            while ahead and sum(len(faces.faces) for _, faces in searched) < BATCH and len(searched) < AHEAD:
                if searched and time.monotonic() > due:
                    break
                searched.append(ahead.popleft().result())
                ahead.extend(pool.submit(_read_and_detect, recognizer, path, read) for path in islice(paths, 1))
            predictions = recognizer.classify([detection for _, detection in searched])
            for (result, _), found in zip(searched, predictions, strict=True):
                result.predictions = found
                yield result
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


def mostly_square_faces(paths: Sequence[str | Path], recognizer: Recognizer, *, read: Read | None = None) -> bool:
    """True if most of the images are square, too large for `recognizer.is_cropped_face`, and without a face.

    A folder of such images holds cropped faces that fill them: detectors need some space around a face.

    Args:
        paths: a sample of a folder, see `SAMPLE`.
        recognizer: searches the images; its network is not used.
        read: as for `recognize`.
    """
    with ThreadPoolExecutor(len(recognizer.detectors), "sample") as pool:
        found = list(pool.map(functools.partial(_read_and_detect, recognizer, read=read), paths))
    faceless = sum(result.square and not result.cropped and not detection.faces for result, detection in found)
    return len(paths) >= LEAST_SAMPLE and faceless > len(paths) / 2


def _read_and_detect(recognizer: Recognizer, path: str | Path, read: Read | None = None) -> tuple[Result, Detection]:
    try:
        image = (read or images.read)(path)
        detection = recognizer.detect(image)
        return Result(path, cropped=detection.cropped, square=is_square(image)), detection
    except FerError as error:
        reason = str(error) if str(path) in str(error) else f"{path}: {error}"
        return Result(path, error=reason), Detection()


class AnnotatedCopies:
    """Writes annotated copies of images, in threads of its own. Use it as a context manager.

    Args:
        root: the folder of the images, or a single image.
        target: the folder of the copies, with the same sub-folders.
    """

    def __init__(self, root: Path, target: Path):
        self.root = root if os.path.isdir(root) else root.parent
        self.target = target
        self.pool = ThreadPoolExecutor(cores(), "copies")
        self.waiting = threading.Semaphore(2 * cores())  # bounds the memory

    def __enter__(self) -> "AnnotatedCopies":
        return self

    def __exit__(self, *_: object) -> None:
        self.pool.shutdown()

    def add(self, result: Result) -> None:
        """Draws the faces of an image; waits if the copies are slower than the labelling."""
        self.waiting.acquire()
        self.pool.submit(self._write, result)

    def _write(self, result: Result) -> None:
        try:
            drawn = drawing.annotate(images.read(result.path), result.predictions)
            path = self.target / Path(result.path).relative_to(self.root)
            try:
                data = images.encode(drawn, path.suffix.lower())
            except FerError:  # .pgm stores no colours, .webp no panoramas
                path, data = path.with_name(path.name + ".png"), images.encode(drawn, ".png")
            with replacing(path, durable=False) as temporary:
                temporary.write_bytes(data)
        except FerError as error:
            logger.warning("no annotated copy: %s", error)
        except Exception as error:  # of a pool's thread nobody would hear it: memory, or OpenCV
            logger.warning("no annotated copy of %s: %s", result.path, first_line(error))
        finally:
            self.waiting.release()


def summarize(output: str | Path, root: Path, labels: tuple[str, ...]) -> tuple[Counter, str]:
    """Counts the images of a finished table, rows of earlier runs included, by their largest face.

    Args:
        output: the table of results.
        root: the folder that was labelled.
        labels: of the model.

    Returns:
        The number of images by status, and the text of `folder_table`.
    """
    counts: Counter[str] = Counter()
    table: Counter[tuple[str, str]] = Counter()
    for row in results.read(output):
        count_row(row, root, labels, counts, table)
    return counts, folder_table(table, labels)


def count_row(
    row: dict, root: Path, labels: tuple[str, ...], counts: Counter[str], table: Counter[tuple[str, str]]
) -> None:
    """Counts the image of a row, once for all its rows, by status and by (folder named like a label, shown label)."""
    if row.get("face") in (None, "", 0, "0"):
        counts[row["status"]] += 1
        if (label := _folder_label(row["source"], root, labels)) is not None:
            table[label, UNCERTAIN if results.is_uncertain(row) else row.get("label") or row["status"]] += 1


def folder_table(table: Counter[tuple[str, str]], labels: tuple[str, ...]) -> str:
    """A text table of folder by predicted label; "" where no folder is named like a label."""
    columns = tuple(dict.fromkeys((*labels, UNCERTAIN, *results.STATUSES)))
    return text.count_table(table, columns, "folder \\ predicted") if table else ""


def _folder_label(source: str, root: Path, labels: tuple[str, ...]) -> str | None:
    """The label that the nearest folder is named like, up to the root."""
    for folder in Path(source).parents:
        if (label := canonical(folder.name)) in labels:
            return label
        if folder == root:
            break
    return None
