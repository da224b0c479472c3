"""What runs in a worker process: one recognizer that labels units of work and writes their parts."""

import logging
import os
import platform
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

import fer
from fer.core.errors import FerError
from fer.core.files import file_sha256, replacing
from fer.core.system import cores
from fer.distributed import inputs, parts
from fer.distributed.inputs import Unit
from fer.inference import batch, results
from fer.inference.detectors import AUTO
from fer.inference.recognizer import Cropped, Recognizer
from fer.models.bundled import find_model
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

if TYPE_CHECKING:
    import pyarrow

REMOTE_READERS = 16  # threads that wait for an object store


@dataclass(frozen=True)
class Run:
    """What all workers of a run are told.

    Attributes:
        folder: of the parts, an absolute path that all machines see; it also holds `model` and `detector_model`.
        model, detector_model: names of files in the folder.
        model_sha256: of the model's bytes, so that no worker takes another folder of the same name.
        base: where relative names begin.
        labels, detector, uncertain_below, cropped: as for `Recognizer.create` and `Recognizer`.
        backend: the Keras backend.
        version: of this package.
    """

    folder: str
    model: str
    model_sha256: str
    base: str
    labels: tuple[str, ...]
    detector: str
    detector_model: str | None
    uncertain_below: float | None
    cropped: Cropped
    backend: str = os.environ["KERAS_BACKEND"]
    version: str = fer.__version__

    @property
    def columns(self) -> "pyarrow.Schema":
        """The columns of the parts that this run writes."""
        return parts.schema(self.labels, uncertain=self.uncertain_below is not None)


@contextmanager
def prepare_run(
    folder: str | Path,
    model: str | Path,
    *,
    detector: str = AUTO,
    detector_model: str | Path | None = None,
    uncertain_below: float | None = None,
    cropped: Cropped = "auto",
) -> Iterator[Run]:
    """Describes a run to its workers and puts the files that they load into the folder, for the time of the block.

    Args:
        folder: see `Run`; made as needed.
        model: a file, or the name of a bundled model.
        detector, detector_model, uncertain_below, cropped: see `Run`.

    Raises:
        FerError: the model cannot be read, or the folder cannot be written.
    """
    folder, model = Path(folder).resolve(), find_model(model)
    folder.mkdir(parents=True, exist_ok=True)
    copies = {"_model": model} | ({} if detector_model is None else {"_detector": Path(detector_model)})
    targets = {stem: folder / f"{stem}{source.suffix}" for stem, source in copies.items()}
    try:
        for stem, source in copies.items():
            with replacing(targets[stem]) as temporary:
                shutil.copyfile(source, temporary)
        yield Run(
            folder=str(folder),
            model=targets["_model"].name,
            model_sha256=file_sha256(model),
            base=os.getcwd(),
            labels=read_info(model).labels,
            detector=detector,
            detector_model=None if detector_model is None else targets["_detector"].name,
            uncertain_below=uncertain_below,
            cropped=cropped,
        )
    finally:
        for target in targets.values():
            target.unlink(missing_ok=True)


@dataclass(frozen=True)
class Done:
    """What became of a unit.

    Attributes:
        unit: the unit.
        error: what ends the whole run; "" for a unit that is done.
        notes: lines about files that cannot be read, and about damaged videos.
        counts: number of images "cropped" and of "faceless_squares", see `batch.Result`.
        process: number of the worker's process.
    """

    unit: Unit
    error: str = ""
    notes: tuple[str, ...] = ()
    counts: Counter[str] | None = None
    process: int = 0


class Labeller:
    """Labels units, one at a time. Its errors are returned, not raised: Ray would wrap them."""

    def __init__(self, run: Run):
        self.run, self._error = run, ""
        try:
            self.recognizer = self._load()
        except FerError as error:
            self._error = str(error)

    def error(self) -> str:
        """Why this worker cannot label anything; "" if it can."""
        return self._error

    def _load(self) -> Recognizer:
        machine, run = platform.node(), self.run
        if run.version != fer.__version__:
            raise FerError(f"{machine} has fer {fer.__version__}, not {run.version}: install the same on all machines")
        model = Path(run.folder, run.model)
        if not model.is_file() or file_sha256(model) != run.model_sha256:
            raise FerError(f"{run.folder}: {machine} does not see this folder; all machines must share it")
        os.environ["KERAS_BACKEND"] = run.backend
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):  # read when TensorFlow starts
            os.environ[name] = str(cores())
        cv2.setNumThreads(cores())  # OpenCV would take all cores of the machine for each worker
        recognizer = Recognizer.create(
            Classifier.load(model),
            # "auto" would look into the cache of this machine, which may differ.
            "haar" if run.detector == AUTO and run.detector_model is None else run.detector,
            detector_model=None if run.detector_model is None else Path(run.folder, run.detector_model),
            detectors=cores(),
            uncertain_below=run.uncertain_below,
        )
        recognizer.cropped = run.cropped
        return recognizer

    def label(self, unit: Unit) -> Done:
        """Labels a unit and writes its part."""
        counts = Counter[str]()
        held = parts.Counts(videos=int(unit.video))
        try:
            with _notes() as notes:
                rows = self._video_rows(unit, notes) if unit.video else self._image_rows(unit, notes, counts)
                path = Path(self.run.folder, parts.part_name(unit.names))
                parts.write(path, self._counted(rows, unit, held), self.run.columns, held)
        except FerError as error:
            return Done(unit, str(error))
        return Done(unit, "", tuple(notes), counts, os.getpid())

    def _image_rows(self, unit: Unit, notes: list[str], counts: Counter[str]) -> Iterator[dict]:
        readers = REMOTE_READERS if inputs.is_url(unit.root) else None

        def read(name: str | Path) -> np.ndarray:
            return inputs.read_image(unit.root, name, self.run.base)

        for result in batch.recognize(unit.names, self.recognizer, read=read, readers=readers):
            counts.update(cropped=result.cropped, faceless_squares=result.square and not result.predictions)
            if result.error:
                notes.append(f"skipped {result.error}")
            yield from results.rows(str(result.path), result.predictions, readable=not result.error)

    def _video_rows(self, unit: Unit, notes: list[str]) -> Iterator[dict]:
        from fer.video.session import Session
        from fer.video.video_file import VideoFile

        (name,) = unit.names
        with tempfile.TemporaryDirectory() as folder:
            try:
                path = inputs.download(unit.root, name, folder) if inputs.is_url(name) else None
                with VideoFile(path or os.path.join(self.run.base, name), name=name) as frames:
                    session = Session(self.recognizer, thorough=True)
                    for frame in frames:
                        session.process(frame)
                        yield from session.rows(frame)
                    yield from session.finish(frames)
            except FerError as error:  # it may come after frames that were labelled: they stay
                notes.append(f"skipped {error}")
                yield from results.rows(name, [], readable=False)

    def _counted(self, rows: Iterator[dict], unit: Unit, held: parts.Counts) -> Iterator[dict]:
        table = Counter[tuple[str, str]]() if unit.video else held.table
        root = Path(inputs.shown(unit.root)) if inputs.is_url(unit.root) else Path(unit.root)
        for row in rows:
            batch.count_row(row, root, self.run.labels, held.frames if unit.video else held.images, table)
            yield row


@contextmanager
def _notes() -> Iterator[list[str]]:
    """Collects what the package logs, which a worker's terminal would hide."""

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(self.format(record))

    lines: list[str] = []
    handler, logger = Lines(logging.WARNING), logging.getLogger("fer")
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
