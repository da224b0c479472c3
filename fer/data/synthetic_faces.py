"""Synthetic grey faces with seven expressions: a data set that needs no download.

A face is a drawing. Polygons in face units pass through one pose, are painted on a large canvas and averaged down.
The expression alone decides the label. The person, the pose, the light and the noise are random, so a network has to
find brows, lids and lips wherever they are.

The expressions follow the action units (AU) of the Facial Action Coding System, after the combinations that Ekman,
Friesen and Hager list as prototypes of the basic emotions (FACS Investigator's Guide, 2002).
"""

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import cv2
import numpy as np

from fer.core.files import replacing
from fer.core.labels import FER2013

LABELS = FER2013


class Expression(NamedTuple):
    """How far each part of the face moves: 0 at rest, 1 or -1 for a full movement."""

    inner_brow: float  # AU1 lifts the inner end of the brow, AU4 lowers it
    outer_brow: float  # AU2 lifts the outer end
    squeeze: float  # AU4 draws the brows together
    upper_lid: float  # AU5 lifts the upper lid; a drooping lid is negative
    lower_lid: float  # AU6 and AU7 push the lower lid up
    nose: float  # AU9 wrinkles the nose
    upper_lip: float  # AU10 lifts the upper lip
    corners: float  # AU12 pulls the corners of the lips up, AU15 pulls them down
    width: float  # AU20 stretches the lips sideways, AU23 and AU27 narrow them
    jaw: float  # AU25, AU26 and AU27 open the mouth
    press: float  # AU23 and AU24 make the lips thin


EXPRESSIONS = {
    #                      inner outer squeeze u.lid l.lid nose u.lip corners width  jaw press
    "angry":    Expression( -1.0,  0.3,    1.0,  0.3,  0.7, 0.1,  0.0,   -0.4, -0.2, 0.0,  1.0),  # AU 4 5 7 23
    "disgust":  Expression( -1.0, -0.7,    0.8, -1.0,  0.4, 1.0,  1.0,   -1.0, -0.9, 0.2,  0.0),  # AU 4 9 10 15 25
    "fear":     Expression(  0.9,  0.1,    0.7,  1.0,  0.2, 0.0,  0.1,   -0.3,  0.8, 0.5,  0.2),  # AU 1 2 4 5 20 26
    "happy":    Expression(  0.1,  0.2,    0.0, -0.2,  0.9, 0.0,  0.2,    1.0,  0.7, 0.4,  0.0),  # AU 6 12 25
    "sad":      Expression(  0.8, -0.7,    0.4, -0.6,  0.1, 0.0,  0.0,   -1.0, -0.3, 0.0,  0.2),  # AU 1 4 15
    "surprise": Expression(  1.0,  1.0,    0.0,  1.0, -0.2, 0.0,  0.0,    0.0, -0.9, 1.0,  0.0),  # AU 1 2 5 27
    "neutral":  Expression(  0.0,  0.0,    0.0,  0.0,  0.0, 0.0,  0.0,    0.0,  0.0, 0.0,  0.0),
}  # fmt: skip
STRENGTH = (0.75, 1.2)  # share of the full movement: much weaker ones no longer show at 48 pixels
WOBBLE = 0.06  # spread added to every movement, because no two faces rest alike
GAPE = (0.6, 1.2)  # for the same expression one mouth opens wider than another

# A person: ranges in face units (half a head's height) or grey levels.
PERSON = {
    "skin": (110, 225), "hair": (20, 190), "iris": (25, 95), "lip": (0.58, 0.76), "half_width": (0.68, 0.82),
    "eye_x": (0.29, 0.36), "eye_y": (-0.1, 0.0), "eye_size": (0.17, 0.21), "eye_open": (0.08, 0.1),
    "brow_gap": (0.23, 0.28), "brow_height": (0.025, 0.045), "nose_y": (0.26, 0.33), "nose_width": (0.09, 0.15),
    "mouth_y": (0.57, 0.63), "mouth_width": (0.27, 0.34), "lip_height": (0.05, 0.085), "hairline": (-0.78, -0.55),
}  # fmt: skip
PERSON_LOW, PERSON_HIGH = np.array(list(PERSON.values())).T
TAPER = 0.23  # how much narrower the head is at the chin
VOLUME = 1.13  # of the hair: its crown against the top of the head

