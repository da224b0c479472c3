"""Figures of what stands beside the report: risk against coverage, and groups side by side.

As in `plots`, every figure reads in a grey print, no letter is smaller than 8 points, and the suffix sets the format.
"""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fer.groups import SMALL, Groups
from fer.plots import ACCENT, DARK, MUTED, STYLE, headline, save
from fer.selective import LEAST, RiskCoverage

MARKERS = "osD^vPX*<>"  # of the labels: hues and greys run out, shapes do not
SPREAD = 0.6  # of the distance between groups, over which the labels' markers are set apart


def risk_coverage(
    curves: Sequence[tuple[str, RiskCoverage]], path: str | Path, *, threshold: float | None = None, title: str = ""
) -> None:
    """Draws accuracy against the share of pictures kept, the most certain first.

    Args:
        curves: a name and a curve for each model.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        threshold: a confidence to mark on the first curve.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.5, 4), layout="constrained")
        axes = figure.subplots()
        for (name, curve), color, dash in zip(curves, (DARK, ACCENT), ("-", "--"), strict=False):
            shown = slice(min(LEAST, curve.images) - 1, None)  # the curve of fewer pictures is noise
            label = f"{name} (AURC {curve.aurc:.3f})"
            axes.plot(curve.coverage[shown], 1 - curve.risk[shown], color=color, linestyle=dash, label=label)
        _, first = curves[0]
        whole = 1 - first.risk[-1]
        axes.axhline(whole, color=MUTED, linestyle=":", linewidth=1, label=f"nothing left out: {whole:.1%}")
        if threshold is not None:
            kept = max(1, int((first.confidence >= threshold).sum()))
            said = f"confidence from {threshold:.3f}: {1 - first.risk[kept - 1]:.1%} of {kept / first.images:.0%}"
            axes.plot(kept / first.images, 1 - first.risk[kept - 1], "o", color="black", markersize=6, label=said)
        axes.set(xlabel="coverage: share of images kept, the most certain first", ylabel="accuracy of those kept")
        axes.set_xlim(0, 1)
        axes.set_ylim(top=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="lower left")
        headline(figure, title)
        save(figure, path)


def groups(scores: Groups, path: str | Path, *, title: str = "") -> None:
    """Draws the accuracy of each group with its interval, and beside it the recall of each label, a marker a label.

    Args:
        scores: the groups.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    names, reports = list(scores.reports), list(scores.reports.values())
    rows = np.arange(len(names))
    labels = reports[0].labels
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.9 + 0.45 * len(names)), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2, 3])
        accuracy = np.array([report.accuracy for report in reports])
        ends = np.array([scores.interval(name) for name in names])
        errors = np.abs(ends.T - accuracy)
        left.errorbar(accuracy, rows, xerr=errors, fmt="o", color=DARK, capsize=4, markersize=5)
        star = f"\n* fewer than {SMALL} images" if scores.small else ""
        left.set(xlabel=f"accuracy, 95% interval{star}", ylim=(len(names) - 0.5, -0.5))
        left.set_yticks(rows, [_named(scores, name) for name in names])
        for i, label in enumerate(labels):
            recall = [np.nan if not report.support[i] else report.per_class[label]["recall"] for report in reports]
            grey = str(0.7 * (i % 3) / 2)
            fill = "full" if i < len(MARKERS) else "none"
            marker = MARKERS[i % len(MARKERS)]
            apart = SPREAD * ((i + 0.5) / len(labels) - 0.5)
            right.plot(recall, rows + apart, marker, color=grey, fillstyle=fill, markersize=6, label=label)
        right.set(xlabel="recall of each emotion", xlim=(-0.02, 1.02))
        right.legend(loc="center left", bbox_to_anchor=(1, 0.5))
        for axes in (left, right):
            axes.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        headline(figure, title)
        save(figure, path)


def _named(scores: Groups, name: str) -> str:
    star = " *" if name in scores.small else ""
    return f"{name}{star}\n{scores.reports[name].images:,} images"
