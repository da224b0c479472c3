"""Metrics by group of people: is the classifier less accurate for some of them?"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb

import numpy as np

from fer.core import text
from fer.core.errors import FerError
from fer.evaluation import metrics
from fer.evaluation.intervals import LEVEL, newcombe

SMALL = 30  # images below which a group is too small for conclusions


@dataclass(frozen=True)
class Gap:
    """The largest difference in accuracy between two groups.

    Attributes:
        high, low: names of the more and the less accurate group.
        difference: of their accuracies.
        ci95: low and high end of its interval; the difference is significant where both are above 0.
        pairs: number of pairs of groups it is the largest of; the interval is corrected for them (Bonferroni).
    """

    high: str
    low: str
    difference: float
    ci95: tuple[float, float]
    pairs: int


@dataclass(frozen=True)
class Groups:
    """Metrics by group. Built by `by_group`.

    Attributes:
        attribute: what the groups differ in.
        reports: name of a group -> its report, in alphabetical order.
        n_unknown: images whose group is not known.
    """

    attribute: str
    reports: Mapping[str, metrics.Report]
    n_unknown: int

    @property
    def small(self) -> list[str]:
        """Names of the groups of fewer than `SMALL` images."""
        return [name for name, report in self.reports.items() if report.n_images < SMALL]

    @property
    def largest_gap(self) -> Gap | None:
        """Between groups that are not small; None with fewer than two of them."""
        large = [(name, report) for name, report in self.reports.items() if report.n_images >= SMALL]
        pairs = comb(len(large), 2)
        if not pairs:
            return None
        large.sort(key=lambda one: one[1].accuracy)
        (low, worst), (high, best) = large[0], large[-1]
        n_correct = int(np.trace(best.confusion)), int(np.trace(worst.confusion))
        ends = newcombe(n_correct, (best.n_images, worst.n_images), level=1 - (1 - LEVEL) / pairs)
        return Gap(high, low, best.accuracy - worst.accuracy, ends, pairs)

    def table(self) -> str:
        """A row per group: images, accuracy and its interval, macro F1, and the recall of each label."""
        labels = next(iter(self.reports.values())).labels
        table = [[self.attribute, "images", "accuracy", "95% interval", "macro F1", *labels]]
        for name, report in self.reports.items():
            low, high = report.accuracy_ci95
            recalls = ["-" if recall is None else f"{recall:.3f}" for recall in _recalls(report).values()]
            shown = f"{name} *" if report.n_images < SMALL else name
            interval = f"{low:.1%} to {high:.1%}"
            scores = (f"{report.n_images:,}", f"{report.accuracy:.1%}", interval, f"{report.macro_f1:.3f}")
            table.append([shown, *scores, *recalls])
        return text.aligned(table)

    def summary(self) -> str:
        """The table, its caveats, and the largest gap."""
        lines = [f"by {self.attribute}; the last columns give the recall of each emotion", self.table(), ""]
        if self.small:
            lines.append(f"* fewer than {SMALL} images: too few for conclusions")
        if self.n_unknown:
            lines.append(f"{self.n_unknown:,} images without a known {self.attribute} are left out")
        if gap := self.largest_gap:
            low, high = (f"{100 * end:+.1f}" for end in gap.ci95)
            corrected = f", corrected for {gap.pairs} pairs" if gap.pairs > 1 else ""
            verdict = "significant" if gap.ci95[0] > 0 else "not significant"
            lines.append(
                f"largest gap         {gap.high} {100 * gap.difference:+.1f} points over {gap.low}  "
                f"(95% interval {low} to {high}{corrected}): {verdict}"
            )
            lines.append("Groups with another mix of emotions also differ in accuracy: compare the recalls.")
        else:
            lines.append(f"no gap: fewer than two groups have {SMALL} images or more")
        return "\n".join(lines)

    def to_dict(self) -> dict:
        """Everything as plain Python values, ready for `json.dump`; a recall without images is None."""
        gap = self.largest_gap
        return {
            "by": self.attribute,
            "left_out": self.n_unknown,
            "groups": {
                name: {
                    "images": report.n_images,
                    "small": report.n_images < SMALL,
                    "accuracy": report.accuracy,
                    "accuracy_ci95": list(report.accuracy_ci95),
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
    """Computes a report for each group.

    Args:
        groups: str (n,), the group of each image; "" where it is not known.
        probabilities, targets, labels: as `metrics.compute_report` takes them.
        attribute: what the groups differ in.

    Raises:
        FerError: no image belongs to a group.
    """
    names = sorted(set(groups.tolist()) - {""})
    if not names:
        raise FerError(f"no image of this split belongs to a group by {attribute}")
    reports = {}
    for name in names:
        rows = groups == name
        reports[name] = metrics.compute_report(probabilities[rows], targets[rows], labels)
    return Groups(attribute, reports, int((groups == "").sum()))


def _recalls(report: metrics.Report) -> dict[str, float | None]:
    return {label: row["recall"] if row["support"] else None for label, row in report.per_class.items()}
