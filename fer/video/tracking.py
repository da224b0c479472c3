"""Tracks faces from frame to frame: track numbers, probabilities smoothed over time, labels that do not flicker.

    tracker = Tracker()
    for frame in source:
        predictions = tracker.update(recognizer(frame.image), frame.seconds)

`--smoothing S` sets the time constant, in seconds, of an exponential average over the observations of a face. The
weight of an observation that is t seconds old is exp(-t / S), whatever the frame rate. After a complete change of
expression the average covers half of it in 0.69 S and 95 % in 3 S. The label shown has hysteresis: it changes when
another label has led for S / 3 and leads by `MARGIN`, or when another label has led by any amount for 3 S. One update
alone never changes it. S = 0 switches off both.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment  # scipy comes with scikit-learn

from fer.core.errors import FerError
from fer.inference.faces import Box
from fer.inference.recognizer import Prediction
from fer.video.appearance import likeness

SMOOTHING = 0.4  # s, the default of --smoothing
KEEP = 1.0  # s without its face after which a track ends
UNMATCHED = 2.0  # cost of an unmatched pair: a jump of one box side, or twice the size
IN_PLACE = 1.0  # cost up to which a face is in the place of a track and not beside it: two fifths of a box side
MEMORY = 0.12  # s, time constant of place and velocity; the boxes of detectors jitter by a few percent
COAST = 0.7  # s, time constant with which the velocity of a face out of sight dies away
MOMENT = 0.12  # s in which a face still looks the same: three frames of 30 a second
# Least `likeness` of a face within a moment. Of 684 pairs of successive frames of real people none is below 0.74, two
# frames further on none below 0.60, and with boxes that jitter by 6 % under another light 1 in 1,000 is below 0.5. Of
# 599 pairs of two people in one place 2 % are above.
LIKE = 0.5
MARGIN = 0.15  # of smoothed probability, by which another label must lead
STEP = 0.001  # s, least time between two updates, also where the clock stands still or goes back


@dataclass(eq=False)
class _Track:
    """One person.

    Attributes:
        number: 1, 2, 3, ...
        last: float64 (4,), the box last seen: centre x, centre y in pixels, log of width, log of height.
        place: float64 (4,), the same without the jitter of the boxes.
        velocity: float64 (4,): of the centre in box sides per second, of the logs per second.
        seen: time of the last observation.
        look: see `appearance.look`; None where it is not compared.
        average: float64 (k,), smoothed probabilities.
        shown: index of the label shown.
        weights: sum of the weights in the average, at most 1; 0 after the first observation.
        behind: time since which another label leads; None while none does.
    """

    number: int
    last: np.ndarray
    place: np.ndarray
    velocity: np.ndarray
    seen: float
    look: np.ndarray | None
    average: np.ndarray
    shown: int
    weights: float = 0.0
    behind: float | None = None

    def expected(self, now: float) -> np.ndarray:
        """Where the face should be, as a place: the integral of v exp(-t / COAST) leads at most v COAST away."""
        travelled = self.velocity * COAST * -math.expm1((self.seen - now) / COAST)
        return self.place + travelled * _units(self.place)

    def move(self, found: np.ndarray, now: float) -> None:
        """Updates place and velocity with the box found.

        A critically damped g-h filter: g = 1 - theta^2, h = (1 - theta)^2 with theta = exp(-t / MEMORY); Brookner 1998,
        "Tracking and Kalman Filtering Made Easy", section 1.2.6.
        """
        passed = now - self.seen
        theta = math.exp(-passed / MEMORY)
        expected = self.expected(now)
        residual = found - expected
        self.place = expected + (1 - theta**2) * residual
        self.velocity = self.velocity + (1 - theta) ** 2 * residual / _units(found) / passed
        self.last, self.seen = found, now

    def smooth(self, probabilities: np.ndarray, passed: float, smoothing: float) -> None:
        """Updates the average: weights exp(-age / S), divided by their sum.

        The division corrects the bias of a young track, whose first frame would otherwise stand for all the time before
        it (Kingma and Ba 2015, "Adam", section 3, for even steps). The first frame has no step and gets the second's.
        """
        share = -math.expm1(-passed / smoothing)
        self.weights = (self.weights or share) * (1 - share) + share
        self.average += share / self.weights * (probabilities - self.average)

    def settle(self, now: float, smoothing: float) -> None:
        """Chooses the label to show."""
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
    """Tracks every face of one video.

    A face keeps its number while its box is near the place that its motion predicts, or near its last place: within one
    box side and a factor of two in size, after at most `keep` seconds out of sight. All faces of a frame are assigned
    at once, at the least total cost. A track ends when the face in its place plainly looks different from one frame to
    the next. After more than `MOMENT` seconds a face may have turned, and appearance is not compared: two people who
    swap places unseen swap numbers, and a person who takes another's place after that takes the number too.

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
        """Ends all tracks, for another scene; the numbers continue."""
        self._tracks: list[_Track] = []
        self._now = 0.0  # our own clock, which only goes forward
        self._seconds = math.inf  # the caller's clock when ours was set; before the first update, later than any

    def update(
        self, predictions: list[Prediction], seconds: float, looks: Sequence[np.ndarray] | None = None
    ) -> list[Prediction]:
        """Assigns the faces of one frame to tracks.

        Args:
            predictions: all faces of the frame, in any order, always with the same labels; may be empty.
            seconds: time of the frame, at any regular or irregular rate; a step back counts as no time passed.
            looks: what each face looks like, see `appearance.look`; without it appearance is not compared.

        Returns:
            The same predictions in the same order, each with its `track`; unless smoothing is 0, also with the smoothed
            distribution (float32 (k,), sum 1) and the label to show in `chosen`.
        """
        self._now, self._seconds = self._time(seconds), seconds
        self._tracks = self._alive(self._now)
        places = [_place(prediction.face.box) for prediction in predictions]
        seen: Sequence[np.ndarray | None] = [None] * len(places) if looks is None else looks
        tracks = self._matches(places, seen)
        faces = zip(predictions, places, seen, strict=True)
        return [self._follow(tracks.get(i), *face) for i, face in enumerate(faces)]

    def expected(self, seconds: float) -> list[Box]:
        """Where the tracked faces should be at a time, oldest track first; a box may extend beyond the image."""
        now = self._time(seconds)
        return [_box(track.expected(now)) for track in self._alive(now)]

    def _time(self, seconds: float) -> float:
        return self._now + max(STEP, seconds - self._seconds)

    def _alive(self, now: float) -> list[_Track]:
        return [track for track in self._tracks if now - track.seen <= self.keep]

    def _matches(self, places: list[np.ndarray], looks: Sequence[np.ndarray | None]) -> dict[int, _Track]:
        """Index of a face -> its track, for all faces that have one.

        Matches by the predicted places first, and what is left by the last places: people also stop and turn round
        while out of sight. A track in whose place somebody else begins ends; one beside it may be hidden.
        """
        tracks: list[_Track] = list(self._tracks)
        matches: dict[int, _Track] = {}
        others: list[tuple[int, _Track]] = []  # in the place of a track, but somebody else
        for where in (lambda track: track.expected(self._now), lambda track: track.last):
            left = [i for i in range(len(places)) if i not in matches]
            if not tracks or not left:
                break
            costs = _costs(np.stack([where(track) for track in tracks]), np.stack([places[i] for i in left]))
            for row, column in zip(*np.nonzero(costs < UNMATCHED), strict=True):
                if not self._may_be(tracks[row], looks[left[column]]):
                    if costs[row, column] < IN_PLACE:
                        others.append((left[column], tracks[row]))
                    costs[row, column] = UNMATCHED
            pairs = zip(*linear_sum_assignment(costs), strict=True)
            matches |= {left[j]: tracks[i] for i, j in pairs if costs[i, j] < UNMATCHED}
            tracks = [track for track in tracks if track not in matches.values()]
        ended = [track for i, track in others if i not in matches and track in tracks]
        self._tracks = [track for track in self._tracks if track not in ended]
        return matches

    def _may_be(self, track: _Track, look: np.ndarray | None) -> bool:
        """False if a face that looks so is plainly another."""
        if look is None or track.look is None or self._now - track.seen > MOMENT:
            return True
        return likeness(track.look, look, enough=LIKE) >= LIKE

    def _follow(
        self, track: _Track | None, prediction: Prediction, place: np.ndarray, look: np.ndarray | None
    ) -> Prediction:
        probabilities = prediction.distribution
        if track is None:
            self._last_number += 1
            average = probabilities.astype(np.float64)
            shown = int(average.argmax())
            track = _Track(self._last_number, place, place, np.zeros(4), self._now, look, average, shown)
            self._tracks.append(track)
        else:
            passed = self._now - track.seen
            track.move(place, self._now)
            track.look = look
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
    """One unit of a velocity in the units of a place."""
    side = _side(place)
    return np.array([side, side, 1, 1])


def _costs(expected: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The cost of matching each of n tracks with each of m faces.

    It is the sum of the distance of the centres in box sides, of 1 - IoU, and of 1.25 for each doubling of the side. A
    face of the right size one side away reaches `UNMATCHED`, and so does a face in the right place with twice or half
    the side. Costs are cut off there: an impossible pair must not weigh more than two unmatched ones.

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
