"""Haar cascades (Viola and Jones 2001) in several passes: frontal faces first, then profiles and tilted heads."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.inference.faces import PIXELS, Box, Face, check_image, non_max_suppression, search_copy, shrink


@dataclass(frozen=True)
class CascadePass:
    """One search of an image with one of OpenCV's cascades.

    Attributes:
        cascade: name of the cascade.
        neighbours: more windows than this must agree on a face.
        angle: degrees by which the image is rotated first, counter-clockwise.
        mirrored: whether the image is mirrored first.
    """

    cascade: str
    neighbours: int
    angle: float = 0.0
    mirrored: bool = False


STEP = 1.1  # ratio of one window size to the next
# Side of the smallest face in the searched copy, pixels. Of 60 faces of 24 pixels it finds 29; a search from 20 pixels
# finds 37 and takes half as long again.
SMALLEST = 24
FIRST_PASS = CascadePass("frontalface_alt2", neighbours=3)
# A large face on which no more windows agree is kept only if a later pass finds it too.
WEAK_WINDOWS = 5
# Groups of passes at half the size, for a quarter of the time; the first group that finds a face ends the search. The
# profile cascade knows faces that look to the left only. At full size these passes find no more faces, and more false
# positives.
LATER_PASSES = (
    (FIRST_PASS,),
    (CascadePass("profileface", neighbours=6), CascadePass("profileface", neighbours=6, mirrored=True)),
    (CascadePass("frontalface_alt2", neighbours=6, angle=15), CascadePass("frontalface_alt2", neighbours=6, angle=-15)),
    (CascadePass("frontalface_alt2", neighbours=6, angle=30), CascadePass("frontalface_alt2", neighbours=6, angle=-30)),
)
NEAR_SIDE = 80  # pixels: a local search scales a larger face down to this side
NEAR_SIZES = 1.4  # a local search looks for faces up to this many times larger or smaller


class Haar:
    """Boosted cascades of Haar features (Viola and Jones 2001; Lienhart and Maydt 2002), as OpenCV ships them.

    The score of a face is the number of windows that agree on it. It separates faces from false positives slightly
    better than the sum of the cascade's last stage (area under the ROC curve 0.85 against 0.83), and it means the same
    in every cascade.

    OpenCV's cascades are not thread-safe: each thread needs an object of its own.

    It searches again where the first pass finds no certain face: an image without a face takes three to four times as
    long. See `LATER_PASSES`.

    Raises:
        FerError: this OpenCV ships no cascades.
    """

    name = "haar"
    FRAMING = 1.055  # side of FER2013's crops by the cascade's: the median over the faces found

    def __init__(self):
        self.later_passes = LATER_PASSES
        self._other_passes = [one for group in self.later_passes for one in group if one != FIRST_PASS]
        names = {one.cascade for one in (FIRST_PASS, *self._other_passes)}
        self._cascades = {name: _load_cascade(name) for name in sorted(names)}

    def clone(self) -> "Haar":
        """Another one, for another thread."""
        return Haar()

    def find(self, image: np.ndarray, later_passes: bool = True) -> list[Face]:
        """Finds the faces in an image.

        Args:
            image: uint8 (H, W, 3) BGR.
            later_passes: False runs the first pass only.

        Returns:
            The faces, the largest first.

        Raises:
            FerError: the array is not such an image, or its size is extreme.
        """
        grey = search_copy(image, cv2.COLOR_BGR2GRAY)
        whole = Box(0, 0, image.shape[1], image.shape[0])
        found = self._run_pass(grey, FIRST_PASS, whole, image.shape)
        if later_passes:
            small = 2 * SMALLEST * image.shape[1] / grey.shape[1]  # invisible at half the size
            found = [face for face in found if face.score > WEAK_WINDOWS or face.box.width < small]
            grey = shrink(grey, 0.5)
            for group in self.later_passes:
                found = found or [face for one in group for face in self._run_pass(grey, one, whole, image.shape)]
        return non_max_suppression(found)

    def find_in_pass(self, image: np.ndarray, number: int) -> list[Face]:
        """Runs one of the passes of `find`, so that a video spreads them over its frames.

        Even numbers are the first pass at half the size, in a quarter of its time. Number 1 is the first pass at full
        size; the other odd numbers are the later passes, one by one.

        Args:
            image: uint8 (H, W, 3) BGR.
            number: of the pass, 0 or more; the passes repeat.

        Returns:
            The faces, the largest first.
        """
        grey = search_copy(image, cv2.COLOR_BGR2GRAY)
        number %= 2 * (len(self._other_passes) + 1)
        one = FIRST_PASS if number % 2 == 0 or number == 1 else self._other_passes[number // 2 - 1]
        grey = grey if number == 1 else shrink(grey, 0.5)
        return non_max_suppression(self._run_pass(grey, one, Box(0, 0, image.shape[1], image.shape[0]), image.shape))

    def find_near(self, image: np.ndarray, box: Box, later_passes: bool = True) -> Face | None:
        """Finds a face near its place in the frame before, about as large, in a tenth of the time of `find`.

        Args:
            image: uint8 (H, W, 3) BGR.
            box: where the face was, or should be; it may extend beyond the image.
            later_passes: False runs the first pass only.

        Returns:
            The face that overlaps the box most, by an IoU of at least 0.3; None if there is none.
        """
        check_image(image)
        side = max(box.width, box.height, 1)
        left, top = max(box.x - side // 2, 0), max(box.y - side // 2, 0)
        part = image[top : max(box.y + box.height + side // 2, 0), left : max(box.x + box.width + side // 2, 0)]
        if not part.size:
            return None
        grey = shrink(cv2.cvtColor(part, cv2.COLOR_BGR2GRAY), min(1.0, NEAR_SIDE / side))
        usual = min(side, NEAR_SIDE) / self.FRAMING
        place = Box(left, top, part.shape[1], part.shape[0])
        for one in (FIRST_PASS, *(self._other_passes if later_passes else ())):
            found = self._run_pass(grey, one, place, image.shape, sides=(usual / NEAR_SIZES, usual * NEAR_SIZES))
            best = max(found, key=lambda face: (face.box.overlap(box), face.score), default=None)
            if best and best.box.overlap(box) >= 0.3:
                return best
        return None

    def _run_pass(
        self,
        grey: np.ndarray,
        one: CascadePass,
        place: Box,
        shape: tuple[int, ...],
        sides: tuple[float, float] | None = None,
    ) -> list[Face]:
        """The faces that a pass finds in the grey copy of a place, in pixels of the image of that shape."""
        if one.angle:  # the canvas of a rotated strip is many times larger than the strip
            grey = shrink(grey, min(1.0, math.sqrt(PIXELS / math.prod(_rotated_size(grey.shape, one.angle)))))
        across, down = place.width / grey.shape[1], place.height / grey.shape[0]
        back = np.array([[across, 0, place.x], [0, down, place.y], [0, 0, 1]])  # from the copy to the image
        if one.mirrored:
            back = back @ [[-1, 0, grey.shape[1]], [0, 1, 0], [0, 0, 1]]
            grey = cv2.flip(grey, 1)
        if one.angle:
            grey, rotation = _rotate(grey, one.angle)
            back = back @ rotation
        least, most = sides or (SMALLEST, min(grey.shape))
        boxes, counts = self._cascades[one.cascade].detectMultiScale2(
            grey, STEP, one.neighbours, minSize=(round(least),) * 2, maxSize=(round(most),) * 2
        )
        faces = []
        for (x, y, width, height), count in zip(boxes, counts, strict=True):
            centre = back @ (x + width / 2, y + height / 2, 1)
            side = width * math.sqrt(across * down) * self.FRAMING
            box = Box.square((centre[0], centre[1]), side, shape)
            faces.append(Face(box, float(count), tilt=one.angle))
        return faces


def _load_cascade(name: str) -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", None)
    path = folder and Path(folder, f"haarcascade_{name}.xml")
    if not path or not path.is_file() or not hasattr(cv2, "CascadeClassifier"):
        need = 'pip install "opencv-contrib-python>=4.14,<5", or choose another detector'
        raise FerError(f"OpenCV {cv2.__version__} ships no Haar cascades (version 5 dropped them): {need}")
    return cv2.CascadeClassifier(str(path))


def _rotate(grey: np.ndarray, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The image rotated counter-clockwise on a canvas that holds all of it, and the 3x3 matrix of the way back."""
    height, width = grey.shape
    size = _rotated_size(grey.shape, angle)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    rotated = cv2.warpAffine(grey, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return rotated, np.vstack([cv2.invertAffineTransform(matrix), (0, 0, 1)])


def _rotated_size(shape: tuple[int, ...], angle: float) -> tuple[int, int]:
    """Width and height of a canvas that holds a rotated image."""
    height, width = shape
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    return math.ceil(width * cos + height * sin), math.ceil(width * sin + height * cos)
