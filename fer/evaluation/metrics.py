"""Scores of an expression classifier: one `Report` per evaluation, numpy only.

The confusion matrix is kept as it is counted and everything that follows from it is derived on request, so no two
numbers of a report can disagree. Only what needs the probabilities themselves is stored next to it.

    scores = metrics.report(probabilities, targets, labels)
    print(scores.summary(), scores.table(), scores.confusion_table(), sep="\n\n")
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fer.core.errors import FerError
from fer.core.text import aligned

BINS = 15  # equal-width confidence bins of the calibration error, as in Guo et al. 2017, table 1
RESAMPLES = 2000  # bootstrap resamples behind the accuracy interval
SMALLEST = float(np.finfo(np.float32).eps)  # in the NLL, of a probability; scikit-learn clips likewise
SUM_TOLERANCE = 1e-3  # of the sum of a row around 1: far above float32 rounding, far below a forgotten softmax


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class Report:
    """Scores of predicted probabilities against true distributions. Built by `report`.

    A ratio without cases (0/0, say the precision of a label never predicted) is 0, as with scikit-learn's
    `zero_division=0`.

    Attributes:
        labels: the k label names, in the order of the rows and columns.
        confusion: int64 (k, k), images per true label (row) and predicted label (column).
        top2_accuracy: share of images whose true label is among the two most probable.
        nll: mean cross-entropy against the targets in nats.
        accuracy_ci95: low and high end of the 95% interval of the accuracy.
        bin_counts: int64 (BINS,), images per bin of the top confidence; bin b covers (b / BINS, (b + 1) / BINS].
        bin_confidence: float64 (BINS,), mean top confidence in each bin, 0 where the bin is empty.
        bin_accuracy: float64 (BINS,), accuracy in each bin, 0 where the bin is empty.

    Raises:
        FerError: if there are fewer than two labels, a label twice, no image, or a confusion matrix of another size.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    top2_accuracy: float
    nll: float
    accuracy_ci95: tuple[float, float]
    bin_counts: np.ndarray
    bin_confidence: np.ndarray
    bin_accuracy: np.ndarray

    def __post_init__(self):
        _check_labels(self.labels)
        k = len(self.labels)
        if self.confusion.shape != (k, k):
            raise FerError(f"a report on {k} labels needs a ({k}, {k}) confusion matrix; found {self.confusion.shape}")
        if self.confusion.sum() == 0:
            raise FerError("a report needs at least one image; the confusion matrix is empty")

    @property
    def images(self) -> int:
        """Number of images scored, n."""
        return int(self.confusion.sum())

    @property
    def support(self) -> np.ndarray:
        """int64 (k,), images per true label."""
        return self.confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable label is the true one."""
        return float(np.trace(self.confusion) / self.images)

    @property
    def macro(self) -> dict[str, float]:
        """Plain means of precision, recall, specificity and f1 over the labels that occur.

        A label without a true image has no recall to measure and would enter as a 0 that no classifier can avoid, so a
        test set that lacks "disgust" would cap the score at 6/7. Wrong predictions of such a label are not forgiven:
        they already lower the recall of the label they were taken from. `f1_score(average="macro")` of scikit-learn
        averages over the labels seen in either truth or prediction, or over `labels=` if given; this is
        `labels=` the ones that occur, the rule that its `balanced_accuracy_score` follows as well.
        """
        return self._average(self.support > 0)

    @property
    def weighted(self) -> dict[str, float]:
        """Means of precision, recall and f1 weighted by support; the weighted recall is the accuracy."""
        average = self._average(self.support)
        return {name: average[name] for name in ("precision", "recall", "f1")}

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the labels that occur (Brodersen et al. 2010, "The balanced accuracy and its posterior")."""
        return self.macro["recall"]

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the labels that occur; `macro` says why only of those."""
        return self.macro["f1"]

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over images of |accuracy - mean confidence| of their bin.

        Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
        """
        return float(self.bin_counts @ np.abs(self.bin_accuracy - self.bin_confidence) / self.images)

    @property
    def per_class(self) -> dict[str, dict[str, float | int]]:
        """One-against-the-rest scores: {label: {precision, recall, specificity, f1, support, tp, fp, fn, tn}}."""
        columns = self._columns()
        return {
            label: {name: column[i].item() for name, column in columns.items()} for i, label in enumerate(self.labels)
        }

    def _columns(self) -> dict[str, np.ndarray]:
        """The per-label scores as arrays (k,), int64 counts and float64 ratios."""
        tp = np.diag(self.confusion)
        fn = self.support - tp
        fp = self.confusion.sum(axis=0) - tp
        tn = self.images - tp - fn - fp
        return {
            "precision": _ratio(tp, tp + fp),
            "recall": _ratio(tp, tp + fn),
            "specificity": _ratio(tn, tn + fp),
            "f1": _ratio(2 * tp, 2 * tp + fp + fn),
            "support": self.support,
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "tn": tn,
        }

    def _average(self, weights: np.ndarray) -> dict[str, float]:
        """Averages the four ratios over the labels with `weights` (k,)."""
        columns = self._columns()
        names = ("precision", "recall", "specificity", "f1")
        return {name: float(np.average(columns[name], weights=weights)) for name in names}

    def to_dict(self) -> dict:
        """The report as plain Python values, ready for `json.dump`."""
        return {
            "images": self.images,
            "labels": list(self.labels),
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "weighted": self.weighted,
            "per_class": self.per_class,
            "confusion": self.confusion.tolist(),
            "top2_accuracy": self.top2_accuracy,
            "ece": self.ece,
            "nll": self.nll,
        }

    def summary(self) -> str:
        """The scores of the whole set, one a line."""
        low, high = self.accuracy_ci95
        weighted = self.weighted
        return "\n".join(
            [
                f"accuracy            {self.accuracy:.2%}  (95% interval {low:.2%} to {high:.2%}, {self.images:,} images)",
                f"balanced accuracy   {self.balanced_accuracy:.2%}",
                f"top-2 accuracy      {self.top2_accuracy:.2%}",
                f"macro F1            {self.macro_f1:.3f}",
                f"weighted F1         {weighted['f1']:.3f}  "
                f"(precision {weighted['precision']:.3f}, recall {weighted['recall']:.3f})",
                f"NLL                 {self.nll:.3f} nats",
                f"ECE                 {self.ece:.3f}",
            ]
        )

    def table(self) -> str:
        """One row of counts and scores per label, then their macro and weighted averages."""
        counts = ("support", "tp", "fn", "fp", "tn")
        ratios = ("precision", "recall", "specificity", "f1")
        rows = [["emotion", "support", "TP", "FN", "FP", "TN", "precision", "recall", "specificity", "F1"]]
        for label, scores in self.per_class.items():
            rows.append([label, *(str(scores[name]) for name in counts), *(f"{scores[name]:.3f}" for name in ratios)])
        rows.append([])
        for name, average in (("macro average", self.macro), ("weighted average", self._average(self.support))):
            rows.append([name, str(self.images), "", "", "", "", *(f"{average[ratio]:.3f}" for ratio in ratios)])
        return aligned(rows)

    def confusion_table(self) -> str:
        """The confusion matrix: a row is a true label, a column a predicted one."""
        rows = [["true \\ predicted", *self.labels]]
        rows += [[label, *map(str, row)] for label, row in zip(self.labels, self.confusion.tolist(), strict=True)]
        return aligned(rows)


