"""YuNet with a stub in place of OpenCV's network, whose file is not shipped."""

import hashlib

import cv2
import numpy as np
import pytest

from fer import FerError
from fer.inference import detectors, dnn_detectors, model_files
from fer.inference.detectors import YuNetThenHaar, create_detector
from fer.inference.dnn_detectors import YuNet
from fer.inference.faces import Box, Face
from fer.inference.haar import Haar
from fer.video.face_finder import FaceFinder


class StubYuNet:
    """Finds one face, always: the middle of the image, tilted by 45 degrees."""

    def setInputSize(self, size):
        self.width, self.height = size

    def setScoreThreshold(self, score):
        self.threshold = score

    def detect(self, image):
        assert image.shape == (self.height, self.width, 3)
        if self.width < 50:
            return 1, None
        unit = self.width / 100
        row = [40, 40, 16, 25, 45, 40, 55, 50, 48, 50, 42, 55, 50, 62, 0.9 / unit]
        return 1, np.array([row], np.float32) * unit


class Spots(StubYuNet):
    """Takes the bright spot of an image for a face; its score in the whole image and in a second look is given."""

    def __init__(self, score, second, shift=0.0):
        self.scores, self.shift, self.looks = [score, second], shift, []

    def detect(self, image):
        assert image.shape == (self.height, self.width, 3)
        x, y, width, height = cv2.boundingRect((image[..., 0] > 128).astype(np.uint8))
        self.looks.append((image.shape, width))
        score = self.scores[min(len(self.looks), 2) - 1]
        if not width or score < self.threshold:
            return 1, None
        x += self.shift * width if len(self.looks) > 1 else 0
        return 1, np.array([[x, y, width, height, *[x] * 10, score]], np.float32)


def spot(width, height, place):
    image = np.zeros((height, width, 3), np.uint8)
    image[place.y : place.y + place.height, place.x : place.x + place.width] = 255
    return image


class TestYuNet:
    @pytest.fixture
    def model(self, tmp_path):
        (tmp_path / "yunet.onnx").write_bytes(b"stub")
        return tmp_path / "yunet.onnx"

    @pytest.mark.parametrize("side", [100, 500, 3_000])
    def test_framed_in_pixels_of_the_image(self, monkeypatch, model, side):
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: StubYuNet())
        face = create_detector("yunet", model).find(np.zeros((side, side, 3), np.uint8))[0]
        unit = side / 100
        assert face.box.width == face.box.height == pytest.approx(20 * dnn_detectors.YUNET_FRAMING * unit, abs=1)
        np.testing.assert_allclose(face.box.centre, (48 * unit, 52.5 * unit), atol=1)
        np.testing.assert_allclose(face.landmarks[:2], np.array([[45, 40], [55, 50]]) * unit, rtol=1e-4)
        assert face.tilt == pytest.approx(45, abs=0.01)
        assert face.score == pytest.approx(0.9)

    def test_nothing_found(self, monkeypatch, model):
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: StubYuNet())
        assert YuNet(model).find(np.zeros((20, 20, 3), np.uint8)) == []

    @pytest.mark.parametrize(
        ("score", "second", "expected"),
        [(0.85, 0.0, 1), (0.7, 0.35, 1), (0.7, 0.25, 0), (0.55, 0.9, 0)],
        ids=["sure", "confirmed", "not confirmed", "too low"],
    )
    def test_a_middling_score_needs_a_second_look(self, monkeypatch, model, score, second, expected):
        stub = Spots(score, second)
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: stub)
        assert len(YuNet(model).find(spot(400, 300, Box(150, 100, 60, 60)))) == expected
        assert len(stub.looks) == (2 if 0.6 <= score < 0.8 else 1)
        assert stub.threshold == (0.3 if len(stub.looks) == 2 else 0.6)

    @pytest.mark.parametrize("side", [20, 60, 250])
    @pytest.mark.parametrize("at", [0.0, 0.4, 1.0])
    def test_the_second_look_takes_the_face_at_one_size(self, monkeypatch, model, side, at):
        stub = Spots(0.35, 0.35)
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: stub)
        place = Box(round(at * (400 - side)), round(at * (300 - side)), side, side)
        assert YuNet(model).sees(spot(400, 300, place), Face(place, 0.7))
        assert stub.looks[0][1] == pytest.approx(100, abs=3)
        assert max(stub.looks[0][0]) <= 301  # one side around it, less at the edge

    @pytest.mark.parametrize(("shift", "expected"), [(0.2, True), (0.9, False)])
    def test_the_second_look_asks_for_a_face_in_that_place(self, monkeypatch, model, shift, expected):
        stub = Spots(0.7, 0.9, shift)
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: stub)
        assert len(YuNet(model).find(spot(400, 300, Box(150, 100, 60, 60)))) == expected

    def test_errors(self, model, tmp_path):
        with pytest.raises(FerError, match=r"none\.onnx: there is no such detector model"):
            create_detector("yunet", tmp_path / "none.onnx")
        with pytest.raises(FerError, match=r"yunet\.onnx: OpenCV .* cannot load it"):
            YuNet(model)


