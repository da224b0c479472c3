"""The same face from frame to frame: track numbers, probabilities smoothed per face, labels that do not flicker.

    tracker = Tracker()
    for frame in source:
        predictions = tracker.update(recognizer(frame.image), frame.seconds)

What `--smoothing S` means: S is the time constant, in seconds, of an exponential average over the observations of one
face. An observation that is t seconds old has lost all but exp(-t / S) of its weight, whatever the frame rate: after a
complete change of expression the average is half there after 0.69 S and 95 % there after 3 S. The label shown is held
in proportion: it changes when another label has been ahead for S / 3 and is ahead by `MARGIN`, or when it has been
behind, by however little, for 3 S. One update alone never changes it, so at a few frames a second a change takes two.
S = 0 switches off both: probabilities pass through untouched and the most probable label shows.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment  # scipy comes with scikit-learn

from fer.core.errors import FerError
from fer.inference.faces import Box
from fer.inference.recognizer import Prediction

SMOOTHING = 0.4  # s, the default of --smoothing
KEEP = 1.0  # s without a face after which a track ends
UNMATCHED = 2.0  # cost of leaving a track and a face without each other: a jump of one box side, or twice the size
MEMORY = 0.12  # s, time constant over which place and velocity are averaged; detectors' boxes shake by a few percent
COAST = 0.7  # s, time constant with which the velocity of a face out of sight dies away
MARGIN = 0.15  # of smoothed probability, by which another label must lead
STEP = 0.001  # s, least time from one update to the next: a clock that stands still or goes back slows us, no more


@dataclass(eq=False)
class _Track:
    """One person.

    Attributes:
        number: 1, 2, 3, ...
        last: float64 (4,), the box last seen: centre x, centre y in pixels, log of width, log of height.
        place: float64 (4,), the same with the shaking of the boxes averaged out.
        velocity: float64 (4,): of the centre in box sides per second, of the logs per second.
        seen: time of the last observation.
        average: float64 (k,), smoothed probabilities.
        shown: index of the label shown.
        weights: sum of the weights in the average, of at most 1; 0 while it is the first observation alone.
        behind: time since when another label has been ahead of it; None while none is.
    """

    number: int
    last: np.ndarray
    place: np.ndarray
    velocity: np.ndarray
    seen: float
    average: np.ndarray
    shown: int
    weights: float = 0.0
    behind: float | None = None

    def expected(self, now: float) -> np.ndarray:
        """Where the face should be, like `place`: the integral of v exp(-t / COAST), so never further than v COAST."""
        travelled = self.velocity * COAST * -math.expm1((self.seen - now) / COAST)
        return self.place + travelled * _units(self.place)

    def move(self, found: np.ndarray, now: float) -> None:
        """Takes the box found.

        A critically damped g-h filter: g = 1 - theta^2, h = (1 - theta)^2 with theta = exp(-t / MEMORY); Brookner 1998,
        "Tracking and Kalman Filtering Made Easy", section 1.2.6.
        """
        passed = now - self.seen
        theta = math.exp(-passed / MEMORY)
        expected = self.expected(now)
        surprise = found - expected
        self.place = expected + (1 - theta**2) * surprise
        self.velocity = self.velocity + (1 - theta) ** 2 * surprise / _units(found) / passed
        self.last, self.seen = found, now

    def smooth(self, probabilities: np.ndarray, passed: float, smoothing: float) -> None:
        """Lets the average follow: weights exp(-age / S), divided by their sum.

        The division matters while the track is younger than a few S: without it the first picture of a face, often its
        worst, would stand for all the time before it (Kingma and Ba 2015, "Adam", section 3, for even steps). The
        first picture has no step of its own and gets the second's.
        """
        share = -math.expm1(-passed / smoothing)
        self.weights = (self.weights or share) * (1 - share) + share
        self.average += share / self.weights * (probabilities - self.average)

    def settle(self, now: float, smoothing: float) -> None:
        """Decides on the label to show."""
        leader = int(self.average.argmax())
        lead = self.average[leader] - self.average[self.shown]
        if lead <= 0:
            self.behind = None
            return
        if self.behind is None:
            self.behind = now
        elif now - self.behind > (smoothing / 3 if lead >= MARGIN else 3 * smoothing):
            self.shown, self.behind = leader, None


class Tracker:
    """Follows every face of a video; one for each video.

    A face keeps its number while its box is near where its motion so far leads, or at least near where it was: within
    one box side and a factor of two in size, after at most `keep` seconds out of sight. Who is who is decided for all
    faces of a frame at once, at the least total cost. Looks are not compared: two people who swap places unseen swap
    numbers, and one who takes another's place within `keep` seconds takes the number, too.

    Args:
        smoothing: time constant in seconds, as the top of this file explains; 0 for none.
        keep: seconds without a face after which a track ends. At least twice the time between two updates.

    Raises:
        FerError: smoothing or keep is negative or no number.
    """

    def __init__(self, *, smoothing: float = SMOOTHING, keep: float = KEEP):
        for name, value in (("smoothing", smoothing), ("keep", keep)):
            if not 0 <= value < math.inf:
                raise FerError(f"{name} is a time in seconds, 0 or more; found {value}")
        self.smoothing = smoothing
        self.keep = keep
        self._last_number = 0
        self.reset()

    def reset(self) -> None:
        """Forgets all faces, for another video or place; the numbers go on where they were."""
        self._tracks: list[_Track] = []
        self._now = 0.0  # our own clock, which only goes forward
        self._seconds = math.inf  # the caller's clock when ours was set; before the first update, later than any

    def update(self, predictions: list[Prediction], seconds: float) -> list[Prediction]:
        """Tells who is who in one frame.

        Args:
            predictions: all faces of the frame, in any order, always with the same labels; none is a frame too.
            seconds: time of the frame, at any regular or irregular rate; a step back counts as no time passed.

        Returns:
            The same predictions in the same order, each with a `track` of its own; unless smoothing is 0 with the
            track's smoothed probabilities (float32 (k,), sum 1) and the label to show in `chosen`.
        """
        self._now, self._seconds = self._time(seconds), seconds
        self._tracks = self._alive(self._now)
        places = [_place(prediction.face.box) for prediction in predictions]
        tracks = self._matches(places)
        return [
            self._follow(tracks.get(i), prediction, place)
            for i, (prediction, place) in enumerate(zip(predictions, places, strict=True))
        ]

    def expected(self, seconds: float) -> list[Box]:
        """Where the faces followed should be at a time, oldest track first; a box may reach over the picture's edge."""
        now = self._time(seconds)
        return [_box(track.expected(now)) for track in self._alive(now)]

    def _time(self, seconds: float) -> float:
        return self._now + max(STEP, seconds - self._seconds)

    def _alive(self, now: float) -> list[_Track]:
        return [track for track in self._tracks if now - track.seen <= self.keep]

    def _matches(self, places: list[np.ndarray]) -> dict[int, _Track]:
        """Index of a face -> its track, for all faces that have one.

        First by where a face should be. What is left then, on both sides, by where it was last seen: people also stop
        and turn round while out of sight.
        """
        tracks: list[_Track] = list(self._tracks)
        matches: dict[int, _Track] = {}
        for where in (lambda track: track.expected(self._now), lambda track: track.last):
            left = [i for i in range(len(places)) if i not in matches]
            if not tracks or not left:
                break
            costs = _costs(np.stack([where(track) for track in tracks]), np.stack([places[i] for i in left]))
            pairs = zip(*linear_sum_assignment(costs), strict=True)
            matches |= {left[j]: tracks[i] for i, j in pairs if costs[i, j] < UNMATCHED}
            tracks = [track for track in tracks if track not in matches.values()]
        return matches

    def _follow(self, track: _Track | None, prediction: Prediction, place: np.ndarray) -> Prediction:
        probabilities = prediction.distribution
        if track is None:
            self._last_number += 1
            average = probabilities.astype(np.float64)
            track = _Track(self._last_number, place, place, np.zeros(4), self._now, average, int(average.argmax()))
            self._tracks.append(track)
        else:
            passed = self._now - track.seen
            track.move(place, self._now)
            if self.smoothing:
                track.smooth(probabilities, passed, self.smoothing)
                track.settle(self._now, self.smoothing)
        if not self.smoothing:
            return replace(prediction, track=track.number, chosen=None)
        smoothed = track.average.astype(np.float32)
        return replace(prediction, track=track.number, distribution=smoothed, chosen=track.shown)


