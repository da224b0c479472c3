"""CSV files as tables of text: one way to read them, and every failure a `FerError`."""

import csv
import reprlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from fer.core.errors import FerError
from fer.core.files import replacing

ESCAPED = "backslashreplace"
# Every cell is text and stays as it stands. Stray spaces do no harm, and a comma at the end of every row does not shift
# the columns.
FORMAT: dict[str, Any] = {"dtype": str, "keep_default_na": False, "skipinitialspace": True, "index_col": False}


def read_csv(
    path: str | Path, columns: Callable[[str], bool] = lambda name: True, *, header: bool = True
) -> pd.DataFrame:
    """Reads a CSV file.

    Args:
        path: the file, UTF-8.
        columns: says of a column's name whether to read it.
        header: the first line has the names of the columns; else they are "0", "1", ...

    Returns:
        A table of text; names of columns in lower case, without spaces around them; "" where a cell is empty.

    Raises:
        FerError: the file cannot be opened, is empty or is not a CSV file.
    """
    with _as_fer_error(path):
        if header:
            return _plain_names(pd.read_csv(path, usecols=lambda name: columns(plain(name)), **FORMAT))
        table = _plain_names(pd.read_csv(path, header=None, **FORMAT))  # which ignores the choice of columns
        return table[[name for name in table.columns if columns(name)]]


def read_chunks(path: str | Path, rows: int) -> Iterator[pd.DataFrame]:
    """Reads a CSV file as `read_csv` does, some rows at a time."""
    with _as_fer_error(path), pd.read_csv(path, chunksize=rows, **FORMAT) as chunks:
        yield from map(_plain_names, chunks)


def read_header(path: str | Path) -> list[str]:
    """The names of the columns, as `read_csv` gives them."""
    with _as_fer_error(path):
        return list(_plain_names(pd.read_csv(path, nrows=0, **FORMAT)).columns)


def header_of(path: str | Path) -> list[str]:
    """The same, and nothing where the file is no CSV file."""
    try:
        return read_header(path)
    except FerError:
        return []


def write(path: str | Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Writes a CSV file; an existing one is replaced. Cells are written as `written` gives them.

    Raises:
        FerError: it cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", errors=ESCAPED, newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def written(name: str) -> str:
    """A file name as UTF-8 can hold it: bytes that are none become \\xNN."""
    return name.encode(errors=ESCAPED).decode()


def require(table: pd.DataFrame, names: tuple[str, ...], path: str | Path) -> None:
    """Raises FerError where a column is missing, or two have one name."""
    if missing := [name for name in names if name not in table.columns]:
        raise FerError(f"{path}: no column {', '.join(missing)}; found {reprlib.repr(list(table.columns))}")
    if not table.columns.is_unique:
        raise FerError(f"{path}: two columns have one name: {reprlib.repr(list(table.columns))}")


def at_row(path: str | Path, row: int) -> str:
    """Names a row, counted from 0, for a message."""
    return f"{path}, row {row} (line {row + 2})"


def plain(name: object) -> str:
    """The name of a column in lower case, without spaces around it."""
    return str(name).strip().lower()


def _plain_names(table: pd.DataFrame) -> pd.DataFrame:
    table.columns = [plain(name) for name in table.columns]
    return table


@contextmanager
def _as_fer_error(path: str | Path) -> Iterator[None]:
    try:
        yield
    except pd.errors.EmptyDataError as error:
        raise FerError(f"{path}: the file is empty") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        raise FerError(f"{path}: not a CSV file ({' '.join(str(error).split())})") from error
    except OSError as error:
        raise FerError(f"{path}: cannot be opened ({error.strerror or error})") from error
