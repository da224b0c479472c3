"""Faces by Haar cascades (Viola and Jones 2001), several passes."""

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.inference.faces import PIXELS, Box, Face, check_image, distinct, search_copy, shrink


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
        grey = search_copy(image, cv2.COLOR_BGR2GRAY)
        whole = Box(0, 0, image.shape[1], image.shape[0])
        found = self._look(grey, FIRST_LOOK, whole, image.shape)
        if second_looks and self.second_looks:
            small = 2 * SMALLEST * image.shape[1] / grey.shape[1]  # what no second look can see
            found = [face for face in found if face.score > DOUBTFUL or face.box.width < small]
            grey = shrink(grey, 0.5)
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
        grey = search_copy(image, cv2.COLOR_BGR2GRAY)
        second = self._other_looks
        turn %= 2 * (len(second) + 1)
        look = FIRST_LOOK if turn % 2 == 0 or turn == 1 else second[turn // 2 - 1]
        grey = grey if turn == 1 else shrink(grey, 0.5)
        return distinct(self._look(grey, look, Box(0, 0, image.shape[1], image.shape[0]), image.shape))

    def near(self, image: np.ndarray, box: Box) -> Face | None:
        """The face that lies about where one was a moment ago and is about as large, in a tenth of the time of `find`.

        Args:
            image: uint8 (H, W, 3) BGR.
            box: where it was, or should be by now; it may reach over the edge.

        Returns:
            The face that overlaps the box most, by at least 0.3; None if there is none.
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
        for look in (FIRST_LOOK, *self._other_looks):
            found = self._look(grey, look, place, image.shape, sides=(usual / NEAR_SIZES, usual * NEAR_SIZES))
            best = max(found, key=lambda face: (face.box.overlap(box), face.score), default=None)
            if best and best.box.overlap(box) >= 0.3:
                return best
        return None

    def _look(self, grey, look, place, shape, sides=None):
        """Faces by one look at the grey copy of that place in a picture of that shape."""
        if look.angle:  # the canvas of a turned strip is many times larger than the strip
            grey = shrink(grey, min(1.0, math.sqrt(PIXELS / math.prod(_turned_size(grey.shape, look.angle)))))
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
    size = _turned_size(grey.shape, angle)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 1)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    turned = cv2.warpAffine(grey, matrix, size, borderMode=cv2.BORDER_REPLICATE)
    return turned, np.vstack([cv2.invertAffineTransform(matrix), (0, 0, 1)])


def _turned_size(shape, angle):
    """Width and height of a canvas that holds a turned image of a shape."""
    height, width = shape
    cos, sin = abs(math.cos(math.radians(angle))), abs(math.sin(math.radians(angle)))
    return math.ceil(width * cos + height * sin), math.ceil(width * sin + height * cos)
