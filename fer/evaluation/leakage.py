"""How much duplicates between training and evaluation images raise the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer.core.images import InputSpec
from fer.core.text import aligned
from fer.data import coding, duplicates, loading, places
from fer.data.dataset import Dataset
from fer.evaluation.metrics import Report
from fer.evaluation.predictions import Predictions


@dataclass(frozen=True)
class Leakage:
    """Metrics of the images with and without a duplicate in training. Built by `measure_leakage`.

    Attributes:
        source: name of the training data.
        n_training: number of training images.
        without_duplicate, with_duplicate: reports of the images without and with a pixel-identical training image.
        without_near_duplicate, with_near_duplicate: reports of those without and with a duplicate or near-duplicate
            (correlation of at least `duplicates.NEAR`). Each is None where no image belongs to it.
    """

    source: str
    n_training: int
    without_duplicate: Report | None
    with_duplicate: Report | None
    without_near_duplicate: Report | None
    with_near_duplicate: Report | None

    def summary(self) -> str:
        """A table: images, accuracy with its interval, and macro F1 of each part."""
        rows = [[f"against the {self.n_training:,} training images of {self.source}", "images", "accuracy"]]
        rows[0] += ["95% interval", "macro F1"]
        for name, report in (
            ("without a duplicate in training", self.without_duplicate),
            ("without a duplicate or near-duplicate in training", self.without_near_duplicate),
            ("with a duplicate in training", self.with_duplicate),
            ("with a duplicate or near-duplicate in training", self.with_near_duplicate),
        ):
            if report is None:
                rows.append([name, "0", "-", "-", "-"])
                continue
            low, high = report.accuracy_ci95
            interval = f"{low:.2%} to {high:.2%}"
            rows.append([name, f"{report.n_images:,}", f"{report.accuracy:.2%}", interval, f"{report.macro_f1:.3f}"])
        return aligned(rows)

    def to_dict(self) -> dict:
        """As plain Python values, ready for `json.dump`; a part without images is None."""
        parts = {
            "without_duplicate": self.without_duplicate,
            "with_duplicate": self.with_duplicate,
            "without_near_duplicate": self.without_near_duplicate,
            "with_near_duplicate": self.with_near_duplicate,
        }
        plain = {"against": self.source, "training_images": self.n_training, "near_threshold": duplicates.NEAR}
        return plain | {name: report and _metrics(report) for name, report in parts.items()}


def load_training(source: str, evaluated: str, spec: InputSpec, metadata: Sequence[Mapping], **options) -> Dataset:
    """The training images to compare with: the train split, or all images where the data are not divided.

    Where they are the evaluated data itself, undivided, they are what the validation split left. A keep list, or votes
    that leave images out, hide no duplicate unless every model was trained with them. What the options say of the form
    and the labels of the evaluated data does not count for other data.

    Args:
        source: the training data.
        evaluated: the evaluated data.
        spec: size and channels of the evaluated images.
        metadata: of each model.
        options: as `loading.load` takes them, those of the evaluated data.
    """
    if not places.same(places.local(source), places.local(evaluated)):
        options |= {"validation_fraction": None, "votes": None, "keep_list": None, "labels": coding.OWN}
        options |= {"labels_csv": None, "format": None, "group": None, "drop_labels": ()}
    else:
        keep_list = options.get("keep_list") and Path(options["keep_list"]).name
        if any(one.get("keep_list") != keep_list for one in metadata):
            options["keep_list"] = None
        if any(one.get("votes") not in ("shares", "majority") for one in metadata):  # "mixed" leaves no image out
            options["votes"] = None
    return loading.load(source, spec, splits=("train",), **options)["train"]


def measure_leakage(predictions: Predictions, training: Dataset, source: str) -> Leakage:
    """Scores the images with and without a duplicate among the training images apart.

    Args:
        predictions: for the evaluation images.
        training: the training images, of the same size and channels.
        source: name of the training data.
    """
    parts = []
    for near in (False, True):
        known = seen(predictions, training, near=near)
        parts += [predictions.report(rows) if rows.any() else None for rows in (~known, known)]
    return Leakage(source, len(training), *parts)


def seen(predictions: Predictions, training: Dataset, *, near: bool = True) -> np.ndarray:
    """bool (n,): the images with a duplicate, or with `near` a near-duplicate, among the training images."""
    return duplicates.duplicates_in(predictions.data.images, training.images, near=near)


def _metrics(report: Report) -> dict:
    return {
        "images": report.n_images,
        "accuracy": report.accuracy,
        "accuracy_ci95": list(report.accuracy_ci95),
        "macro_f1": report.macro_f1,
    }
