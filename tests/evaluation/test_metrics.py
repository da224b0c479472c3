"""Every metric against scikit-learn, or against a sum done by hand."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    f1_score,
    log_loss,
    precision_recall_fscore_support,
    top_k_accuracy_score,
)

from fer import FerError
from fer.core.text import count_table
from fer.evaluation.metrics import BINS, Report, compute_report

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def one_hot(true, k=7):
    return np.eye(k, dtype=np.float32)[true]


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def random_case(seed, n=400, absent=()):
    """A classifier that is right more often than not; no image has a label in `absent`, though it may be predicted."""
    rng = np.random.default_rng(seed)
    true = rng.choice([i for i in range(len(LABELS)) if i not in absent], n)
    return softmax(rng.normal(0, 1, (n, len(LABELS))) + 1.5 * one_hot(true)), true


@pytest.fixture(params=[(0, ()), (1, (1,)), (2, (1, 5))], ids=["all labels", "one absent", "two absent"])
def case(request):
    seed, absent = request.param
    probabilities, true = random_case(seed, absent=absent)
    return probabilities, true, compute_report(probabilities, one_hot(true), LABELS)


def test_confusion_and_accuracy_agree_with_scikit_learn(case):
    probabilities, true, report = case
    predicted = probabilities.argmax(axis=1)
    np.testing.assert_array_equal(report.confusion, confusion_matrix(true, predicted, labels=range(7)))
    assert report.confusion.dtype == np.int64
    assert report.n_images == 400
    assert report.accuracy == pytest.approx(accuracy_score(true, predicted))


def test_per_class_scores_agree_with_scikit_learn(case):
    probabilities, true, report = case
    predicted = probabilities.argmax(axis=1)
    expected = precision_recall_fscore_support(true, predicted, labels=range(7), zero_division=0)
    found = [[row[name] for row in report.per_class.values()] for name in ("precision", "recall", "f1", "support")]
    np.testing.assert_allclose(found, expected)
    assert list(report.per_class) == list(LABELS)


def test_one_against_the_rest_counts_and_specificity(case):
    probabilities, true, report = case
    predicted = probabilities.argmax(axis=1)
    for i, row in enumerate(report.per_class.values()):
        assert row["tp"] == np.sum((true == i) & (predicted == i))
        assert row["fp"] == np.sum((true != i) & (predicted == i))
        assert row["fn"] == np.sum((true == i) & (predicted != i))
        assert row["tn"] == np.sum((true != i) & (predicted != i))
        assert row["specificity"] == pytest.approx(np.mean(predicted[true != i] != i))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_averages_agree_with_scikit_learn(case):
    probabilities, true, report = case
    predicted = probabilities.argmax(axis=1)
    assert report.balanced_accuracy == pytest.approx(balanced_accuracy_score(true, predicted))
    assert report.macro_f1 == pytest.approx(f1_score(true, predicted, labels=np.unique(true), average="macro"))
    expected = precision_recall_fscore_support(true, predicted, average="weighted", zero_division=0)[:3]
    assert [report.weighted[name] for name in ("precision", "recall", "f1")] == pytest.approx(expected)
    assert report.weighted["recall"] == pytest.approx(report.accuracy)


def test_probability_scores_agree_with_scikit_learn(case):
    probabilities, true, report = case
    assert report.nll == pytest.approx(log_loss(true, probabilities, labels=range(7)), rel=1e-5)
    assert report.top2_accuracy == pytest.approx(top_k_accuracy_score(true, probabilities, k=2, labels=range(7)))
    assert report.top2_accuracy >= report.accuracy


def test_labels_without_truth_or_prediction_score_zero_and_never_nan():
    true = np.array([0, 0, 1])
    probabilities = one_hot([0, 1, 1], k=3)
    report = compute_report(probabilities, one_hot(true, 3), ("happy", "sad", "never seen"))
    zero = dict.fromkeys(("precision", "recall", "f1", "support", "tp", "fp", "fn"), 0)
    assert report.per_class["never seen"] == {**zero, "specificity": 1, "tn": 3}
    assert report.balanced_accuracy == pytest.approx((1 / 2 + 1) / 2)
    assert report.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    only = compute_report(one_hot([0, 0], 2), one_hot([0, 0], 2), ("happy", "sad"))
    assert only.per_class["happy"]["specificity"] == 0  # nothing that is not happy: 0/0
    assert "nan" not in json.dumps(only.to_dict()).lower()


def test_perfect_predictor():
    true = np.arange(7).repeat(3)
    report = compute_report(one_hot(true), one_hot(true), LABELS)
    for value in (report.accuracy, report.balanced_accuracy, report.macro_f1, report.top2_accuracy):
        assert value == 1
    assert report.ece == 0
    assert report.nll == 0
    assert "-0" not in report.summary()
    assert report.accuracy_ci95 == pytest.approx((21 / (21 + 1.959964**2), 1))  # Wilson's lower end at 21 of 21


def test_confident_and_always_wrong_has_the_largest_ece_and_a_finite_nll():
    report = compute_report(one_hot([0, 0], 2), one_hot([1, 1], 2), ("happy", "sad"))
    assert report.ece == 1
    assert report.nll == pytest.approx(-np.log(np.finfo(np.float32).eps))
    assert report.accuracy_ci95[0] == pytest.approx(0)


def test_calibration_error_by_hand():
    # Bins are 1/15 wide: 0.90 is in bin 13 (0.867, 0.933], 0.95 and 1 in bin 14, 0.62 and 0.64 in bin 9 (0.6, 0.667].
    confidence = np.array([0.90, 0.95, 1.00, 0.62, 0.64])
    right = np.array([1, 1, 0, 0, 1])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    report = compute_report(probabilities, one_hot(1 - right, 2), ("happy", "sad"))
    expected_counts = np.zeros(BINS, int)
    expected_counts[[9, 13, 14]] = 2, 1, 2
    np.testing.assert_array_equal(report.bin_counts, expected_counts)
    np.testing.assert_allclose(report.bin_confidence[[9, 13, 14]], [0.63, 0.90, 0.975])
    np.testing.assert_allclose(report.bin_accuracy[[9, 13, 14]], [0.5, 1, 0.5])
    assert report.ece == pytest.approx((2 * 0.13 + 1 * 0.10 + 2 * 0.475) / 5)
    assert report.bin_accuracy[0] == report.bin_confidence[0] == 0  # an empty bin


def test_calibration_error_against_a_plain_loop():
    probabilities, true = random_case(5, n=1000)
    top, right = probabilities.max(axis=1).astype(float), probabilities.argmax(axis=1) == true
    total = 0.0
    for b in range(BINS):
        inside = (top > b / BINS) & (top <= (b + 1) / BINS)
        if inside.any():
            total += inside.mean() * abs(right[inside].mean() - top[inside].mean())
    assert compute_report(probabilities, one_hot(true), LABELS).ece == pytest.approx(total)


def test_a_confidence_rounded_above_one_falls_in_the_last_bin():
    report = compute_report(np.float32([[1.0000002, 0], [0.5, 0.5]]), one_hot([0, 0], 2), ("happy", "sad"))
    assert report.bin_counts[-1] == 1
    assert report.nll == pytest.approx(np.log(2) / 2)


def test_soft_targets_count_their_argmax_and_enter_the_nll_whole():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3]], np.float32)
    targets = np.array([[0.6, 0.4, 0.0], [0.1, 0.3, 0.6]], np.float32)
    report = compute_report(probabilities, targets, ("happy", "sad", "fear"))
    np.testing.assert_array_equal(report.confusion, [[1, 0, 0], [0, 0, 0], [0, 1, 0]])
    by_hand = -(0.6 * np.log(0.7) + 0.4 * np.log(0.2) + 0.1 * np.log(0.2) + 0.3 * np.log(0.5) + 0.6 * np.log(0.3)) / 2
    assert report.nll == pytest.approx(by_hand)
    assert report.top2_accuracy == 1


def test_equal_probabilities_never_put_top2_below_accuracy():
    even = np.full((3, 3), 1 / 3)
    report = compute_report(even, one_hot([0, 1, 2], 3), ("happy", "sad", "fear"))
    assert report.accuracy == pytest.approx(1 / 3)  # the first label wins a tie
    assert report.top2_accuracy == pytest.approx(2 / 3)


def test_accuracy_interval_is_wilsons():
    probabilities, true = random_case(3)
    report = compute_report(probabilities, one_hot(true), LABELS)
    correct = int((probabilities.argmax(axis=1) == true).sum())
    expected = binomtest(correct, len(true)).proportion_ci(method="wilson")
    assert report.accuracy_ci95 == pytest.approx((expected.low, expected.high))
    assert report.accuracy_ci95[0] < report.accuracy < report.accuracy_ci95[1]


def test_interval_of_each_recall():
    true = np.array([0] * 56 + [1] * 100)
    predicted = np.where(np.arange(156) < 26, 0, 1)
    report = compute_report(one_hot(predicted, 3), one_hot(true, 3), ("disgust", "happy", "sad"))
    expected = binomtest(26, 56).proportion_ci(method="wilson")
    assert report.recall_ci95["disgust"] == pytest.approx((expected.low, expected.high))
    assert report.recall_ci95["happy"][1] == pytest.approx(1)
    assert report.recall_ci95["sad"] is None
    assert report.table().splitlines()[1].split()[-1] == "0.340-0.593"
    assert report.table().splitlines()[3].split()[-1] == "-"


def test_to_dict_has_the_promised_keys_and_survives_json(case):
    *_, report = case
    plain = report.to_dict()
    assert list(plain) == [
        "images", "labels", "accuracy", "accuracy_ci95", "balanced_accuracy", "macro_f1", "macro_f1_ci95", "macro",
        "weighted", "per_class", "recall_ci95", "confusion", "top2_accuracy", "ece", "nll", "reliability",
    ]  # fmt: skip
    for name in ("macro", "weighted"):
        assert list(plain[name]) == ["precision", "recall", "specificity", "f1"]
    bins = plain["reliability"]
    weights = np.array(bins["counts"]) / plain["images"]
    gaps = np.abs(np.array(bins["accuracy"]) - bins["confidence"])
    assert weights @ gaps == pytest.approx(plain["ece"])
    assert list(plain["per_class"]["happy"]) == [
        "precision", "recall", "specificity", "f1", "support", "tp", "fp", "fn", "tn",
    ]  # fmt: skip
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert isinstance(plain["per_class"]["happy"]["tp"], int)


def test_table_shows_each_label_and_lines_up_with_long_and_wide_names():
    labels = ("a label nobody shortens", "嫌悪", "fâché", "happy", "sad", "surprise", "neutral")
    probabilities, true = random_case(6)
    report = compute_report(probabilities, one_hot(true), labels)
    head, *rows, blank, macro, weighted = report.table().splitlines()
    ratios = ["precision", "recall", "specificity", "F1"]
    assert head.split() == ["emotion", "support", "TP", "FN", "FP", "TN", *ratios, "recall", "95%", "CI"]
    assert blank == ""
    for label, row in zip(labels, rows, strict=True):
        values = report.per_class[label]
        counts = [str(values[name]) for name in ("support", "tp", "fn", "fp", "tn")]
        ratios = [f"{values[name]:.3f}" for name in ("precision", "recall", "specificity", "f1")]
        assert row.startswith(label)
        interval = "-".join(f"{end:.3f}" for end in report.recall_ci95[label])
        assert row.split()[-10:] == [*counts, *ratios, interval]
    widths = {len(row) + 2 * ("嫌悪" in row) for row in (head, *rows)}  # two columns each
    assert len(widths) == 1
    assert head.index("F1") + 2 == len(macro) == len(weighted)
    assert macro.split()[-4:] == [f"{report.macro[name]:.3f}" for name in ("precision", "recall", "specificity", "f1")]
    assert f"{report.weighted['precision']:.3f}" in weighted
    assert f"{report.weighted['f1']:.3f}" in weighted


def test_confusion_table_has_true_rows_and_predicted_columns():
    report = compute_report(one_hot([0, 1, 1], 2), one_hot([0, 0, 0], 2), ("happy", "a label nobody shortens"))
    assert report.confusion_table().splitlines() == [
        "true \\ predicted         happy  a label nobody shortens",
        "happy                        1                        2",
        "a label nobody shortens      0                        0",
    ]


def test_summary_names_every_score():
    probabilities, true = random_case(7)
    report = compute_report(probabilities, one_hot(true), LABELS)
    text = report.summary()
    low, high = report.accuracy_ci95
    for value in (report.accuracy, low, high, report.balanced_accuracy, report.top2_accuracy):
        assert f"{value:.2%}" in text
    weighted = (report.weighted[name] for name in ("precision", "recall", "f1"))
    for value in (report.macro_f1, *weighted, report.nll, report.ece):
        assert f"{value:.3f}" in text


GOOD = np.array([[0.5, 0.5], [0.1, 0.9]], np.float32)


@pytest.mark.parametrize(
    ("probabilities", "targets", "labels", "message"),
    [
        (GOOD, GOOD, ("happy",), "at least two labels.*found happy"),
        (GOOD, GOOD, ("happy", "happy"), "all different.*found happy, happy"),
        (GOOD, GOOD, ("happy", "sad", "fear"), r"probabilities must have shape \(n, 3\).*found \(2, 2\)"),
        (GOOD, GOOD[0], ("happy", "sad"), r"targets must have shape \(n, 2\).*found \(2,\)"),
        (GOOD, GOOD[:1], ("happy", "sad"), "same images; found 2 and 1 rows"),
        (GOOD[:0], GOOD[:0], ("happy", "sad"), "at least one image"),
        (GOOD * [[1], [np.nan]], GOOD, ("happy", "sad"), r"probabilities must be finite.*nan.*row 1 \(1 of 2"),
        (GOOD * [[np.inf], [1]], GOOD, ("happy", "sad"), "probabilities must be finite.*inf.*row 0"),
        (GOOD * 3, GOOD, ("happy", "sad"), r"sum to 1; found .*, sum 3, in row 0 \(2 of 2"),
        (GOOD, [[0, 1], [2, -1]], ("happy", "sad"), "targets must be finite, non-negative.*row 1"),
    ],
)
def test_invalid_distributions_are_refused(probabilities, targets, labels, message):
    with pytest.raises(FerError, match=message):
        compute_report(probabilities, targets, labels)


@pytest.mark.parametrize("confusion", [np.zeros((2, 2), np.int64), np.ones((3, 3), np.int64)])
def test_a_report_checks_its_confusion_matrix(confusion):
    empty = np.zeros(BINS)
    with pytest.raises(FerError, match="report"):
        Report(("happy", "sad"), confusion, 1.0, 0.0, empty, empty, empty)


def test_a_table_of_counts():
    counts = {("sad", "happy"): 3, ("happy", "happy"): 12, ("happy", "no_face"): 1}
    assert count_table(counts, ("happy", "sad", "no_face"), "true").splitlines() == [
        "true   happy  no_face",
        "happy     12        1",
        "sad        3        0",
    ]


def test_interval_of_macro_f1_is_that_of_resampled_images():
    rng = np.random.default_rng(4)
    y_true = rng.choice(3, 200, p=(0.6, 0.3, 0.1))
    y_pred = np.where(rng.random(200) < 0.7, y_true, rng.integers(0, 3, 200))
    report = compute_report(np.eye(3)[y_pred], np.eye(3)[y_true], ("angry", "happy", "sad"))
    found = []
    for _ in range(500):
        rows = rng.integers(0, 200, 200)
        found.append(f1_score(y_true[rows], y_pred[rows], labels=np.unique(y_true[rows]), average="macro"))
    np.testing.assert_allclose(report.macro_f1_ci95, np.percentile(found, [2.5, 97.5]), atol=0.02)
    assert report.macro_f1_ci95[0] < report.macro_f1 < report.macro_f1_ci95[1]
