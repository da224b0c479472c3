"""Made-up faces for the tracker. A face carries its person's name in `Face.score`, which the tracker does not read."""

import itertools

import numpy as np

from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction

LABELS = ("angry", "happy", "sad")
HAPPY, SAD = (0.1, 0.8, 0.1), (0.1, 0.1, 0.8)
SIDE = 100  # of most boxes, pixels: positions below are in hundredths of a box side


def seen(x, y=0, side=SIDE, probabilities=HAPPY, person=1):
    box = Box(round(x - side / 2), round(y - side / 2), round(side), round(side))
    return Prediction(Face(box, person), np.array(probabilities, np.float32), LABELS)


def times(fps, seconds, start=0.0):
    return start + np.arange(round(seconds * fps) + 1) / fps


def numbers(tracker, frames):
    """Person -> the track numbers given, in order of their first use; frames are (seconds, predictions)."""
    given = {}
    for now, predictions in frames:
        for prediction in tracker.update(predictions, now):
            given.setdefault(prediction.face.score, []).append(prediction.track)
    return {person: list(dict.fromkeys(tracks)) for person, tracks in given.items()}


def labels(tracker, when, probabilities):
    """The labels shown for one face that stays where it is."""
    pairs = zip(when, probabilities, strict=True)
    return [tracker.update([seen(0, probabilities=row)], now)[0].label for now, row in pairs]


def changes(shown):
    return sum(a != b for a, b in itertools.pairwise(shown))


def smoothed(tracker, when, signal):
    rows = [tracker.update([seen(0, probabilities=signal(now))], now)[0].distribution for now in when]
    return dict(zip(np.round(when, 6), rows, strict=True))
