"""Two models on the same images: McNemar by hand, the bootstrap by drawing images, F1 by scikit-learn."""

import json
from math import comb

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import f1_score

from fer import FerError
from fer.evaluation.comparison import compare


def predictions(seed, n=500, k=4, a=0.7, b=0.6):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(0, k, n)
    wrong = (y_true + rng.integers(1, k, n)) % k
    return y_true, np.where(rng.random(n) < a, y_true, wrong), np.where(rng.random(n) < b, y_true, wrong)


def from_counts(both, only_a, only_b, neither):
    marks = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], [both, only_a, only_b, neither], axis=0)
    return compare(np.ones(len(marks), int), marks[:, 0], marks[:, 1], 2)


def by_hand(only_a, only_b):
    """The two-sided exact test: twice the smaller tail of fair coin throws, 1 at most."""
    throws, few = only_a + only_b, min(only_a, only_b)
    return min(1.0, 2 * sum(comb(throws, i) for i in range(few + 1)) / 2**throws)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (1, 0), (0, 5), (5, 5), (6, 5), (17, 5), (74, 69), (130, 60)])
def test_mcnemar_by_hand(only_a, only_b):
    found = from_counts(100, only_a, only_b, 50)
    assert found.p == pytest.approx(by_hand(only_a, only_b))
    assert found.accuracy_difference == pytest.approx((only_a - only_b) / found.n_images)


def test_counts_accuracies_and_f1():
    y_true, a, b = predictions(0)
    found = compare(y_true, a, b, 4)
    assert (found.both, found.only_a) == (np.sum((a == y_true) & (b == y_true)), np.sum((a == y_true) & (b != y_true)))
    assert (found.only_b, found.neither) == (
        np.sum((a != y_true) & (b == y_true)),
        np.sum((a != y_true) & (b != y_true)),
    )
    assert found.accuracy == pytest.approx((np.mean(a == y_true), np.mean(b == y_true)))
    assert found.macro_f1 == pytest.approx([f1_score(y_true, y_pred, average="macro") for y_pred in (a, b)])


def test_f1_is_that_of_the_report_where_a_label_never_occurs():
    y_true, a, b = np.array([0, 0, 1, 1]), np.array([0, 2, 1, 1]), np.array([0, 0, 1, 2])
    expected = [f1_score(y_true, y_pred, labels=[0, 1], average="macro") for y_pred in (a, b)]
    assert compare(y_true, a, b, 3).macro_f1 == pytest.approx(expected)


def plain_f1(y_true, y_pred, k):
    """The mean of 2 TP / (2 TP + FP + FN); scikit-learn takes many times as long."""
    hits = [np.sum((y_true == i) & (y_pred == i)) for i in range(k)]
    return np.mean([2 * hits[i] / (np.sum(y_true == i) + np.sum(y_pred == i)) for i in range(k)])


def test_interval_equals_a_bootstrap_of_whole_images():
    y_true, a, b = predictions(1, n=300)
    found = compare(y_true, a, b, 4)
    rng, accuracy, f1 = np.random.default_rng(5), [], []
    for _ in range(1000):
        rows = rng.integers(0, 300, 300)
        accuracy.append(np.mean(a[rows] == y_true[rows]) - np.mean(b[rows] == y_true[rows]))
        f1.append(plain_f1(y_true[rows], a[rows], 4) - plain_f1(y_true[rows], b[rows], 4))
    np.testing.assert_allclose(found.accuracy_difference_ci95, np.percentile(accuracy, [2.5, 97.5]), atol=0.012)
    np.testing.assert_allclose(found.macro_f1_difference_ci95, np.percentile(f1, [2.5, 97.5]), atol=0.012)


def test_interval_equals_the_normal_approximation_for_many_images():
    found = from_counts(6000, 900, 700, 2400)
    n, difference = found.n_images, found.accuracy_difference
    error = np.sqrt((1600 / n - difference**2) / n)  # of a paired difference
    np.testing.assert_allclose(found.accuracy_difference_ci95, difference + error * norm.ppf([0.025, 0.975]), atol=1e-3)


def test_pairing_detects_differences_that_separate_intervals_hide():
    """Models that agree on nearly all images differ significantly, though their separate intervals overlap."""
    found = from_counts(600, 15, 1, 384)
    assert found.better == "A"
    low, high = found.accuracy_difference_ci95
    assert 0 < low < 0.014 < high < 0.03


def test_verdict_names_the_better_model_or_is_not_significant():
    better = from_counts(100, 5, 40, 50)
    assert better.better == "B"
    assert better.verdict.startswith("B is significantly more accurate: two equally accurate models differ at least")
    assert "less than 0.1% of samples" in better.verdict
    close = from_counts(2298, 74, 69, 1148)
    assert close.better is None
    assert close.verdict.startswith("Not significant: two equally accurate models differ at least this much in 74% of")
    assert "from -0.5 to +0.8 points" in close.verdict
    assert from_counts(10, 3, 3, 4).verdict.startswith("No difference")


def test_equal_models_differ_significantly_in_five_percent_of_samples_at_most():
    rng = np.random.default_rng(2)
    found = sum(by_hand(*rng.multinomial(60, [0.5, 0.5]).tolist()) < 0.05 for _ in range(2000))
    assert found / 2000 < 0.06


def test_summary_and_dict_hold_every_figure():
    found = compare(*predictions(3), 4, ("new.keras", "old.keras"))
    text, plain = found.summary(), found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    for value in (*found.accuracy, *found.macro_f1):
        assert f"{value:.2%}" in text or f"{value:.3f}" in text
    assert f"p = {found.p:.3g}" in text
    assert text.startswith("new.keras compared with old.keras on the same 500 images")
    assert sum(plain["correct"].values()) == 500


def test_seed_determines_the_interval():
    ends = [compare(*predictions(4), 4, seed=seed).macro_f1_difference_ci95 for seed in (0, 0, 1)]
    assert ends[0] == ends[1] != ends[2]


@pytest.mark.parametrize("rows", [(0, 0, 0), (3, 3, 2)])
def test_predictions_of_different_lengths_are_refused(rows):
    with pytest.raises(FerError, match="two predictions for each image"):
        compare(*(np.zeros(n, int) for n in rows), 2)
