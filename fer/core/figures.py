"""Style of all figures, how they are saved, and contact sheets of images.

Figures are drawn with `matplotlib.figure.Figure` and never with pyplot: no window, no global state, no figure to close.
Every figure reads in greyscale: lines and areas differ in lightness, marker or dash, not in hue alone.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, TransformedBbox

from fer.core.errors import FerError
from fer.core.files import replacing

DARK, LIGHT, ACCENT, MUTED = "#1f4e79", "#9db8d2", "#c0392b", "#666666"
STYLE: dict[Any, Any] = {  # for matplotlib.rc_context
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
    "pdf.fonttype": 42,  # embedded TrueType fonts, as publishers ask
    "text.parse_math": False,  # a "$" in a label or a file name is a dollar sign
    "savefig.dpi": 150,
}

# Contact sheets; lengths in inches.
TILE = 1.25  # width of an image
GAP = 0.15  # between images, and the margin of the sheet
LINE = 0.15  # height of a line of caption
CAPTION_CHARACTERS = 19  # that fit below an image
CAPTION_LINES = 4  # a longer caption is cut
MAX_IMAGES = 200


def contact_sheet(
    images: np.ndarray, captions: Sequence[str], path: str | Path, *, columns: int = 8, title: str = ""
) -> None:
    """Draws images in rows, each above its caption.

    Args:
        images: uint8 (n, h, w, 1 or 3), grey or BGR, n from 0 to 200. With n = 0 the sheet says "none".
        captions: n texts; long ones are wrapped, and cut after four lines.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        columns: images per row.
        title: line above the images.

    Raises:
        FerError: the images or the number of captions are not as above, or the file cannot be written.
    """
    n = len(images)
    if n > MAX_IMAGES or n != len(captions) or columns < 1:
        raise FerError(
            f"a contact sheet takes up to {MAX_IMAGES} images, a caption for each, and at least one column; "
            f"found {n} images, {len(captions)} captions, {columns} columns"
        )
    if n and (images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in (1, 3)):
        raise FerError(f"images must be uint8 (n, h, w, 1 or 3); found {images.dtype} {images.shape}")
    columns = min(columns, max(n, 3))
    width = GAP + columns * (TILE + GAP)
    title = textwrap.fill(title, int(12 * width))
    head = 0.35 + 0.17 * title.count("\n") if title else 0.0
    captions = [_wrapped(caption) for caption in captions]
    height = TILE * images.shape[1] / images.shape[2] if n else TILE / 2  # of an image, or of the word "none"
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
            rgb = np.broadcast_to(image[:, :, ::-1], (*image.shape[:2], 3))  # grey becomes three equal channels
            axes.imshow(rgb, extent=(left, left + TILE, bottom, top), aspect="auto")
            # A line of capitals is wider than its image: cut it rather than write over the next caption.
            text = axes.text(left, bottom + 0.03, caption, va="top", fontsize=8, linespacing=1.15, clip_on=True)
            space = Bbox([(left, bottom), (left + TILE + GAP / 2, top + cell_height)])
            text.set_clip_box(TransformedBbox(space, axes.transData))
        axes.set(xlim=(0, width), ylim=(sheet_height, 0))  # last, because imshow sets the limits to its image
        save(figure, path)


def headline(figure: Figure, *lines: str) -> None:
    """Writes lines above the figure, wrapped to its width; empty ones are left out."""
    characters = int(12 * figure.get_figwidth())
    figure.suptitle("\n".join(textwrap.fill(line, characters) for line in lines if line), fontsize=10.5)


def _wrapped(caption: str) -> str:
    """Breaks a caption into lines that fit below an image; its own line breaks stay."""
    lines = [part for line in caption.splitlines() for part in textwrap.wrap(line, CAPTION_CHARACTERS)]
    if len(lines) > CAPTION_LINES:
        lines[CAPTION_LINES - 1 :] = [lines[CAPTION_LINES - 1][: CAPTION_CHARACTERS - 1].rstrip() + "…"]
    return "\n".join(lines)


def check_format(path: str | Path) -> None:
    """Checks that figures can be written in the format of the suffix.

    Raises:
        FerError: they cannot.
    """
    formats, suffix = Figure().canvas.get_supported_filetypes(), Path(path).suffix
    if suffix[1:].lower() not in formats:
        raise FerError(f"{path}: cannot write a figure as {suffix!r}; use .png, .pdf or .svg")


def save(figure: Figure, path: str | Path) -> None:
    """Writes a figure whole or not at all, in the format of the suffix.

    Raises:
        FerError: an unknown format, or the file cannot be written.
    """
    check_format(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix[1:].lower())
