"""Misclassified images as a table and a contact sheet."""

from pathlib import Path

import numpy as np

from fer.core import csv, figures
from fer.evaluation.predictions import Predictions

SHOWN = 64  # images on the contact sheet


def write_mistakes(path: Path, predictions: Predictions, title: str) -> None:
    """Writes a row for every misclassified image, the most confident first, and a contact sheet of the first ones.

    Args:
        path: the CSV file; the sheet gets its name with the suffix .png.
        predictions: for labelled images.
        title: above the sheet.

    Raises:
        FerError: a file cannot be written.
    """
    y_true, y_pred, confidence = predictions.y_true, predictions.y_pred, predictions.confidence
    wrong = np.flatnonzero(y_true != y_pred)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names, labels = predictions.data.names, predictions.labels
    rows = [(names[i], labels[y_true[i]], labels[y_pred[i]], round(float(confidence[i]), 4)) for i in wrong]
    csv.write(path, ("name", "true", "predicted", "confidence"), rows)
    captions = [f"true {true}\npredicted {predicted} {share:.0%}" for _, true, predicted, share in rows[:SHOWN]]
    sheet = path.with_suffix(".png")
    images = predictions.data.images[wrong[:SHOWN]]
    figures.contact_sheet(images, captions, sheet, title=f"most confident mistakes: {title}")
