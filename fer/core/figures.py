"""Figures of training and evaluation, each written to a file: data and a path in, nothing out.

Drawn with `matplotlib.figure.Figure` and never with pyplot: no window, no global state, no figure to close.
Every figure reads in a grey print: what matters differs in lightness, marker or dash, not in hue alone.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, TransformedBbox

from fer.core.errors import FerError
from fer.core.files import replacing

DARK, LIGHT, ACCENT, MUTED = "#1f4e79", "#9db8d2", "#c0392b", "#666666"
STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "legend.edgecolor": "none",
    "legend.fontsize": 8,
    "legend.handlelength": 1.5,
    "pdf.fonttype": 42,  # letters stay letters, as publishers ask
    "text.parse_math": False,  # a "$" in a label or a file name is a dollar sign
    "savefig.dpi": 150,
}

TILE = 1.25  # inches: width of a picture on a contact sheet
GAP = 0.15  # inches: between pictures, and the margin of the sheet
LINE = 0.15  # inches: height of a line of caption
CAPTION_CHARACTERS = 19  # what fits below a picture
CAPTION_LINES = 4  # the rest of a longer caption is cut
MOST_PICTURES = 200


def contact_sheet(
    images: np.ndarray, captions: Sequence[str], path: str | Path, *, columns: int = 8, title: str = ""
) -> None:
    """Draws pictures in rows, each above its caption.

    Args:
        images: uint8 (n, h, w, 1 or 3), grey or BGR, n from 0 to 200. With n = 0 the sheet says "none".
        captions: n texts; long ones are wrapped, and cut after four lines.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        columns: pictures in a row.
        title: line above the pictures.

    Raises:
        FerError: if the pictures or the number of captions are not as above, or the file cannot be written.
    """
    n = len(images)
    if n > MOST_PICTURES or n != len(captions) or columns < 1:
        raise FerError(
            f"a contact sheet takes up to {MOST_PICTURES} images, a caption for each, and at least one column; "
            f"found {n} images, {len(captions)} captions, {columns} columns"
        )
    if n and (images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3)):
        raise FerError(f"images must be uint8 (n, h, w, 1 or 3); found {images.dtype} {images.shape}")
    columns = min(columns, max(n, 3))
    width = GAP + columns * (TILE + GAP)
    title = textwrap.fill(title, int(12 * width))
    head = 0.35 + 0.17 * title.count("\n") if title else 0.0
    captions = [_wrapped(caption) for caption in captions]
    height = TILE * images.shape[1] / images.shape[2] if n else TILE / 2  # of a picture, or of the word "none"
    cell_height = height + GAP + LINE * max((caption.count("\n") + 1 for caption in captions), default=0)
    sheet_height = head + GAP + max(-(-n // columns), 1) * cell_height
    with matplotlib.rc_context(STYLE):
        # One axes over the whole figure, in inches with y downwards: 200 axes would take far longer to draw.
        figure = Figure(figsize=(width, sheet_height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.text(GAP, GAP, title, va="top", fontsize=11)
        if not n:
            axes.text(width / 2, head + GAP + height / 2, "none", ha="center", va="center", fontsize=11, color=MUTED)
        for i, (image, caption) in enumerate(zip(images, captions, strict=True)):
            left, top = GAP + i % columns * (TILE + GAP), head + GAP + i // columns * cell_height
            bottom = top + height
            picture = np.broadcast_to(image[:, :, ::-1], (*image.shape[:2], 3))  # BGR to RGB; grey to three equal
            axes.imshow(picture, extent=(left, left + TILE, bottom, top), aspect="auto")
            # A line of capitals is wider than its picture: cut it rather than write over the next caption.
            text = axes.text(left, bottom + 0.03, caption, va="top", fontsize=8, linespacing=1.15, clip_on=True)
            space = Bbox([(left, bottom), (left + TILE + GAP / 2, top + cell_height)])
            text.set_clip_box(TransformedBbox(space, axes.transData))
        axes.set(xlim=(0, width), ylim=(sheet_height, 0))  # last, because imshow moves the limits to its picture
        save(figure, path)


def headline(figure: Figure, *lines: str) -> None:
    """Puts lines above the figure, wrapped to its width; empty ones are left out."""
    characters = int(12 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, characters) for line in lines if line), fontsize=10.5)


def _wrapped(caption: str) -> str:
    """Breaks a caption into lines that fit below a picture; its own line breaks stay."""
    lines = [part for line in caption.splitlines() for part in textwrap.wrap(line, CAPTION_CHARACTERS)]
    if len(lines) > CAPTION_LINES:
        lines[CAPTION_LINES - 1 :] = [lines[CAPTION_LINES - 1][: CAPTION_CHARACTERS - 1].rstrip() + "…"]
    return "\n".join(lines)


def check_format(path: str | Path) -> None:
    """Raises FerError where the suffix names no format of figures."""
    formats, suffix = Figure().canvas.get_supported_filetypes(), Path(path).suffix
    if suffix[1:].lower() not in formats:
        raise FerError(f"{path}: cannot write a figure as {suffix!r}; use one of .{', .'.join(sorted(formats))}")


def save(figure: Figure, path: str | Path) -> None:
    """Writes the figure under a temporary name in the same folder, then renames it: a reader never sees half a file."""
    check_format(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix[1:].lower())