class TestAuto:
    """YuNet first, Haar where it finds nothing; only with a file that is there."""

    @pytest.fixture
    def order(self, monkeypatch):
        """Which detector searched; YuNet finds a face in bright images, Haar another one in any."""
        searched = []

        def stub(name, finds):
            class Stub:
                def __init__(self, *model):
                    self.model = model

                def find(self, image):
                    searched.append(name)
                    return [Face(Box(0, 0, 10, 10), 1.0)] if finds(image) else []

                def sees(self, image, face):
                    searched.append(f"{name} looks again")
                    return image[0, 0, 0] != 1

            return Stub

        monkeypatch.setattr(detectors, "YuNet", stub("yunet", lambda image: image.max() > 1))
        monkeypatch.setattr(detectors, "Haar", stub("haar", lambda image: True))
        return searched

    @pytest.mark.parametrize(
        ("level", "expected", "searches"),
        [
            (255, 1, ["yunet"]),
            (0, 1, ["yunet", "haar", "yunet looks again"]),
            (1, 0, ["yunet", "haar", "yunet looks again"]),
        ],
    )
    def test_haar_searches_where_yunet_finds_nothing(self, order, level, expected, searches):
        assert len(create_detector("auto", "some.onnx").find(np.full((50, 50, 3), level, np.uint8))) == expected
        assert order == searches

    def test_a_file_that_was_fetched_before_is_used_and_none_is_fetched(self, order, monkeypatch, tmp_path):
        monkeypatch.setenv("FER_CACHE", str(tmp_path))
        monkeypatch.setattr(model_files, "fetch", lambda file: pytest.fail("nobody asked for it"))
        known = dnn_detectors.YUNET
        file = model_files.ModelFile(known.name, known.url, hashlib.sha256(b"network").hexdigest(), known.licence)
        monkeypatch.setattr(detectors, "YUNET", file)
        assert type(create_detector()) is detectors.Haar
        (tmp_path / file.name).write_bytes(b"another")
        assert type(create_detector()) is detectors.Haar
        (tmp_path / file.name).write_bytes(b"network")
        made = create_detector()
        assert type(made) is YuNetThenHaar
        assert made._yunet.model == (tmp_path / file.name,)
        assert detectors.automatic_model("auto", None) == tmp_path / file.name
        assert detectors.automatic_model("haar", None) is None

    def test_a_video_is_searched_by_haar(self, monkeypatch, tmp_path):
        (tmp_path / "yunet.onnx").write_bytes(b"stub")
        monkeypatch.setattr(cv2.FaceDetectorYN, "create", lambda *args: StubYuNet())
        finder = FaceFinder(create_detector("auto", tmp_path / "yunet.onnx"))
        assert type(finder.detector) is Haar
        assert finder.find(np.zeros((120, 160, 3), np.uint8), [], 0.0) == []

    def test_a_file_that_opencv_cannot_load_is_named(self, tmp_path):
        (tmp_path / "yunet.onnx").write_bytes(b"stub")
        with pytest.raises(FerError, match=r"yunet\.onnx: OpenCV .* cannot load it"):
            create_detector("auto", tmp_path / "yunet.onnx")
