"""Face detectors that are neural networks: MTCNN and YuNet."""

import importlib.util
import math
from pathlib import Path

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.inference.faces import Box, Face, distinct, search_copy

MTCNN_SCORE = 0.85  # at least; from the package's own 0.8 up to this lie 4 of 485 faces, and one in china.jpg


class Mtcnn:
    """Three small networks one after the other (Zhang et al. 2016, arXiv:1604.02878), from the package `mtcnn`, with
    five landmarks. Score: the last network's probability, 0 to 1.

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
            raise FerError(f"the detector mtcnn is not complete ({error}): pip install mtcnn") from error
        # By its bare name the package would rather unpickle a file that lies in the current directory.
        weights = Path(mtcnn.__file__).parent / "assets" / "weights"
        stages = {"pnet.lz4": StagePNet, "rnet.lz4": StageRNet, "onet.lz4": StageONet}
        self._networks = mtcnn.MTCNN([stage(weights=str(weights / name)) for name, stage in stages.items()])

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in uint8 (H, W, 3) BGR, the largest first.

        Raises:
            FerError: the array is not such a picture.
        """
        small = search_copy(image, cv2.COLOR_BGR2RGB)
        rows = self._networks.detect_faces(
            small, fit_to_image=False, box_format="xyxy", output_type="numpy", threshold_onet=MTCNN_SCORE
        )
        rows = np.reshape(rows, (-1, 16))  # index, left, top, right, bottom, score, five x, five y
        corners, landmarks = rows[:, 1:5].reshape(-1, 2, 2), rows[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1)
        return distinct(_framed(corners, landmarks, rows[:, 5], small.shape, image.shape))


class YuNet:
    """YuNet (Wu et al. 2023, doi:10.1007/s11633-023-1423-y) by cv2.FaceDetectorYN, with five landmarks. Score: 0 to 1.

    The framing is that of `Mtcnn`, whose boxes come from the same annotations (WIDER FACE); no file of the network was
    at hand to measure its own. An object must not be used by two threads at a time.

    Args:
        model: the ONNX file, such as face_detection_yunet_2023mar.onnx of the OpenCV Zoo.

    Raises:
        FerError: the file is missing, or OpenCV cannot load it.
    """

    name = "yunet"

    def __init__(self, model: str | Path):
        if not Path(model).is_file():
            raise FerError(f"{model}: there is no such detector model")
        try:
            self._network = cv2.FaceDetectorYN.create(str(model), "", (320, 320))
        except (cv2.error, AttributeError) as error:
            reason = getattr(error, "err", None) or str(error)
            raise FerError(f"{model}: OpenCV {cv2.__version__} cannot load it as YuNet ({reason})") from error

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in uint8 (H, W, 3) BGR, the largest first.

        Raises:
            FerError: the array is not such a picture, or the file is a network of another kind.
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
        return distinct(_framed(corners, rows[:, 4:14].reshape(-1, 5, 2), rows[:, 14], small.shape, image.shape))


# FER2013's side by the root of such a box's area: the median of the faces that MTCNN finds. (Taken from the distances
# between the landmarks instead, the sides scatter a tenth more.)
FRAMING = 1.09


def _framed(corners, landmarks, scores, small, shape):
    """Faces as FER2013 frames them, from closer boxes and landmarks found in a smaller copy of a picture.

    Args:
        corners: (n, 2, 2), top left and bottom right, x and y in pixels of the copy.
        landmarks: (n, 5, 2), the same.
        scores: (n).
        small, shape: the shapes of the copy and of the picture.
    """
    scale = np.divide(shape[1::-1], small[1::-1])
    faces = []
    for (start, end), points, score in zip(corners * scale, landmarks * scale, scores, strict=True):
        width, height = np.maximum(end - start, 1)
        x, y = (start + end) / 2
        box = Box.square((x, y), FRAMING * math.sqrt(width * height), shape)
        across, down = points[1] - points[0]
        faces.append(Face(box, float(score), points.astype(np.float32), math.degrees(math.atan2(down, across))))
    return faces
