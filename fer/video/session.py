"""Labels a video or camera frame by frame: finds, labels and follows the faces, and sums up what was seen."""

import statistics
import time
from array import array
from collections import Counter, deque
from collections.abc import Iterator

import numpy as np

from fer.core.errors import FerError
from fer.core.text import counted
from fer.inference import results
from fer.inference.faces import Detector
from fer.inference.recognizer import Prediction, Recognizer, opencv_errors
from fer.video.appearance import CutDetector, look
from fer.video.face_finder import FaceFinder
from fer.video.frames import Frame, FrameSource
from fer.video.sources import open_source
from fer.video.tracking import KEEP, SMOOTHING, Tracker

LONGEST_INTERVAL = 10.0  # seconds between two analysed frames that can be usual; a longer one is an outage
FPS_WINDOW = 20  # frames over which the frames per second are averaged
SAMPLE = 0.1  # seconds between two points of a timeline, at least
MOST_TRACKS = 20  # faces in a summary, those seen longest
LONGEST_STEP = 1.0  # seconds that a frame adds to a share of time, at most; the outage of a camera adds no more


class Session:
    """Labels the frames of one video or camera.

    Args:
        recognizer: finds and labels the faces.
        detector: belongs to this session while it runs; by default the recognizer's first.
        smoothing: time constant in seconds, see `tracking`.
        skip: analyse every Nth frame, and the first one of each scene; the frames between repeat its faces.
        thorough: see `FaceFinder`.

    Attributes:
        history: what was seen so far.
        fps: frames per second, averaged over the last frames.
    """

    def __init__(
        self,
        recognizer: Recognizer,
        *,
        detector: Detector | None = None,
        smoothing: float = SMOOTHING,
        skip: int = 1,
        thorough: bool = False,
    ):
        if skip < 1:
            raise FerError(f"skip must be 1 or more, not {skip}")
        self.recognizer, self.skip = recognizer, skip
        self.finder = FaceFinder(detector or recognizer.detectors[0], thorough=thorough)
        self.tracker = Tracker(smoothing=smoothing)
        self.cuts = CutDetector()
        self.history = History(recognizer.classifier.labels)
        self.fps = 0.0
        self.times: deque[float] = deque(maxlen=FPS_WINDOW + 1)
        self._found: list[Prediction] = []
        self._intervals: deque[float] = deque(maxlen=5)
        self._updated: float | None = None
        self._next, self._lost = 0, range(0)  # index of the next frame; indices missing before the last one

    def process(self, frame: Frame) -> list[Prediction]:
        """The faces of a frame, with track numbers and smoothed probabilities.

        Raises:
            FerError: the frame cannot be searched.
        """
        self._lost = range(self._next, frame.index)
        self._next = frame.index + 1
        self.history.lost += len(self._lost)
        cut = self.cuts.is_cut(frame.image)
        if cut or self.history.frames % self.skip == 0:
            self._found = self._analyse(frame, cut)
        self.history.add(frame.seconds, self._found)
        self.times.append(time.monotonic())
        if (passed := self.times[-1] - self.times[0]) > 0:
            self.fps = (len(self.times) - 1) / passed
        return self._found

    def _analyse(self, frame: Frame, cut: bool) -> list[Prediction]:
        self._adapt_to_rate(frame.seconds)
        expected = self.tracker.expected(frame.seconds)  # a new scene often has its faces in the same places
        if cut:
            self.tracker.reset()
        with opencv_errors():
            faces = self.finder.find(frame.image, expected, frame.seconds, cut=cut)
        (predictions,) = self.recognizer.classify([self.recognizer.prepare(frame.image, faces)])
        return self.tracker.update(predictions, frame.seconds, [look(frame.image, face.box) for face in faces])

    def rows(self, frame: Frame) -> Iterator[dict]:
        """Result rows of the frame just processed, after a row "unreadable" for each frame that was lost before it."""
        for index in self._lost:
            yield from results.rows(frame.name, [], index=index, readable=False)
        yield from results.rows(frame.name, self._found, index=frame.index, seconds=frame.seconds)

    def finish(self, source: FrameSource) -> list[dict]:
        """Counts the frames that were lost after the last one processed; their rows "unreadable".

        Args:
            source: where the frames came from, read to its end.
        """
        lost = range(self._next, self._next + source.lost - self.history.lost)
        self._next = lost.stop
        self.history.lost += len(lost)
        return [row for index in lost for row in results.rows(source.name, [], index=index, readable=False)]

    def _adapt_to_rate(self, seconds: float) -> None:
        """Keeps a track for two and a half of the usual intervals at least: a face missed once must not end it."""
        if self._updated is not None:
            self._intervals.append(min(max(seconds - self._updated, 0.0), LONGEST_INTERVAL))
            self.tracker.keep = max(KEEP, 2.5 * statistics.median(self._intervals))
        self._updated = seconds


