"""Metrics of an expression classifier: one `Report` per evaluation.

A report stores the confusion matrix as it is counted and derives all that follows from it on request, so no two figures
of a report can disagree. Only what needs the probabilities themselves is stored beside it.

    report = metrics.compute_report(probabilities, targets, labels)
    print(report.summary(), report.table(), report.confusion_table(), sep="\n\n")
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from fer.core.errors import FerError
from fer.core.text import aligned
from fer.evaluation.intervals import accuracy_and_f1, resamples, wilson

BINS = 15  # equal-width confidence bins of the calibration error, as in Guo et al. 2017, table 1
SMALLEST = float(np.finfo(np.float32).eps)  # probability below which the NLL is clipped, as in scikit-learn
SUM_TOLERANCE = 1e-3  # of the sum of a row around 1: far above float32 rounding, far below a missing softmax


@dataclass(frozen=True, eq=False)  # eq=False: == on arrays has no single truth value
class Report:
    """Metrics of predicted probabilities against target distributions. Built by `compute_report`.

    A ratio without cases (0/0, such as the precision of a label that is never predicted) is 0, as with scikit-learn's
    `zero_division=0`.

    Attributes:
        labels: the k label names, in the order of the rows and columns.
        confusion: int64 (k, k), images per true label (row) and predicted label (column).
        top2_accuracy: share of images whose true label is among the two most probable.
        nll: mean cross-entropy against the targets in nats.
        bin_counts: int64 (BINS,), images per bin of confidence; bin b covers (b / BINS, (b + 1) / BINS].
        bin_confidence: float64 (BINS,), mean confidence in each bin, 0 where the bin is empty.
        bin_accuracy: float64 (BINS,), accuracy in each bin, 0 where the bin is empty.

    Raises:
        FerError: fewer than two labels, a label twice, no image, or a confusion matrix of another size.
    """

    labels: tuple[str, ...]
    confusion: np.ndarray
    top2_accuracy: float
    nll: float
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
    def n_images(self) -> int:
        """Number of images."""
        return int(self.confusion.sum())

    @property
    def support(self) -> np.ndarray:
        """int64 (k,), images per true label."""
        return self.confusion.sum(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of images whose most probable label is the true one."""
        return float(np.trace(self.confusion) / self.n_images)

    @property
    def accuracy_ci95(self) -> tuple[float, float]:
        """Low and high end of the accuracy's 95% interval (Wilson)."""
        return wilson(np.trace(self.confusion), self.n_images)

    @property
    def recall_ci95(self) -> dict[str, tuple[float, float] | None]:
        """{label: low and high end of its recall's 95% interval (Wilson)}; None for a label that does not occur."""
        counts = zip(self.labels, np.diag(self.confusion), self.support, strict=True)
        return {label: wilson(correct, support) if support else None for label, correct, support in counts}

    @property
    def macro(self) -> dict[str, float]:
        """Unweighted means of precision, recall, specificity and f1 over the labels that occur.

        A label without a true image has no recall and would enter as a 0 that no classifier can avoid: a test set
        without "disgust" would cap the score at 6/7. Wrong predictions of such a label still count: they lower the
        recall of the true label. This is `f1_score(labels=those that occur, average="macro")` of scikit-learn, the rule
        that its `balanced_accuracy_score` follows as well.
        """
        return self._average(self.support > 0)

    @property
    def weighted(self) -> dict[str, float]:
        """Means of precision, recall, specificity and f1 weighted by support; the weighted recall is the accuracy."""
        return self._average(self.support)

    @property
    def balanced_accuracy(self) -> float:
        """Mean recall of the labels that occur (Brodersen et al. 2010, "The balanced accuracy and its posterior")."""
        return self.macro["recall"]

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the labels that occur; `macro` gives the reason."""
        return self.macro["f1"]

    @cached_property
    def macro_f1_ci95(self) -> tuple[float, float]:
        """Low and high end of the 95% interval of `macro_f1`: percentiles of a bootstrap over images."""
        k = len(self.labels)
        y_true, y_pred = np.divmod(np.arange(k * k), k)  # of the cells of the confusion matrix
        found = [accuracy_and_f1(drawn, y_true, y_pred, k)[1] for drawn in resamples(self.confusion.ravel())]
        low, high = np.percentile(np.concatenate(found), [2.5, 97.5])
        return float(low), float(high)

    @property
    def ece(self) -> float:
        """Expected calibration error: mean over images of |accuracy - mean confidence| of their bin.

        Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3.
        """
        return float(self.bin_counts @ np.abs(self.bin_accuracy - self.bin_confidence) / self.n_images)

    @property
    def per_class(self) -> dict[str, dict[str, float | int]]:
        """One-vs-rest metrics: {label: {precision, recall, specificity, f1, support, tp, fp, fn, tn}}."""
        columns = self._columns
        return {
            label: {name: column[i].item() for name, column in columns.items()} for i, label in enumerate(self.labels)
        }

    @cached_property
    def _columns(self) -> dict[str, np.ndarray]:
        """The metrics per label as arrays (k,): int64 counts and float64 ratios."""
        codes = np.arange(len(self.labels))
        y_true, y_pred = np.meshgrid(codes, codes, indexing="ij")  # one case per cell, weighted by its count
        precision, recall, f1, _ = precision_recall_fscore_support(
            y_true.ravel(), y_pred.ravel(), labels=codes, sample_weight=self.confusion.ravel(), zero_division=0
        )
        tp = np.diag(self.confusion)
        fn = self.support - tp
        fp = self.confusion.sum(axis=0) - tp
        tn = self.n_images - tp - fn - fp
        negatives = tn + fp
        specificity = np.divide(tn, negatives, out=np.zeros(len(codes)), where=negatives > 0)
        return {
            "precision": precision,
            "recall": recall,
            "specificity": specificity,
            "f1": f1,
            "support": self.support,
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "tn": tn,
        }

    def _average(self, weights: np.ndarray) -> dict[str, float]:
        """The four ratios averaged over the labels with `weights` (k,)."""
        columns = self._columns
        names = ("precision", "recall", "specificity", "f1")
        return {name: float(np.average(columns[name], weights=weights)) for name in names}

    def to_dict(self) -> dict:
        """The report as plain Python values, ready for `json.dump`."""
        return {
            "images": self.n_images,
            "labels": list(self.labels),
            "accuracy": self.accuracy,
            "accuracy_ci95": list(self.accuracy_ci95),
            "balanced_accuracy": self.balanced_accuracy,
            "macro_f1": self.macro_f1,
            "macro_f1_ci95": list(self.macro_f1_ci95),
            "macro": self.macro,
            "weighted": self.weighted,
            "per_class": self.per_class,
            "recall_ci95": {label: ends and list(ends) for label, ends in self.recall_ci95.items()},
            "confusion": self.confusion.tolist(),
            "top2_accuracy": self.top2_accuracy,
            "ece": self.ece,
            "nll": self.nll,
            "reliability": {
                "counts": self.bin_counts.tolist(),
                "confidence": self.bin_confidence.tolist(),
                "accuracy": self.bin_accuracy.tolist(),
            },
        }

    def summary(self) -> str:
        """The metrics of the whole set, one per line."""
        low, high = self.accuracy_ci95
        interval = f"95% interval {low:.2%} to {high:.2%}, {self.n_images:,} images"
        weighted, (f1_low, f1_high) = self.weighted, self.macro_f1_ci95
        return "\n".join([
            f"accuracy            {self.accuracy:.2%}  ({interval})",
            f"balanced accuracy   {self.balanced_accuracy:.2%}",
            f"top-2 accuracy      {self.top2_accuracy:.2%}",
            f"macro F1            {self.macro_f1:.3f}  (95% interval {f1_low:.3f} to {f1_high:.3f}, bootstrap)",
            f"weighted F1         {weighted['f1']:.3f}  "
            f"(precision {weighted['precision']:.3f}, recall {weighted['recall']:.3f})",
            f"NLL                 {self.nll:.3f} nats",
            f"ECE                 {self.ece:.3f}",
        ])  # fmt: skip

    def table(self) -> str:
        """One row of counts, metrics and the recall's interval per label, then their macro and weighted averages."""
        counts = ("support", "tp", "fn", "fp", "tn")
        ratios = ("precision", "recall", "specificity", "f1")
        rows = [["emotion", "support", "TP", "FN", "FP", "TN", "precision", "recall", "specificity", "F1"]]
        rows[0].append("recall 95% CI")
        for (label, row), ends in zip(self.per_class.items(), self.recall_ci95.values(), strict=True):
            shown = f"{ends[0]:.3f}-{ends[1]:.3f}" if ends else "-"
            undefined = () if ends else ("recall", "f1")  # of a label without an image
            values = ("-" if name in undefined else f"{row[name]:.3f}" for name in ratios)
            rows.append([label, *(str(row[name]) for name in counts), *values, shown])
        rows.append([])
        for name, average in (("macro average", self.macro), ("weighted average", self.weighted)):
            means = (f"{average[ratio]:.3f}" for ratio in ratios)
            rows.append([name, str(self.n_images), "", "", "", "", *means, ""])
        return aligned(rows)

    def confusion_table(self) -> str:
        """The confusion matrix: a row per true label, a column per predicted label."""
        rows = [["true \\ predicted", *self.labels]]
        rows += [[label, *map(str, row)] for label, row in zip(self.labels, self.confusion.tolist(), strict=True)]
        return aligned(rows)


