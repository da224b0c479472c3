"""Lists of pictures to keep: a clean part of a data set is trained or scored without touching a file.

A list is a CSV with the column `name`. Names are relative to the data, so a list still fits when the folder moves:
`train/happy/x.jpg` in class folders, `row 17` in a table, `demo train 3` for drawn faces.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd

from fer.core.errors import FerError
from fer.core.files import replacing

SKIPPED = "not in the keep list"


def relative(name: str, source: str | Path) -> str:
    """The name of a picture (of `Dataset.names`) without what depends on where the data lie."""
    if row := re.fullmatch(r".*\.csv (row \d+)", name, re.IGNORECASE | re.DOTALL):
        return row[1]
    path = Path(name)
    return path.relative_to(source).as_posix() if path.is_relative_to(source) else name


@dataclass(frozen=True)
class Kept:
    """The pictures to keep of one source; names None keeps all.

    Attributes:
        names: relative to `source`.
        source: where the data lie now.
        path: the list, for messages.
    """

    names: frozenset[str] | None
    source: str = ""
    path: str = ""

    def check(self, present: Iterable[str]) -> None:
        """Raises FerError where the list names what the data (all splits) have not."""
        if self.names is None:
            return
        unknown = self.names - {relative(name, self.source) for name in present}
        if unknown:
            first = min(unknown)
            count = f"{len(unknown):,} of {len(self.names):,} names are"
            raise FerError(f"{self.path}: {count} not in {self.source}, such as {first!r}; the list is of other data")

    def choose(self, names: Collection[str]) -> tuple[list[int], tuple[tuple[str, str], ...]]:
        """Rows to keep, and (name, reason) of the others."""
        if self.names is None:
            return list(range(len(names))), ()
        rows, skipped = [], []
        for i, name in enumerate(names):
            if relative(name, self.source) in self.names:
                rows.append(i)
            else:
                skipped.append((name, SKIPPED))
        return rows, tuple(skipped)


EVERYTHING = Kept(None)


def read(path: str | Path, source: str) -> Kept:
    """Reads a list for the data at `source`.

    Raises:
        FerError: no such file, no CSV with a column `name`, or no names.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise FerError(f"{path}: the keep list cannot be opened ({error.strerror})") from error
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise FerError(f"{path}: not a CSV file ({' '.join(str(error).split())})") from error
    if "name" not in table.columns:
        raise FerError(f"{path}: a keep list has a column 'name'; found {', '.join(map(str, table.columns))}")
    names = frozenset(str(PurePosixPath(name)) for name in table["name"] if name)
    if not names:
        raise FerError(f"{path}: the keep list names no picture")
    return Kept(names, source, str(path))


def write(path: str | Path, names: Iterable[str], splits: Iterable[str], labels: Iterable[str]) -> None:
    """Writes a list: relative names, and for the reader's eyes their splits and labels."""
    table = pd.DataFrame({"name": list(names), "split": list(splits), "label": list(labels)})
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
