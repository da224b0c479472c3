"""Tables of plain text."""

import unicodedata
from collections.abc import Mapping, Sequence


def count_table(counts: Mapping[tuple[str, str], int], columns: Sequence[str], corner: str) -> str:
    """A table of counts by (row, column): rows in alphabetical order, columns as given, those without a count left out.

    Args:
        counts: how often each pair came.
        columns: names of the columns, in order.
        corner: what stands over the names of the rows.
    """
    shown = [column for column in columns if any(column == name for _, name in counts)]
    names = sorted({row for row, _ in counts})
    return aligned([[corner, *shown], *([row, *(str(counts.get((row, c), 0)) for c in shown)] for row in names)])


def aligned(rows: list[list[str]]) -> str:
    """Lays out rows of cells in columns: the first flush left, the others flush right. An empty row is a blank line."""
    widths = [max(map(_width, column)) for column in zip(*filter(None, rows), strict=True)]
    lines = []
    for row in rows:
        padding = [" " * (width - _width(cell)) for width, cell in zip(widths, row)]
        cells = [cell + pad if i == 0 else pad + cell for i, (cell, pad) in enumerate(zip(row, padding))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _width(text: str) -> int:
    """Terminal columns that `text` takes: two for a wide East Asian character, none for a combining accent."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
