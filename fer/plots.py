"""Figures of training and evaluation, each written to a file: data and a path in, nothing out.

Drawn with `matplotlib.figure.Figure` and never with pyplot: no window, no global state, no figure to close.
Every figure reads in a grey print: what matters differs in lightness, marker or dash, not in hue alone.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox, TransformedBbox

from fer import FerError
from fer.files import replacing
from fer.metrics import BINS, Report

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

STRIP_COLUMNS = 600  # of a timeline
MOST_STRIPS = 8  # faces on one
PAUSE = 1.0  # seconds without a face that show as one


def learning_curves(history: dict[str, list[float]], path: str | Path, *, title: str = "") -> None:
    """Draws loss, accuracy and learning rate over the epochs, with the best validation epoch marked.

    Args:
        history: one value per epoch under "loss", "val_loss", "accuracy", "val_accuracy", "learning_rate", as Keras
            logs them. Any may be missing; values that are not finite leave a gap. Other keys are not drawn.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(12, 3.6), layout="constrained")
        loss, accuracy, rate = figure.subplots(1, 3)
        _curves(loss, history, "loss", np.nanargmin)
        _curves(accuracy, history, "accuracy", np.nanargmax)
        _learning_rate(rate, history)
        for axes in (loss, accuracy, rate):
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axes.set_xlim(0.5, max([1, *map(len, history.values())]) + 0.5)
        headline(figure, title)
        save(figure, path)


