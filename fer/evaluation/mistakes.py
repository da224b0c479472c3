"""Misclassified images as a table and a contact sheet."""

from pathlib import Path

import numpy as np
import pandas as pd

from fer.core import figures, files
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
    names = np.array(predictions.labels)
    table = pd.DataFrame({"name": np.array(predictions.data.names)[wrong], "true": names[y_true[wrong]]})
    table["predicted"], table["confidence"] = names[y_pred[wrong]], confidence[wrong].round(4)
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False, errors="backslashreplace")
    shown = table[:SHOWN]
    captions = [f"true {row.true}\npredicted {row.predicted} {row.confidence:.0%}" for row in shown.itertuples()]
    sheet = path.with_suffix(".png")
    images = predictions.data.images[wrong[:SHOWN]]
    figures.contact_sheet(images, captions, sheet, title=f"most confident mistakes: {title}")
