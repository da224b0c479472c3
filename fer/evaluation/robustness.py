"""Accuracy on corrupted images."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

import numpy as np

from fer.core.images import InputSpec
from fer.core.text import aligned
from fer.data.dataset import Dataset
from fer.evaluation.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from fer.evaluation.predictions import predict
from fer.models.classifier import Classifier


@dataclass(frozen=True)
class Robustness:
    """Accuracy under each corruption. Built by `measure_robustness`.

    Attributes:
        n_images: images of each measurement.
        clean: accuracy on the images as they are.
        accuracy: kind of corruption -> accuracy at the strengths 1 to 5.
    """

    n_images: int
    clean: float
    accuracy: dict[str, tuple[float, ...]]

    @property
    def mean(self) -> float:
        """Mean accuracy over all kinds and strengths."""
        return float(np.mean(list(self.accuracy.values())))

    def summary(self) -> str:
        """A table: accuracy by kind and strength, and the means."""
        rows = [["corruption", *(f"strength {strength}" for strength in STRENGTHS), "mean"]]
        for kind, values in self.accuracy.items():
            rows.append([kind, *(f"{value:.1%}" for value in values), f"{np.mean(values):.1%}"])
        rows.append([])
        means = np.mean(list(self.accuracy.values()), axis=0)
        rows.append(["mean", *(f"{value:.1%}" for value in means), f"{self.mean:.1%}"])
        head = f"accuracy under corruption, {self.n_images:,} images; {self.clean:.1%} without"
        return f"{head}\n{aligned(rows)}"

    def to_dict(self) -> dict:
        """All figures as plain Python values, ready for `json.dump`."""
        accuracy = {kind: list(values) for kind, values in self.accuracy.items()}
        return {"images": self.n_images, "clean": self.clean, "mean": self.mean, "accuracy": accuracy}


def measure_robustness(
    classifiers: Sequence[Classifier],
    data: Mapping[InputSpec, Dataset],
    *,
    tta: str = "none",
    progress: Callable[[Iterable, int, str], Iterable] = lambda items, total, text: items,
) -> Robustness:
    """Classifies corrupted copies of labelled images, every kind of `CORRUPTIONS` in every strength.

    The images are corrupted as the network receives them, after detection, crop and resizing.

    Args:
        classifiers, data, tta: as `predictions.predict` takes them.
        progress: wraps the iteration over kinds and strengths.
    """
    whole = {spec: np.asarray(part.images) for spec, part in data.items()}  # decoded once, where they are on demand

    def accuracy(change: Callable[[np.ndarray], np.ndarray]) -> float:
        changed = {spec: replace(part, images=change(whole[spec])) for spec, part in data.items()}
        return predict(classifiers, changed, tta=tta).report().accuracy

    clean = accuracy(lambda images: images)
    found: dict[str, list[float]] = {kind: [] for kind in CORRUPTIONS}
    steps = list(product(CORRUPTIONS, STRENGTHS))
    for kind, strength in progress(steps, len(steps), "corruptions"):
        found[kind].append(accuracy(partial(corrupt, kind=kind, strength=strength)))
    n_images = len(next(iter(data.values())))
    return Robustness(n_images, clean, {kind: tuple(values) for kind, values in found.items()})