def confusion_matrix(report: Report, path: str | Path, *, title: str = "") -> None:
    """Draws the confusion matrix: each cell has its share of the row, which also sets its shade, above its count.

    Args:
        report: the evaluation to draw.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    k = len(report.labels)
    support = report.support
    shares = report.confusion / np.maximum(support, 1)[:, None]  # (k, k); the row of an absent label is 0
    long = max(map(len, report.labels)) > 9
    slanted = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long else {}
    low, high = report.accuracy_ci95
    scores = f"accuracy {report.accuracy:.1%} (95% interval {low:.1%} to {high:.1%}), macro F1 {report.macro_f1:.3f}"
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(max(0.75 * k + 1.6, 5), max(0.65 * k + 1.6, 3.5)), layout="constrained")
        axes = figure.subplots()
        cells = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")  # darker is more, in grey too
        for (row, column), share in np.ndenumerate(shares):
            _cell(axes, column, row, share, report.confusion[row, column], _text_color(cells.cmap(share)))
        axes.set_xticks(range(k), report.labels, **slanted)
        axes.set_yticks(range(k), [f"{label}\n{count:,}" for label, count in zip(report.labels, support, strict=True)])
        axes.set_xlabel("predicted (share of the true label, number of images)")
        axes.set_ylabel("true (number of images)")
        # White lines between the cells keep neighbours of one shade apart.
        axes.set_xticks(np.arange(k - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(k - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        headline(figure, title, scores)
        save(figure, path)


def reliability(report: Report, path: str | Path, *, title: str = "") -> None:
    """Draws accuracy against confidence, and below how many images have that confidence.

    A reliability diagram as in figure 1 of Guo et al. 2017, "On Calibration of Modern Neural Networks": where the
    confidence can be trusted the bars end on the diagonal.

    Args:
        report: the evaluation to draw.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    used = report.bin_counts > 0
    centres = ((np.arange(BINS) + 0.5) / BINS)[used]
    counts, confidence, accuracy = report.bin_counts[used], report.bin_confidence[used], report.bin_accuracy[used]
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5, 6), layout="constrained")
        top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
        bar = {"width": 1 / BINS, "edgecolor": "white", "linewidth": 1}
        top.bar(centres, accuracy, color=LIGHT, label="accuracy", **bar)
        gap = {"facecolor": "none", "edgecolor": ACCENT, "hatch": "////", "linewidth": 0.8}
        top.bar(centres, confidence - accuracy, bottom=accuracy, width=1 / BINS, label="gap to mean confidence", **gap)
        top.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="calibrated")
        top.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        top.legend(loc="upper left")
        bottom.bar(centres, counts, color=LIGHT, **bar)
        mean = counts @ confidence / report.images
        bottom.axvline(mean, ymax=0.78, color=ACCENT, linestyle=":", label=f"mean confidence {mean:.1%}")
        bottom.axvline(report.accuracy, ymax=0.78, color=DARK, linestyle="--", label=f"accuracy {report.accuracy:.1%}")
        bottom.set(xlabel="confidence", ylabel="images", ylim=(0, 1.35 * counts.max()))  # room for the legend
        bottom.legend(loc="upper left", ncols=2)
        for axis in (top.xaxis, top.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        bottom.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        bottom.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        figure.align_ylabels()
        headline(figure, title, f"ECE {report.ece:.3f}, NLL {report.nll:.3f}, {report.images:,} images")
        save(figure, path)


def timeline(
    tracks: Mapping[int, tuple[np.ndarray, np.ndarray]], labels: Sequence[str], path: str | Path, *, title: str = ""
) -> None:
    """Draws the probabilities of every face over time, a strip a face: the darker, the more probable.

    Args:
        tracks: number of a face -> its times, float64 (n), rising, seconds; probabilities, float32 (n, k). A break of
            more than `PAUSE` seconds stays white. Of many faces the `MOST_STRIPS` with most points are drawn.
        labels: the k names.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    drawn = sorted(sorted(tracks, key=lambda track: -len(tracks[track][0]))[:MOST_STRIPS])
    begin = min((tracks[track][0][0] for track in drawn), default=0.0)
    end = max((tracks[track][0][-1] for track in drawn), default=0.0)
    edges = np.linspace(begin, max(end, begin + 0.1), STRIP_COLUMNS + 1)
    with matplotlib.rc_context(STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(10, 1 + max(1, len(drawn)) * (0.5 + 0.17 * len(labels))), layout="constrained")
        strips = figure.subplots(max(1, len(drawn)), 1, sharex=True, squeeze=False)[:, 0]
        for axes, track in zip(strips, drawn, strict=False):
            times, probabilities = tracks[track]
            first, beyond = np.searchsorted(times, edges[:-1]), np.searchsorted(times, edges[1:])
            beyond[-1] = len(times)  # the last point lies on the last edge
            sums = np.vstack([np.zeros(len(labels)), np.cumsum(probabilities, axis=0, dtype=np.float64)])
            means = (sums[beyond] - sums[first]) / np.maximum(beyond - first, 1)[:, None]
            # Where points are further apart than columns, the one before holds until the next.
            last, following = np.maximum(beyond - 1, 0), np.minimum(beyond, len(times) - 1)
            between = (beyond > 0) & (beyond < len(times)) & (times[following] - times[last] <= PAUSE)
            held = np.where(between[:, None], probabilities[last], np.nan)
            columns = np.where((beyond > first)[:, None], means, held).T
            mesh = axes.pcolormesh(edges, np.arange(len(labels) + 1), columns, cmap="Blues", vmin=0, vmax=1)
            mesh.set_rasterized(True)
            axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
            axes.invert_yaxis()
            axes.tick_params(axis="y", length=0)
            axes.set_title(f"face {track}", loc="left")
        if drawn:
            bar = figure.colorbar(mesh, ax=list(strips), shrink=min(1, 2 / len(drawn)), label="probability")
            bar.ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        else:
            strips[0].text(0.5, 0.5, "no face", ha="center", va="center", transform=strips[0].transAxes)
            strips[0].set_yticks([])
        strips[-1].set_xlabel("seconds")
        headline(figure, title)
        save(figure, path)


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


def _curves(axes: Axes, history: dict[str, list[float]], name: str, best: Callable[[np.ndarray], int]) -> None:
    """Draws a score in training and validation and marks the `best` validation epoch (np.nanargmin or np.nanargmax)."""
    training, validation = _values(history, name), _values(history, f"val_{name}")
    style = {"linewidth": 1.6, "marker": ".", "markersize": 4}  # the dots show a single epoch between two gaps
    if np.isfinite(training).any():
        axes.plot(np.arange(len(training)) + 1, training, color=LIGHT, label="training", **style)
    if np.isfinite(validation).any():
        axes.plot(np.arange(len(validation)) + 1, validation, color=DARK, label="validation", **style)
        i = int(best(validation))
        found = f"best {validation[i]:.4g}, epoch {i + 1}"
        ring = {"markersize": 8, "fillstyle": "none", "color": ACCENT, "markeredgewidth": 1.6}
        axes.plot(i + 1, validation[i], "o", label=found, **ring)
    axes.set_title(name)
    _legend_or_note(axes)


def _learning_rate(axes: Axes, history: dict[str, list[float]]) -> None:
    values = _values(history, "learning_rate")
    values[~(values > 0)] = np.nan  # a warm-up may begin at 0, which has no logarithm
    axes.set_title("learning rate")
    if np.isfinite(values).any():
        style = {"linewidth": 1.6, "marker": ".", "markersize": 4}
        axes.plot(np.arange(len(values)) + 1, values, color=DARK, drawstyle="steps-mid", **style)
        # Whole decades: a rate that never moves would otherwise get an axis without one labelled tick.
        low, high = np.floor(np.log10(np.nanmin(values))), np.ceil(np.log10(np.nanmax(values)))
        axes.set_yscale("log")
        axes.set_ylim(0.7 * 10**low, 10 ** max(high, low + 1) / 0.7)
        axes.yaxis.set_major_locator(LogLocator(numticks=8))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"1e{np.log10(value):.0f}"))
    else:
        _legend_or_note(axes)


def _legend_or_note(axes: Axes) -> None:
    """Adds the legend, or a note where nothing was drawn."""
    if axes.lines:
        axes.legend()
    else:
        axes.text(0.5, 0.5, "not recorded", ha="center", va="center", color=MUTED, transform=axes.transAxes)
        axes.set_yticks([])
        axes.grid(False)


def _values(history: dict[str, list[float]], name: str) -> np.ndarray:
    """Returns a curve as float64 (epochs,), NaN where a value is missing or infinite."""
    values = np.array(history.get(name, []), np.float64)  # None becomes NaN
    values[~np.isfinite(values)] = np.nan
    return values


def _cell(axes: Axes, x: int, y: int, share: float, count: int, color: str) -> None:
    """Writes a share above its count, or a faint 0."""
    if count:
        shown = f"{share:.0%}" if share >= 0.005 else "<1%"
        axes.text(x, y, shown, ha="center", va="bottom", color=color, fontsize=10)
        axes.text(x, y + 0.06, f"{count:,}", ha="center", va="top", color=color, fontsize=8)
    else:
        axes.text(x, y, "0", ha="center", va="center", color=MUTED, fontsize=8)


def _text_color(background: tuple[float, float, float, float]) -> str:
    """Black or white, whichever stands out from an RGBA colour.

    At a luma (ITU-R BT.601) of 0.46 a grey has the same contrast to both, by the contrast ratio of WCAG 2.
    """
    return "white" if np.dot(background[:3], (0.299, 0.587, 0.114)) < 0.46 else "black"


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
