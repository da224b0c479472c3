"""Faces in an image: the boxes a detector returns, and the crop that goes to the network."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from fer.core.errors import FerError

PIXELS = 2 * 640 * 480  # of the copy that is searched, at most
# A detector's work grows with the longer side and the aspect ratio, not with the size of the file: a PNG of 20 KB and
# 100,000 x 250 pixels took 23 s and 0.9 GB.
LONGEST_SIDE = 32_768  # pixels
LARGEST_RATIO = 20  # of the longer side to the shorter one ...
HARMLESS_SIDE = 2_000  # pixels: ... where the longer side exceeds this


def check_image(image: np.ndarray) -> None:
    """Refuses arrays that no detector searches.

    Raises:
        FerError: the array is not uint8 (H, W, 3), or its size is extreme.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
        raise FerError(f"a detector takes an image uint8 (H, W, 3), received {image.dtype} {image.shape}")
    check_size(image.shape[1], image.shape[0])


def check_size(width: int, height: int) -> None:
    """Refuses images that take a detector too long.

    Raises:
        FerError: a side is longer than `LONGEST_SIDE`, or than `HARMLESS_SIDE` and `LARGEST_RATIO` times the other.
    """
    short, long = sorted((width, height))
    if long > LONGEST_SIDE:
        raise FerError(f"the image has {width:,} x {height:,} pixels; the limit is {LONGEST_SIDE:,} for a side")
    if long > max(LARGEST_RATIO * short, HARMLESS_SIDE):
        raise FerError(f"the image has {width:,} x {height:,} pixels; the limit is {LARGEST_RATIO}:1 for its sides")


def search_copy(image: np.ndarray, colours: int | None = None) -> np.ndarray:
    """The copy that is searched, of `PIXELS` at most.

    Args:
        image: uint8 (H, W, 3) BGR.
        colours: conversion code of OpenCV, such as cv2.COLOR_BGR2GRAY.
    """
    check_image(image)
    image = image if colours is None else cv2.cvtColor(image, colours)
    return shrink(image, min(1.0, math.sqrt(PIXELS / (image.shape[0] * image.shape[1]))))


def shrink(image: np.ndarray, factor: float) -> np.ndarray:
    """Scales an image uint8 (H, W, ...) down by a factor above 0, at most 1, by area averaging."""
    if factor == 1:
        return image
    size = [max(1, round(side * factor)) for side in image.shape[1::-1]]
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


# Degrees of tilt up to which a face is not rotated upright. FER2013's faces are tilted too, and rotating those does not
# help a network trained on them. A tilt beyond training costs 4 points of accuracy at 15 degrees, 7 at 20 and 17 at 30
# (four-block, 400 faces).
UPRIGHT = 20.0


@dataclass(frozen=True)
class Box:
    """A rectangle of whole pixels inside an image: left edge, top edge, width, height."""

    x: int
    y: int
    width: int
    height: int

    def __iter__(self) -> Iterator[int]:
        """x, y, width, height: a box can be unpacked."""
        return iter((self.x, self.y, self.width, self.height))

    @classmethod
    def square(cls, centre: tuple[float, float], side: float, shape: tuple[int, ...]) -> "Box":
        """The square around a point, inside an image: shifted where it would cross the edge, and smaller only where the
        image is smaller.

        Args:
            centre: x and y in pixels, fractions allowed; the first pixel reaches from 0 to 1.
            side: in pixels.
            shape: of the image, height and width first.
        """
        height, width = shape[:2]
        side = min(max(round(side), 1), height, width)
        x, y = (round(at - side / 2) for at in centre)
        return cls(min(max(x, 0), width - side), min(max(y, 0), height - side), side, side)

    @property
    def area(self) -> int:
        """Square pixels."""
        return self.width * self.height

    @property
    def centre(self) -> tuple[float, float]:
        """x and y, pixels."""
        return (self.x + self.width / 2, self.y + self.height / 2)

    def intersection(self, other: "Box") -> int:
        """Number of pixels that lie in both boxes."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(width, 0) * max(height, 0)

    def overlap(self, other: "Box") -> float:
        """Intersection over union (IoU), 0 to 1."""
        intersection = self.intersection(other)
        return intersection / (self.area + other.area - intersection)


@dataclass(frozen=True)
class Face:
    """One face in an image.

    Attributes:
        box: framed like the faces of FER2013; the whole square goes to the network.
        score: confidence of the detector; scales differ between detectors.
        landmarks: float32 (5, 2), x and y in pixels: left eye, right eye, nose, left and right corner of the mouth as
            seen in the image; None from a detector without landmarks.
        tilt: rotation of the head in degrees, clockwise as seen in the image; `crop` undoes it.
    """

    box: Box
    score: float
    landmarks: np.ndarray | None = None
    tilt: float = 0.0


class Detector(Protocol):
    """Finds faces in an image."""

    name: str

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in an image uint8 (H, W, 3) BGR, the largest first; boxes in pixels of the image."""


