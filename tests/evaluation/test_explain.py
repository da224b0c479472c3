"""Contact sheets of heat maps: which images, in which order, with whose map and which caption."""

import dataclasses

import numpy as np
import pytest
from support import tiny

from fer.core.images import InputSpec
from fer.evaluation import explain
from fer.evaluation.predictions import Predictions
from fer.models.classifier import Classifier
from fer.models.gradcam import grad_cam, overlay

pytestmark = pytest.mark.slow

ANGRY, HAPPY = 0, 1


@pytest.fixture
def found():
    """A classifier, and made-up predictions: of six angry images four correct and two wrong ones, most certain last."""
    known = Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))
    data = tiny.data(6)
    data = dataclasses.replace(data, targets=np.eye(3, dtype=np.float32)[[ANGRY] * 6])
    probabilities = np.zeros((6, 3), np.float32)
    for row, (code, confidence) in enumerate(((0, 0.5), (1, 0.6), (0, 0.7), (1, 0.9), (0, 0.8), (0, 0.95))):
        probabilities[row] = (1 - confidence) / 2
        probabilities[row, code] = confidence
    return known, Predictions("made-up", data, probabilities)


def test_correct_images_come_first_then_wrong_ones_the_most_confident_before(found):
    known, predictions = found
    tiles, captions = explain._tiles(known, predictions, ANGRY)
    assert captions == [
        *("correct", "angry 95%", "correct", "angry 80%", "correct", "angry 70%", "correct", "angry 50%"),
        *("wrong", "happy 90%", "wrong", "happy 60%"),
    ]
    images = predictions.data.images
    for tile, row in zip(tiles[::2], (5, 4, 2, 0, 3, 1), strict=True):
        np.testing.assert_array_equal(tile, np.repeat(images[row], 3, axis=2))


def test_the_map_is_that_of_the_predicted_label(found):
    known, predictions = found
    tiles, _ = explain._tiles(known, predictions, ANGRY)
    for tile, row, code in ((tiles[1], 5, ANGRY), (tiles[-1], 1, HAPPY)):
        image = predictions.data.images[row]
        (heat,) = grad_cam(known, image[None], np.array([code]))
        np.testing.assert_array_equal(tile, overlay(image, heat))


def test_labels_alike_but_for_a_sign_have_a_file_each(found, tmp_path):
    known, predictions = found
    labels, targets = ("a b", "a_b", "c"), np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 2, 2]]
    data = dataclasses.replace(predictions.data, targets=targets, labels=labels)
    named = Predictions("made-up", data, predictions.probabilities)
    paths = explain.write_explanations(tmp_path, known, named, "title")
    assert [path.name for path in paths] == ["a_b_0.png", "a_b_1.png", "c.png"]
    assert all(path.is_file() for path in paths)
