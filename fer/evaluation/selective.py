"""Selective classification: accuracy as a classifier abstains on its least confident images."""

from dataclasses import dataclass

import numpy as np

from fer.core.errors import FerError
from fer.core.text import aligned
from fer.evaluation.intervals import wilson

COVERAGES = (100, 95, 90, 80, 70, 60, 50, 40, 30, 20, 10)  # percent, the rows of the table
LEAST = 30  # images that a threshold keeps at least: fewer give no useful estimate of the accuracy


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class RiskCoverage:
    """Error rate of the most confident images, for every number of them. Built by `risk_coverage`.

    Attributes:
        confidence: float64 (n,), descending.
        risk: float64 (n,), error rate of the 1, 2, ... n most confident images.
    """

    confidence: np.ndarray
    risk: np.ndarray

    @property
    def n_images(self) -> int:
        """Number of images."""
        return len(self.risk)

    @property
    def coverage(self) -> np.ndarray:
        """float64 (n,), share of images that are classified."""
        return np.arange(1, self.n_images + 1) / self.n_images

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve: the mean of the risks (Geifman et al. 2019, "Bias-reduced uncertainty
        estimation for deep neural classifiers", section 2). An uninformative confidence gives the error rate."""
        return float(self.risk.mean())

    @property
    def best_aurc(self) -> float:
        """The AURC if every error were less confident than every correct prediction: the minimum at this accuracy."""
        n_wrong = round(self.risk[-1] * self.n_images)
        kept = np.arange(1, self.n_images + 1)
        return float((np.maximum(kept - (self.n_images - n_wrong), 0) / kept).mean())

    def rows(self) -> list[dict]:
        """One dict per coverage of `COVERAGES`: coverage, images, confidence (the lowest of them), accuracy,
        accuracy_ci95 (Wilson)."""
        rows = []
        for percent in COVERAGES:
            kept = max(1, round(self.n_images * percent / 100))
            accuracy = 1 - self.risk[kept - 1]
            rows.append({
                "coverage": percent / 100,
                "images": kept,
                "confidence": float(self.confidence[kept - 1]),
                "accuracy": float(accuracy),
                "accuracy_ci95": list(wilson(round(kept * accuracy), kept)),
            })  # fmt: skip
        return rows

    def summary(self) -> str:
        """The table and the area."""
        table = [["coverage", "images", "confidence from", "accuracy", "95% interval"]]
        for row in self.rows():
            low, high = row["accuracy_ci95"]
            interval = f"{low:.1%} to {high:.1%}"
            cells = (f"{row['coverage']:.0%}", f"{row['images']:,}", f"{row['confidence']:.3f}")
            table.append([*cells, f"{row['accuracy']:.2%}", interval])
        bounds = f"{self.risk[-1]:.3f} with an uninformative confidence, {self.best_aurc:.3f} at best"
        return f"{aligned(table)}\n\nAURC                {self.aurc:.3f}  ({bounds})"

    def to_dict(self) -> dict:
        """The table and the areas as plain Python values, ready for `json.dump`."""
        return {"aurc": self.aurc, "aurc_at_best": self.best_aurc, "rows": self.rows()}


def risk_coverage(confidence: np.ndarray, correct: np.ndarray) -> RiskCoverage:
    """Orders images by confidence (El-Yaniv & Wiener 2010, "On the foundations of noise-free selective
    classification").

    Images of equal confidence have no order among them: each counts with their mean error.

    Args:
        confidence: float (n,), probability of the predicted label.
        correct: bool (n,), whether it is the true one.

    Raises:
        FerError: no images, or arrays of different lengths.
    """
    if not len(correct) or len(confidence) != len(correct):
        raise FerError(f"a risk needs a confidence for each image; found {len(confidence)} for {len(correct)}")
    falling, block, size = np.unique(-np.asarray(confidence, np.float64), return_inverse=True, return_counts=True)
    errors = np.bincount(block, ~np.asarray(correct, bool)) / size
    risk = np.cumsum(np.repeat(errors, size)) / np.arange(1, len(correct) + 1)
    return RiskCoverage(np.repeat(-falling, size), risk)


@dataclass(frozen=True)
class Threshold:
    """A confidence below which a classifier abstains. Built by `fit_threshold`.

    Attributes:
        confidence: the threshold; images at or above it are classified.
        target: the accuracy that was asked for.
        n_kept, n_images: images at or above the threshold, and all.
        n_correct: of those kept.
    """

    confidence: float
    target: float
    n_kept: int
    n_images: int
    n_correct: int

    @property
    def accuracy(self) -> float:
        """Of the images kept."""
        return self.n_correct / self.n_kept

    @property
    def accuracy_ci95(self) -> tuple[float, float]:
        """95 % interval of `accuracy` (Wilson)."""
        return wilson(self.n_correct, self.n_kept)

    @property
    def coverage(self) -> float:
        """Share of images kept."""
        return self.n_kept / self.n_images

    def summary(self) -> str:
        """The threshold, and what is left above it, in two lines."""
        low, high = self.accuracy_ci95
        return (
            f'confidence below {self.confidence:.4f} is "uncertain": the other {self.n_kept:,} of {self.n_images:,} '
            f"images (coverage {self.coverage:.1%})\nare classified with an accuracy of {self.accuracy:.2%} "
            f"(95% interval {low:.2%} to {high:.2%}, target {self.target:.2%})"
        )

    def to_dict(self) -> dict:
        """All figures as plain Python values, ready for `json.dump`."""
        return {
            "uncertain_below": self.confidence,
            "target_accuracy": self.target,
            "images": self.n_kept,
            "coverage": self.coverage,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
        }

    def metadata(self, data: str, *, unseen: bool = False) -> dict:
        """What a model file keeps of it.

        Args:
            data: name of the validation data.
            unseen: images with a duplicate or near-duplicate in training were left out.
        """
        fitted = {"data": data, "images": self.n_images, "asked": self.target, "accuracy": self.accuracy}
        fitted |= {"unseen": True} if unseen else {}
        return {"uncertain_below": self.confidence, "uncertain_chosen_on": fitted | {"coverage": self.coverage}}


def fit_threshold(curve: RiskCoverage, accuracy: float) -> Threshold:
    """The lowest confidence at or above which the images reach an accuracy; 0 where all images reach it.

    Args:
        curve: of validation images.
        accuracy: between 0 and 1.

    Raises:
        FerError: no threshold that keeps `LEAST` images reaches it.
    """
    kept = np.arange(1, curve.n_images + 1)
    n_correct = np.rint(kept * (1 - curve.risk)).astype(int)
    last = np.append(curve.confidence[1:] < curve.confidence[:-1], True)  # images of equal confidence stay together
    usable = last & (kept >= min(LEAST, curve.n_images))
    reached = np.flatnonzero(usable & (n_correct >= accuracy * kept))
    if not len(reached):
        best = np.flatnonzero(usable)[(n_correct / kept)[usable].argmax()]
        raise FerError(
            f"no threshold keeps {LEAST} or more images with an accuracy of {accuracy:.2%}: "
            f"the best reaches {n_correct[best] / kept[best]:.2%}; ask for less"
        )
    i = int(reached[-1])
    confidence = 0.0 if i == curve.n_images - 1 else float(curve.confidence[i])
    return Threshold(confidence, accuracy, int(kept[i]), curve.n_images, int(n_correct[i]))
