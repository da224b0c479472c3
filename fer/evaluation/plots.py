"""Figures of an evaluation: confusion matrix, reliability, risk against coverage, groups, robustness.

As in `figures`, every figure reads in greyscale, no letter is smaller than 8 points, and the suffix sets the format.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from fer.core.figures import ACCENT, DARK, LIGHT, MUTED, STYLE, headline, save
from fer.evaluation.corruptions import SEVERITIES
from fer.evaluation.groups import SMALL, Groups
from fer.evaluation.metrics import BINS, Report
from fer.evaluation.robustness import Robustness
from fer.evaluation.selective import LEAST, RiskCoverage

MARKERS = "osD^vPX*<>"  # one per line: there are not enough distinct hues and greys
SPREAD = 0.6  # share of the distance between groups over which the labels' markers are spread


def confusion_matrix(report: Report, path: str | Path, *, title: str = "") -> None:
    """Draws the confusion matrix; each cell shows its share of the row, which also sets its shade, above its count.

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
    slanted: dict[str, Any] = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if long else {}
    low, high = report.accuracy_ci95
    scores = f"accuracy {report.accuracy:.1%} (95% interval {low:.1%} to {high:.1%}), macro F1 {report.macro_f1:.3f}"
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        figure = Figure(figsize=(max(0.75 * k + 1.6, 5), max(0.65 * k + 1.6, 3.5)), layout="constrained")
        axes = figure.subplots()
        cells = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")  # darker is more, in grey too
        for row, column in np.ndindex(k, k):
            share, count = float(shares[row, column]), int(report.confusion[row, column])
            _cell(axes, column, row, share, count, _text_color(cells.cmap(share)))
        axes.set_xticks(range(k), report.labels, **slanted)
        axes.set_yticks(range(k), [f"{label}\n{count:,}" for label, count in zip(report.labels, support, strict=True)])
        axes.set_xlabel("predicted label (share of the true label, number of images)")
        axes.set_ylabel("true label (number of images)")
        # White lines between the cells keep neighbours of one shade apart.
        axes.set_xticks(np.arange(k - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(k - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        headline(figure, title, scores)
        save(figure, path)


def reliability(report: Report, path: str | Path, *, title: str = "") -> None:
    """Draws accuracy against confidence, and below it the number of images at each confidence.

    A reliability diagram as in figure 1 of Guo et al. 2017, "On Calibration of Modern Neural Networks": of a
    calibrated classifier the bars end on the diagonal.

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
        mean = counts @ confidence / report.n_images
        bottom.axvline(mean, ymax=0.78, color=ACCENT, linestyle=":", label=f"mean confidence {mean:.1%}")
        bottom.axvline(report.accuracy, ymax=0.78, color=DARK, linestyle="--", label=f"accuracy {report.accuracy:.1%}")
        bottom.set(xlabel="confidence", ylabel="images", ylim=(0, 1.35 * counts.max()))  # room for the legend
        bottom.legend(loc="upper left", ncols=2)
        for axis in (top.xaxis, top.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        bottom.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        bottom.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        figure.align_ylabels()
        headline(figure, title, f"ECE {report.ece:.3f}, NLL {report.nll:.3f}, {report.n_images:,} images")
        save(figure, path)


def _cell(axes: Axes, x: int, y: int, share: float, count: int, color: str) -> None:
    """Writes a share above its count, or a faint 0."""
    if count:
        shown = f"{share:.0%}" if share >= 0.005 else "<1%"
        axes.text(x, y, shown, ha="center", va="bottom", color=color, fontsize=10)
        axes.text(x, y + 0.06, f"{count:,}", ha="center", va="top", color=color, fontsize=8)
    else:
        axes.text(x, y, "0", ha="center", va="center", color=MUTED, fontsize=8)


def _text_color(background: tuple[float, float, float, float]) -> str:
    """Black or white, whichever has more contrast to an RGBA colour.

    A grey of luma 0.46 (ITU-R BT.601) has the same contrast ratio (WCAG 2) to both.
    """
    return "white" if np.dot(background[:3], (0.299, 0.587, 0.114)) < 0.46 else "black"


def risk_coverage(
    curves: Sequence[tuple[str, RiskCoverage]], path: str | Path, *, threshold: float | None = None, title: str = ""
) -> None:
    """Draws accuracy against coverage, the most confident images first.

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
            shown = slice(min(LEAST, curve.n_images) - 1, None)  # the curve of fewer images is noise
            label = f"{name} (AURC {curve.aurc:.3f})"
            axes.plot(curve.coverage[shown], 1 - curve.risk[shown], color=color, linestyle=dash, label=label)
        _, first = curves[0]
        whole = 1 - first.risk[-1]
        axes.axhline(whole, color=MUTED, linestyle=":", linewidth=1, label=f"full coverage: {whole:.1%}")
        if threshold is not None:
            kept = max(1, int((first.confidence >= threshold).sum()))
            coverage, accuracy = kept / first.n_images, 1 - first.risk[kept - 1]
            label = f"confidence from {threshold:.3f}: {accuracy:.1%} at coverage {coverage:.0%}"
            axes.plot(coverage, accuracy, "o", color="black", markersize=6, label=label)
        axes.set(xlabel="coverage (most confident images first)", ylabel="accuracy")
        axes.set_xlim(0, 1)
        axes.set_ylim(top=1)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.legend(loc="lower left")
        headline(figure, title)
        save(figure, path)


def groups(scores: Groups, path: str | Path, *, title: str = "") -> None:
    """Draws the accuracy of each group with its interval, and beside it the recall of each label, one marker per label.

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
        ends = np.array([report.accuracy_ci95 for report in reports])
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


def robustness(scores: Sequence[Robustness], path: str | Path, *, title: str = "") -> None:
    """Draws accuracy against the severity of each corruption, a panel for each model; severity 0 is none.

    Args:
        scores: the accuracies of each model.
        path: file to write, in the format of its suffix. Folders are made as needed; an existing file is replaced.
        title: line above the figure.

    Raises:
        FerError: if the file cannot be written.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2 + 5 * len(scores), 4), layout="constrained")
        panels = figure.subplots(1, len(scores), sharey=True, squeeze=False)[0]
        for axes, one in zip(panels, scores, strict=True):
            for i, (kind, values) in enumerate(one.accuracy.items()):
                line: dict[str, Any] = {"color": str(0.6 * (i % 3) / 2), "marker": MARKERS[i % len(MARKERS)]}
                axes.plot([0, *SEVERITIES], [one.clean, *values], label=kind, markersize=5, linewidth=1.2, **line)
            axes.set(xlabel="severity of the corruption", ylim=(0, 1))
            if len(scores) > 1:
                axes.set_title(one.name)
            axes.set_xticks([0, *SEVERITIES])
        panels[0].set_ylabel("accuracy")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panels[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
        means = "; ".join(f"clean {one.clean:.1%}, mean under corruption {one.mean:.1%}" for one in scores)
        headline(figure, title, means)
        save(figure, path)


def _named(scores: Groups, name: str) -> str:
    n_images = scores.reports[name].n_images
    return f"{name}{' *' if n_images < SMALL else ''}\n{n_images:,} images"
