"""Tables and counts as plain text."""

import unicodedata
from collections.abc import Mapping, Sequence


def count_table(counts: Mapping[tuple[str, str], int], columns: Sequence[str], corner: str) -> str:
    """A table of counts: rows in alphabetical order, columns as given; columns without a count are left out.

    Args:
        counts: (row, column) -> count.
        columns: names of the columns, in order.
        corner: heading of the row names.
    """
    shown = [column for column in columns if any(column == name for _, name in counts)]
    names = sorted({row for row, _ in counts})
    return aligned([[corner, *shown], *([row, *(str(counts.get((row, c), 0)) for c in shown)] for row in names)])


def aligned(rows: list[list[str]]) -> str:
    """Aligns cells in columns: the first flush left, the others flush right. An empty row becomes a blank line."""
    widths = [max(map(_width, column)) for column in zip(*filter(None, rows), strict=True)]
    lines = []
    for row in rows:
        cells = []
        for i, cell in enumerate(row):
            padding = " " * (widths[i] - _width(cell))
            cells.append(padding + cell if i else cell + padding)
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def counted(n: int, word: str) -> str:
    """A number and a noun: "1 track", "1,200 tracks"."""
    return f"{n:,} {word}" + "s" * (n != 1)


def _width(text: str) -> int:
    """Terminal columns that `text` takes: two for a wide East Asian character, none for a combining accent."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
