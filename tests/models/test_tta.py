"""Test-time augmentation and ensembles."""

import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.models.classifier import Classifier
from fer.models.ensemble import average
from fer.models.tta import TTA, view_count, views

SPEC = InputSpec(tiny.SIZE, 1)


@pytest.fixture(scope="module")
def classifier():
    return Classifier(tiny.varied(), tiny.LABELS, SPEC)


@pytest.mark.parametrize(("tta", "count"), [("none", 1), ("flip", 2), ("ten-crop", 10)])
def test_the_view_count_is_what_is_seen(tta, count):
    images = tiny.noise(3, size=24, channels=3)
    found = [np.array(view) for view in views(images, tta)]
    assert len(found) == view_count(tta) == count
    assert {(view.shape, view.dtype.name) for view in found} == {((3, 24, 24, 3), "uint8")}
    assert len({view.tobytes() for view in found}) == count
    np.testing.assert_array_equal(found[0], images)
    for straight, mirrored in zip(found[::2], found[1::2], strict=False):
        np.testing.assert_array_equal(mirrored, straight[:, :, ::-1])


def test_ten_views_through_a_central_crop_are_the_classic_ten_crops(tmp_path):
    """48 pixels and a crop of 44: centre, four corners, and each mirrored, cut out by hand."""
    cropping = tiny.varied(size=48, crop=44)
    plain = tiny.varied(size=44)
    plain.set_weights(cropping.get_weights())
    images = tiny.noise(5, size=48)
    corners = [(2, 2), (0, 0), (0, 4), (4, 0), (4, 4)]
    crops = [images[:, y : y + 44, x : x + 44] for y, x in corners]
    crops += [crop[:, :, ::-1] for crop in crops]
    expected = np.mean([plain.predict_on_batch(np.ascontiguousarray(crop)) for crop in crops], axis=0)
    found = Classifier(cropping, tiny.LABELS, InputSpec(48)).predict(images, tta="ten-crop")
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_flip_is_the_mean_of_both_sides(classifier):
    images = tiny.noise(5)
    expected = (classifier.predict(images) + classifier.predict(images[:, :, ::-1])) / 2
    np.testing.assert_allclose(classifier.predict(images, tta="flip"), expected, atol=1e-6)


def test_small_images_shift_by_one_pixel_and_repeat_their_edge():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    up_left = list(views(image, "ten-crop"))[2][0, :, :, 0]
    np.testing.assert_array_equal(up_left, [[0, 0, 1, 2], [0, 0, 1, 2], [4, 4, 5, 6], [8, 8, 9, 10]])


@pytest.mark.parametrize("tta", TTA)
def test_no_images_have_no_views_to_fail_on(classifier, tta):
    assert classifier.predict(tiny.noise(0), tta=tta).shape == (0, 3)


def test_an_unknown_augmentation_is_refused(classifier):
    with pytest.raises(FerError, match="test-time augmentation must be one of none, flip, ten-crop, not 'five-crop'"):
        classifier.predict(tiny.noise(1), tta="five-crop")


# --- ensembles


def test_an_ensemble_matches_outputs_by_name():
    images = tiny.noise(7)
    first = Classifier(tiny.varied(seed=1), ("angry", "happy", "sad"), SPEC)
    second = Classifier(tiny.varied(seed=2), ("sad", "angry", "happy"), SPEC)
    expected = (first.predict(images) + second.predict(images)[:, [1, 2, 0]]) / 2
    np.testing.assert_allclose(average([first, second], [images, images]), expected, atol=1e-6)


def test_an_ensemble_may_take_images_of_different_sizes():
    first, second = (
        Classifier(tiny.varied(), tiny.LABELS, SPEC),
        Classifier(tiny.varied(size=16), tiny.LABELS, InputSpec(16)),
    )
    images = [tiny.noise(4), tiny.noise(4, size=16)]
    expected = (first.predict(images[0], tta="flip") + second.predict(images[1], tta="flip")) / 2
    found = average([first, second], images, tta="flip")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.dtype == np.float32


def test_one_model_is_an_ensemble_of_itself(classifier):
    np.testing.assert_array_equal(average([classifier], [tiny.noise(3)]), classifier.predict(tiny.noise(3)))


def test_models_with_different_labels_are_not_averaged(classifier):
    other = Classifier(tiny.varied(("angry", "happy", "fear")), ("angry", "happy", "fear"), SPEC)
    with pytest.raises(FerError, match="different labels cannot be averaged: angry, happy, sad and angry, happy, fear"):
        average([classifier, other], [tiny.noise(1)] * 2)
