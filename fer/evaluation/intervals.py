"""Confidence intervals: closed formulas for proportions, which hold for small samples too, and a bootstrap."""

import math
from collections.abc import Iterator

import numpy as np
from scipy.stats import binomtest

LEVEL = 0.95
RESAMPLES = 2000  # of the bootstrap
DRAWS = 100  # resamples drawn at a time, which bounds the memory


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


def resamples(counts: np.ndarray, seed: int = 0) -> Iterator[np.ndarray]:
    """Bootstrap resamples of images of which many are interchangeable (Efron & Tibshirani 1993).

    A resample is a multinomial draw of the counts of the kinds of images: the same as a draw of single images, in a
    time that does not grow with their number.

    Args:
        counts: int (kinds,), images of each kind.
        seed: of the draws.

    Yields:
        int64 (DRAWS, kinds), until there were `RESAMPLES`.
    """
    rng, n = np.random.default_rng(seed), int(counts.sum())
    for _ in range(RESAMPLES // DRAWS):
        yield rng.multinomial(n, counts / n, DRAWS)


def accuracy_and_f1(
    counts: np.ndarray, y_true: np.ndarray, y_pred: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """Accuracy and macro F1 (as `Report.macro_f1`, over the labels that occur) of many resamples at once.

    Args:
        counts: int (m, kinds), images of each kind in m resamples.
        y_true, y_pred: int (kinds,), true and predicted label of each kind.
        k: number of labels.

    Returns:
        Two arrays float64 (m,).
    """
    codes = np.arange(k)
    support, predicted = counts @ (y_true[:, None] == codes), counts @ (y_pred[:, None] == codes)  # (m, k)
    hits = counts @ ((y_true == y_pred)[:, None] & (y_true[:, None] == codes))
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    return hits.sum(axis=1) / counts.sum(axis=1), np.mean(f1, axis=1, where=support > 0)
