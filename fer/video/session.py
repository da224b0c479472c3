"""One video or camera from frame to frame: faces found, labelled and followed, and what came of it in the end."""

import math
import statistics
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator

import numpy as np

from fer.inference import results
from fer.inference.faces import Box, Detector, Face, distinct
from fer.inference.recognizer import Prediction, Recognizer, opencv_errors
from fer.video.frames import Frame
from fer.video.sources import open_source
from fer.video.tracking import KEEP, SMOOTHING, Tracker

FULL_LOOK = 0.75  # seconds between two looks over the whole frame while every face known is found near its last box
FULL_SIZE = 6  # every so many of them is at full size, for small faces
LONGEST_INTERVAL = 10.0  # seconds between two analysed frames that can be usual; a longer one is an outage
FPS_MEMORY = 20  # frames over which the frames per second are averaged
SAMPLE = 0.1  # seconds between two points of a timeline at least
MOST_TRACKS = 20  # faces in a summary; those seen longest
LONGEST_STEP = 1.0  # seconds: what a frame adds to a share of time at most; a camera that was lost adds no more


class Watch:
    """Finds the faces of a moving picture: near where they were, and over the whole frame a look at a time.

    A detector without `near` and `glance` looks over every frame.

    Args:
        detector: finds them.
        thorough: while a face is missed, take the whole first look at every frame, as a file can wait; else part of it,
            so that a camera's picture does not stutter.
    """

    def __init__(self, detector: Detector, *, thorough: bool = False):
        self.detector, self.thorough = detector, thorough
        self.quick = hasattr(detector, "near") and hasattr(detector, "glance")
        self.looked, self.checks, self.turn = -math.inf, 0, 0

    def find(self, image: np.ndarray, expected: list[Box], seconds: float) -> list[Face]:
        """Faces in a frame uint8 (H, W, 3) BGR, given where those known should be at this time."""
        if not self.quick:
            return self.detector.find(image)
        known = [self.detector.near(image, box) for box in expected]
        found = [face for face in known if face]
        if known and len(found) == len(known):
            self.turn = 0
            if 0 <= seconds - self.looked < FULL_LOOK:
                return distinct(found)
            self.looked, self.checks = seconds, self.checks + 1
            return self._with(found, self.detector.glance(image, int(self.checks % FULL_SIZE == 0)), image)
        if self.thorough:
            found = self._with(found, self.detector.find(image, second_looks=False), image)
        if not found or not self.thorough:
            # With a face in sight only its like is looked for: the looks at profiles err more often.
            turn = int(self.turn % FULL_SIZE == 1) if found else self.turn
            found = self._with(found, self.detector.glance(image, turn), image)
            self.turn += 1
        return distinct(found)

    def _with(self, found, others, image):
        """Adds faces that a look over the whole frame gave, if a near look agrees: most wrong boxes fail there."""
        found = distinct(found)
        for face in others:
            if len(distinct([*found, face])) > len(found) and (face := self.detector.near(image, face.box)):
                found = distinct([*found, face])
        return found


