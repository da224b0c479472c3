"""Where in a face a label comes from: Grad-CAM heat maps in the place of each face."""

import numpy as np

from fer.inference.faces import turn_back
from fer.inference.recognizer import Prediction, Recognizer
from fer.models.classifier import Classifier
from fer.models.gradcam import grad_cam


def heat_maps(
    recognizer: Recognizer, image: np.ndarray, predictions: list[Prediction], classifier: Classifier | None = None
) -> list[np.ndarray]:
    """Heat maps of the labels of faces; `gradcam.overlay` draws them.

    Args:
        recognizer: the one that made the predictions.
        image: uint8 (H, W, 3) BGR.
        predictions: faces in it.
        classifier: explains the labels; by default the recognizer's. For an exported model, the one it was made from.

    Returns:
        For each face float32 (size, size), 0 to 1, with the network's size: stretched over the face's box, it lies
        where the evidence is. A tilted face is upright for the network; its map is turned back.

    Raises:
        FerError: a network without gradients or feature maps, see `grad_cam`.
    """
    if not predictions:
        return []
    inputs = np.stack(recognizer.prepare(image, [prediction.face for prediction in predictions]).inputs)
    classifier = classifier or recognizer.classifier
    codes = np.array([classifier.labels.index(prediction.label) for prediction in predictions])
    maps = grad_cam(classifier, inputs, codes)
    return [turn_back(heat, prediction.face) for heat, prediction in zip(maps, predictions, strict=True)]