def compute_report(probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str]) -> Report:
    """Scores predictions against targets.

    The true label is the argmax of a target and the predicted label that of the probabilities; of equal values the
    first counts. Only the NLL sees whole targets: with vote shares its minimum is the entropy of the votes, not 0.

    Args:
        probabilities: float32 (n, k), rows sum to 1.
        targets: float32 (n, k), rows sum to 1: one-hot, or shares of votes.
        labels: the k names of the columns.

    Raises:
        FerError: a shape does not fit, there is no image, or a row is not a distribution.
    """
    labels = tuple(labels)
    _check_labels(labels)
    probabilities = _distributions(probabilities, "probabilities", labels)
    targets = _distributions(targets, "targets", labels)
    if len(probabilities) != len(targets):
        raise FerError(
            f"probabilities and targets must be of the same images; found {len(probabilities)} and {len(targets)} rows"
        )
    # scikit-learn's top-k accuracy lets the last of equal probabilities win, and its log loss takes no soft targets.
    # A stable sort puts the first of equal probabilities first, as argmax does, so top-2 never falls below accuracy.
    ranked = np.argsort(-probabilities, axis=1, kind="stable")  # (n, k), most probable label first
    y_true, y_pred = targets.argmax(axis=1), ranked[:, 0]
    counts, confidence, accuracy = _reliability(probabilities.max(axis=1), y_pred == y_true)
    return Report(
        labels=labels,
        confusion=confusion_matrix(y_true, y_pred, labels=np.arange(len(labels))).astype(np.int64),
        top2_accuracy=float((ranked[:, :2] == y_true[:, None]).any(axis=1).mean()),
        nll=float(np.sum(targets * np.log(1 / np.clip(probabilities, SMALLEST, 1))) / len(targets)),
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


def _reliability(confidence: np.ndarray, correct: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Groups images by confidence (Guo et al. 2017, section 2).

    scikit-learn's `calibration_curve` is binary, and drops empty bins and the counts that the error needs.

    Args:
        confidence: float64 (n,), probability of the predicted label.
        correct: bool (n,), whether that label is the true one.

    Returns:
        Per bin: int64 counts, float64 mean confidence, float64 accuracy, each (BINS,).
    """
    inner_edges = np.arange(1, BINS) / BINS
    bins = np.digitize(confidence, inner_edges, right=True)  # bin b is (b / BINS, (b + 1) / BINS]
    counts = np.bincount(bins, minlength=BINS).astype(np.int64)
    sums = (np.bincount(bins, weights=weights, minlength=BINS) for weights in (confidence, correct))
    mean_confidence, accuracy = (total / np.maximum(counts, 1) for total in sums)
    return counts, mean_confidence, accuracy