class Session:
    """Labels a video's frames one after the other.

    Args:
        recognizer: finds and labels the faces; its first detector belongs to this session while it runs.
        smoothing: seconds, see `tracking`.
        skip: analyse every Nth frame; the others show what the last one gave.
        thorough: see `Watch`.

    Attributes:
        history: what was seen so far.
        fps: frames a second, lately.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        smoothing: float = SMOOTHING,
        skip: int = 1,
        thorough: bool = False,
    ):
        self.recognizer, self.skip = recognizer, skip
        self.watch = Watch(recognizer.detectors[0], thorough=thorough)
        self.tracker = Tracker(smoothing=smoothing)
        self.intervals, self.updated = deque(maxlen=5), None
        self.fps, self.found = 0.0, []
        self.times: list[float] = []
        self.next, self.lost = 0, range(0)  # index of the next frame; indices missing before the last one
        self.history = History(recognizer.classifier.labels)

    def process(self, frame: Frame) -> list[Prediction]:
        """The faces of a frame, with track numbers and smoothed probabilities."""
        self.lost = range(self.next, frame.index)
        self.next = frame.index + 1
        self.history.lost += len(self.lost)
        if self.history.frames % self.skip == 0:
            self._allow_for_slowness(frame.seconds)
            with opencv_errors():
                faces = self.watch.find(frame.image, self.tracker.expected(frame.seconds), frame.seconds)
            (predictions,) = self.recognizer.classify([self.recognizer.prepare(frame.image, faces)])
            self.found = self.tracker.update(predictions, frame.seconds)
        self.history.add(frame.seconds, self.found)
        self.times = [*self.times[-FPS_MEMORY:], time.monotonic()]
        if (passed := self.times[-1] - self.times[0]) > 0:
            self.fps = (len(self.times) - 1) / passed
        return self.found

    def rows(self, frame: Frame) -> Iterator[dict]:
        """Result rows of the frame just processed, after a row "unreadable" for each frame that was lost before it."""
        for index in self.lost:
            yield from results.rows(frame.name, [], index=index, readable=False)
        yield from results.rows(frame.name, self.found, index=frame.index, seconds=frame.seconds)

    def _allow_for_slowness(self, seconds):
        """A face that is missed once must not end: it is kept for two and a half of the usual intervals, if need be."""
        if self.updated is not None:
            self.intervals.append(min(max(seconds - self.updated, 0.0), LONGEST_INTERVAL))
            self.tracker.keep = max(KEEP, 2.5 * statistics.median(self.intervals))
        self.updated = seconds


def track(
    recognizer: Recognizer, source: str, *, smoothing: float = SMOOTHING, skip: int = 1
) -> Iterator[tuple[Frame, list[Prediction]]]:
    """Labels the faces of a video or camera, frame by frame, and follows each of them.

    The recognizer's first detector must not be used elsewhere meanwhile. Leaving the loop closes the source.

    Args:
        recognizer: finds and labels the faces.
        source: a video file, a camera's number or an address, see `sources.open_source`.
        smoothing, skip: see `Session`.

    Yields:
        Each frame and the faces in it; nothing while a camera has no new frame.

    Raises:
        FerError: the source cannot be opened.
    """
    with open_source(source) as frames:
        session = Session(recognizer, smoothing=smoothing, skip=skip, thorough=not frames.live)
        for frame in frames:
            if frame is not None:
                yield frame, session.process(frame)


class History:
    """What was seen of every face, for a summary and a timeline; small enough for days.

    Args:
        labels: k names.

    Attributes:
        frames, empty, faces: frames, those without a face, and boxes, in all.
        lost: frames that could not be decoded.
        shown: track -> label, or "uncertain" -> seconds for which it was shown.
        tracks: track -> its times, seconds, and its probabilities, k a time; at most one every `SAMPLE` seconds.
    """

    def __init__(self, labels: tuple[str, ...]):
        self.labels = labels
        self.frames = self.empty = self.faces = self.lost = 0
        self.shown: dict[int, Counter] = {}
        self.tracks: dict[int, tuple[array, array]] = {}
        self.last = None

    def add(self, seconds: float, predictions: list[Prediction]) -> None:
        """Adds a frame."""
        passed = 0.0 if self.last is None else min(max(seconds - self.last, 0.0), LONGEST_STEP)
        self.last = seconds
        self.frames += 1
        self.empty += not predictions
        self.faces += len(predictions)
        for prediction in predictions:
            self.shown.setdefault(prediction.track, Counter())[prediction.shown] += passed
            times, probabilities = self.tracks.setdefault(prediction.track, (array("d"), array("f")))
            if not times or not 0 <= seconds - times[-1] < SAMPLE:
                times.append(seconds)
                probabilities.extend(prediction.distribution)

    def timeline(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Track -> times float64 (n), in seconds, and probabilities float32 (n, k)."""
        k = len(self.labels)
        return {track: (np.array(t), np.array(p, np.float32).reshape(-1, k)) for track, (t, p) in self.tracks.items()}

    def summary(self) -> str:
        """Frames, faces, and for each face followed the share of time of each expression."""
        followed = f"{self.faces:,} faces, {len(self.tracks):,} followed"
        unreadable = f", {self.lost:,} more unreadable" if self.lost else ""
        lines = [f"{self.frames:,} frames, {self.empty:,} without a face{unreadable}; {followed}"]
        longest = sorted(self.shown, key=lambda track: -self.shown[track].total())[:MOST_TRACKS]
        for track in sorted(longest):
            shares, (times, _) = self.shown[track], self.tracks[track]
            if total := shares.total():
                words = ", ".join(f"{label} {share / total:.0%}" for label, share in shares.most_common())
                lines.append(f"  face {track}, {times[0]:.1f} to {times[-1]:.1f} s: {words}")
        if len(self.shown) > MOST_TRACKS:
            lines.append(f"  ... and {len(self.shown) - MOST_TRACKS:,} seen for a shorter time")
        return "\n".join(lines)
