"""Accuracy on corrupted images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.core.text import aligned
from fer.data.dataset import Dataset
from fer.evaluation.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from fer.evaluation.predictions import predict
from fer.models.classifier import Classifier

# The augmentation of a recipe that changes images as a kind of corruption does.
ALIKE = {
    "blur": "blur",
    "small size": "blur",  # enlarged again, a small image is mostly a blurred one
    "noise": "noise",
    "darkness": "darkness",
    "shift": "shift",
    "tilt": "rotation",
    "occlusion": "erasing",
}


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class Robustness:
    """Accuracy under each corruption. Built by `measure_robustness`.

    Attributes:
        name: of the model, or of all models of the ensemble.
        n_images: images of each measurement.
        clean: accuracy on the images as they are.
        accuracy: kind of corruption -> accuracy at the severities 1 to 5.
        shares: float64 (kinds, n_images), the share of the five copies of an image that are classified correctly.
        trained_on: the kinds whose like was in the training augmentation: accuracy under these says less about others.
    """

    name: str
    n_images: int
    clean: float
    accuracy: dict[str, tuple[float, ...]]
    shares: np.ndarray
    trained_on: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """Mean accuracy over all kinds and severities."""
        return float(self.shares.mean())

    @property
    def mean_ci95(self) -> tuple[float, float]:
        """Low and high end of the 95% interval of `mean` over images; see `interval`."""
        return interval(self.shares.mean(axis=0), least=0.0)

    def summary(self) -> str:
        """A table: accuracy by kind and severity, and the means."""
        rows = [["corruption", *(f"severity {severity}" for severity in SEVERITIES), "mean"]]
        for kind, values in self.accuracy.items():
            marked = kind + " *" * (kind in self.trained_on)
            rows.append([marked, *(f"{value:.1%}" for value in values), f"{np.mean(values):.1%}"])
        rows.append([])
        means = np.mean(list(self.accuracy.values()), axis=0)
        rows.append(["mean", *(f"{value:.1%}" for value in means), f"{self.mean:.1%}"])
        low, high = self.mean_ci95
        head = f"{self.name} under corruption: accuracy on {self.n_images:,} images; {self.clean:.1%} without"
        lines = [head, aligned(rows), f"95% interval of the mean: {low:.1%} to {high:.1%}"]
        if self.trained_on:
            lines.append("* the training augmentation imitates this corruption")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """All figures as plain Python values, ready for `json.dump`."""
        accuracy = {kind: list(values) for kind, values in self.accuracy.items()}
        means = {"mean": self.mean, "mean_ci95": list(self.mean_ci95), "trained_on": list(self.trained_on)}
        return {"model": self.name, "images": self.n_images, "clean": self.clean, "accuracy": accuracy} | means

    def compare(self, other: "Robustness") -> "RobustnessComparison":
        """Compares two models under the same corruptions of the same images.

        Raises:
            FerError: they were measured on different numbers of images.
        """
        if self.n_images != other.n_images:
            raise FerError(f"a comparison needs the same images; found {self.n_images} and {other.n_images}")
        differences = self.shares - other.shares
        rows = {kind: differences[i] for i, kind in enumerate(self.accuracy)} | {"mean": differences.mean(axis=0)}
        names = (self.name, other.name) if self.name != other.name else ("the first", "the second")
        found = {kind: (float(row.mean()), *interval(row)) for kind, row in rows.items()}
        return RobustnessComparison(names, self.n_images, found)


@dataclass(frozen=True)
class RobustnessComparison:
    """Two models, A and B, under the same corruptions. Built by `Robustness.compare`.

    Attributes:
        names: of A and B.
        n_images: of each measurement.
        differences: kind, or "mean" for all kinds -> mean accuracy(A) - mean accuracy(B) over the five severities, and
            low and high end of its 95% interval over images (`interval`).
    """

    names: tuple[str, str]
    n_images: int
    differences: dict[str, tuple[float, float, float]]

    def summary(self) -> str:
        """A table: the difference for each kind, in points, with its interval."""
        rows = [["corruption", "points", "95% interval"]]
        for kind, (difference, low, high) in self.differences.items():
            rows.append([kind, f"{100 * difference:+.1f}", f"{100 * low:+.1f} to {100 * high:+.1f}"])
        a, b = self.names
        return f"{a} compared with {b} under corruption, the same {self.n_images:,} images\n{aligned(rows)}"

    def to_dict(self) -> dict:
        """Everything as plain Python values, ready for `json.dump`."""
        differences = {kind: list(values) for kind, values in self.differences.items()}
        return {"models": list(self.names), "images": self.n_images, "differences": differences}


def interval(values: np.ndarray, *, least: float = -1.0) -> tuple[float, float]:
    """Low and high end of the 95% interval of a mean over images: the mean -+ 1.96 standard errors.

    The copies of an image are not independent, but their images are: the standard error is that of the images' means.

    Args:
        values: float64 (n), one for each image; of a single one nothing is known.
        least: their least possible value, below which the interval does not go, nor above 1.
    """
    error = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5 if len(values) > 1 else 2.0
    return max(least, float(values.mean()) - error), min(1.0, float(values.mean()) + error)


def measure_robustness(
    classifiers: Sequence[Classifier],
    data: Mapping[InputSpec, Dataset],
    *,
    name: str = "model",
    tta: str = "none",
    progress: Callable[[Iterable, int, str], Iterable] = lambda items, total, text: items,
) -> Robustness:
    """Classifies corrupted copies of labelled images, every kind of `CORRUPTIONS` in every severity.

    The images are corrupted as the network receives them, after detection, crop and resizing.

    Args:
        classifiers, data, name, tta: as `predictions.predict` takes them.
        progress: wraps the iteration over kinds and severities.
    """
    whole = {spec: np.asarray(part.images) for spec, part in data.items()}  # decoded once, where they are on demand

    def correct(change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        changed = {spec: replace(part, images=change(whole[spec])) for spec, part in data.items()}
        found = predict(classifiers, changed, tta=tta)
        return found.y_pred == found.y_true

    clean = float(correct(lambda images: images).mean())
    found: dict[str, list[np.ndarray]] = {kind: [] for kind in CORRUPTIONS}
    steps = list(product(CORRUPTIONS, SEVERITIES))
    for kind, severity in progress(steps, len(steps), "corruptions"):
        found[kind].append(correct(partial(corrupt, kind=kind, severity=severity)))
    recipes = [classifier.metadata.get("recipe", {}) for classifier in classifiers]
    return Robustness(
        name,
        len(found["blur"][0]),
        clean,
        {kind: tuple(float(one.mean()) for one in copies) for kind, copies in found.items()},
        np.array([np.mean(copies, axis=0) for copies in found.values()]),
        tuple(kind for kind, field in ALIKE.items() if any(recipe.get(field) for recipe in recipes)),
    )