UNIT = 0.46  # a face unit as a share of the image's side
SUPERSAMPLING = 4  # canvas pixels per image pixel, each way
# One of each expression. Of the seeds below 400, the one whose faces `fer2013` and `fer2013-fast` read most surely.
SAMPLES = {"count": 7, "seed": 1030, "size": 128}
SUBPIXEL_BITS = 4  # OpenCV takes corners as integers with this many fractional bits

X = -np.cos(np.linspace(0, np.pi, 15))  # from end to end of a lid, a brow, a lip; dense where they bend
DOME = 1 - X**2
TURN = np.linspace(0, 2 * np.pi, 40, endpoint=False)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)


class Pen:
    """Paints shapes given in face units (x to the right, y down, chin at y = 1) on a canvas."""

    def __init__(self, canvas: np.ndarray, matrix: np.ndarray, origin: np.ndarray):
        self.canvas, self.matrix, self.origin = canvas, matrix, origin
        self.unit = np.sqrt(np.linalg.det(matrix))

    def _pixels(self, points) -> list[np.ndarray]:
        pixels = np.asarray(points) @ self.matrix.T + self.origin
        return [np.rint(pixels * (1 << SUBPIXEL_BITS)).astype(np.int32)]

    def fill(self, points, grey: float) -> None:
        """Fills the polygon of the points (n, 2)."""
        cv2.fillPoly(self.canvas, self._pixels(points), float(grey), cv2.LINE_8, SUBPIXEL_BITS)

    def line(self, points, grey: float, width: float) -> None:
        """Draws a line through the points (n, 2)."""
        thickness = max(1, round(width * self.unit))
        cv2.polylines(self.canvas, self._pixels(points), False, float(grey), thickness, cv2.LINE_8, SUBPIXEL_BITS)

    def moved(self, x: float, y: float) -> "Pen":
        """A pen whose origin is at (x, y) of this one."""
        return Pen(self.canvas, self.matrix, self.origin + self.matrix @ (x, y))


def _curve(x, y):
    return np.stack(np.broadcast_arrays(x, y), axis=1)


def _between(x, top, bottom):
    """The closed shape between two curves over the same x."""
    return np.concatenate([_curve(x, top), _curve(x, bottom)[::-1]])


def _draw_head(pen, who, move, light):
    """Neck, ears and skin."""
    pen.fill([(-0.38, 0.5), (-0.42, 3), (0.42, 3), (0.38, 0.5)], 0.6 * who.skin)
    for side in (-1, 1):
        pen.fill(CIRCLE * (0.1, 0.2) + (side * who.half_width, 0.05), 0.8 * who.skin)
    x, y = CIRCLE.T
    down = np.maximum(y, 0)  # a dropped jaw makes the lower half longer
    edge = _curve(who.half_width * x * (1 - TAPER * down**2), y * (1 + 0.1 * move.jaw * down))
    for shrink in np.linspace(1, 0.4, 8):  # brighter towards the light: a ball, not a disc
        pen.moved(*(1 - shrink) * 0.6 * light).fill(shrink * edge, who.skin * (1.25 - 0.4 * shrink))


