"""Finds the faces of a video frame: near their places in the frame before, and in the whole frame pass by pass."""

import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from fer.inference.faces import Box, Detector, Face, distinct

INTERVAL = 0.75  # seconds between two searches of the whole frame while every known face is found near its place
FULL_SIZE_EVERY = 6  # one of so many of these searches is at full size, for small faces


@runtime_checkable
class LocalDetector(Protocol):
    """A detector that also searches near a known face, and the whole image pass by pass; see `haar.Haar`."""

    def find(self, image: np.ndarray, later_passes: bool = True) -> list[Face]: ...

    def find_near(self, image: np.ndarray, box: Box) -> Face | None: ...

    def find_in_pass(self, image: np.ndarray, number: int) -> list[Face]: ...


class FaceFinder:
    """Finds the faces of a moving image.

    A detector that is no `LocalDetector` searches every frame.

    Args:
        detector: finds the faces.
        thorough: while a face is missing, run the whole first pass on every frame, as a file can wait; otherwise a part
            of it, so that a camera's image does not stutter.
    """

    def __init__(self, detector: Detector, *, thorough: bool = False):
        self.detector, self.thorough = detector, thorough
        self._searched, self._searches, self._number = -math.inf, 0, 0

    def find(self, image: np.ndarray, expected: Sequence[Box], seconds: float) -> list[Face]:
        """The faces of a frame.

        Args:
            image: uint8 (H, W, 3) BGR.
            expected: where the known faces should be.
            seconds: time of the frame.
        """
        detector = self.detector
        if not isinstance(detector, LocalDetector):
            return detector.find(image)
        known = [detector.find_near(image, box) for box in expected]
        found = [face for face in known if face]
        if known and len(found) == len(known):
            self._number = 0
            if 0 <= seconds - self._searched < INTERVAL:
                return distinct(found)
            self._searched, self._searches = seconds, self._searches + 1
            number = int(self._searches % FULL_SIZE_EVERY == 0)
            return self._add(found, detector.find_in_pass(image, number), image, detector)
        if self.thorough:
            found = self._add(found, detector.find(image, later_passes=False), image, detector)
        if not found or not self.thorough:
            # While a face is in sight only frontal faces are searched: the profile passes have more false positives.
            number = int(self._number % FULL_SIZE_EVERY == 1) if found else self._number
            found = self._add(found, detector.find_in_pass(image, number), image, detector)
            self._number += 1
        return distinct(found)

    def _add(self, found: list[Face], others: list[Face], image: np.ndarray, detector: LocalDetector) -> list[Face]:
        """Adds the faces of a search of the whole frame that a local search confirms; most false positives fail it."""
        found = distinct(found)
        for face in others:
            if len(distinct([*found, face])) > len(found) and (confirmed := detector.find_near(image, face.box)):
                found = distinct([*found, confirmed])
        return found
