"""Scores of groups of people side by side: does the classifier serve some worse than others?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from fer.core import text
from fer.core.errors import FerError
from fer.evaluation import metrics
from fer.evaluation.intervals import LEVEL, newcombe, of_accuracy

SMALL = 30  # pictures below which a group is too small for conclusions


@dataclass(frozen=True)
class Gap:
    """The largest difference in accuracy between two groups: `high` is ahead of `low`.

    Attributes:
        high, low: names of the groups.
        difference: of their accuracies.
        ci95: its low and high end; above 0 on both, the groups differ by more than chance.
        pairs: how many pairs of groups it is the largest of; the interval allows for that choice (Bonferroni).
    """

    high: str
    low: str
    difference: float
    ci95: tuple[float, float]
    pairs: int


@dataclass(frozen=True)
class Groups:
    """Scores by group. Built by `by_group`.

    Attributes:
        attribute: what the groups differ in.
        reports: name of a group -> its scores, by name.
        left_out: pictures of which the attribute is not known.
    """

    attribute: str
    reports: Mapping[str, metrics.Report]
    left_out: int

    @property
    def small(self) -> list[str]:
        """Names of the groups of fewer than `SMALL` pictures."""
        return [name for name, report in self.reports.items() if report.images < SMALL]

    def interval(self, name: str) -> tuple[float, float]:
        """95% interval of a group's accuracy (Wilson)."""
        return of_accuracy(self.reports[name])

    @property
    def largest_gap(self) -> Gap | None:
        """Between groups that are not small; None with fewer than two of them."""
        large = [(name, report) for name, report in self.reports.items() if name not in self.small]
        pairs = len(list(combinations(large, 2)))
        if not pairs:
            return None
        large.sort(key=lambda one: one[1].accuracy)
        (low, worst), (high, best) = large[0], large[-1]
        right = int(np.trace(best.confusion)), int(np.trace(worst.confusion))
        ends = newcombe(right, (best.images, worst.images), level=1 - (1 - LEVEL) / pairs)
        return Gap(high, low, best.accuracy - worst.accuracy, ends, pairs)

    def table(self) -> str:
        """A row a group: images, accuracy and its interval, macro F1, and the recall of each label."""
        labels = next(iter(self.reports.values())).labels
        table = [[self.attribute, "images", "accuracy", "95% interval", "macro F1", *labels]]
        for name, report in self.reports.items():
            low, high = self.interval(name)
            recalls = ["-" if recall is None else f"{recall:.3f}" for recall in _recalls(report).values()]
            shown = f"{name} *" if name in self.small else name
            interval = f"{low:.1%} to {high:.1%}"
            scores = (f"{report.images:,}", f"{report.accuracy:.1%}", interval, f"{report.macro_f1:.3f}")
            table.append([shown, *scores, *recalls])
        return text.aligned(table)

    def summary(self) -> str:
        """The table, what to be careful about, and the largest gap."""
        lines = [f"by {self.attribute}; the last columns are the recall of each emotion", self.table(), ""]
        if self.small:
            lines.append(f"* fewer than {SMALL} images: too few for conclusions")
        if self.left_out:
            lines.append(f"{self.left_out:,} images without a known {self.attribute} are left out")
        if gap := self.largest_gap:
            low, high = (f"{100 * end:+.1f}" for end in gap.ci95)
            allowing = f", allowing for {gap.pairs} pairs" if gap.pairs > 1 else ""
            verdict = "more than chance" if gap.ci95[0] > 0 else "within chance"
            lines.append(
                f"largest gap         {gap.high} {100 * gap.difference:+.1f} points over {gap.low}  "
                f"(95% interval {low} to {high}{allowing}): {verdict}"
            )
            lines.append("A gap in accuracy may also come from another mix of emotions: compare the recalls.")
        else:
            lines.append(f"no gap can be stated: fewer than two groups of {SMALL} images or more")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Everything as plain Python values, ready for `json.dump`; a recall without images is None."""
        gap = self.largest_gap
        return {
            "by": self.attribute,
            "left_out": self.left_out,
            "groups": {
                name: {
                    "images": report.images,
                    "small": name in self.small,
                    "accuracy": report.accuracy,
                    "accuracy_ci95": list(self.interval(name)),
                    "macro_f1": report.macro_f1,
                    "recall": _recalls(report),
                    "support": dict(zip(report.labels, report.support.tolist(), strict=True)),
                }
                for name, report in self.reports.items()
            },
            "largest_gap": gap and {**vars(gap), "ci95": list(gap.ci95)},
        }


def by_group(
    groups: np.ndarray, probabilities: np.ndarray, targets: np.ndarray, labels: Sequence[str], attribute: str
) -> Groups:
    """Scores every group apart.

    Args:
        groups: str (n,), the group of each picture; "" where it is not known.
        probabilities, targets, labels: as `metrics.report` takes them.
        attribute: what the groups differ in.

    Raises:
        FerError: no picture belongs to a group.
    """
    names = sorted(set(groups.tolist()) - {""})
    if not names:
        raise FerError(f"no picture of this split belongs to a group by {attribute}")
    reports = {}
    for name in names:
        rows = groups == name
        reports[name] = metrics.report(probabilities[rows], targets[rows], labels)
    return Groups(attribute, reports, int((groups == "").sum()))


def _recalls(report: metrics.Report) -> dict[str, float | None]:
    return {label: row["recall"] if row["support"] else None for label, row in report.per_class.items()}
