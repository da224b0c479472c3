"""Is one model really better than another? Both answered for the same pictures: answers are compared in pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from fer.core.errors import FerError
from fer.evaluation.metrics import RESAMPLES

DRAWS = 100  # resamples drawn at a time: what bounds the memory
SIGNIFICANT = 0.05  # p below which a difference counts as shown


@dataclass(frozen=True)
class Comparison:
    """Two models, A and B, on the same pictures. Built by `compare`.

    Attributes:
        names: of A and B.
        both, only_a, only_b, neither: pictures that both, one or none of them got right.
        macro_f1: of A and B, over the labels that occur.
        accuracy_difference_ci95: low and high end of the 95% interval of accuracy of A less accuracy of B.
        macro_f1_difference_ci95: the same of macro F1.
        p: of McNemar's exact test: how often models that are equally good differ at least so much by chance.
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

    @property
    def images(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def accuracy(self) -> tuple[float, float]:
        """Of A and B."""
        return (self.both + self.only_a) / self.images, (self.both + self.only_b) / self.images

    @property
    def accuracy_difference(self) -> float:
        """Accuracy of A less accuracy of B."""
        return (self.only_a - self.only_b) / self.images

    @property
    def macro_f1_difference(self) -> float:
        return self.macro_f1[0] - self.macro_f1[1]

    @property
    def better(self) -> str | None:
        """Name of the model that is shown to be better in accuracy; None where chance explains the difference."""
        if self.p >= SIGNIFICANT:
            return None
        return self.names[self.only_b > self.only_a]

    @property
    def verdict(self) -> str:
        """What the test says, in plain words."""
        a, b = self.names
        if self.only_a == self.only_b:
            return f"No difference: where only one of them is right, it is {a} as often as {b}."
        chance = f"two equally good models differ by this much or more {_percent(self.p)} of the time"
        if self.better:
            return f"{self.better} is really better (on pictures like these): {chance}."
        low, high = (f"{100 * end:+.1f}" for end in self.accuracy_difference_ci95)
        return (
            f"Not shown: {chance}.\n"
            f"The truth may lie anywhere from {low} to {high} points; more pictures would narrow that down."
        )

    def summary(self) -> str:
        """The comparison in a few lines."""
        a, b = self.names
        low, high = (f"{100 * end:+.2f}" for end in self.accuracy_difference_ci95)
        lowest, highest = (f"{end:+.3f}" for end in self.macro_f1_difference_ci95)
        return "\n".join([
            f"Is {a} better than {b}? The same {self.images:,} images",
            f"right in both       {self.both:,}; only in {a} {self.only_a:,}; only in {b} {self.only_b:,}; "
            f"in neither {self.neither:,}",
            f"accuracy            {self.accuracy[0]:.2%} against {self.accuracy[1]:.2%}: "
            f"{100 * self.accuracy_difference:+.2f} points  (95% interval {low} to {high}, paired bootstrap)",
            f"macro F1            {self.macro_f1[0]:.3f} against {self.macro_f1[1]:.3f}: "
            f"{self.macro_f1_difference:+.3f}  (95% interval {lowest} to {highest})",
            f"McNemar's test      p = {self.p:.3g}  (exact, two-sided)",
            self.verdict,
        ])  # fmt: skip

    def to_dict(self) -> dict:
        """Everything as plain Python values, ready for `json.dump`."""
        return {
            "models": list(self.names),
            "images": self.images,
            "right": {"both": self.both, "only_a": self.only_a, "only_b": self.only_b, "neither": self.neither},
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
    true: np.ndarray, a: np.ndarray, b: np.ndarray, k: int, names: Sequence[str] = ("A", "B"), *, seed: int = 0
) -> Comparison:
    """Compares the answers of two models.

    McNemar 1947, "Note on the sampling error of the difference between correlated proportions", in its exact form: of
    the pictures that only one model got right, either model has each with probability one half. The bootstrap draws
    whole pictures, with both answers (Efron & Tibshirani 1993, section 8.3).

    Args:
        true: int (n,), the true label of each picture, as a code below k.
        a, b: int (n,), the label that each model says.
        k: number of labels.
        names: of the models.
        seed: of the bootstrap.

    Raises:
        FerError: no pictures, or not the same number of answers.
    """
    n = len(true)
    if not n or len(a) != n or len(b) != n:
        raise FerError(f"a comparison needs two answers for each picture; found {n} pictures, {len(a)} and {len(b)}")
    right_a, right_b = a == true, b == true
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    (low, lowest), (high, highest) = _bootstrap(true, a, b, k, seed)
    return Comparison(
        names=tuple(names),
        both=int((right_a & right_b).sum()),
        only_a=only_a,
        only_b=only_b,
        neither=int((~right_a & ~right_b).sum()),
        macro_f1=tuple(float(_scores(np.ones((1, n), int), true, said, k)[1][0]) for said in (a, b)),
        accuracy_difference_ci95=(float(low), float(high)),
        macro_f1_difference_ci95=(float(lowest), float(highest)),
        p=float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0,
    )


def _bootstrap(true, a, b, k, seed):
    """Percentiles 2.5 and 97.5 of the differences in accuracy and macro F1, float64 (2, 2).

    Pictures with the same truth and answers are alike, so a resample of them is a multinomial draw of the counts of
    these kinds: the same bootstrap, in a time that does not grow with n.
    """
    kinds, counts = np.unique(np.stack([true, a, b]), axis=1, return_counts=True)
    rng, n, differences = np.random.default_rng(seed), len(true), []
    for _ in range(RESAMPLES // DRAWS):
        drawn = rng.multinomial(n, counts / n, DRAWS)
        (accuracy_a, f1_a), (accuracy_b, f1_b) = (_scores(drawn, kinds[0], said, k) for said in kinds[1:])
        differences.append(np.stack([accuracy_a - accuracy_b, f1_a - f1_b], axis=1))
    return np.percentile(np.concatenate(differences), [2.5, 97.5], axis=0)


def _scores(counts, true, said, k):
    """Accuracy and macro F1 (as `Report.macro_f1`, of the labels that occur) of pictures counted by kind.

    Args:
        counts: int (m, kinds), m sets of pictures.
        true, said: int (kinds,), what a picture of each kind shows and is taken for.

    Returns:
        Two of float64 (m,).
    """
    codes = np.arange(k)
    support, claimed = counts @ (true[:, None] == codes), counts @ (said[:, None] == codes)  # (m, k)
    right = counts @ ((true == said)[:, None] & (true[:, None] == codes))
    f1 = 2 * right / np.maximum(support + claimed, 1)
    return right.sum(axis=1) / counts.sum(axis=1), np.mean(f1, axis=1, where=support > 0)


def _percent(p):
    return f"{p:.0%}" if p >= 0.095 else f"{p:.1%}" if p >= 0.001 else "less than 0.1%"