def _draw_folds(pen, who, move):
    """The creases that a movement leaves in the skin around it."""

    def crease(points, depth):
        if depth > 0.1:
            pen.line(points, who.skin * (1 - 0.5 * min(depth, 1)), 0.04)

    brow_y = who.eye_y - who.brow_gap
    for row in (0.13, 0.24):
        crease(_curve(0.4 * X, brow_y - row - 0.04 * DOME), 0.5 * (move.inner_brow + move.outer_brow))
    for row in (0.04, 0.11, 0.18):
        crease(_curve(0.1 * X, who.eye_y + row - 0.04 * DOME), move.nose)
    for side in (-1, 1):
        crease([(side * 0.05, brow_y - 0.08), (side * 0.04, brow_y + 0.1)], move.squeeze)
        crease([(side * 0.15, 0.3), (side * (0.36 + 0.08 * move.width), 0.52)], 0.8 * max(move.nose, move.corners))
        crease(_curve(side * (who.eye_x + 0.16 * X), who.eye_y + 0.17 - 0.03 * DOME), 0.7 * move.lower_lid)


def _draw_hair(pen, who):
    x = who.half_width * X
    crown = VOLUME * _curve(x, -np.sqrt(DOME))
    fringe = _curve(x, who.hairline + 0.25 * np.abs(X) + 0.35 * X**6)
    pen.fill(np.concatenate([crown, fringe[::-1]]), who.hair)


def _draw_eye(pen, who, move, side):
    x = who.eye_size * X
    top = -max(who.eye_open + 0.065 * move.upper_lid, 0.02) * DOME
    bottom = max(0.065 - 0.05 * move.lower_lid, 0.005) * DOME
    pen = pen.moved(side * who.eye_x, who.eye_y)
    pen.fill(_between(x, top, bottom), min(250, 130 + 0.6 * who.skin))
    for radius, grey in ((0.088, who.iris), (0.045, 10)):
        ring_x, ring_y = (radius * CIRCLE + (0, -0.01)).T
        ring_y = np.clip(ring_y, np.interp(ring_x, x, top), np.interp(ring_x, x, bottom))  # the lids cover it
        pen.fill(_curve(ring_x, ring_y), grey)
    pen.line(_curve(x, bottom), 0.6 * who.skin, 0.02)
    pen.line(_curve(x, top), 0.2 * who.skin, 0.035)


def _draw_brow(pen, who, move, side):
    outer = (X + 1) / 2
    x = who.eye_x + who.eye_size * (1.15 * X + 0.1) - 0.06 * move.squeeze * (1 - outer)
    lift = 0.13 * move.inner_brow * (1 - outer) + 0.12 * move.outer_brow * outer - 0.03 * move.squeeze
    y = who.eye_y - who.brow_gap - lift - 0.03 * DOME
    half = who.brow_height * (1 - 0.6 * outer)
    pen.fill(_between(side * x, y - half, y + half), who.brow)


def _draw_nose(pen, who, move):
    y, width = who.nose_y - 0.05 * move.nose, who.nose_width * (1 + 0.3 * move.nose)
    pen.line([(-0.05, who.eye_y + 0.08), (-0.06, y - 0.1), (-width, y)], 0.8 * who.skin, 0.03)
    pen.line(_curve(width * X, y + 0.04 * DOME), 0.6 * who.skin, 0.03)
    for side in (-1, 1):
        pen.fill(CIRCLE * (0.035, 0.022) + (side * 0.5 * width, y + 0.015), 0.3 * who.skin)


def _draw_mouth(pen, who, move):
    x = (who.mouth_width + 0.1 * move.width) * X
    y = who.mouth_y - 0.13 * move.corners * (X**2 - 0.4)
    gape = DOME ** (1 - 0.5 * min(abs(move.width), 1))  # lips at rest open as a lens, stretched or narrowed as an oval
    top = y - (0.08 * move.jaw + 0.1 * max(move.upper_lip, 0)) * gape
    bottom = y + 0.3 * move.jaw * gape
    lip = who.lip_height * (1 - 0.75 * min(max(move.press, 0), 1)) * np.sqrt(DOME)
    pen.fill(_between(x, top - 0.8 * lip, bottom + lip), who.lip * who.skin)
    pen.fill(_between(x, top, bottom), 25)
    pen.fill(_between(x, top, np.minimum(top + 0.09 * gape, bottom)), 235)  # teeth
    pen.line(_curve(x, top), 0.3 * who.skin, 0.025)


