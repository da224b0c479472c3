"""Confidence intervals of proportions: closed formulas that hold for small samples too."""

import math

from scipy.stats import binomtest

LEVEL = 0.95


def wilson(n_correct: int, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Wilson score interval of a proportion (Wilson 1927, "Probable inference, the law of succession, and statistical
    inference").

    Unlike a bootstrap interval it has a width where all outcomes agree.

    Args:
        n_correct: cases that count, 0 to n.
        n: all cases, 1 or more.
        level: of confidence.

    Returns:
        Low and high end.
    """
    interval = binomtest(int(n_correct), int(n)).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def newcombe(n_correct: tuple[int, int], n: tuple[int, int], *, level: float = LEVEL) -> tuple[float, float]:
    """Interval of the difference n_correct[0] / n[0] - n_correct[1] / n[1] of two independent proportions.

    Method 10 of Newcombe 1998, "Interval estimation for the difference between independent proportions", which scipy
    lacks.
    """
    (low1, high1), (low2, high2) = (wilson(a, b, level=level) for a, b in zip(n_correct, n, strict=True))
    share1, share2 = n_correct[0] / n[0], n_correct[1] / n[1]
    low = share1 - share2 - math.hypot(share1 - low1, high2 - share2)
    high = share1 - share2 + math.hypot(high1 - share1, share2 - low2)
    return low, high
