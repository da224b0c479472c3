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
# A face of a lower score needs a second look: at a copy in which it has this side, in pixels, and at least this score.
# In 44 of 900 images (benchmarks/faces.py, seeds 0 to 2) a box scores less, and the second look keeps every face that
# was found; of 13 false boxes, 6 of them Haar's, in 168 views of photographs without a face it keeps two. A face of 30,
# 60 or 150 pixels tells them less well.
YUNET_SURE = 0.8
LOOK_SIDE = 100
LOOK_SCORE = 0.3
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
        """Faces in an image uint8 (H, W, 3) BGR, the largest first; one of middling score only if `sees` confirms it.

        Raises:
            FerError: the array is not such an image, its size is extreme, or the file holds another network.
        """
        small = search_copy(image)
        rows = self._rows(small, YUNET_SCORE)
        corners, landmarks = _corners(rows), rows[:, 4:14].reshape(-1, 5, 2)
        faces = _framed(corners, landmarks, rows[:, 14], small.shape, image.shape, YUNET_FRAMING)
        return [face for face in non_max_suppression(faces) if face.score >= YUNET_SURE or self.sees(image, face)]

    def sees(self, image: np.ndarray, face: Face) -> bool:
        """A second look at a face that this or another detector found: whether its place, scaled, shows a face.

        Args:
            image: uint8 (H, W, 3) BGR.
            face: a square inside it.

        Raises:
            FerError: the file holds another network.
        """
        box = face.box
        left, top = max(box.x - box.width, 0), max(box.y - box.height, 0)
        part = image[top : box.y + 2 * box.height, left : box.x + 2 * box.width]
        scale = LOOK_SIDE / box.width
        size = [max(1, round(scale * side)) for side in part.shape[1::-1]]
        small = cv2.resize(part, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        found = [[round(v) for v in (*start, *(end - start))] for start, end in _corners(self._rows(small, LOOK_SCORE))]
        place = Box(round(scale * (box.x - left)), round(scale * (box.y - top)), LOOK_SIDE, LOOK_SIDE)
        return any(place.overlap(Box(*one)) >= 0.25 for one in found if min(one[2:]) > 0)

    def _rows(self, image: np.ndarray, score: float) -> np.ndarray:
        """What the network finds, float32 (n, 15): left, top, width, height, five landmarks (the first is the person's
        right eye: left as seen) and the score."""
        try:
            self._network.setScoreThreshold(score)
            self._network.setInputSize((image.shape[1], image.shape[0]))
            rows = self._network.detect(image)[1]
        except cv2.error as error:
            raise FerError(f"the detector model is not a YuNet that OpenCV can run ({error.err})") from error
        return np.empty((0, 15), np.float32) if rows is None else rows


def _corners(rows: np.ndarray) -> np.ndarray:
    """Top left and bottom right of YuNet's boxes, float32 (n, 2, 2)."""
    return np.stack([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)


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