def _person(rng):
    who = SimpleNamespace(**dict(zip(PERSON, rng.uniform(PERSON_LOW, PERSON_HIGH), strict=True)))
    if abs(who.hair - who.skin) < 50:  # hair has to show against the skin
        who.hair = who.skin - 80
    who.brow = min(0.7 * who.hair, who.skin - 75)
    return who


def _movement(expression, rng):
    strength, wobble = rng.uniform(*STRENGTH), rng.normal(0, WOBBLE, len(expression))
    move = Expression(*(strength * np.array(expression) + wobble))
    return move._replace(jaw=max(move.jaw, 0) * rng.uniform(*GAPE))


def _pose(canvas, rng):
    """A pen for the head and one for its features, which slide over a head that is turned a little."""
    side = len(canvas)
    angle, scale = rng.normal(0, 0.1), rng.uniform(0.9, 1.08)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    head = Pen(canvas, side * UNIT * scale * turn, side * rng.normal((0.5, 0.5), 0.035))
    return head, head.moved(rng.normal(0, 0.05), rng.normal(0, 0.03))


def _face(expression, size, rng):
    """One image, from the back to the front."""
    who, move = _person(rng), _movement(expression, rng)
    side = size * SUPERSAMPLING
    canvas = np.full((side, side), rng.uniform(30, 230), np.uint8)
    head, front = _pose(canvas, rng)
    light = rng.normal(0, 0.5, 2).clip(-1, 1)
    _draw_head(head, who, move, light)
    _draw_folds(front, who, move)
    cv2.GaussianBlur(canvas, (0, 0), 0.008 * side, dst=canvas)  # skin is soft, what follows is sharp
    _draw_hair(head, who)
    for eye in (-1, 1):
        _draw_eye(front, who, move, eye)
        _draw_brow(front, who, move, eye)
    _draw_nose(front, who, move)
    _draw_mouth(front, who, move)
    return _photograph(canvas, size, light, rng)


def _photograph(canvas, size, light, rng):
    """Light from one side, exposure and sensor noise; averages the canvas down to the size asked for."""
    image = cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    across = np.linspace(-1, 1, size, dtype=np.float32)
    image *= 1 + 0.3 * np.float32(light[0]) * across + 0.3 * np.float32(light[1]) * across[:, None]
    image = 128 + rng.uniform(0.7, 1.1) * (image - 128) + rng.uniform(-25, 25)
    image += rng.uniform(0, 6) * rng.standard_normal(image.shape, dtype=np.float32)
    return image.clip(0, 255).astype(np.uint8)


def faces(count: int, *, seed: int, size: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Draws a balanced, shuffled set of faces; the same arguments always give the same images.

    Args:
        count: how many faces; classes differ by one face at most.
        seed: any whole number from 0; another seed draws other people. Use different seeds for training and test.
        size: side of the square images in pixels. A larger one draws the same people sharper.

    Returns:
        images: uint8 (count, size, size), grey.
        codes: int64 (count,), indexes into `LABELS`.
    """
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.arange(count, dtype=np.int64) % len(LABELS))
    images = np.empty((count, size, size), np.uint8)
    for index, own in enumerate(rng.spawn(count)):  # a generator each: the noise of one face cannot alter the next
        images[index] = _face(EXPRESSIONS[LABELS[codes[index]]], size, own)
    return images, codes


def write_samples(folder: str | Path) -> None:
    """Draws one face of each expression into `folder` as LABEL.png: the files of `data/samples`.

    Raises:
        FerError: the folder cannot be written.
    """
    for image, code in zip(*faces(**SAMPLES), strict=True):
        with replacing(Path(folder) / f"{LABELS[code]}.png") as temporary:
            temporary.write_bytes(cv2.imencode(".png", image)[1].tobytes())
