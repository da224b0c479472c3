"""Images of extreme sizes: refused in one line, or searched in bounded time."""

import time

import cv2
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.inference import batch
from fer.inference.faces import check_size
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE)), Haar())


@pytest.mark.parametrize(
    "size", [(100_000, 250), (250, 100_000), (60_000, 100), (2101, 105), (2001, 1), (40_000, 30_000)]
)
def test_extreme_sizes_are_refused(size):
    with pytest.raises(FerError, match="the limit is") as refusal:
        check_size(*size)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (20_000, 1000), (32_768, 32_768)])
def test_other_sizes_are_searched(size):
    check_size(*size)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1), (15, 15), (1, 700)])
def test_tiny_image_has_no_face(recognizer, size):
    assert recognizer(np.full((*size, 3), 128, np.uint8)) == []


def test_cropped_face_of_16_pixels(recognizer):
    assert len(recognizer(np.full((16, 16, 3), 128, np.uint8))) == 1


def test_strip_takes_no_longer_than_other_shapes(recognizer, draw):
    """Turning a strip makes a canvas many times its size; the search must not grow with it."""
    times = []
    for height, width in ((768, 1024), (300, 6000)):
        image, begun = draw(1, height, width), time.process_time()
        recognizer.detectors[0].find(image)
        times.append(time.process_time() - begun)
    assert times[1] < 4 * times[0]


def test_folder_names_the_image_and_goes_on(recognizer, tmp_path):
    paths = [tmp_path / "strip.png", tmp_path / "face.png"]
    cv2.imwrite(str(paths[0]), np.zeros((50, 20_000, 3), np.uint8))
    cv2.imwrite(str(paths[1]), np.zeros((48, 48, 3), np.uint8))
    strip, face = batch.recognize(paths, recognizer)
    assert "strip.png" in strip.error
    assert "20,000 x 50 pixels" in strip.error
    assert not face.error
    assert len(face.predictions) == 1