def track(
    recognizer: Recognizer, source: str, *, smoothing: float = SMOOTHING, skip: int = 1
) -> Iterator[tuple[Frame, list[Prediction]]]:
    """Labels the faces of a video or camera, frame by frame, and follows each of them.

    Leaving the loop closes the source. A recognizer that was built from detector objects lends its first one, which
    nothing else may use meanwhile.

    Args:
        recognizer: finds and labels the faces.
        source: a video file, a camera's number or an address, see `sources.open_source`.
        smoothing, skip: see `Session`.

    Yields:
        Each frame and the faces in it; nothing while a camera has no new frame.

    Raises:
        FerError: the source cannot be opened, or `skip` is below 1.
    """
    with open_source(source) as frames:
        detector = recognizer.new_detector()
        session = Session(recognizer, detector=detector, smoothing=smoothing, skip=skip, thorough=not frames.live)
        for frame in frames:
            if frame is not None:
                yield frame, session.process(frame)


class History:
    """What was seen of every face, for a summary and a timeline; small enough for days of video.

    Args:
        labels: k names.

    Attributes:
        frames, empty, faces: number of frames, of frames without a face, and of boxes.
        lost: frames that could not be decoded.
        shown: for each track the seconds for which each label, or "uncertain", was shown.
        tracks: for each track its times in seconds and its probabilities, k for each time; every `SAMPLE` seconds.
    """

    def __init__(self, labels: tuple[str, ...]):
        self.labels = labels
        self.frames = self.empty = self.faces = self.lost = 0
        self.shown: dict[int, dict[str, float]] = {}
        self.tracks: dict[int, tuple[array, array]] = {}
        self.last: float | None = None

    def add(self, seconds: float, predictions: list[Prediction]) -> None:
        """Adds a frame."""
        passed = 0.0 if self.last is None else min(max(seconds - self.last, 0.0), LONGEST_STEP)
        self.last = seconds
        self.frames += 1
        self.empty += not predictions
        self.faces += len(predictions)
        for prediction in predictions:
            track = prediction.track or 0
            shown = self.shown.setdefault(track, {})
            shown[prediction.shown] = shown.get(prediction.shown, 0.0) + passed
            times, probabilities = self.tracks.setdefault(track, (array("d"), array("f")))
            if not times or not 0 <= seconds - times[-1] < SAMPLE:
                times.append(seconds)
                probabilities.extend(prediction.distribution)

    def timeline(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Track -> times float64 (n), in seconds, and probabilities float32 (n, k)."""
        k = len(self.labels)
        return {track: (np.array(t), np.array(p, np.float32).reshape(-1, k)) for track, (t, p) in self.tracks.items()}

    def summary(self) -> str:
        """Frames, faces, and for each face followed the share of time of each expression."""
        followed = f"{counted(self.faces, 'face')} in {counted(len(self.tracks), 'track')}"
        unreadable = f", {self.lost:,} more unreadable" if self.lost else ""
        lines = [f"{self.frames:,} frames, {self.empty:,} without a face{unreadable}; {followed}"]
        longest = sorted(self.shown, key=lambda track: -sum(self.shown[track].values()))[:MOST_TRACKS]
        for track in sorted(longest):
            shares, (times, _) = self.shown[track], self.tracks[track]
            if total := sum(shares.values()):
                words = ", ".join(f"{label} {share / total:.0%}" for label, share in Counter(shares).most_common())
                lines.append(f"  face {track}, {times[0]:.1f} to {times[-1]:.1f} s: {words}")
        if len(self.shown) > MOST_TRACKS:
            lines.append(f"  ... and {len(self.shown) - MOST_TRACKS:,} seen for a shorter time")
        return "\n".join(lines)
