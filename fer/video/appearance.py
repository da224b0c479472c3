"""Detects scene cuts, and whether the face in a box clearly differs from that of a moment before.

Both compare small grey copies by normalised correlation, after the mean and the contrast around each pixel are taken
out: a lamp that is switched on changes neither.
"""

import cv2
import numpy as np

from fer.inference.faces import Box

# Least mean difference of hue, saturation and value between two frames with a cut between them: `min_content_val` of
# PySceneDetect 0.7 (AdaptiveDetector). Its ContentDetector takes 27, and so a lamp that is switched on for a cut.
CONTENT = 15.0
SCENE = 0.3  # correlation from which two frames show one scene
SCENE_SIZE = (64, 48)  # of the copies of frames, pixels
SCENE_SHIFT = (12, 9)  # pixels of the copies by which the camera may turn from one frame to the next: 19 %
FLAT = 4.0  # standard deviation of grey values in a frame that shows nothing, as between two fades
LOOK_SIDE = 32  # of the copy of a box, pixels
LOOK_MARGIN = 6  # pixels of the copy around it, for boxes that jitter
LOOK_SCALES = (1.0, 0.88, 1.14)  # for the same reason
AROUND = (13, 13)  # pixels around each pixel
NOISE = 9.0  # variance that is noise


class CutDetector:
    """Tells the first frame of a new scene; between two frames every other change is gradual.

    A cut needs two changes: of the colours and of the structure. Light that changes leaves the structure, a camera that
    pans shifts it, and movement leaves most of it. A cross-fade is no cut.
    """

    def __init__(self) -> None:
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def is_cut(self, image: np.ndarray) -> bool:
        """Compares a frame uint8 (H, W, 3) BGR with the one before; False for the first."""
        height, width = image.shape[:2]
        every = max(1, min(width // (4 * SCENE_SIZE[0]), height // (4 * SCENE_SIZE[1])))
        # Every so many pixels first: a third of the time of an area average over all of them, or of a strided copy.
        some = cv2.resize(image, (width // every, height // every), interpolation=cv2.INTER_NEAREST)
        small = cv2.resize(some, SCENE_SIZE, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)
        if grey.std() < FLAT:
            return False
        now = cv2.cvtColor(small, cv2.COLOR_BGR2HSV), _structure(grey)
        before, self._before = self._before, now
        if before is None or float(np.mean(cv2.absdiff(now[0], before[0]))) < CONTENT:
            return False
        across, down = SCENE_SHIFT
        return _correlation(now[1], before[1][down:-down, across:-across]) < SCENE


def look(image: np.ndarray, box: Box) -> np.ndarray:
    """What a face looks like, for `likeness`.

    Args:
        image: uint8 (H, W, 3) BGR.
        box: the face in it.

    Returns:
        float32 (44, 44).
    """
    margin = round(max(box.width, box.height) * LOOK_MARGIN / LOOK_SIDE)
    top, left = max(box.y - margin, 0), max(box.x - margin, 0)
    bottom, right = box.y + box.height + margin, box.x + box.width + margin
    part = cv2.cvtColor(image[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
    missing = top - box.y + margin, bottom - top - part.shape[0], left - box.x + margin, right - left - part.shape[1]
    if any(missing):
        part = cv2.copyMakeBorder(part, *missing, cv2.BORDER_REPLICATE)
    side = LOOK_SIDE + 2 * LOOK_MARGIN
    return _structure(cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA))


def likeness(before: np.ndarray, now: np.ndarray, enough: float = 1.0) -> float:
    """The correlation of two looks, -1 to 1, at the best shift and scale that the jitter of a box explains.

    Args:
        before, now: see `look`.
        enough: a correlation from which no other scale is tried.
    """
    best = -1.0
    for scale in LOOK_SCALES:
        side = round(LOOK_SIDE * scale)
        start = (before.shape[0] - side) // 2
        inner = before[start : start + side, start : start + side]
        if scale != 1:
            inner = cv2.resize(inner, (LOOK_SIDE, LOOK_SIDE), interpolation=cv2.INTER_LINEAR)
        best = max(best, _correlation(now, inner))
        if best >= enough:
            break
    return best


def _structure(grey: np.ndarray) -> np.ndarray:
    """A grey image less the mean around each pixel, divided by the standard deviation there; float32 (H, W)."""
    values = grey.astype(np.float32)
    values -= cv2.blur(values, AROUND)
    return values / np.sqrt(cv2.blur(values * values, AROUND) + NOISE)


def _correlation(image: np.ndarray, part: np.ndarray) -> float:
    """The normalised correlation at the best place of the part."""
    return float(cv2.matchTemplate(image, part, cv2.TM_CCOEFF_NORMED).max())
