"""The one real photograph of a face in the tests: where the face is, and the image turned about it."""

import cv2
import pytest

from fer.inference.faces import Box

PLACE = Box(173, 63, 104, 104)  # of the astronaut's face


def turn(image, angle, centre=PLACE.centre):
    """Turned about a point, by degrees clockwise as seen."""
    matrix = cv2.getRotationMatrix2D((centre[0] - 0.5, centre[1] - 0.5), -angle, 1)
    return cv2.warpAffine(image, matrix, image.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)


def astronaut():
    """uint8 (512, 512, 3) BGR; without scikit-image the test is skipped."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photograph of a face")
    return cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
