"""The faces of many picture files, in order: reading, decoding and detecting overlap with the network."""

import csv
import os
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

import cv2
import numpy as np

from fer.core import images, text
from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.labels import canonical
from fer.core.system import cores
from fer.inference import drawing, recognizer, results
from fer.inference.detectors import WholeImage
from fer.inference.faces import Detector, Face
from fer.inference.recognizer import Prediction, is_cropped_face
from fer.models.classifier import Classifier

BATCH = 128  # faces a call of the network
AHEAD = 2 * BATCH  # pictures on their way at most: what bounds the memory
AGAIN = 8  # pictures of a table to go on with that are labelled again, to see that the same model wrote it
SAME = 0.02  # between probabilities of one model on two machines
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


def recognize(
    paths: Iterable[Path],
    classifier: Classifier,
    detectors: list[Detector],
    *,
    auto: bool = False,
    uncertain_below: float | None = None,
) -> Iterator[Result]:
    """Labels picture files one after the other, in constant memory.

    Args:
        paths: the files; taken only as fast as they are needed.
        classifier: names the expressions.
        detectors: one for each thread that reads and detects; none is used by two threads at once.
        auto: take small square pictures as cropped faces (`is_cropped_face`) and detect in the others only.
        uncertain_below: see `Prediction`.

    Yields:
        A result for every path, in their order.
    """
    free = queue.SimpleQueue()
    for detector in detectors:
        free.put(detector)

    def look(path):
        detector = free.get()
        try:
            return _look(path, classifier, detector, auto)
        finally:
            free.put(detector)

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # each thread has a picture of its own: OpenCV must not divide one further
    pool = ThreadPoolExecutor(len(detectors), "pictures")
    try:
        paths = iter(paths)
        ahead = deque(pool.submit(look, path) for path in islice(paths, AHEAD))
        while ahead:
            looked, due = [], time.monotonic() + PATIENCE
            while ahead and sum(len(one.faces) for one in looked) < BATCH and len(looked) < AHEAD:
                if looked and time.monotonic() > due:
                    break
                looked.append(ahead.popleft().result())
                ahead.extend(pool.submit(look, path) for path in islice(paths, 1))
            yield from _label(looked, classifier, uncertain_below)
    finally:
        pool.shutdown(cancel_futures=True)
        cv2.setNumThreads(threads)


@dataclass
class _Looked:
    """A picture that was read: its faces, and their input rows for the network."""

    result: Result
    faces: list[Face] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)


def _look(path, classifier, detector, auto):
    try:
        image = images.read(path)
        cropped = auto and is_cropped_face(image)
        faces = (WholeImage() if cropped else detector).find(image)
        return _Looked(Result(path, cropped=cropped), faces, recognizer.rows(classifier, image, faces))
    except FerError as error:
        return _Looked(Result(path, error=str(error)))
    except cv2.error as error:  # shapes that OpenCV's filters refuse: one odd picture must not end the run
        return _Looked(Result(path, error=f"{path}: OpenCV cannot search it ({error.err})"))


def _label(looked, classifier, uncertain_below):
    """Results of pictures looked at, their faces labelled in one call of the network."""
    rows = [row for one in looked for row in one.rows]
    faces = [face for one in looked for face in one.faces]
    predictions = iter(recognizer.predict(classifier, rows, faces, uncertain_below))
    for one in looked:
        one.result.predictions = list(islice(predictions, len(one.faces)))
        yield one.result


class Copies:
    """Writes annotated copies beside the work, in threads of its own. Use it as a context manager.

    Args:
        root: the folder of the pictures, or a single one.
        target: the folder of the copies; they lie in it as the pictures do in `root`.
        notify: gets a line for each copy that cannot be written.
    """

    def __init__(self, root: Path, target: Path, *, notify: Callable[[str], None]):
        self.root = root if os.path.isdir(root) else root.parent
        self.target, self.notify = target, notify
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
                data = drawing.encode(drawn, path.suffix.lower())
            except FerError:  # .pgm holds no colours, .webp no panoramas
                path, data = path.with_name(path.name + ".png"), drawing.encode(drawn, ".png")
            with replacing(path, durable=False) as temporary:
                temporary.write_bytes(data)
        except FerError as error:
            self.notify(f"no annotated copy: {error}")
        finally:
            self.waiting.release()


def check_same(output: str | Path, classifier: Classifier, detectors: list[Detector], *, auto: bool = False) -> None:
    """Looks again at the first pictures of a table that is to go on: nothing in it says what wrote it.

    Args:
        output: the table; nothing is checked where there is none, or its columns are another model's.
        classifier, detectors, auto: as for `recognize`.

    Raises:
        FerError: a face or its probabilities come out otherwise.
    """
    kept = [row for row in islice(_largest_faces(output), AGAIN) if None not in map(row.get, classifier.labels)]
    paths = (Path(row["source"]) for row in kept)
    for row, result in zip(kept, recognize(paths, classifier, detectors, auto=auto), strict=True):
        if result.error:  # gone, or unreadable by now
            continue
        (now, *_) = results.rows(row["source"], result.predictions[:1])
        box = all(str(now.get(side)) == str(row[side]) for side in ("x", "y", "width", "height"))
        if not box or any(abs(now[label] - float(row[label])) > SAME for label in classifier.labels):
            raise FerError(
                f"{output}: another model or detector wrote it, for {row['source']} comes out otherwise now; "
                "go on with those, or choose another --output"
            )


def _largest_faces(output):
    """Rows of the largest face of each picture, but for the last row, which a killed run may have torn."""
    try:
        for row, _ in pairwise(results.read(output)):
            if row["status"] == "ok" and str(row["face"]) == "0":
                yield row
    except (OSError, ValueError, KeyError, TypeError, csv.Error):  # no file, a torn line, no table of ours
        return


def summarize(output: str | Path, root: Path, labels: tuple[str, ...]) -> tuple[Counter, str]:
    """Counts the rows of a finished table, those of earlier runs too; the largest face speaks for its picture.

    Args:
        output: the table.
        root: the folder that was labelled.
        labels: the model's.

    Returns:
        Pictures by status, and a table of folder by predicted label, "" where no folder below `root` names a label.
    """
    counts, table = Counter(), Counter()
    for row in results.read(output):
        if row["face"] in (None, "", 0, "0"):
            counts[row["status"]] += 1
            if (label := _folder_label(row["source"], root, labels)) is not None:
                doubted = results.is_uncertain(row)
                table[label, recognizer.UNCERTAIN if doubted else row["label"] or row["status"]] += 1
    columns = tuple(dict.fromkeys((*labels, recognizer.UNCERTAIN, *results.STATUSES)))
    return counts, text.count_table(table, columns, "folder \\ predicted") if table else ""


def _folder_label(source, root, labels):
    """The label that the nearest folder names, as far up as the root itself."""
    for folder in Path(source).parents:
        if (label := canonical(folder.name)) in labels:
            return label
        if folder == root:
            break
    return None
