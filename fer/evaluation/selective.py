"""What a classifier is worth that may say "I do not know": accuracy as the least certain pictures are left out."""

from dataclasses import dataclass

import numpy as np

from fer.core.errors import FerError
from fer.core.text import aligned
from fer.evaluation.intervals import wilson

LEFT_OUT = (0, 5, 10, 20, 30, 40, 50, 60, 70, 80, 90)  # percent, the rows of the table
LEAST = 30  # pictures that a threshold keeps at least: fewer say little about the rest of the world


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class RiskCoverage:
    """Error of the most certain pictures, for any number of them. Built by `risk_coverage`.

    Attributes:
        confidence: float64 (n,), falling.
        risk: float64 (n,), share of errors among the 1, 2, ... n most certain pictures.
    """

    confidence: np.ndarray
    risk: np.ndarray

    @property
    def images(self) -> int:
        return len(self.risk)

    @property
    def coverage(self) -> np.ndarray:
        """float64 (n,), the share of pictures kept."""
        return np.arange(1, self.images + 1) / self.images

    @property
    def aurc(self) -> float:
        """Area under the risk-coverage curve: the mean of the risks (Geifman et al. 2019, "Bias-reduced uncertainty
        estimation for deep neural classifiers", section 2). Without any order among the pictures it is the error."""
        return float(self.risk.mean())

    @property
    def best_aurc(self) -> float:
        """The AURC with every error less certain than every right answer: the least that this accuracy allows."""
        wrong = round(self.risk[-1] * self.images)
        kept = np.arange(1, self.images + 1)
        return float((np.maximum(kept - (self.images - wrong), 0) / kept).mean())

    def rows(self) -> list[dict]:
        """One dict for each share of `LEFT_OUT`: left_out, images, confidence (of the least certain kept), accuracy,
        accuracy_ci95 (Wilson)."""
        rows = []
        for percent in LEFT_OUT:
            kept = max(1, self.images - round(self.images * percent / 100))
            right = kept * (1 - self.risk[kept - 1])
            rows.append({
                "left_out": percent / 100,
                "images": kept,
                "confidence": float(self.confidence[kept - 1]),
                "accuracy": float(right / kept),
                "accuracy_ci95": [float(end) for end in wilson(right, kept)],
            })  # fmt: skip
        return rows

    def summary(self) -> str:
        """The table and the area."""
        table = [["least certain left out", "images", "confidence from", "accuracy", "95% interval"]]
        for row in self.rows():
            low, high = row["accuracy_ci95"]
            interval = f"{low:.1%} to {high:.1%}"
            cells = (f"{row['left_out']:.0%}", f"{row['images']:,}", f"{row['confidence']:.3f}")
            table.append([*cells, f"{row['accuracy']:.2%}", interval])
        worst = f"{self.risk[-1]:.3f} if confidence said nothing, {self.best_aurc:.3f} at best"
        return f"{aligned(table)}\n\nAURC                {self.aurc:.3f}  ({worst})"

    def to_dict(self) -> dict:
        """The table and the areas as plain Python values, ready for `json.dump`."""
        return {"aurc": self.aurc, "aurc_at_best": self.best_aurc, "rows": self.rows()}


def risk_coverage(confidence: np.ndarray, right: np.ndarray) -> RiskCoverage:
    """Orders pictures by confidence (El-Yaniv & Wiener 2010, "On the foundations of noise-free selective
    classification").

    Pictures of the same confidence have no order among them: each counts with their mean error.

    Args:
        confidence: float (n,), probability of the label said.
        right: bool (n,), whether it is the true one.

    Raises:
        FerError: no pictures, or not as many of one as of the other.
    """
    if not len(right) or len(confidence) != len(right):
        raise FerError(f"a risk needs a confidence for each picture; found {len(confidence)} for {len(right)}")
    falling, block, size = np.unique(-np.asarray(confidence, np.float64), return_inverse=True, return_counts=True)
    errors = np.bincount(block, ~np.asarray(right, bool)) / size
    risk = np.cumsum(np.repeat(errors, size)) / np.arange(1, len(right) + 1)
    return RiskCoverage(np.repeat(-falling, size), risk)


@dataclass(frozen=True)
class Threshold:
    """A confidence below which a classifier is uncertain. Built by `threshold`.

    Attributes:
        below: the confidence; pictures that have it are kept.
        wanted: the accuracy asked for.
        kept, images: pictures above it, and all.
        right: of those kept.
    """

    below: float
    wanted: float
    kept: int
    images: int
    right: int

    @property
    def accuracy(self) -> float:
        """Of the pictures kept."""
        return self.right / self.kept

    @property
    def accuracy_ci95(self) -> tuple[float, float]:
        low, high = wilson(self.right, self.kept)
        return float(low), float(high)

    @property
    def coverage(self) -> float:
        """Share of pictures kept."""
        return self.kept / self.images

    def summary(self) -> str:
        low, high = self.accuracy_ci95
        return (
            f'confidence below {self.below:.4f} is "uncertain": the {self.coverage:.1%} of images from there '
            f"({self.kept:,})\nare right in {self.accuracy:.2%} (95% interval {low:.2%} to {high:.2%}; "
            f"{self.wanted:.2%} asked for)"
        )

    def to_dict(self) -> dict:
        return {
            "uncertain_below": self.below,
            "asked": self.wanted,
            "images": self.kept,
            "coverage": self.coverage,
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
        }


def threshold(curve: RiskCoverage, accuracy: float) -> Threshold:
    """The lowest confidence from which on the pictures reach an accuracy; 0 where all of them do.

    Args:
        curve: of validation pictures.
        accuracy: between 0 and 1.

    Raises:
        FerError: no threshold that keeps `LEAST` pictures reaches it.
    """
    kept = np.arange(1, curve.images + 1)
    right = np.rint(kept * (1 - curve.risk)).astype(int)
    last = np.append(curve.confidence[1:] < curve.confidence[:-1], True)  # pictures of one confidence stay together
    usable = last & (kept >= min(LEAST, curve.images))
    reached = np.flatnonzero(usable & (right >= accuracy * kept))
    if not len(reached):
        best = np.flatnonzero(usable)[(right / kept)[usable].argmax()]
        raise FerError(
            f"no confidence keeps {LEAST} pictures or more of which {accuracy:.2%} are right: "
            f"the best reaches {right[best] / kept[best]:.2%}; ask for less"
        )
    i = int(reached[-1])
    below = 0.0 if i == curve.images - 1 else float(curve.confidence[i])
    return Threshold(below, accuracy, int(kept[i]), curve.images, int(right[i]))
