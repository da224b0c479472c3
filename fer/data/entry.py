"""Which image of a data set is meant: the key by which keep lists, tables of attributes and audits find it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """The key of an image. It stays the same when the data move.

    Attributes:
        path: of the file that holds the image, relative to the data, with forward slashes; "" where the data are one
            table.
        row: of the table, counted from 0; None where the file is an image.
    """

    path: str = ""
    row: int | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.path, "" if self.row is None else f"row {self.row}") if part)
