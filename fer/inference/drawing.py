"""Annotations: boxes, labels and bars of probabilities on a copy of an image."""

import unicodedata
from dataclasses import replace

import cv2
import numpy as np

from fer.inference.faces import Box
from fer.inference.recognizer import Prediction

Color = tuple[int, int, int]  # BGR

# They differ in lightness too, for prints in grey. A track keeps its colour.
COLORS = ((80, 200, 255), (255, 170, 60), (120, 230, 120), (200, 140, 255), (230, 230, 90), (110, 130, 255))
INK, PAPER = (20, 20, 20), (245, 245, 245)
FONT = cv2.FONT_HERSHEY_SIMPLEX
LETTER = 22  # pixels: height of a capital of this font at scale 1
LETTERS = 32  # ratio of the short side of an image to the height of a letter
LEGIBLE = 240  # pixels: least short side of an annotated copy ...
LARGEST = 4096  # ... unless its long side would be longer than this
MARGIN = 0.5  # of the letter height, around text


def draw(
    image: np.ndarray, predictions: list[Prediction] | None, *, caption: str = "", bars: bool = True
) -> np.ndarray:
    """Draws the box of every face, its label with confidence, and a bar for the probability of each label.

    A face that others crowd has no bars.

    Args:
        image: uint8 (H, W, 3) BGR; it is not changed.
        predictions: the faces in it; None where nobody has looked for any.
        caption: a line in the upper left corner, such as the frames per second.
        bars: False leaves the bars out.

    Returns:
        uint8 (H, W, 3), a new array.
    """
    canvas = np.array(image, order="C")
    letter = max(8, min(canvas.shape[:2]) // LETTERS)
    panels: list[Box] = []
    for number, prediction in enumerate(predictions or []):
        color = COLORS[(prediction.track or number) % len(COLORS)]
        box = prediction.box
        corner = (box.x + box.width - 1, box.y + box.height - 1)
        cv2.rectangle(canvas, (box.x, box.y), corner, color, max(1, letter // 6))
        track = f"{prediction.track}: " if prediction.track is not None else ""
        text = f"{track}{prediction.shown} {prediction.confidence:.0%}"
        above = box.y - _line(letter)
        _text(canvas, text, (box.x, above if above >= 0 else box.y), letter, background=color)
        if bars:
            others = [other.box for other in predictions or [] if other is not prediction]
            if panel := _bars(canvas, prediction, letter, color, others + panels):
                panels.append(panel)
    if line := f"{caption}  no face".strip() if predictions == [] else caption:
        _text(canvas, line, (0, 0), letter, background=PAPER)
    return canvas


def annotate(image: np.ndarray, predictions: list[Prediction]) -> np.ndarray:
    """Draws an image for people: enlarged to `LEGIBLE` pixels, and with the bars beside a face that fills it.

    Args:
        image: uint8 (H, W, 3) BGR; it is not changed.
        predictions: the faces in it.

    Returns:
        uint8 (h, w, 3), a new array.
    """
    factor = max(1.0, min(LEGIBLE / min(image.shape[:2]), LARGEST / max(image.shape[:2])))
    if factor > 1:
        image = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        predictions = [_scaled(prediction, factor) for prediction in predictions]
    filled = any(prediction.box.width > 0.8 * image.shape[1] for prediction in predictions)
    if filled:
        image = cv2.copyMakeBorder(image, 0, 0, 0, round(0.4 * LEGIBLE), cv2.BORDER_CONSTANT, value=PAPER)
    return draw(image, predictions)


def _scaled(prediction: Prediction, factor: float) -> Prediction:
    box = prediction.box
    box = Box(*(round(factor * value) for value in (box.x, box.y, box.width, box.height)))
    return replace(prediction, face=replace(prediction.face, box=box))


def mirrored(image: np.ndarray, predictions: list[Prediction]) -> tuple[np.ndarray, list[Prediction]]:
    """A mirrored image and its faces; text drawn on it afterwards stays readable."""
    width = image.shape[1]

    def flip(prediction: Prediction) -> Prediction:
        box = prediction.box
        face = replace(prediction.face, box=replace(box, x=width - box.x - box.width))
        return replace(prediction, face=face)

    return image[:, ::-1], [flip(prediction) for prediction in predictions]


def _bars(canvas: np.ndarray, prediction: Prediction, letter: int, color: Color, taken: list[Box]) -> Box | None:
    """Draws a bar for each label beside the box, or inside it at the edge of the image.

    Returns:
        The place of the bars; None, and nothing is drawn, where every place covers a part of what is taken.
    """
    letter = max(6, letter * 2 // 3)
    box, line = prediction.box, _line(letter)
    texts = [_ascii(label) for label in prediction.labels]
    text_width = max(_width(text, letter) for text in texts) + letter
    width = text_width + 5 * letter
    rows, columns = canvas.shape[:2]
    y = max(0, min(box.y, rows - line * len(texts)))
    right, left, edge = box.x + box.width + letter // 2, box.x - letter // 2 - width, max(0, columns - width)
    starts = [x for x in (right, left) if 0 <= x <= columns - width] or [edge]
    places = [Box(x, y, width, line * len(texts)) for x in starts]
    place = next((place for place in places if not any(place.intersection(other) for other in taken)), None)
    if place is None:
        return None
    x = place.x
    panel = canvas[y : y + place.height, x : x + width]
    panel[:] = panel // 3  # darker, so that bars and words stand out
    for i, (text, probability) in enumerate(zip(texts, prediction.distribution, strict=True)):
        top = y + i * line
        shown = text == _ascii(prediction.shown)
        _text(canvas, text, (x, top), letter, color=color if shown else PAPER)
        end = x + text_width + round(float(probability) * (width - text_width - letter // 2))
        cv2.rectangle(canvas, (x + text_width, top + line // 4), (end, top + line * 3 // 4), color, cv2.FILLED)
    return place


def _text(
    canvas: np.ndarray,
    text: str,
    corner: tuple[int, int],
    letter: int,
    *,
    color: Color = INK,
    background: Color | None = None,
) -> None:
    """Draws a line of text with its upper left corner at `corner`, moved inside the image."""
    text, line = _ascii(text), _line(letter)
    width = _width(text, letter) + letter
    x = max(0, min(corner[0], canvas.shape[1] - width))
    y = max(0, min(corner[1], canvas.shape[0] - line))
    if background is not None:
        cv2.rectangle(canvas, (x, y), (x + width, y + line - 1), background, cv2.FILLED)
    at = (x + letter // 2, y + round(letter * (1 + MARGIN)))
    cv2.putText(canvas, text, at, FONT, letter / LETTER, color, max(1, letter // 9), cv2.LINE_AA)


def _width(text: str, letter: int) -> int:
    return cv2.getTextSize(text, FONT, letter / LETTER, max(1, letter // 9))[0][0]


def _line(letter: int) -> int:
    return round(letter * (1 + 2 * MARGIN)) + 1


def _ascii(text: str) -> str:
    """Text in the ASCII of OpenCV's fonts: letters lose their accents, all else becomes "?"."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(char if char.isascii() else "?" for char in plain if not unicodedata.combining(char))
