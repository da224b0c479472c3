"""Figures of a run: learning curves, and examples with predicted labels."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from fer.core.figures import ACCENT, DARK, LIGHT, MUTED, STYLE, contact_sheet, headline, save
from fer.data.dataset import Dataset


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


def _curves(axes: Axes, history: dict[str, list[float]], name: str, best: Callable[[np.ndarray], int]) -> None:
    """Draws a score in training and validation and marks the `best` validation epoch (np.nanargmin or np.nanargmax)."""
    training, validation = _values(history, name), _values(history, f"val_{name}")
    style: dict[str, Any] = {
        "linewidth": 1.6,
        "marker": ".",
        "markersize": 4,
    }  # the dots show a single epoch between two gaps
    if np.isfinite(training).any():
        axes.plot(np.arange(len(training)) + 1, training, color=LIGHT, label="training", **style)
    if np.isfinite(validation).any():
        axes.plot(np.arange(len(validation)) + 1, validation, color=DARK, label="validation", **style)
        i = int(best(validation))
        found = f"best {validation[i]:.4g}, epoch {i + 1}"
        ring: dict[str, Any] = {"markersize": 8, "fillstyle": "none", "color": ACCENT, "markeredgewidth": 1.6}
        axes.plot(i + 1, validation[i], "o", label=found, **ring)
    axes.set_title(name)
    _legend_or_note(axes)


def _learning_rate(axes: Axes, history: dict[str, list[float]]) -> None:
    values = _values(history, "learning_rate")
    values[~(values > 0)] = np.nan  # a warm-up may begin at 0, which has no logarithm
    axes.set_title("learning rate")
    if np.isfinite(values).any():
        style: dict[str, Any] = {"linewidth": 1.6, "marker": ".", "markersize": 4}
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


def example_sheet(
    dataset: Dataset, probabilities: np.ndarray, path: str | Path, *, count: int = 40, title: str = ""
) -> None:
    """Draws images with their predicted labels: evenly spaced over the data set, errors with the true label.

    Args:
        dataset: n images with targets.
        probabilities: float32 (n, k), of the data set's labels.
        path: file to write, in the format of its suffix.
        count: images at most.
        title: line above the images.

    Raises:
        FerError: if the file cannot be written.
    """
    y_pred, y_true = probabilities.argmax(axis=1), dataset.targets.argmax(axis=1)
    rows = np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int)
    captions = []
    for i in rows:
        caption = f"{dataset.labels[y_pred[i]]} {probabilities[i, y_pred[i]]:.0%}"
        captions.append(caption if y_pred[i] == y_true[i] else f"{caption}\ntrue: {dataset.labels[y_true[i]]}")
    right = (y_pred == y_true).mean()
    contact_sheet(dataset.images[rows], captions, path, title=f"{title}: {right:.1%} of {len(dataset):,} images right")
