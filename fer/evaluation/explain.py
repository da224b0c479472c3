"""Contact sheets of Grad-CAM heat maps: where a classifier looks when it is right and when it is wrong."""

import re
from pathlib import Path

import numpy as np

from fer.core import figures
from fer.evaluation.predictions import Predictions
from fer.models.classifier import Classifier
from fer.models.gradcam import grad_cam, overlay

SHOWN = 8  # correct images per sheet, and as many misclassified ones
COLUMNS = 8  # four pairs of image and heat map


def write_explanations(folder: str | Path, classifier: Classifier, predictions: Predictions, title: str) -> list[Path]:
    """Writes a contact sheet LABEL.png for each label that occurs.

    Each shows the most confident images of that true label: first correct ones, then misclassified ones, each beside
    the Grad-CAM heat map of the predicted label.

    Args:
        folder: made as needed.
        classifier: the one that made the predictions, without test-time augmentation.
        predictions: for labelled images.
        title: above the sheets.

    Returns:
        The files.

    Raises:
        FerError: an exported model or a network without feature maps, or a file cannot be written.
    """
    names = [re.sub(r"[^\w-]+", "_", label) for label in predictions.labels]
    paths = []
    for code, label in enumerate(predictions.labels):
        if not (predictions.y_true == code).any():
            continue
        alone = names.count(names[code]) == 1  # "a b" and "a_b" would share a file
        path = Path(folder, names[code] + (".png" if alone else f"_{code}.png"))
        images, captions = _tiles(classifier, predictions, code)
        figures.contact_sheet(images, captions, path, columns=COLUMNS, title=f"{label}: {title}")
        paths.append(path)
    return paths


def _tiles(classifier: Classifier, predictions: Predictions, code: int) -> tuple[np.ndarray, list[str]]:
    """Images, uint8 (n, H, W, 3), and captions: pairs of an image and its heat map, correct ones first."""
    tiles, captions = [], []
    for correct in (True, False):
        rows = np.flatnonzero((predictions.y_true == code) & ((predictions.y_pred == code) == correct))
        rows = rows[np.argsort(-predictions.confidence[rows], kind="stable")][:SHOWN]
        if not len(rows):
            continue
        images = predictions.data.images[rows]
        for row, image, heat in zip(rows, images, grad_cam(classifier, images, predictions.y_pred[rows]), strict=True):
            tiles += [np.broadcast_to(image, (*image.shape[:2], 3)), overlay(image, heat)]
            predicted = predictions.labels[predictions.y_pred[row]]
            captions += ["correct" if correct else "wrong", f"{predicted} {predictions.confidence[row]:.0%}"]
        blank = -len(tiles) % COLUMNS if correct else 0  # misclassified images begin on a row of their own
        tiles += [np.full_like(tiles[0], 255)] * blank
        captions += [""] * blank
    return np.stack(tiles), captions
