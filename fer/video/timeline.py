"""The expressions of a video over time, as a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from fer.core.figures import STYLE, headline, save

STRIP_COLUMNS = 600  # of a timeline
MOST_STRIPS = 8  # faces on one
PAUSE = 1.0  # seconds without a face that show as one


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
        part = f"{len(drawn)} of {len(tracks)} faces, those seen longest" if len(drawn) < len(tracks) else ""
        headline(figure, title, part)
        save(figure, path)
