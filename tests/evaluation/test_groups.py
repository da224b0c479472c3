"""Metrics by group against scikit-learn; the largest gap; small groups."""

import json
from itertools import combinations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, recall_score

from fer import FerError
from fer.evaluation.groups import SMALL, by_group
from fer.evaluation.intervals import newcombe

LABELS = ("angry", "happy", "sad")


def marks(**groups):
    """groups: name -> (right, images), all of label 0; as `by_group` takes them."""
    names = np.concatenate([np.full(n, name) for name, (_, n) in groups.items()])
    right = np.concatenate([np.arange(n) < count for count, n in groups.values()])
    y_pred = np.where(right, 0, 1)
    return names, np.eye(3)[y_pred], np.eye(3)[np.zeros(len(names), int)], LABELS, "age"


@pytest.fixture(scope="module")
def case():
    """400 images of three groups, 20 of unknown group; nobody old is angry."""
    rng = np.random.default_rng(0)
    names = rng.choice(["young", "old", "child", ""], 400, p=[0.5, 0.4, 0.05, 0.05])
    true = rng.integers(0, 3, 400)
    true[(names == "old") & (true == 0)] = 1
    powers = np.exp(rng.normal(0, 1, (400, 3)) + 1.5 * np.eye(3)[true])
    probabilities = powers / powers.sum(axis=1, keepdims=True)
    return names, true, probabilities, by_group(names, probabilities, np.eye(3)[true], LABELS, "age")


def test_each_group_is_scored_as_if_it_were_alone(case):
    names, true, probabilities, found = case
    plain = found.to_dict()
    assert list(plain["groups"]) == ["child", "old", "young"]
    for name, scores in plain["groups"].items():
        rows = names == name
        truth, y_pred = true[rows], probabilities[rows].argmax(axis=1)
        assert scores["images"] == rows.sum()
        assert scores["accuracy"] == pytest.approx(accuracy_score(truth, y_pred))
        expected = binomtest(int((truth == y_pred).sum()), int(rows.sum())).proportion_ci(method="wilson")
        assert scores["accuracy_ci95"] == pytest.approx([expected.low, expected.high])
        assert scores["macro_f1"] == pytest.approx(f1_score(truth, y_pred, labels=np.unique(truth), average="macro"))
        recalls = recall_score(truth, y_pred, labels=[0, 1, 2], average=None, zero_division=np.nan)
        for value, label, recall in zip(scores["recall"].values(), LABELS, recalls, strict=True):
            assert value is None if np.isnan(recall) else value == pytest.approx(recall)
            assert scores["support"][label] == np.sum(truth == LABELS.index(label))
    assert plain["groups"]["old"]["recall"]["angry"] is None
    assert plain["left_out"] == np.sum(names == "")
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_the_table_shows_every_figure(case):
    *_, found = case
    head, *rows = found.table().splitlines()
    assert head.split() == ["age", "images", "accuracy", "95%", "interval", "macro", "F1", *LABELS]
    for row, (name, report) in zip(rows, found.reports.items(), strict=True):
        assert row.startswith(name)
        assert f"{report.accuracy:.1%}" in row
        assert f"{report.macro_f1:.3f}" in row
    assert rows[1].split()[-3] == "-"  # nobody old is angry
    assert f"{found.n_unknown} images without a known age are left out" in found.summary()


def test_small_groups_are_marked_and_left_out_of_the_gap():
    found = by_group(*marks(a=(60, 100), b=(90, 100), few=(0, SMALL - 1)))
    assert found.small == ["few"]
    assert "few *" in found.table()
    assert f"* fewer than {SMALL} images: too few for conclusions" in found.summary()
    assert (found.largest_gap.high, found.largest_gap.low) == ("b", "a")
    assert found.to_dict()["groups"]["few"]["small"]


def test_the_gap_between_two_groups_is_newcombes():
    gap = by_group(*marks(a=(48, 80), b=(56, 70))).largest_gap
    assert gap.difference == pytest.approx(56 / 70 - 48 / 80)
    assert gap.ci95 == pytest.approx((0.0524, 0.3339), abs=5e-5)  # his published example
    assert gap.pairs == 1


def test_largest_gap_is_corrected_for_the_number_of_pairs():
    counts = {"a": (50, 100), "b": (60, 100), "c": (66, 100), "d": (70, 100)}
    found = by_group(*marks(**counts))
    gap, pairs = found.largest_gap, list(combinations(counts, 2))
    assert (gap.high, gap.low, gap.pairs) == ("d", "a", 6) == ("d", "a", len(pairs))
    assert gap.ci95 == pytest.approx(newcombe((70, 50), (100, 100), level=1 - 0.05 / 6))
    assert "(95% interval" in found.summary()
    assert "corrected for 6 pairs): significant" in found.summary()


def test_equal_groups_rarely_show_a_significant_gap():
    """Five equal groups: their largest gap is significant in five percent of draws at most."""
    draws = np.random.default_rng(1).binomial(80, 0.65, (300, 5))
    found = [by_group(*marks(**{f"g{i}": (count, 80) for i, count in enumerate(draw)})) for draw in draws]
    assert np.mean([groups.largest_gap.ci95[0] > 0 for groups in found]) < 0.06
    unadjusted = [newcombe((draw.max(), draw.min()), (80, 80))[0] > 0 for draw in draws]
    assert np.mean(unadjusted) > 0.15  # without the correction


def test_chance_difference_is_not_significant():
    assert "not significant" in by_group(*marks(a=(60, 100), b=(61, 100))).summary()


def test_a_single_group_has_no_gap():
    found = by_group(*marks(a=(60, 100), few=(1, 3)))
    assert found.largest_gap is None
    assert found.to_dict()["largest_gap"] is None
    assert f"no gap: fewer than two groups have {SMALL} images" in found.summary()


def test_no_group_at_all_is_refused():
    names, *others = marks(a=(1, 2))
    with pytest.raises(FerError, match="no image of this split belongs to a group by age"):
        by_group(np.full(len(names), ""), *others)
