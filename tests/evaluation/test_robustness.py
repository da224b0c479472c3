"""Corruptions by what they must do to pixels; accuracy under them by predicting corrupted images one kind at a time."""

import dataclasses
import json
import re

import cv2
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.evaluation import plots
from fer.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fer.evaluation.robustness import ALIKE, Robustness, interval, measure_robustness
from fer.models.classifier import Classifier
from fer.training.recipe import AUGMENTATION

SPEC = InputSpec(tiny.SIZE)


@pytest.fixture(scope="module")
def faces():
    """Smooth images, as faces are: 6 grey ones of 48 pixels."""
    noise = np.random.default_rng(0).integers(0, 256, (6, 7, 7), np.uint8)
    return np.stack([cv2.resize(one, (48, 48), interpolation=cv2.INTER_CUBIC) for one in noise])[..., None]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_damage_grows_with_severity(kind, channels, faces):
    images = np.repeat(faces, channels, axis=3)
    before = images.copy()
    damage = [np.abs(corrupt(images, kind, severity) - images.astype(float)).mean() for severity in SEVERITIES]
    assert damage == sorted(damage)
    assert damage[0] > 0
    np.testing.assert_array_equal(images, before)
    changed = corrupt(images, kind, 3)
    assert (changed.dtype, changed.shape) == (np.uint8, images.shape)


@pytest.mark.parametrize("kind", CORRUPTIONS)
def test_seed_determines_a_corruption(kind, faces):
    np.testing.assert_array_equal(corrupt(faces, kind, 4, seed=1), corrupt(faces, kind, 4, seed=1))


def test_some_corruptions_by_hand(faces):
    np.testing.assert_array_equal(corrupt(faces, "darkness", 2), np.rint(faces * 0.5).astype(np.uint8))
    covered = corrupt(faces, "occlusion", 5) == 127
    assert covered.sum(axis=(1, 2, 3)).min() >= 26 * 26  # 55 % of 48 pixels, squared
    difference = corrupt(np.full_like(faces, 128), "noise", 3) - 128.0
    assert difference.std() == pytest.approx(15, rel=0.1)
    shifted = corrupt(faces, "shift", 5)[0, 8:-8, 8:-8]
    moved = [np.roll(faces[0], (8 * y, 8 * x), (0, 1))[8:-8, 8:-8] for y in (-1, 1) for x in (-1, 1)]
    assert any(np.array_equal(shifted, one) for one in moved)  # by 0.16 of 48 pixels, diagonally


@pytest.mark.parametrize(
    ("kind", "severity", "message"), [("rain", 1, "unknown corruption 'rain'"), ("blur", 6, "1 to 5")]
)
def test_unknown_corruption_is_refused(kind, severity, message, faces):
    with pytest.raises(FerError, match=message):
        corrupt(faces, kind, severity)


def test_accuracy_under_each_corruption(learnt, tmp_path):
    known, data = Classifier.load(learnt), tiny.data(60, seed=1)
    steps = []
    options = {"name": "tiny", "progress": lambda items, total, text: steps.append(total) or items}
    found = measure_robustness([known], {SPEC: data}, **options)
    y_true = data.targets.argmax(axis=1)
    for kind in ("noise", "occlusion"):
        predicted = known.predict(corrupt(data.images, kind, 3)).argmax(axis=1)
        assert found.accuracy[kind][2] == pytest.approx((predicted == y_true).mean())
    assert found.clean == pytest.approx((known.predict(data.images).argmax(axis=1) == y_true).mean())
    assert set(found.accuracy) == set(CORRUPTIONS)
    assert steps == [40]
    assert found.mean == pytest.approx(np.mean([value for values in found.accuracy.values() for value in values]))
    text, plain = found.summary(), found.to_dict()
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert text.startswith(f"tiny under corruption: accuracy on 60 images; {found.clean:.1%} without\n")
    for kind, values in found.accuracy.items():
        line = next(line for line in text.splitlines() if line.startswith(kind))
        assert line.split()[-6:-1] == [f"{value:.1%}" for value in values]
    plots.robustness([found, found], tmp_path / "r.pdf", title="tiny")
    assert (tmp_path / "r.pdf").read_bytes().startswith(b"%PDF")


