"""Paired comparison of two models on the same images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from fer.core.errors import FerError
from fer.evaluation.intervals import accuracy_and_f1, resamples

SIGNIFICANT = 0.05  # p below which a difference counts as significant


@dataclass(frozen=True)
class Comparison:
    """Two models, A and B, on the same images. Built by `compare`.

    Attributes:
        names: of A and B.
        both, only_a, only_b, neither: images that both, one or none of them classify correctly.
        macro_f1: of A and B, over the labels that occur.
        accuracy_difference_ci95: low and high end of the 95% interval of accuracy(A) - accuracy(B).
        macro_f1_difference_ci95: the same of macro F1.
        p: of McNemar's exact test: how often equally accurate models differ at least this much by chance.
        of: what the images are, in words.
    """

    names: tuple[str, str]
    both: int
    only_a: int
    only_b: int
    neither: int
    macro_f1: tuple[float, float]
    accuracy_difference_ci95: tuple[float, float]
    macro_f1_difference_ci95: tuple[float, float]
    p: float
    of: str = "images"

    @property
    def n_images(self) -> int:
        """Number of images that both models classified."""
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def accuracy(self) -> tuple[float, float]:
        """Of A and B."""
        return (self.both + self.only_a) / self.n_images, (self.both + self.only_b) / self.n_images

    @property
    def accuracy_difference(self) -> float:
        """accuracy(A) - accuracy(B)."""
        return (self.only_a - self.only_b) / self.n_images

    @property
    def macro_f1_difference(self) -> float:
        """Macro F1 of the first model minus that of the second."""
        return self.macro_f1[0] - self.macro_f1[1]

    @property
    def better(self) -> str | None:
        """Name of the model with the significantly higher accuracy; None where the difference is not significant."""
        if self.p >= SIGNIFICANT:
            return None
        return self.names[self.only_b > self.only_a]

    @property
    def verdict(self) -> str:
        """The result of the test in words."""
        if self.only_a == self.only_b:
            return "No difference: each model alone is correct on the same number of images."
        chance = f"two equally accurate models differ at least this much in {_percent(self.p)} of samples"
        if self.better:
            return f"{self.better} is significantly more accurate: {chance}."
        low, high = (f"{100 * end:+.1f}" for end in self.accuracy_difference_ci95)
        return (
            f"Not significant: {chance}.\n"
            f"The true difference may lie anywhere from {low} to {high} points; more images would narrow the interval."
        )

    def summary(self) -> str:
        """The comparison in a few lines."""
        a, b = self.names
        low, high = (f"{100 * end:+.2f}" for end in self.accuracy_difference_ci95)
        lowest, highest = (f"{end:+.3f}" for end in self.macro_f1_difference_ci95)
        return "\n".join([
            f"{a} compared with {b} on the same {self.n_images:,} {self.of}",
            f"correct             both {self.both:,}; only {a} {self.only_a:,}; only {b} {self.only_b:,}; "
            f"neither {self.neither:,}",
            f"accuracy            {self.accuracy[0]:.2%} and {self.accuracy[1]:.2%}: "
            f"{100 * self.accuracy_difference:+.2f} points  (95% interval {low} to {high}, paired bootstrap)",
            f"macro F1            {self.macro_f1[0]:.3f} and {self.macro_f1[1]:.3f}: "
            f"{self.macro_f1_difference:+.3f}  (95% interval {lowest} to {highest})",
            f"McNemar's test      p = {self.p:.3g}  (exact, two-sided)",
            self.verdict,
        ])  # fmt: skip

    def to_dict(self) -> dict:
        """Everything as plain Python values, ready for `json.dump`."""
        return {
            "models": list(self.names),
            "images": self.n_images,
            "correct": {"both": self.both, "only_a": self.only_a, "only_b": self.only_b, "neither": self.neither},
            "accuracy": list(self.accuracy),
            "accuracy_difference": self.accuracy_difference,
            "accuracy_difference_ci95": list(self.accuracy_difference_ci95),
            "macro_f1": list(self.macro_f1),
            "macro_f1_difference": self.macro_f1_difference,
            "macro_f1_difference_ci95": list(self.macro_f1_difference_ci95),
            "mcnemar_p": self.p,
            "better": self.better,
        }


def compare(
    y_true: np.ndarray,
    y_pred_a: np.ndarray,
    y_pred_b: np.ndarray,
    k: int,
    names: Sequence[str] = ("A", "B"),
    *,
    seed: int = 0,
) -> Comparison:
    """Compares the predictions of two models.

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions", in its exact form: of
    the images that only one model classifies correctly, each falls to either model with probability one half. The
    bootstrap draws whole images, with both predictions (Efron & Tibshirani 1993, section 8.3).

    Args:
        y_true: int (n,), code of the true label of each image, below k.
        y_pred_a, y_pred_b: int (n,), code of the label that each model predicts.
        k: number of labels.
        names: of the models.
        seed: of the bootstrap.

    Raises:
        FerError: no images, or arrays of different lengths.
    """
    n = len(y_true)
    if not n or len(y_pred_a) != n or len(y_pred_b) != n:
        raise FerError(
            f"a comparison needs two predictions for each image; "
            f"found {n} images, {len(y_pred_a)} and {len(y_pred_b)} predictions"
        )
    correct_a, correct_b = y_pred_a == y_true, y_pred_b == y_true
    only_a, only_b = int((correct_a & ~correct_b).sum()), int((correct_b & ~correct_a).sum())
    (low, lowest), (high, highest) = _bootstrap(y_true, y_pred_a, y_pred_b, k, seed)
    once = np.ones((1, n), int)
    f1_a, f1_b = (float(accuracy_and_f1(once, y_true, y_pred, k)[1][0]) for y_pred in (y_pred_a, y_pred_b))
    name_a, name_b = names
    return Comparison(
        names=(name_a, name_b),
        both=int((correct_a & correct_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~correct_a & ~correct_b).sum()),
        macro_f1=(f1_a, f1_b),
        accuracy_difference_ci95=(float(low), float(high)),
        macro_f1_difference_ci95=(float(lowest), float(highest)),
        p=float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    )


def _bootstrap(y_true, y_pred_a, y_pred_b, k, seed) -> np.ndarray:
    """Percentiles 2.5 and 97.5 of the differences in accuracy and macro F1, float64 (2, 2).

    Images with the same true label and predictions are interchangeable: these are the kinds of `intervals.resamples`.
    """
    kinds, counts = np.unique(np.stack([y_true, y_pred_a, y_pred_b]), axis=1, return_counts=True)
    differences = []
    for drawn in resamples(counts, seed):
        (accuracy_a, f1_a), (accuracy_b, f1_b) = (accuracy_and_f1(drawn, kinds[0], y_pred, k) for y_pred in kinds[1:])
        differences.append(np.stack([accuracy_a - accuracy_b, f1_a - f1_b], axis=1))
    return np.percentile(np.concatenate(differences), [2.5, 97.5], axis=0)


def _percent(p: float) -> str:
    return f"{p:.0%}" if p >= 0.095 else f"{p:.1%}" if p >= 0.001 else "less than 0.1%"