def non_max_suppression(faces: list[Face]) -> list[Face]:
    """Non-maximum suppression: of faces in one place the one with the highest score, the largest face first.

    Two faces are in one place if the IoU of their boxes exceeds 0.4, or if three quarters of one lie inside the other.
    """
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: (-face.score, *_by_size(face))):
        if not any(_same_place(face.box, other.box) for other in kept):
            kept.append(face)
    return sorted(kept, key=_by_size)


def _same_place(a: Box, b: Box) -> bool:
    return a.overlap(b) > 0.4 or a.intersection(b) >= 0.75 * min(a.area, b.area)


def _by_size(face: Face) -> tuple:
    return -face.box.area, face.box.y, face.box.x, -face.score


def crop(image: np.ndarray, face: Face) -> np.ndarray:
    """Cuts a face out of an image, for `images.prepare`.

    A head tilted by no more than `UPRIGHT` is a slice: a view of the image. A head tilted further is turned upright
    around the centre of its box, at the resolution of the image; beyond the edge the last pixels are repeated.

    Args:
        image: uint8 (H, W, 3) BGR.
        face: its box lies inside the image.

    Returns:
        uint8 (h, w, 3).
    """
    box, tilt = face.box, _turn(face)
    if not tilt:
        return image[box.y : box.y + box.height, box.x : box.x + box.width]
    side = max(box.width, box.height)
    # The part that the turned square can touch: OpenCV warps no image wider than 32,767 pixels.
    (x, y), radius = box.centre, math.ceil(side / math.sqrt(2)) + 1
    left, top = max(math.floor(x) - radius, 0), max(math.floor(y) - radius, 0)
    part = image[top : math.ceil(y) + radius, left : math.ceil(x) + radius]
    # Boxes count from the edge of the first pixel, OpenCV from its middle.
    matrix = cv2.getRotationMatrix2D((x - left - 0.5, y - top - 0.5), tilt, 1)
    matrix[:, 2] += np.array([side / 2 - (x - left), side / 2 - (y - top)])
    return cv2.warpAffine(part, matrix, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def turn_back(heat: np.ndarray, face: Face) -> np.ndarray:
    """Turns what was found in a `crop` back to how the head lies in the image.

    Args:
        heat: float32 (size, size), stretched over the crop.
        face: that was cut out.

    Returns:
        float32 (size, size), stretched over the face's box; 0 where the box reaches beyond the crop.
    """
    tilt = _turn(face)
    if not tilt:
        return heat
    middle = (heat.shape[0] - 1) / 2
    return cv2.warpAffine(heat, cv2.getRotationMatrix2D((middle, middle), -tilt, 1), heat.shape, flags=cv2.INTER_LINEAR)


def _turn(face: Face) -> float:
    """Degrees by which `crop` turns a face: 0 for one that is taken as it lies."""
    return face.tilt if abs(face.tilt) > UPRIGHT else 0.0
