"""Intervals of shares, and of the difference of two: closed formulas that hold for few pictures too."""

import math

import numpy as np
from scipy.special import ndtri

LEVEL = 0.95


def wilson(right: np.ndarray, n: np.ndarray, *, level: float = LEVEL) -> tuple[np.ndarray, np.ndarray]:
    """Score interval of a share (Wilson 1927, "Probable inference, the law of succession, and statistical inference").

    Unlike a bootstrap it has a width where all answers agree: 5 of 5 right is no proof of 100 %.

    Args:
        right: cases that count, 0 to n; float or int of any shape, also expected numbers.
        n: cases in all, 1 or more.
        level: of confidence.

    Returns:
        Low and high end, float64 of the same shape.
    """
    z = ndtri((1 + level) / 2)
    share = right / n
    middle = share + z**2 / (2 * n)
    half = z * np.sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return tuple(np.clip((middle + side * half) / (1 + z**2 / n), 0, 1) for side in (-1, 1))


def of_accuracy(report) -> tuple[float, float]:
    """The score interval of the accuracy of a `metrics.Report`."""
    low, high = wilson(np.trace(report.confusion), report.images)
    return float(low), float(high)


def newcombe(right: tuple[int, int], n: tuple[int, int], *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of right[0] / n[0] - right[1] / n[1], of different pictures.

    Method 10 of Newcombe 1998, "Interval estimation for the difference between independent proportions".
    """
    (low1, high1), (low2, high2) = (wilson(a, b, level=level) for a, b in zip(right, n, strict=True))
    share1, share2 = right[0] / n[0], right[1] / n[1]
    low = share1 - share2 - math.hypot(share1 - low1, high2 - share2)
    high = share1 - share2 + math.hypot(high1 - share1, share2 - low2)
    return float(low), float(high)
