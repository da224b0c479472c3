"""Detectors: Haar cascades (the default), MTCNN, YuNet, and none at all for pictures that are faces already.

`benchmarks/faces.py` measures what they find, how they frame it and what it costs.
"""

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer import FerError
from fer.faces import Box, Detector, Face, distinct

NAMES = ("haar", "mtcnn", "yunet", "none")

PIXELS = 2 * 640 * 480  # of the copy that is searched, whatever the picture's size


def detector(name: str, model: str | Path | None = None) -> Detector:
    """The detector of that name.

    Args:
        name: one of `NAMES`.
        model: the ONNX file of "yunet"; the others need none.

    Raises:
        FerError: an unknown name, "yunet" without its file, or a detector that is not installed.
    """
    if name not in NAMES:
        raise FerError(f"the detector must be one of {', '.join(NAMES)}, not {name!r}")
    if name == "yunet":
        if model is None:
            raise FerError("the detector yunet needs its network: --detector-model FILE.onnx")
        return YuNet(model)
    return {"haar": Haar, "mtcnn": Mtcnn, "none": WholeImage}[name]()


@dataclass(frozen=True)
class Look:
    """One search of a picture with one of OpenCV's cascades.

    Attributes:
        cascade: which.
        neighbours: more windows than this many must agree on a face.
        angle: degrees by which the picture is turned first, counter-clockwise.
        mirrored: whether the picture is mirrored first.
    """

    cascade: str
    neighbours: int
    angle: float = 0.0
    mirrored: bool = False


STEP = 1.1  # from one size of window to the next
# Side of the smallest face, in the copy. Of 60 faces of 24 pixels it finds 29; a search that begins at 20 finds 37 of
# them and takes half as long again.
SMALLEST = 24
FIRST_LOOK = Look("frontalface_alt2", neighbours=3)
DOUBTFUL = 5  # windows; a face on which no more agree must show in a second look too, if there are any and it is large
# At half the size, for a quarter of the time, until one of the lines finds something. The profile cascade knows faces
# that look to the left only. At full size they find no more, and see faces where there are none.
SECOND_LOOKS = (
    (FIRST_LOOK,),
    (Look("profileface", neighbours=6), Look("profileface", neighbours=6, mirrored=True)),
    (Look("frontalface_alt2", neighbours=6, angle=15), Look("frontalface_alt2", neighbours=6, angle=-15)),
    (Look("frontalface_alt2", neighbours=6, angle=30), Look("frontalface_alt2", neighbours=6, angle=-30)),
)
NEAR_SIDE = 80  # a larger face is scaled down to it before it is looked for near its last place
NEAR_SIZES = 1.4  # times larger or smaller than it was


