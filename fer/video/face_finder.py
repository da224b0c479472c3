"""Finds the faces of a video frame: near their places in the frame before, and in the whole frame pass by pass.

A local search takes 1 to 2 ms for each face, a search of the whole frame up to 40 ms. For a camera the whole frame is
searched in a thread of its own, so no frame waits for it: what it finds in one frame is confirmed in a later one. For a
file it is searched in line, so that a file gives the same result each time.
"""

import math
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np

from fer.inference.faces import Box, Detector, Face, non_max_suppression

INTERVAL = 0.75  # seconds between two searches of the whole frame while every known face is found near its place
FULL_SIZE_EVERY = 6  # one of so many of these searches is at full size, for small faces


@runtime_checkable
class LocalDetector(Protocol):
    """A detector that also searches near a known face, and the whole image pass by pass; see `haar.Haar`."""

    def find(self, image: np.ndarray, later_passes: bool = True) -> list[Face]: ...

    def find_near(self, image: np.ndarray, box: Box, later_passes: bool = True) -> Face | None: ...

    def find_in_pass(self, image: np.ndarray, number: int) -> list[Face]: ...

    def clone(self) -> "LocalDetector":
        """A detector with the same settings, for another thread."""


class FaceFinder:
    """Finds the faces of a moving image.

    A detector that is no `LocalDetector` searches every frame.

    Args:
        detector: finds the faces; one with an attribute `in_video` lends that, and one with a method `confirms` has a
            say about each new face, see `detectors.YuNetThenHaar`.
        thorough: search the whole frame in line, and all of it while a face is missing, as a file can wait.
        executor: runs the searches of the whole frame of a camera; by default a thread of its own.
    """

    def __init__(self, detector: Detector, *, thorough: bool = False, executor: Executor | None = None):
        self._confirms: Callable[[np.ndarray, Face], bool] = getattr(detector, "confirms", _always)
        detector = getattr(detector, "in_video", detector)
        self.detector, self.thorough = detector, thorough
        self._searched, self._searches, self._number = -math.inf, 0, 0
        if isinstance(detector, LocalDetector) and not thorough:
            self._background = detector.clone()
            self._executor = executor or ThreadPoolExecutor(1, "face search", _give_way)  # ends with this object
        self._search: Future[list[Face]] | None = None
        self._begun, self._last = False, list[Box]()

    def find(self, image: np.ndarray, expected: Sequence[Box], seconds: float, cut: bool = False) -> list[Face]:
        """The faces of a frame.

        Args:
            image: uint8 (H, W, 3) BGR; it must not be changed afterwards.
            expected: where the known faces should be.
            seconds: time of the frame.
            cut: the frame is the first one of a new scene.
        """
        if not isinstance(self.detector, LocalDetector):
            return self.detector.find(image)
        found = self._find(image, self.detector, expected, seconds, cut)
        self._last = [face.box for face in found]
        return found

    def _find(
        self, image: np.ndarray, detector: LocalDetector, expected: Sequence[Box], seconds: float, cut: bool
    ) -> list[Face]:
        found = []
        for box in expected:
            # A face that was missed in the frame before is probably gone: a camera gets the first pass for it only.
            later = self.thorough or any(box.intersection(last) for last in self._last)
            if face := detector.find_near(image, box, later_passes=later):
                found.append(face)
        begins, self._begun = cut or not self._begun, True
        complete = not begins and bool(expected) and len(found) == len(expected)
        if not self.thorough:
            found = self._add(found, self._finished_search(), image, detector)
            if begins:  # the first pass is a quick one: the first frame of a scene, too, shows its faces
                self._number = 1
                found = self._add(found, detector.find_in_pass(image, 0), image, detector)
            elif self._search is None and (number := self._next_pass(complete, bool(found), seconds)) is not None:
                self._search = self._executor.submit(self._background.find_in_pass, image, number)
                found = self._add(found, self._finished_search(), image, detector)  # a small frame takes no time
            return non_max_suppression(found)
        if not complete:
            found = self._add(found, detector.find(image, later_passes=False), image, detector)
        if (complete or not found) and (number := self._next_pass(complete, bool(found), seconds)) is not None:
            found = self._add(found, detector.find_in_pass(image, number), image, detector)
        return non_max_suppression(found)

    def _finished_search(self) -> list[Face]:
        """The faces of the search in the background if it has ended since the last frame."""
        if self._search is None or not self._search.done():
            return []
        search, self._search = self._search, None
        return search.result()

    def _next_pass(self, complete: bool, found: bool, seconds: float) -> int | None:
        """The number of the pass that searches the whole frame next; None while no search is due.

        While every known face is found, a search is due at intervals. While a face is missing, a pass is due each time;
        with another face in sight only passes for frontal faces, since the others have more false positives.
        """
        if complete:
            self._number = 0
            if 0 <= seconds - self._searched < INTERVAL:
                return None
            self._searched, self._searches = seconds, self._searches + 1
            return int(self._searches % FULL_SIZE_EVERY == 0)
        number, self._number = self._number, self._number + 1
        return int(number % FULL_SIZE_EVERY == 1) if found else number

    def _add(self, found: list[Face], others: list[Face], image: np.ndarray, detector: LocalDetector) -> list[Face]:
        """Adds the faces of a search of the whole frame that a local search confirms; most false positives fail it."""
        found = non_max_suppression(found)
        for face in others:
            if len(non_max_suppression([*found, face])) > len(found):
                confirmed = detector.find_near(image, face.box)
                if confirmed and self._confirms(image, confirmed):
                    found = non_max_suppression([*found, confirmed])
        return found


def _give_way() -> None:
    """Lets the frames have the processor first: on two cores a search holds one, and OpenCV's threads both."""
    if sys.platform == "linux":  # elsewhere a priority is that of the whole program
        os.nice(10)


def _always(image: np.ndarray, face: Face) -> bool:
    """The opinion of a detector that has no second one."""
    return True
