"""The recognizer: any image in, labelled faces out; many images' faces in one call of the network."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image
from support import portrait

from fer import FerError
from fer.core.images import InputSpec
from fer.inference.detectors import WholeImage
from fer.inference.faces import Box, Face
from fer.inference.haar import Haar
from fer.inference.recognizer import Prediction, Recognizer, is_cropped_face

LABELS = ("happy", "sad")


class FakeClassifier:
    """Labels bright faces "happy" and dark ones "sad"."""

    labels, spec = LABELS, InputSpec(8)

    def __init__(self):
        self.calls = []

    def predict(self, inputs):
        self.calls.append(len(inputs))
        bright = inputs.mean(axis=(1, 2, 3)) / 255
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)


class HalvesDetector:
    """Finds a face in the left and in the right half of an image; refuses to be used by two threads at once."""

    name = "halves"

    def __init__(self):
        self.busy = threading.Lock()

    def find(self, image):
        assert self.busy.acquire(blocking=False)
        time.sleep(0.002)
        self.busy.release()
        height, width = image.shape[0], image.shape[1] // 2
        return [Face(Box(0, 0, width, height), 1.0), Face(Box(width, 0, width, height), 0.5)]


@pytest.fixture
def recognizer():
    return Recognizer(FakeClassifier(), HalvesDetector())


def halves(left, right):
    image = np.full((60, 200, 3), left, np.uint8)
    image[:, 100:] = right
    return image


def test_array_path_and_pil_image_give_the_same_predictions(recognizer, tmp_path):
    image = halves(255, 0)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    pil = Image.fromarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
    for source in (image, tmp_path / "a.png", str(tmp_path / "a.png"), pil):
        bright, dark = recognizer(source)
        assert (bright.label, bright.confidence, bright.box) == ("happy", 1.0, Box(0, 0, 100, 60))
        assert (dark.label, dark.box) == ("sad", Box(100, 0, 100, 60))


def test_pil_image_is_turned_upright_and_keeps_its_colours(recognizer):
    red = Image.new("RGB", (20, 200), (255, 0, 0))
    red.getexif()[0x0112] = 6  # stored turned by 90 degrees
    inputs = []
    recognizer.classifier.spec = InputSpec(8, 3)
    recognizer.classifier.predict = lambda rows: inputs.append(rows) or np.full((len(rows), 2), 0.5)
    bgr = Image.open(_saved(red))
    assert [one.box.height for one in recognizer(bgr)] == [20, 20]
    assert inputs[0][0].reshape(-1, 3).tolist() == [[0, 0, 255]] * 64


def _saved(image):
    from io import BytesIO

    file = BytesIO()
    image.save(file, "PNG", exif=image.getexif())
    file.seek(0)
    return file


@pytest.mark.parametrize("wrong", [None, 3, b"bytes", np.zeros((5, 5)), np.zeros((5, 5, 3))])
def test_other_values_are_refused(recognizer, wrong):
    with pytest.raises(FerError, match=r"path, a PIL image or an array|takes an image uint8"):
        recognizer(wrong)


def test_faces_of_many_images_take_one_call_of_the_network(recognizer):
    images = [halves(255, 0), halves(0, 0), np.zeros((48, 48, 3), np.uint8)]
    found = recognizer.classify([recognizer.detect(image) for image in images])
    assert recognizer.classifier.calls == [5]
    assert [[one.label for one in predictions] for predictions in found] == [["happy", "sad"], ["sad", "sad"], ["sad"]]
    assert recognizer.classify([]) == []
    assert recognizer.classifier.calls == [5]  # without faces there is no call


@pytest.mark.parametrize(
    ("cropped", "side", "faces"), [("auto", 48, 1), ("auto", 224, 2), ("square", 224, 1), ("never", 48, 2)]
)
def test_square_images_that_are_taken_as_one_face(cropped, side, faces):
    recognizer = Recognizer(FakeClassifier(), HalvesDetector(), cropped=cropped)
    detection = recognizer.detect(np.zeros((side, side, 3), np.uint8))
    assert (len(detection.faces), detection.cropped) == (faces, faces == 1)
    with pytest.raises(FerError, match="must be one of auto, square, never"):
        Recognizer(FakeClassifier(), HalvesDetector(), cropped="yes")


@pytest.mark.parametrize(
    ("shape", "cropped"),
    [
        ((48, 48), True),
        ((128, 128), True),
        ((129, 129), False),
        ((48, 52), False),
        ((16, 16), True),
        ((15, 15), False),
        ((1, 1), False),
    ],
)
def test_size_and_shape_of_a_cropped_face(shape, cropped):
    assert is_cropped_face(np.zeros((*shape, 3), np.uint8)) is cropped


def test_threads_share_a_recognizer_but_never_a_detector():
    recognizer = Recognizer(FakeClassifier(), [HalvesDetector(), HalvesDetector()])
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(recognizer, [halves(255, 0)] * 30))
    assert [len(predictions) for predictions in found] == [2] * 30


def test_an_opencv_error_is_one_line_and_frees_the_detector():
    class Refusing(WholeImage):
        def find(self, image):
            return cv2.resize(image, (0, 0))

    recognizer = Recognizer(FakeClassifier(), Refusing())
    for _ in range(2):
        with pytest.raises(FerError, match="OpenCV cannot search this image"):
            recognizer(halves(0, 0))


def test_a_photograph(tmp_path):
    recognizer = Recognizer(FakeClassifier(), Haar(), uncertain_below=0.9)
    (prediction,) = recognizer(portrait.astronaut())
    assert prediction.box.overlap(portrait.PLACE) > 0.6
    assert prediction.uncertain


class TestPrediction:
    def one(self, **options):
        return Prediction(Face(Box(1, 2, 30, 40), 1.0), np.array([0.75, 0.25], np.float32), LABELS, **options)

    def test_probabilities_are_by_label(self):
        assert self.one().probabilities == {"happy": 0.75, "sad": 0.25}

    def test_as_a_dict(self):
        shape = {"x": 1, "y": 2, "width": 30, "height": 40}
        said = {"label": "happy", "confidence": 0.75, "probabilities": {"happy": 0.75, "sad": 0.25}}
        assert self.one().to_dict() == shape | said
        followed = self.one(track=3, chosen=1, uncertain_below=0.5).to_dict()
        assert followed == shape | said | {"label": "sad", "confidence": 0.25, "track": 3, "uncertain": True}