class Haar:
    """Boosted cascades of Haar features (Viola and Jones 2001; Lienhart and Maydt 2002), as OpenCV brings them.

    The score of a face is the number of windows that agreed on it: it tells right boxes from wrong ones a little better
    than the cascade's own sum of its last stage (area under the curve 0.85 against 0.83), and means the same in every
    cascade.

    An object must not be used by two threads at a time, for OpenCV's cascades are not made for it: one each.

    Args:
        second_looks: look again where nothing certain is found, for profiles and for heads that lean, see
            `SECOND_LOOKS`. A picture without a face then takes three to four times as long.

    Raises:
        FerError: this OpenCV brings no cascades.
    """

    name = "haar"
    FRAMING = 1.055  # FER2013's side by the cascade's: the median of faces found

    def __init__(self, second_looks: bool = True):
        self.second_looks = SECOND_LOOKS if second_looks else ()
        self._other_looks = [look for line in self.second_looks for look in line if look != FIRST_LOOK]
        names = {look.cascade for look in (FIRST_LOOK, *self._other_looks)}
        self._cascades = {name: _cascade(name) for name in sorted(names)}

    def find(self, image: np.ndarray, second_looks: bool = True) -> list[Face]:
        """Faces in uint8 (H, W, 3) BGR, the largest first; `second_looks=False` leaves those out this time.

        Raises:
            FerError: the array is not such a picture.
        """
        grey = _small(image, cv2.COLOR_BGR2GRAY)
        whole = Box(0, 0, image.shape[1], image.shape[0])
        found = self._look(grey, FIRST_LOOK, whole, image.shape)
        if second_looks and self.second_looks:
            small = 2 * SMALLEST * image.shape[1] / grey.shape[1]  # what no second look can see
            found = [face for face in found if face.score > DOUBTFUL or face.box.width < small]
            grey = _shrink(grey, 0.5)
            for line in self.second_looks:
                found = found or [face for look in line for face in self._look(grey, look, whole, image.shape)]
        return distinct(found)

    def glance(self, image: np.ndarray, turn: int) -> list[Face]:
        """One of the looks of `find`, for video: those of the turns 0, 1, 2 ... make up all of them in the end.

        Even turns are the first look at half the size, in a quarter of its time; turn 1 is the first look at full size,
        and the other odd ones are the second looks, one by one.

        Args:
            image: uint8 (H, W, 3) BGR.
            turn: 0 or more.
        """
        grey = _small(image, cv2.COLOR_BGR2GRAY)
        second = self._other_looks
        turn %= 2 * (len(second) + 1)
        look = FIRST_LOOK if turn % 2 == 0 or turn == 1 else second[turn // 2 - 1]
        grey = grey if turn == 1 else _shrink(grey, 0.5)
        return distinct(self._look(grey, look, Box(0, 0, image.shape[1], image.shape[0]), image.shape))

    def near(self, image: np.ndarray, box: Box) -> Face | None:
        """The face that lies about where one was a moment ago and is about as large, in a tenth of the time of `find`.

        Args:
            image: uint8 (H, W, 3) BGR.
            box: where it was, or should be by now; it may reach over the edge.

        Returns:
            The face that overlaps the box most, by at least 0.3; None if there is none.
        """
        _check(image)
        side = max(box.width, box.height, 1)
        left, top = max(box.x - side // 2, 0), max(box.y - side // 2, 0)
        part = image[top : max(box.y + box.height + side // 2, 0), left : max(box.x + box.width + side // 2, 0)]
        if not part.size:
            return None
        grey = _shrink(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), min(1.0, NEAR_SIDE / side))
        usual = min(side, NEAR_SIDE) / self.FRAMING
        place = Box(left, top, part.shape[1], part.shape[0])
        for look in (FIRST_LOOK, *self._other_looks):
            found = self._look(grey, look, place, image.shape, sides=(usual / NEAR_SIZES, usual * NEAR_SIZES))
            best = max(found, key=lambda face: (face.box.overlap(box), face.score), default=None)
            if best and best.box.overlap(box) >= 0.3:
                return best
        return None

    def _look(self, grey, look, place, shape, sides=None):
        """Faces by one look at the grey copy of that place in a picture of that shape."""
        across, down = place.width / grey.shape[1], place.height / grey.shape[0]
        back = np.array([[across, 0, place.x], [0, down, place.y], [0, 0, 1]])  # from the copy to the picture
        if look.mirrored:
            back = back @ [[-1, 0, grey.shape[1]], [0, 1, 0], [0, 0, 1]]
            grey = cv2.flip(grey, 1)
        if look.angle:
            grey, turn = _turned(grey, look.angle)
            back = back @ turn
        least, most = sides or (SMALLEST, min(grey.shape))
        boxes, counts = self._cascades[look.cascade].detectMultiScale2(
            grey, STEP, look.neighbours, minSize=(round(least),) * 2, maxSize=(round(most),) * 2
        )
        faces = []
        for (x, y, width, height), count in zip(boxes, counts, strict=True):
            centre = back @ (x + width / 2, y + height / 2, 1)
            side = width * math.sqrt(across * down) * self.FRAMING
            box = Box.square((centre[0], centre[1]), side, shape)
            faces.append(Face(box, float(count), tilt=look.angle))
        return faces


def _cascade(name):
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    path = folder and Path(folder, f"haarcascade_{name}.xml")
    if not path or not path.is_file() or not hasattr(cv2, "CascadeClassifier"):
        need = 'pip install "opencv-contrib-python>=4.14,<5", or choose another detector'
        raise FerError(f"OpenCV {cv2.__version__} brings no Haar cascades (version 5 dropped them): {need}")
    return cv2.CascadeClassifier(str(path))


def _turned(grey, angle):
    """The picture turned counter-clockwise on a canvas that holds all of it, and the 3x3 matrix of the way back."""
    height, width = grey.shape
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    size = (math.ceil(width * cos + height * sin), math.ceil(width * sin + height * cos))
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    turned = cv2.warpAffine(grey, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return turned, np.vstack([cv2.invertAffineTransform(matrix), (0, 0, 1)])


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
        small = _small(image, cv2.COLOR_BGR2RGB)
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
        small = _small(image)
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


class WholeImage:
    """No search: the whole picture is one face, and its crop the picture itself, as training pictures are taken."""

    name = "none"

    def find(self, image: np.ndarray) -> list[Face]:
        """One face with score 1, the size of the picture.

        Raises:
            FerError: the array is not uint8 (H, W, 3).
        """
        _check(image)
        return [Face(Box(0, 0, image.shape[1], image.shape[0]), 1.0)]


def _check(image):
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise FerError(f"a detector takes a picture uint8 (H, W, 3), received {image.dtype} {image.shape}")


def _small(image, colours=None):
    """The copy that is searched: perhaps in other colours, and of `PIXELS` at most."""
    _check(image)
    image = image if colours is None else cv2.cvtColor(image, colours)
    return _shrink(image, min(1.0, math.sqrt(PIXELS / (image.shape[0] * image.shape[1]))))


def _shrink(image, factor):
    if factor == 1:
        return image
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
