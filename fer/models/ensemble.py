"""Ensembles: the mean of the probabilities of several classifiers."""

from collections.abc import Sequence

import numpy as np

from fer.core.errors import FerError
from fer.data.image_array import Images
from fer.models.classifier import Classifier


def average(classifiers: Sequence[Classifier], images: Sequence[Images], *, tta: str = "none") -> np.ndarray:
    """Mean probabilities of an ensemble. Outputs are matched by label name.

    Args:
        classifiers: at least one; all with the same labels, in any order.
        images: for each classifier, the same images prepared for its own spec, uint8 (n, size, size, channels).
        tta: see `Classifier.predict`.

    Returns:
        float32 (n, k), columns in the order of the first classifier's labels.

    Raises:
        FerError: the classifiers do not share one set of labels.
    """
    first = classifiers[0]
    total = np.zeros((len(images[0]), len(first.labels)), np.float32)
    for classifier, prepared in zip(classifiers, images, strict=True):
        if set(classifier.labels) != set(first.labels):
            both = f"{', '.join(first.labels)} and {', '.join(classifier.labels)}"
            raise FerError(f"models with different labels cannot be averaged: {both}")
        order = [classifier.labels.index(label) for label in first.labels]
        total += classifier.predict(prepared, tta=tta)[:, order]
    return total / len(classifiers)
