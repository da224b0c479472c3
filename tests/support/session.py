"""A detector and a classifier that give what they are told."""

import numpy as np

from fer.core.images import InputSpec
from fer.inference.faces import Face

LABELS = ("happy", "sad")
FPS = 30


class FakeDetector:
    """Finds what it is told, with each of its methods; records every search."""

    name = "fake"

    def __init__(self, boxes=(), hidden=()):
        self.boxes, self.hidden, self.searches = (
            list(boxes),
            list(hidden),
            [],
        )  # hidden: only a local search finds these

    def clone(self):
        return self

    def find(self, image, later_passes=True):
        self.searches.append("whole, long" if later_passes else "whole")
        return [Face(box, 1.0) for box in self.boxes]

    def find_in_pass(self, image, turn):
        self.searches.append(turn)
        return [Face(box, 1.0) for box in self.boxes]

    def find_near(self, image, box, later_passes=True):
        self.searches.append("near")
        return next((Face(b, 1.0) for b in (*self.boxes, *self.hidden) if b.overlap(box) > 0.3), None)


class FakeClassifier:
    """Says "happy" for bright faces and "sad" for dark ones."""

    labels, spec = LABELS, InputSpec(8)

    def __init__(self):
        self.calls = []

    def predict(self, images):
        self.calls.append(len(images))
        bright = images.mean(axis=(1, 2, 3)) / 255
        return np.stack([bright, 1 - bright], axis=1).astype(np.float32)
