"""YuNet with a stub in place of OpenCV's network, whose file is not shipped."""

import cv2
import numpy as np
import pytest

from fer import FerError
from fer.inference import dnn_detectors
from fer.inference.detectors import create_detector
from fer.inference.dnn_detectors import YuNet


class StubYuNet:
    """Finds one face, always: the middle of the image, tilted by 45 degrees."""

    def setInputSize(self, size):
        self.width, self.height = size

    def detect(self, image):
        assert image.shape == (self.height, self.width, 3)
        if self.width < 50:
            return 1, None
        unit = self.width / 100
        row = [40, 40, 16, 25, 45, 40, 55, 50, 48, 50, 42, 55, 50, 62, 0.9 / unit]
        return 1, np.array([row], np.float32) * unit


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

    def test_errors(self, model, tmp_path):
        with pytest.raises(FerError, match=r"none\.onnx: there is no such detector model"):
            create_detector("yunet", tmp_path / "none.onnx")
        with pytest.raises(FerError, match=r"yunet\.onnx: OpenCV .* cannot load it"):
            YuNet(model)
