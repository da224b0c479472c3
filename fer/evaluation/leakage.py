"""How much duplicates between training and evaluation images raise the scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fer.core.text import aligned
from fer.data import coding, duplicates, places
from fer.data.image_array import Images
from fer.evaluation.metrics import Report
from fer.evaluation.predictions import Predictions


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class Seen:
    """The evaluation images that are among the training images. Built by `find_seen`.

    Attributes:
        n_training: number of training images.
        exact: bool (n,), whether an image has a pixel-identical training image.
        near: bool (n,), whether it has one, or a near-duplicate (correlation of at least `duplicates.NEAR`).
    """

    n_training: int
    exact: np.ndarray
    near: np.ndarray


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


def training_options(source: str, evaluated: str, metadata: Sequence[Mapping], **options) -> dict:
    """How `loading.load` takes the training images to compare with: the train split, or all where there are none.

    Where they are the evaluated data itself, undivided, they are what the validation split left. A keep list, or votes
    that leave images out, hide no duplicate unless every model was trained with them. What the options say of the form
    and the labels of the evaluated data does not count for other data.

    Args:
        source: the training data.
        evaluated: the evaluated data.
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
    return options


def find_seen(images: Images, training: Images) -> Seen:
    """Searches duplicates and near-duplicates.

    Args:
        images: uint8 (n, H, W, C), those of the evaluation.
        training: uint8 (m, H, W, C), of the same shape.
    """
    exact, near = (duplicates.duplicates_in(images, training, near=near) for near in (False, True))
    return Seen(len(training), exact, near)


def measure_leakage(predictions: Predictions, seen: Seen, source: str) -> Leakage:
    """Scores the images with and without a duplicate among the training images apart.

    Args:
        predictions: for the evaluation images.
        seen: which of them have a duplicate in training.
        source: name of the training data.
    """
    parts = [rows for known in (seen.exact, seen.near) for rows in (~known, known)]
    return Leakage(source, seen.n_training, *(predictions.report(rows) if rows.any() else None for rows in parts))


def _metrics(report: Report) -> dict:
    return {
        "images": report.n_images,
        "accuracy": report.accuracy,
        "accuracy_ci95": list(report.accuracy_ci95),
        "macro_f1": report.macro_f1,
    }