def _place(box: Box) -> np.ndarray:
    return np.array([*box.centre, math.log(max(box.width, 1)), math.log(max(box.height, 1))])


def _box(place: np.ndarray) -> Box:
    width, height = np.exp(place[2:])
    return Box(round(place[0] - width / 2), round(place[1] - height / 2), max(round(width), 1), max(round(height), 1))


def _side(places: np.ndarray) -> np.ndarray:
    """The geometric mean of width and height, in pixels; float64 (...,) for places (..., 4)."""
    return np.exp((places[..., 2] + places[..., 3]) / 2)


def _units(place: np.ndarray) -> np.ndarray:
    """What one unit of a velocity is worth in the units of a place."""
    side = _side(place)
    return np.array([side, side, 1, 1])


def _costs(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """How little each of n tracks and m faces belong together.

    The sum of the distance of their centres in box sides, of 1 - intersection over union, and of 1.25 for each doubling
    from side to side. So `UNMATCHED` is reached by a face of the right size one side away from where it should be, and
    by one in the right place with twice or half the side. Costs are cut off there: a pair out of the question must
    weigh on the others no more than two that are left alone.

    Args:
        expected: places of the tracks, float64 (n, 4).
        found: places of the faces, float64 (m, 4).

    Returns:
        float64 (n, m), 0 to UNMATCHED.
    """
    expected, found = expected[:, None], found[None]
    side, other = _side(expected), _side(found)
    distance = np.hypot(expected[..., 0] - found[..., 0], expected[..., 1] - found[..., 1]) / np.sqrt(side * other)
    doublings = np.abs(np.log2(side / other))
    sizes, others = np.exp(expected[..., 2:]), np.exp(found[..., 2:])
    ends = np.minimum(expected[..., :2] + sizes / 2, found[..., :2] + others / 2)
    starts = np.maximum(expected[..., :2] - sizes / 2, found[..., :2] - others / 2)
    common = np.maximum(ends - starts, 0).prod(axis=-1)
    overlap = common / (side**2 + other**2 - common)
    return np.minimum(distance + (1 - overlap) + 1.25 * doublings, UNMATCHED)
