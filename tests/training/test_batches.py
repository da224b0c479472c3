"""Batches: order, mixup and class weights."""

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight
from support import tiny

from fer.data.dataset import Dataset
from fer.data.entry import Entry
from fer.training.batches import Batches, class_weights

# --- batches


@pytest.fixture
def batches():
    return Batches(tiny.data(50), tiny.recipe(batch_size=16), seed=3)


def names_of(batches, epoch):
    """Which images an epoch gives, in its order; images are told apart by their pixels."""
    batches.start(epoch)
    known = {image.tobytes(): i for i, image in enumerate(batches.dataset.images)}
    return [known[image.tobytes()] for index in range(len(batches)) for image in batches[index][0]]


def test_the_order_follows_from_seed_and_epoch_alone(batches):
    first, second = names_of(batches, 0), names_of(batches, 1)
    assert first != second
    assert names_of(batches, 0) == first
    assert names_of(Batches(tiny.data(50), tiny.recipe(batch_size=16), seed=3), 1) == second
    assert names_of(Batches(tiny.data(50), tiny.recipe(batch_size=16), seed=4), 0) != first


def test_an_epoch_leaves_out_only_what_does_not_fill_a_batch_and_others_every_time(batches):
    left_out = []
    for epoch in range(20):
        names = names_of(batches, epoch)
        assert len(names) == len(set(names)) == 48
        left_out.append(frozenset(range(50)) - set(names))
    assert len(set(left_out)) > 15


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(50, 16, 3), (48, 16, 3), (7, 16, 1), (1, 1, 1)])
def test_the_number_of_batches(n, batch_size, expected):
    batches = Batches(tiny.data(n), tiny.recipe(batch_size=batch_size), seed=0)
    assert len(batches) == expected
    assert len(batches[0][0]) == min(n, batch_size)


def test_images_keep_their_targets_and_types(batches):
    images, targets = batches[0]
    assert (images.dtype, targets.dtype) == (np.uint8, np.float32)
    known = {
        image.tobytes(): target for image, target in zip(batches.dataset.images, batches.dataset.targets, strict=True)
    }
    np.testing.assert_array_equal(targets, [known[image.tobytes()] for image in images])


def two_classes(counts, value=100):
    """Images of class 0 are black, of class 1 have `value`: a mixture shows in the pixels."""
    codes = np.repeat([0, 1], counts)
    images = np.broadcast_to((codes * value).astype(np.uint8)[:, None, None, None], (len(codes), 4, 4, 1))
    entries = tuple(Entry(row=row) for row in range(len(codes)))
    return Dataset(np.array(images), np.eye(2, dtype=np.float32)[codes], ("a", "b"), entries)


def test_mixup_mixes_images_targets_and_weights_alike():
    batches = Batches(two_classes((60, 20)), tiny.recipe(batch_size=40, mixup=0.4, class_weights="balanced"), seed=1)
    shares = set()
    for epoch in range(3):
        batches.start(epoch)
        for index in range(len(batches)):
            images, targets, weights = batches[index]
            assert [array.dtype for array in (images, targets, weights)] == [np.uint8, np.float32, np.float32]
            np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
            np.testing.assert_allclose(images[:, 0, 0, 0], 100 * targets[:, 1], atol=0.51)  # to the nearest grey level
            np.testing.assert_allclose(weights, targets @ [80 / 120, 80 / 40], rtol=1e-5)
            shares |= set(np.unique(targets[:, 1]).round(4))
    assert len(shares) > 8  # another share for every batch


def test_mixup_is_the_same_in_the_same_epoch():
    make = [Batches(tiny.data(32), tiny.recipe(mixup=0.2), seed=1) for _ in range(2)]
    for batches in make:
        batches.start(4)
    np.testing.assert_array_equal(make[0][1][0], make[1][1][0])
    make[1].start(5)
    assert (make[0][1][0] != make[1][1][0]).any()


def test_sample_weights_are_those_of_the_class():
    batches = Batches(two_classes((30, 10)), tiny.recipe(batch_size=40, class_weights="balanced"), seed=1)
    _, targets, weights = batches[0]
    np.testing.assert_allclose(weights, np.where(targets[:, 0] == 1, 40 / 60, 40 / 20), rtol=1e-6)
    assert weights.dtype == np.float32


@pytest.mark.parametrize("mixup", [0.0, 0.3])
def test_label_smoothing_and_mixup_end_with_the_late_phase(mixup):
    recipe = tiny.recipe(batch_size=16, label_smoothing=0.3, late_share=0.5, epochs=4, mixup=mixup)
    batches = Batches(tiny.data(48), recipe, seed=1)
    lowest = {}
    for epoch in range(4):
        batches.start(epoch)
        targets = np.concatenate([batches[index][1] for index in range(3)])
        assert targets.dtype == np.float32
        mixed = not np.array_equal(batches[0][0], batches.images(0))
        assert mixed == (mixup > 0 and epoch < 2)
        np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
        lowest[epoch] = targets.min()
    assert lowest == pytest.approx({0: 0.1, 1: 0.1, 2: 0, 3: 0})


# --- class weights


CODES = np.repeat([0, 1, 2, 3], [50, 5, 200, 12])


def test_balanced_weights_agree_with_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(4), y=CODES)
    np.testing.assert_allclose(class_weights(np.eye(4, dtype=np.float32)[CODES], "balanced"), expected, rtol=1e-5)


def test_sqrt_weights_are_the_root_of_the_balanced_ones():
    targets = np.eye(4, dtype=np.float32)[CODES]
    balanced, sqrt = class_weights(targets, "balanced"), class_weights(targets, "sqrt")
    np.testing.assert_allclose(sqrt / sqrt[0], np.sqrt(balanced / balanced[0]), rtol=1e-5)


@pytest.mark.parametrize("mode", ["balanced", "sqrt"])
def test_the_mean_weight_of_an_image_is_one(mode):
    targets = np.random.default_rng(0).dirichlet([3, 0.2, 1], 500).astype(np.float32)  # shares of votes
    weights = class_weights(targets, mode)
    assert (targets @ weights).mean() == pytest.approx(1, rel=1e-4)
    assert weights.dtype == np.float32


def test_a_class_without_images_weighs_nothing_and_breaks_nothing():
    weights = class_weights(np.eye(3, dtype=np.float32)[[0, 0, 2]], "balanced")
    assert weights[1] == 0
    assert np.isfinite(weights).all()


def test_no_weights_where_none_are_asked_for():
    assert class_weights(np.eye(2, dtype=np.float32), "none") is None
