"""Temperature scaling: one number that makes confidences agree with accuracy (Guo et al. 2017)."""

from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar

from fer.data.image_array import Images
from fer.models.classifier import Classifier

RANGE = (0.2, 5.0)  # of temperatures that are tried
FEWEST = 100  # images to fit a temperature on; from 14 it was far off (docs/web.md)
TINY = 1e-7  # smallest probability that is told from 0


def fit_temperature(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """The temperature T at which softmax(log(p) / T) has the least cross-entropy against the targets.

    Args:
        probabilities: float32 (n, k), of images that were not trained on.
        targets: float32 (n, k), rows sum to 1.

    Returns:
        T; above 1 where the network is overconfident.
    """
    logits = np.log(np.maximum(probabilities.astype(np.float64), TINY))

    def loss(log_temperature):
        scaled = logits / np.exp(log_temperature)
        scaled -= scaled.max(axis=1, keepdims=True)
        return -(targets * (scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True)))).sum(axis=1).mean()

    best = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))


def calibrate(classifier: Classifier, images: Images, targets: np.ndarray) -> Classifier:
    """Fits the temperature and divides the weights of the last layer by it: the labels stay, the confidences change.

    Args:
        classifier: with a layer "logits" in front of its softmax, as `networks.build` makes it; changed in place.
        images, targets: prepared images that it was not trained on, and their targets float32 (n, k). Where targets are
            shares, the largest one counts, as in every score: a confidence should equal the share of right labels.

    Returns:
        The same network with its temperature in the metadata.
    """
    right = np.eye(targets.shape[1], dtype=np.float32)[targets.argmax(axis=1)]
    temperature = fit_temperature(classifier.predict(images), right)
    network: Any = classifier.model
    layer = network.get_layer("logits")
    layer.set_weights([array / temperature for array in layer.get_weights()])
    combined = temperature * classifier.metadata.get("temperature", 1.0)
    metadata = classifier.metadata | {"temperature": round(combined, 4)}
    return Classifier(classifier.model, classifier.labels, classifier.spec, metadata)
