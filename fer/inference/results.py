"""Tables of results: the same columns for folders, videos and cameras, as CSV or JSON lines.

A face is a row; an image or frame without a face is a row too. To add a column, name it in `COLUMNS` and give its value
in `rows`, or in `Prediction.to_dict` if the web page shows it too.
"""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fer.core.csv import written
from fer.core.errors import FerError
from fer.core.files import check_writable
from fer.inference.recognizer import UNCERTAIN, Prediction

COLUMNS = (
    *("source", "index", "seconds", "status", "face", "track"),
    *("x", "y", "width", "height", "label", "confidence"),
)  # then `UNCERTAIN` where a threshold is set, then a column for each label
STATUSES = ("ok", "no_face", "unreadable")
FORMATS = (".csv", ".jsonl")


def rows(
    source: str, predictions: list[Prediction], *, index: int = 0, seconds: float | None = None, readable: bool = True
) -> Iterator[dict]:
    """The rows of one image or frame.

    Args:
        source: file, video or camera, as the user named it.
        predictions: its faces, in the order of their numbers from 0.
        index: number of the frame, from 0.
        seconds: time of the frame; None for an image.
        readable: False for an image or frame that cannot be decoded.

    Yields:
        For each face a dict of `COLUMNS`, the labels and, where a threshold is set, `UNCERTAIN`; without a face a
        single dict with the status "no_face" or "unreadable".
    """
    about = {"source": visible(source), "index": index, "seconds": None if seconds is None else round(seconds, 3)}
    if not predictions:
        yield about | {"status": "no_face" if readable else "unreadable"}
    for number, prediction in enumerate(predictions):
        values = prediction.to_dict()
        probabilities = values.pop("probabilities")
        yield about | {"status": "ok", "face": number, "track": None} | values | probabilities


def visible(name: str) -> str:
    """A file name as one line of UTF-8: line breaks, other control characters and stray bytes become escapes."""
    text = written(name)
    controls = {char for char in text if unicodedata.category(char) in ("Cc", "Zl", "Zp")}
    return "".join(char.encode("unicode_escape").decode() if char in controls else char for char in text)


def read(path: str | Path) -> Iterator[dict]:
    """Reads the rows of a table, one by one. From .csv every value is text, and "" where there is none."""
    with Path(path).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file) if Path(path).suffix.lower() == ".csv" else map(json.loads, file)


def is_uncertain(row: dict) -> bool:
    """True if a row of `read` is marked as uncertain."""
    return str(row.get(UNCERTAIN)).lower() == "true"


class Writer:
    """Writes a table, .csv or .jsonl by its suffix. Use it as a context manager.

    Rows reach the file at once, so a run that is stopped keeps them.

    Args:
        path: the file.
        labels: names of the last columns.
        overwrite: replace an existing file.
        resume: continue an existing file; its last source is written again, since some of its rows may be missing.
        uncertain: add the column `UNCERTAIN`.

    Attributes:
        done: absolute paths of the files whose rows the table holds already; empty unless resumed.

    Raises:
        FerError: another suffix, a file that exists or has other columns, or a path that cannot be written.
    """

    def __init__(
        self,
        path: str | Path,
        labels: tuple[str, ...],
        *,
        overwrite: bool = False,
        resume: bool = False,
        uncertain: bool = False,
    ):
        columns = (*COLUMNS, *[UNCERTAIN] * uncertain)
        self.path, self.columns = Path(path), (*columns, *labels)
        check_output(path, kept=overwrite or resume)
        if clash := set(labels) & set(columns):
            raise FerError(f"{path}: the model has labels named like columns: {', '.join(sorted(clash))}")
        with self._failing():
            self.done = self._kept() if resume and self.path.exists() else set()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = self.path.open("a" if self.done else "w", encoding="utf-8", newline="")
            if not self.done and self._is_csv:
                self.file.write(self._line(dict(zip(self.columns, self.columns, strict=True))))

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *_: object) -> None:
        with self._failing():
            self.file.close()

    def holds(self, path: str | Path) -> bool:
        """True if the table held the rows of this file already."""
        return full_name(visible(str(path))) in self.done

    def write(self, rows: Iterable[dict]) -> None:
        """Appends rows and flushes them; the rows of one source must be written together.

        Raises:
            FerError: the disk is full, or gone.
        """
        with self._failing():
            self.file.write("".join(map(self._line, rows)))
            self.file.flush()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise FerError(f"{self.path}: cannot be written ({error.strerror or error})") from error

    @property
    def _is_csv(self) -> bool:
        return self.path.suffix.lower() == ".csv"

    def _line(self, row: dict) -> str:
        if not self._is_csv:
            return json.dumps({name: row.get(name) for name in self.columns}, ensure_ascii=False) + "\n"
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow([row.get(name) for name in self.columns])
        return line.getvalue()

    def _kept(self) -> set[str]:
        """The sources with all their rows. Those of the last one are cut off: a killed run may have left only some."""
        sources: set[str | None] = set()
        last, begins, at = None, 0, 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file):
                if not line.endswith(b"\n"):
                    break
                source = self._source(line, number)
                if source != last:
                    sources.add(source)
                    last, begins = source, at
                at += len(line)
        with self.path.open("rb+") as file:
            file.truncate(begins)
        return {full_name(source) for source in sources - {last} if source is not None}

    def _source(self, line: bytes, number: int) -> str | None:
        try:
            if not self._is_csv:
                row = json.loads(line)
                if tuple(row) == self.columns:
                    return row["source"]
            else:
                cells = next(csv.reader([line.decode()]))
                if number == 0 and tuple(cells) == self.columns:
                    return None
                if number and len(cells) == len(self.columns):
                    return cells[0]
        except (ValueError, TypeError, csv.Error):
            pass
        raise FerError(f"{self.path}: line {number + 1} is not a row of this model's columns; choose another --output")


def full_name(source: str) -> str:
    """The `source` of a row as an absolute path, for comparison; an address stays as it is."""
    return source if "://" in source else os.path.abspath(source)


def check_output(
    path: str | Path, *, kept: bool, ways: str = "replace it with --overwrite, or choose another name"
) -> None:
    """Refuses what `Writer` would refuse, before the work begins.

    Args:
        path: the file to write.
        kept: the file may exist.
        ways: advice for a file that exists and must not.

    Raises:
        FerError: the suffix is neither .csv nor .jsonl, the file exists and must not, or it cannot be written.
    """
    if Path(path).suffix.lower() not in FORMATS:
        raise FerError(f"{path}: results are written as {' or '.join(FORMATS)}")
    if os.path.exists(path) and not kept:
        raise FerError(f"{path} exists: {ways}")
    check_writable(path)
