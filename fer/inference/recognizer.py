"""Expressions of the faces in a picture: what the network says of each."""

from dataclasses import dataclass

import numpy as np

from fer.core.images import prepare
from fer.inference.faces import Face, crop
from fer.models.classifier import Classifier

CROPPED_SIDE = 128  # pixels: a square picture up to this size is taken as a cropped face ...
CROPPED_RATIO = 1.05  # ... square up to this ratio of its sides


def is_cropped_face(image: np.ndarray) -> bool:
    """Small and square: a picture that a data set of faces would hold, not a photograph."""
    short, long = sorted(image.shape[:2])
    return long <= min(CROPPED_SIDE, CROPPED_RATIO * short)


UNCERTAIN = "uncertain"  # what is shown in place of a label


@dataclass(frozen=True)
class Prediction:
    """What the network says of one face.

    Attributes:
        face: where it is.
        probabilities: float32 (k), sum 1; smoothed over time where a tracker has seen to it.
        labels: k names, in the order of the probabilities.
        track: the number under which the face is followed through a video; None in a single picture.
        chosen: index of the label shown, where that is not simply the most probable one (hysteresis); else None.
        uncertain_below: the confidence below which "uncertain" is shown; None where nobody asked for that.
    """

    face: Face
    probabilities: np.ndarray
    labels: tuple[str, ...]
    track: int | None = None
    chosen: int | None = None
    uncertain_below: float | None = None

    @property
    def label(self) -> str:
        return self.labels[self._index]

    @property
    def confidence(self) -> float:
        return float(self.probabilities[self._index])

    @property
    def uncertain(self) -> bool:
        return self.uncertain_below is not None and self.confidence < self.uncertain_below

    @property
    def shown(self) -> str:
        """What people see: the label, or "uncertain"."""
        return UNCERTAIN if self.uncertain else self.label

    @property
    def _index(self) -> int:
        return int(self.probabilities.argmax()) if self.chosen is None else self.chosen


def recognize(
    classifier: Classifier, image: np.ndarray, faces: list[Face], uncertain_below: float | None = None
) -> list[Prediction]:
    """The expressions of the faces that a detector found, in one call of the network.

    Args:
        classifier: names them.
        image: uint8 (H, W, 3) BGR.
        faces: in this picture.
        uncertain_below: see `Prediction`.

    Returns:
        A prediction for each face, in the same order.
    """
    return predict(classifier, rows(classifier, image, faces), faces, uncertain_below)


def rows(classifier: Classifier, image: np.ndarray, faces: list[Face]) -> list[np.ndarray]:
    """The network's input for each face, uint8 (size, size, channels)."""
    spec = classifier.spec
    return [prepare(crop(image, face, spec.margin), spec) for face in faces]


def predict(
    classifier: Classifier, rows: list[np.ndarray], faces: list[Face], uncertain_below: float | None = None
) -> list[Prediction]:
    """Predictions for prepared faces, which may come from many pictures."""
    if not rows:
        return []
    probabilities = classifier.predict(np.stack(rows))
    return [
        Prediction(face, row, classifier.labels, uncertain_below=uncertain_below)
        for face, row in zip(faces, probabilities, strict=True)
    ]
