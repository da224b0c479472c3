"""Predictions of models, to compute by hand what evaluate.py says of them."""

from fer.core.images import InputSpec
from fer.data import loading
from fer.models.classifier import Classifier
from fer.models.ensemble import average
from support import tiny

SPEC = InputSpec(tiny.SIZE)


def predictions(models, faces, split="validation"):
    """(data, probabilities) as the library gives them, labels in the order of tiny.LABELS."""
    data = loading.load(faces, SPEC, splits=(split,))[split].align(tiny.LABELS)
    loaded = [Classifier.load(path) for path in models]
    probabilities = average(loaded, [data.images] * len(loaded))
    order = [loaded[0].labels.index(label) for label in tiny.LABELS]
    return data, probabilities[:, order]