def report(probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str], *, seed: int = 0) -> Report:
    """Scores predictions against the truth.

    The true label is the argmax of a target and the predicted one that of the probabilities; of equal values the first
    counts. The NLL alone sees whole targets: with vote shares its floor is the entropy of the votes, not 0.

    Args:
        probabilities: float32 (n, k), rows sum to 1.
        targets: float32 (n, k), rows sum to 1: one-hot, or shares of votes.
        labels: the k names of the columns.
        seed: of the bootstrap behind `accuracy_ci95`.

    Raises:
        FerError: if a shape does not fit, there is no image, or a row is not a distribution.
    """
    labels = tuple(labels)
    _check_labels(labels)
    probabilities = _distributions(probabilities, "probabilities", labels)
    targets = _distributions(targets, "targets", labels)
    if len(probabilities) != len(targets):
        raise FerError(
            f"probabilities and targets must be of the same images; found {len(probabilities)} and {len(targets)} rows"
        )

    n, k = probabilities.shape
    # A stable sort puts the first of equal probabilities first, as argmax does; so top-2 never falls below accuracy.
    ranked = np.argsort(-probabilities, axis=1, kind="stable")  # (n, k), most probable label first
    true, predicted = targets.argmax(axis=1), ranked[:, 0]
    right = predicted == true
    counts, confidence, accuracy = _reliability(probabilities.max(axis=1), right)
    return Report(
        labels=labels,
        confusion=np.bincount(true * k + predicted, minlength=k * k).reshape(k, k).astype(np.int64),
        top2_accuracy=float((ranked[:, :2] == true[:, None]).any(axis=1).mean()),
        nll=float(np.sum(targets * np.log(1 / np.clip(probabilities, SMALLEST, 1))) / n),
        accuracy_ci95=_bootstrap(int(right.sum()), n, seed),
        bin_counts=counts,
        bin_confidence=confidence,
        bin_accuracy=accuracy,
    )