def measured(shares, **more):
    """Robustness of a model whose five copies of each image are right or wrong together, float (kinds, n)."""
    shares = np.array(shares, float)
    accuracy = {kind: (float(row.mean()),) * 5 for kind, row in zip(CORRUPTIONS, shares, strict=True)}
    return Robustness(more.pop("name", "a"), shares.shape[1], 1.0, accuracy, shares, **more)


def test_interval_of_the_mean_counts_images_not_copies():
    right = np.tile([1.0] * 30 + [0.0] * 70, (8, 1))  # all copies of an image alike: 100 independent images, not 4,000
    low, high = measured(right).mean_ci95
    error = 1.96 * np.sqrt(0.3 * 0.7 / 99)
    assert (low, high) == pytest.approx((0.3 - error, 0.3 + error))


def test_kinds_that_training_imitated_are_marked(learnt):
    known, data = Classifier.load(learnt), tiny.data(6)
    recipe = known.metadata["recipe"] | dict.fromkeys(ALIKE.values(), 0.0)
    for changes, expected in (({}, ()), ({"blur": 0.1, "erasing": 0.2}, ("blur", "small size", "occlusion"))):
        model = dataclasses.replace(known, metadata=known.metadata | {"recipe": recipe | changes})
        found = measure_robustness([model], {SPEC: data})
        assert found.trained_on == expected
        assert ("imitates" in found.summary()) == bool(expected)
        assert ("small size *" in found.summary()) == bool(expected)


def test_every_imitated_kind_is_a_corruption_and_an_augmentation():
    assert set(ALIKE) < set(CORRUPTIONS)
    assert set(ALIKE.values()) < set(AUGMENTATION)


def test_two_models_are_compared_image_by_image():
    ones, half = np.ones((8, 100)), np.ones((8, 100))
    half[1, :50] = 0.0  # the second kind of corruption alone
    a, b = measured(ones), measured(half, name="b")
    found = a.compare(b)
    second = list(CORRUPTIONS)[1]
    assert found.differences[second][0] == pytest.approx(0.5)
    assert found.differences["mean"][0] == pytest.approx(0.5 / 8)
    low, high = found.differences[second][1:]
    assert (low + high) / 2 == pytest.approx(0.5)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 99))
    assert found.differences[next(iter(CORRUPTIONS))] == (0.0, 0.0, 0.0)
    assert found.summary().startswith("a compared with b under corruption, the same 100 images\n")
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()
    with pytest.raises(FerError, match="found 100 and 50"):
        a.compare(measured(ones[:, :50]))


def test_an_interval_never_leaves_what_is_possible():
    low, high = interval(np.array([1.0] * 9 + [0.0]), least=0.0)
    assert 0.6 < low < 0.8
    assert high == 1
    assert interval(np.array([0.8]), least=0.0) == (0, 1)
    assert interval(np.array([0.1])) == (-1, 1)


def test_the_documented_amounts_are_those_of_the_code():
    """A table of docs/evaluation.md: kind, and five numbers."""
    text = (tiny.ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    rows = text.partition("| corruption | severity 1 to 5 |")[2].partition("\n\n")[0].splitlines()[2:]
    told = {
        kind: re.findall(r"\d[\d.]*", amounts) for _, kind, amounts, _ in (re.split(r" *\| *", row) for row in rows)
    }
    assert told.keys() == CORRUPTIONS.keys()
    for kind, (_, amounts) in CORRUPTIONS.items():
        percent = 100 if kind in ("blur", "small size", "shift", "occlusion") else 1
        assert [float(number) for number in told[kind][:5]] == pytest.approx([percent * amount for amount in amounts])
