"""Intervals of proportions against their formula, published examples, and a simulation."""

import numpy as np
import pytest
from scipy.stats import norm

from fer.evaluation.intervals import newcombe, wilson


@pytest.mark.parametrize(("right", "n"), [(0, 1), (1, 1), (0, 10), (7, 10), (10, 10), (15, 148), (2372, 3589)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_wilson_by_its_formula(right, n, level):
    z = norm.ppf((1 + level) / 2)
    center, half = right / n + z**2 / (2 * n), z * np.sqrt(right / n * (1 - right / n) / n + z**2 / (4 * n**2))
    ends = ((center - half) / (1 + z**2 / n), (center + half) / (1 + z**2 / n))
    assert wilson(right, n, level=level) == pytest.approx(ends, abs=1e-9)


def test_wilson_of_a_published_example():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I: 81 of 263, 15 of 148.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)


@pytest.mark.parametrize(
    ("right", "n", "expected"),  # Newcombe 1998, "Interval estimation for the difference", table II, method 10
    [
        ((56, 48), (70, 80), (0.0524, 0.3339)),
        ((9, 3), (10, 10), (0.1705, 0.8090)),
        ((10, 0), (10, 20), (0.6791, 1.0)),
        ((5, 0), (56, 29), (-0.0381, 0.1926)),
    ],
)
def test_newcombe_gives_the_published_intervals(right, n, expected):
    assert newcombe(right, n) == pytest.approx(expected, abs=5e-5)


def test_newcombe_covers_the_truth_and_a_higher_level_is_wider():
    rng = np.random.default_rng(0)
    draws = zip(rng.binomial(60, 0.8, 600), rng.binomial(200, 0.6, 600), strict=True)
    covered = [low <= 0.2 <= high for low, high in (newcombe(pair, (60, 200)) for pair in draws)]
    assert 0.92 < np.mean(covered) < 0.98
    inner, outer = newcombe((50, 120), (60, 200)), newcombe((50, 120), (60, 200), level=0.99)
    assert outer[0] < inner[0] < 50 / 60 - 120 / 200 < inner[1] < outer[1]
