"""Keep lists: a clean part of a data set is trained on or scored without touching a file.

A list is a CSV with the column `name`. Names are the entries of the data as text, relative to the data:
`train/happy/x.jpg` in class folders, `row 17` in a table, `demo train 3` for synthetic faces.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fer.core import csv
from fer.core.errors import FerError
from fer.data.entry import Entry

SKIPPED = "not in the keep list"


@dataclass(frozen=True)
class KeepList:
    """The images to keep of one source.

    Attributes:
        names: entries as text; None keeps all.
        source: where the data are now, for messages.
        path: the list, for messages.
    """

    names: frozenset[str] | None = None
    source: str = ""
    path: str = ""

    @classmethod
    def read(cls, path: str | Path, source: str) -> "KeepList":
        """Reads a list for the data at `source`.

        Raises:
            FerError: no such file, no CSV with a column `name`, or no names.
        """
        table = csv.read_csv(path)
        csv.require(table, ("name",), path)
        names = frozenset(str(PurePosixPath(name)) for name in table["name"] if name)
        if not names:
            raise FerError(f"{path}: the keep list names no image")
        return cls(names, source, str(path))

    def check(self, entries: Iterable[Entry]) -> None:
        """Raises FerError where the list names what the data (all splits) do not hold."""
        if self.names is None:
            return
        unknown = self.names - {csv.written(str(entry)) for entry in entries}
        if unknown:
            first = min(unknown)
            count = f"{len(unknown):,} of {len(self.names):,} names are"
            raise FerError(f"{self.path}: {count} not in {self.source}, such as {first!r}; the list is of other data")

    def choose(self, entries: Sequence[Entry]) -> tuple[list[int], tuple[tuple[str, str], ...]]:
        """Rows to keep, and (name, reason) of the others."""
        if self.names is None:
            return list(range(len(entries))), ()
        kept = [csv.written(str(entry)) in self.names for entry in entries]
        rows = [row for row, keep in enumerate(kept) if keep]
        return rows, tuple((str(entry), SKIPPED) for entry, keep in zip(entries, kept, strict=True) if not keep)


def write(path: str | Path, names: Iterable[str], splits: Iterable[str], labels: Iterable[str]) -> None:
    """Writes a list: names, and for the reader their splits and labels."""
    csv.write(path, ("name", "split", "label"), zip(names, splits, labels, strict=True))