def _check_labels(labels: tuple[str, ...]) -> None:
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise FerError(f"a report needs at least two labels, all different; found {', '.join(labels) or 'none'}")


def _distributions(values: np.ndarray, name: str, labels: tuple[str, ...]) -> np.ndarray:
    """Returns `values` as float64 (n, k) after checking that every row is a distribution over the labels."""
    values = np.asarray(values, np.float64)
    k = len(labels)
    if values.ndim != 2 or values.shape[1] != k:
        names = ", ".join(labels)
        raise FerError(f"{name} must have shape (n, {k}), a column for each of {names}; found {values.shape}")
    if len(values) == 0:
        raise FerError(f"{name} must hold at least one image; found shape {values.shape}")
    # NaN compares false, so "not >= 0" finds it too; infinity fails the sum.
    wrong = ~(values >= 0).all(axis=1) | ~(np.abs(values.sum(axis=1) - 1) <= SUM_TOLERANCE)
    if wrong.any():
        row = int(wrong.argmax())
        found = np.array2string(values[row], precision=4, threshold=10)
        raise FerError(
            f"each row of {name} must be finite, non-negative and sum to 1; "
            f"found {found}, sum {values[row].sum():.4g}, in row {row} ({wrong.sum()} of {len(values)} rows are wrong)"
        )
    return values


def _reliability(confidence: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups images by top confidence (Guo et al. 2017, section 2).

    Args:
        confidence: float64 (n,), probability of the predicted label.
        right: bool (n,), whether that label is the true one.

    Returns:
        Per bin: int64 counts, float64 mean confidence, float64 accuracy, each (BINS,).
    """
    inner_edges = np.arange(1, BINS) / BINS
    bins = np.digitize(confidence, inner_edges, right=True)  # bin b is (b / BINS, (b + 1) / BINS]
    counts = np.bincount(bins, minlength=BINS).astype(np.int64)
    sums = (np.bincount(bins, weights=weights, minlength=BINS) for weights in (confidence, right))
    return counts, *(_ratio(total, counts) for total in sums)


def _bootstrap(right: int, n: int, seed: int) -> tuple[float, float]:
    """95% percentile interval of the accuracy (Efron 1979; Efron & Tibshirani 1993, section 13.3).

    Drawing n of n right/wrong marks with replacement and counting the right ones is a Binomial(n, right / n) variable,
    so the resamples are drawn as such: the same bootstrap, without its loop. If all marks agree, the interval has no
    width.
    """
    accuracies = np.random.default_rng(seed).binomial(n, right / n, RESAMPLES) / n
    low, high = np.percentile(accuracies, [2.5, 97.5])
    return float(low), float(high)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole as float64, and 0 where whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0)
