"""Risk and coverage against plain loops and scikit-learn; thresholds against trying every one."""

import json

import numpy as np
import pytest
from sklearn.metrics import accuracy_score

from fer import FerError
from fer.evaluation.intervals import wilson
from fer.evaluation.selective import COVERAGES, LEAST, fit_threshold, risk_coverage


def case(seed, n=400, digits=9):
    """Marks that are correct as often as the confidence says; rounded, many share one confidence."""
    rng = np.random.default_rng(seed)
    confidence = rng.uniform(0.2, 1, n).round(digits)
    return confidence, rng.random(n) < confidence


def test_risk_by_a_plain_loop():
    confidence, correct = case(0)
    curve = risk_coverage(confidence, correct)
    order = sorted(range(400), key=lambda i: -confidence[i])
    for kept in range(1, 401):
        assert curve.risk[kept - 1] == pytest.approx(1 - accuracy_score(np.ones(kept), correct[order[:kept]]))
        assert curve.confidence[kept - 1] == confidence[order[kept - 1]]
    assert curve.coverage[[0, -1]].tolist() == [1 / 400, 1]


def test_aurc_is_the_mean_of_the_risks_and_by_hand():
    # Kept 1, 2, 3, 4 of correct, wrong, correct, wrong: risks 0, 1/2, 1/3, 1/2.
    curve = risk_coverage(np.array([0.9, 0.8, 0.7, 0.6]), np.array([True, False, True, False]))
    assert curve.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert curve.best_aurc == pytest.approx((0 + 0 + 1 / 3 + 2 / 4) / 4)


def test_images_of_equal_confidence_count_as_in_the_mean_of_all_orders():
    confidence, correct = case(1, n=60, digits=1)
    rng, areas = np.random.default_rng(0), []
    for _ in range(4000):
        shuffled = rng.permutation(60)
        order = shuffled[np.argsort(-confidence[shuffled], kind="stable")]
        areas.append((np.cumsum(~correct[order]) / np.arange(1, 61)).mean())
    assert risk_coverage(confidence, correct).aurc == pytest.approx(np.mean(areas), abs=0.002)


def test_uninformative_confidence_gives_the_error_rate():
    curve = risk_coverage(np.full(10, 0.5), np.arange(10) < 7)
    assert curve.aurc == pytest.approx(0.3)
    np.testing.assert_allclose(curve.risk, 0.3)


def test_best_aurc_is_that_of_the_perfect_order():
    confidence, correct = case(2)
    perfect = risk_coverage(correct.astype(float), correct)
    curve = risk_coverage(confidence, correct)
    by_hand = (np.cumsum(np.sort(~correct)) / np.arange(1, 401)).mean()
    assert curve.best_aurc == pytest.approx(by_hand) == perfect.best_aurc
    assert curve.best_aurc < curve.aurc < 1 - correct.mean()


def test_the_rows_of_the_table():
    confidence, correct = case(3)
    curve = risk_coverage(confidence, correct)
    rows = curve.rows()
    assert [row["coverage"] for row in rows] == [percent / 100 for percent in COVERAGES]
    order = np.argsort(-confidence)
    for row in rows:
        kept = order[: round(400 * row["coverage"])]
        assert row["images"] == len(kept)
        assert row["accuracy"] == pytest.approx(correct[kept].mean())
        assert row["confidence"] == confidence[kept].min()
        assert row["accuracy_ci95"] == pytest.approx(wilson(correct[kept].sum(), len(kept)))
        assert f"{row['accuracy']:.2%}" in curve.summary()
    assert f"{curve.aurc:.3f}" in curve.summary()
    plain = curve.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


@pytest.mark.parametrize("digits", [9, 1])
@pytest.mark.parametrize("wanted", [0.5, 0.7, 0.8, 0.9])
def test_the_threshold_is_the_lowest_of_all_that_reach_the_accuracy(wanted, digits):
    confidence, correct = case(4, n=800, digits=digits)
    chosen = fit_threshold(risk_coverage(confidence, correct), wanted)
    tried = {value: correct[confidence >= value] for value in confidence}
    reach = [value for value, kept in tried.items() if len(kept) >= LEAST and kept.mean() >= wanted]
    lowest = min(reach)
    assert chosen.confidence == (0.0 if (confidence >= lowest).all() else lowest)
    kept = correct[confidence >= chosen.confidence]
    assert (chosen.n_kept, chosen.n_correct, chosen.n_images) == (len(kept), kept.sum(), 800)
    assert chosen.accuracy == kept.mean() >= wanted
    assert chosen.coverage == pytest.approx(len(kept) / 800)
    assert chosen.accuracy_ci95 == pytest.approx(wilson(kept.sum(), len(kept)))
    assert f"{chosen.accuracy:.2%}" in chosen.summary()
    assert json.loads(json.dumps(chosen.to_dict())) == chosen.to_dict()


def test_threshold_is_zero_where_all_images_reach_the_accuracy():
    confidence, correct = case(5)
    assert fit_threshold(risk_coverage(confidence, correct), 0.1).confidence == 0


def test_unreachable_accuracy_is_refused_with_the_best():
    correct = np.arange(100) % 4 > 0
    with pytest.raises(
        FerError, match=r"no threshold keeps 30 or more images with an accuracy of 99.00%: the best reaches 7\d.\d\d%"
    ):
        fit_threshold(risk_coverage(np.linspace(1, 0.2, 100), correct), 0.99)


def test_threshold_keeps_a_minimum_of_images():
    correct = np.arange(100) < LEAST - 1  # the most certain 29 are all correct, no other is
    with pytest.raises(FerError, match=r"the best reaches 96\.67%"):
        fit_threshold(risk_coverage(np.linspace(1, 0.2, 100), correct), 0.99)


@pytest.mark.parametrize("n", [0, 3])
def test_each_image_needs_a_confidence(n):
    with pytest.raises(FerError, match="a confidence for each image"):
        risk_coverage(np.zeros(n), np.zeros(2 if n else 0, bool))
