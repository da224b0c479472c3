"""Several classifiers as one: the mean of their probabilities."""

import numpy as np

from fer.core.errors import FerError
from fer.models.classifier import Classifier


def average(classifiers: list[Classifier], images: list[np.ndarray], *, tta: str = "none") -> np.ndarray:
    """Mean probabilities of an ensemble, outputs matched by label name.

    Args:
        classifiers: at least one; all with the same labels, in any order.
        images: for each classifier the same pictures as its own spec wants them.
        tta: see `Classifier.predict`.

    Returns:
        float32 (n, k), columns in the order of the first classifier's labels.

    Raises:
        FerError: the classifiers do not share one set of labels.
    """
    first = classifiers[0]
    total = 0
    for classifier, pictures in zip(classifiers, images, strict=True):
        if set(classifier.labels) != set(first.labels):
            both = f"{', '.join(first.labels)} and {', '.join(classifier.labels)}"
            raise FerError(f"models with different labels cannot be averaged: {both}")
        order = [classifier.labels.index(label) for label in first.labels]
        total = total + classifier.predict(pictures, tta=tta)[:, order]
    return (total / len(classifiers)).astype(np.float32)
