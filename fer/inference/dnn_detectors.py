"""Neural face detectors: MTCNN and YuNet."""

import importlib.util
import math
from pathlib import Path

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.inference import model_files
from fer.inference.faces import Box, Face, non_max_suppression, search_copy
from fer.inference.model_files import ModelFile

MTCNN_SCORE = 0.85  # least score; between the package's own 0.8 and this lie 4 of 485 faces and one false positive


class Mtcnn:
    """MTCNN (Zhang et al. 2016, arXiv:1604.02878) from the package `mtcnn`: three small networks in sequence, with five
    landmarks. The score is the probability of the last network, 0 to 1.

    Raises:
        FerError: the package is not installed, or Keras runs on another backend than TensorFlow.
    """

    name = "mtcnn"

    def __init__(self):
        if importlib.util.find_spec("mtcnn") is None:
            raise FerError("the detector mtcnn is not installed: pip install mtcnn, or choose --detector haar")
        import keras

        if keras.backend.backend() != "tensorflow":
            raise FerError(
                f"the detector mtcnn works with TensorFlow only, but Keras runs on {keras.backend.backend()}: "
                "set KERAS_BACKEND=tensorflow, or choose --detector haar"
            )
        try:
            import mtcnn
            from mtcnn.stages import StageONet, StagePNet, StageRNet
        except ImportError as error:
            raise FerError(f"the detector mtcnn is incomplete ({error}): pip install mtcnn") from error
        # Given a bare name, the package prefers to unpickle a file of that name in the current directory.
        weights = Path(mtcnn.__file__).parent / "assets" / "weights"
        stages = {"pnet.lz4": StagePNet, "rnet.lz4": StageRNet, "onet.lz4": StageONet}
        self._networks = mtcnn.MTCNN([stage(weights=str(weights / name)) for name, stage in stages.items()])

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in an image uint8 (H, W, 3) BGR, the largest first.

        Raises:
            FerError: the array is not such an image, or its size is extreme.
        """
        small = search_copy(image, cv2.COLOR_BGR2RGB)
        rows = self._networks.detect_faces(
            small, fit_to_image=False, box_format="xyxy", output_type="numpy", threshold_onet=MTCNN_SCORE
        )
        rows = np.reshape(rows, (-1, 16))  # index, left, top, right, bottom, score, five x, five y
        corners, landmarks = rows[:, 1:5].reshape(-1, 2, 2), rows[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1)
        return non_max_suppression(_framed(corners, landmarks, rows[:, 5], small.shape, image.shape, MTCNN_FRAMING))


# Least score. It finds 281 of 300 faces with 7 false positives (benchmarks/faces.py); OpenCV's default, 0.9, finds 188.
YUNET_SCORE = 0.6
YUNET = ModelFile(
    "face_detection_yunet_2023mar.onnx",
    # The OpenCV Zoo keeps its networks in Git LFS; this address serves their bytes.
    "https://media.githubusercontent.com/media/opencv/opencv_zoo/main/models/face_detection_yunet/"
    "face_detection_yunet_2023mar.onnx",
    "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
    "MIT",
)


class YuNet:
    """YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) run by cv2.FaceDetectorYN, with five landmarks.

    The score is 0 to 1. Each thread needs an object of its own.

    Args:
        model: the ONNX file; by default that of the OpenCV Zoo, fetched once into a cache.

    Raises:
        FerError: the file is missing or cannot be fetched, or OpenCV cannot load it.
    """

    name = "yunet"
    takes_model = True

    def __init__(self, model: str | Path | None = None):
        model = model_files.fetch(YUNET) if model is None else model
        if not Path(model).is_file():
            raise FerError(f"{model}: there is no such detector model")
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320), YUNET_SCORE)
        except (cv2.error, AttributeError) as error:
            reason = getattr(error, "err", None) or str(error)
            raise FerError(f"{model}: OpenCV {cv2.__version__} cannot load it as YuNet ({reason})") from error

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in an image uint8 (H, W, 3) BGR, the largest first.

        Raises:
            FerError: the array is not such an image, its size is extreme, or the file holds another network.
        """
        small = search_copy(image)
        try:
            self._network.setInputSize((small.shape[1], small.shape[0]))
            rows = self._network.detect(small)[1]
        except cv2.error as error:
            raise FerError(f"the detector model is not a YuNet that OpenCV can run ({error.err})") from error
        if rows is None:
            return []
        # A row: left, top, width, height, five landmarks (the first is the person's right eye: left as seen), score.
        corners = np.stack([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
        landmarks = rows[:, 4:14].reshape(-1, 5, 2)
        return non_max_suppression(_framed(corners, landmarks, rows[:, 14], small.shape, image.shape, YUNET_FRAMING))


# Side of FER2013's crops by the root of the area of a detector's box: the median over the faces that MTCNN finds. Sides
# derived from the distances between landmarks scatter a tenth more.
MTCNN_FRAMING = 1.09
YUNET_FRAMING = 1.07  # the same of the faces that YuNet finds


def _framed(
    corners: np.ndarray,
    landmarks: np.ndarray,
    scores: np.ndarray,
    small: tuple[int, ...],
    shape: tuple[int, ...],
    framing: float,
) -> list[Face]:
    """Faces framed like those of FER2013, from the tighter boxes found in a smaller copy of the image.

    Args:
        corners: (n, 2, 2), top left and bottom right, x and y in pixels of the copy.
        landmarks: (n, 5, 2), the same.
        scores: (n).
        small, shape: the shapes of the copy and of the image.
        framing: side of the face by the root of the area of its box.
    """
    scale = np.divide(shape[1::-1], small[1::-1])
    faces = []
    for (start, end), points, score in zip(corners * scale, landmarks * scale, scores, strict=True):
        width, height = np.maximum(end - start, 1)
        x, y = (start + end) / 2
        box = Box.square((x, y), framing * math.sqrt(width * height), shape)
        across, down = points[1] - points[0]
        faces.append(Face(box, float(score), points.astype(np.float32), math.degrees(math.atan2(down, across))))
    return faces
