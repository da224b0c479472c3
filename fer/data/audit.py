"""Finds what is wrong with a data set: blank images, odd sizes, duplicates, leakage between splits, doubtful labels.

Nothing here reads a file beyond its header or changes one; `clean` says which images remain.
"""

import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from fer.core.errors import FerError
from fer.data import duplicates, fer2013_csv
from fer.data.dataset import Dataset, join
from fer.data.duplicates import group_identical
from fer.data.entry import Entry
from fer.data.image_array import Images, select
from fer.data.splits import SPLITS

DROPS = ("flat", "duplicates", "conflicts", "disputed", "votes")
USUAL_DROPS = ("flat", "duplicates", "conflicts")
MIN_SIDE = 24  # pixels: half of FER2013's
MAX_ASPECT = 1.5  # longer side by shorter
STAYS = ("test", "validation", "all", "train")  # of duplicates in several splits, the one in the first stays


@dataclass(frozen=True)
class Audit:
    """The images of all splits as one data set, and the findings; rows are int64 indexes into that one.

    Attributes:
        data: the n images.
        splits: str (n).
        flat: bool (n), blank or nearly: a standard deviation below `duplicates.FLAT` grey levels.
        blank: bool (n), a single colour.
        sizes: (width, height) -> how many files; empty for tables and synthetic faces.
        odd: rows of files with an unexpected size.
        exact: int64 (n), the group of images with the same pixels.
        pairs: near-duplicates as rows i < j and their correlation, each exact group by its first image.
        near: int64 (n), the group of images that exact and near pairs connect.
        threshold: least correlation of near-duplicates.
        skipped: split -> (name, reason) of what could not be used.
        voted: str (n), the majority label of FER+, "" where no emotion won; None without votes.
        probabilities: float32 (n, k) of a model, columns as `data.labels`; None without one.
    """

    data: Dataset
    splits: np.ndarray
    flat: np.ndarray
    blank: np.ndarray
    sizes: Counter
    odd: np.ndarray
    exact: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray, np.ndarray]
    near: np.ndarray
    threshold: float
    skipped: dict[str, tuple[tuple[str, str], ...]]
    voted: np.ndarray | None = None
    probabilities: np.ndarray | None = None

    @cached_property
    def codes(self) -> np.ndarray:
        """int64 (n), the column of each image's label."""
        return self.data.targets.argmax(axis=1)

    @property
    def present(self) -> list[str]:
        """The splits in their order."""
        return [split for split in (*SPLITS, "all") if split in self.skipped]

    @cached_property
    def exact_groups(self) -> list[np.ndarray]:
        """Rows of each group of two or more images with the same pixels, flat ones left out."""
        return groups_of(self.exact, ~self.flat)

    @cached_property
    def near_groups(self) -> list[np.ndarray]:
        """Rows of each group of two or more images that exact and near pairs connect."""
        return groups_of(self.near, ~self.flat)

    def conflicts(self, groups: list[np.ndarray]) -> list[np.ndarray]:
        """The groups whose images have several labels."""
        return [rows for rows in groups if len(set(self.codes[rows].tolist())) > 1]

    def leaked(self, split: str, into: str) -> tuple[np.ndarray, np.ndarray]:
        """Rows of a split with a duplicate in another, and with a duplicate or near-duplicate (a pair, not a chain)."""
        there = self._groups_in(into)
        rows = np.flatnonzero((self.splits == split) & ~self.flat)
        i, j = (self.exact[side] for side in self.pairs[:2])
        close = there.copy()
        close[i[there[j]]] = True
        close[j[there[i]]] = True
        return rows[there[self.exact[rows]]], rows[close[self.exact[rows]]]

    def _groups_in(self, split: str) -> np.ndarray:
        there = np.zeros(self.exact.max(initial=-1) + 1, bool)
        there[self.exact[(self.splits == split) & ~self.flat]] = True
        return there

    @cached_property
    def outvoted(self) -> np.ndarray:
        """Rows to which FER+ gives another label."""
        if self.voted is None:
            return np.zeros(0, np.int64)
        return np.flatnonzero((self.voted != "") & (self.voted != np.array(self.data.labels)[self.codes]))

    @cached_property
    def disputed(self) -> np.ndarray:
        """Rows whose label the model disputes, the clearest first; flat images are left out."""
        if self.probabilities is None:
            return np.zeros(0, np.int64)
        rows = label_issues(self.probabilities, self.codes)
        return rows[~self.flat[rows]]

    def clean(self, drops: tuple[str, ...] = USUAL_DROPS) -> np.ndarray:
        """Rows that remain.

        Args:
            drops: of `DROPS`. "flat": flat images. "duplicates": of each near group all but one, which is in the test
                split if it has one there, else in validation. "conflicts": the images of a near group against its
                majority, and all where there is none. "disputed" by the model and outvoted by FER+ ("votes"): of the
                training images only, so that no score is flattered.
        """
        stay = np.ones(len(self.data), bool)
        if "flat" in drops:
            stay[self.flat] = False
        if "conflicts" in drops:
            for rows in self.conflicts(self.near_groups):
                counts = np.bincount(self.codes[rows])
                agreed = counts.argmax() if (counts == counts.max()).sum() == 1 else -1
                stay[rows[self.codes[rows] != agreed]] = False
        training = np.isin(self.splits, ("train", "all"))
        for name, rows in (("disputed", self.disputed), ("votes", self.outvoted)):
            if name in drops:
                stay[rows[training[rows]]] = False
        if "duplicates" in drops:
            rank = np.array([STAYS.index(split) for split in self.splits])
            for rows in self.near_groups:
                left = rows[stay[rows]]
                stay[left[np.argsort(rank[left], kind="stable")[1:]]] = False
        return np.flatnonzero(stay)


def audit(
    parts: dict[str, Dataset],
    *,
    threshold: float = duplicates.NEAR,
    voted: np.ndarray | None = None,
    probabilities: np.ndarray | None = None,
) -> Audit:
    """Audits all images of a data set.

    Args:
        parts: the splits (`loading.AS_IS`), all with the same labels.
        threshold: correlation from which two images are near-duplicates.
        voted: str (n), labels by FER+ (`votes_of`), "" for none.
        probabilities: float32 (n, k), a model's predictions for the n images in the order of `parts`.

    Raises:
        FerError: see `duplicates.near_duplicates`.
    """
    data = join(list(parts.values()))
    splits = np.repeat(list(parts), [len(part) for part in parts.values()])
    blank, flat = data.is_blank, deviations(data.images) < duplicates.FLAT
    sizes = file_sizes(Path(data.root), data.entries)
    first, exact = group_identical(data.images)
    first = first[~flat[first]]
    i, j, r = duplicates.near_duplicates(select(data.images, first), threshold)
    i, j = first[i], first[j]
    chained = duplicates.connected(np.r_[i, first_of(exact)[exact]], np.r_[j, np.arange(len(data))], len(data))
    skipped = {split: part.skipped for split, part in parts.items()}
    counted = Counter(size for size in sizes if size)
    return Audit(
        data=data,
        splits=splits,
        flat=flat | blank,
        blank=blank,
        sizes=counted,
        odd=odd_sizes(sizes),
        exact=exact,
        pairs=(i, j, r),
        near=chained,
        threshold=threshold,
        skipped=skipped,
        voted=voted,
        probabilities=probabilities,
    )


def votes_of(path: str | Path, parts: dict[str, Dataset]) -> np.ndarray:
    """The majority of FER+ votes for all rows of a fer2013.csv, loaded whole, as str (n); "" where no emotion won.

    Raises:
        FerError: the data are no table with a Usage column, or the votes are of another one.
    """
    rows = [entry.row for part in parts.values() for entry in part.entries if entry.row is not None]
    if "all" in parts or len(rows) < sum(map(len, parts.values())):
        raise FerError("--votes belong to the rows of a fer2013.csv with a Usage column")
    order = np.array(rows)
    if len(order) != order.max(initial=-1) + 1:
        missing = order.max() + 1 - len(order)
        raise FerError(f"--votes need all rows of the table, but {missing:,} are left out (--drop-labels, or damaged)")
    splits = np.repeat(list(parts), [len(part) for part in parts.values()])
    votes = fer2013_csv.read_votes(Path(path), splits[np.argsort(order)])
    names = np.where(votes.shares.any(axis=1), np.array(votes.labels)[votes.shares.argmax(axis=1)], "")
    return names[order]


def first_of(group: np.ndarray) -> np.ndarray:
    """The first row of each group, int64; `group`: int64 (n), the number of each image's group."""
    return np.unique(group, return_index=True)[1]


def groups_of(group: np.ndarray, usable: np.ndarray) -> list[np.ndarray]:
    """Rows, int64, of each group with two or more usable members, in the order of their first rows.

    Args:
        group: int64 (n), the number of each image's group.
        usable: bool (n).
    """
    rows = np.flatnonzero(usable)
    rows = rows[np.argsort(group[rows], kind="stable")]
    parts = np.split(rows, np.flatnonzero(np.diff(group[rows])) + 1)
    return sorted((part for part in parts if len(part) > 1), key=lambda part: part[0])


def deviations(images: Images) -> np.ndarray:
    """Standard deviation of each image, grey levels, float64 (n); the largest of its colours."""
    return np.array([image.std(axis=(0, 1)).max() for image in images])


def file_sizes(root: Path, entries: tuple[Entry, ...]) -> list[tuple[int, int] | None]:
    """(width, height) in each file's header; None where there is no file or Pillow does not know it."""
    sizes: list[tuple[int, int] | None] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a large image is no bomb here: only its header is read
        for entry in entries:
            if entry.row is not None:  # of a table
                sizes.append(None)
                continue
            try:
                with Image.open(root / entry.path) as image:
                    sizes.append(image.size)
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
                sizes.append(None)
    return sizes


def odd_sizes(sizes: list[tuple[int, int] | None]) -> np.ndarray:
    """Rows of unexpected sizes: where more than half of the files have one size, all others; else those with a side
    below `MIN_SIDE` pixels or far from square."""
    known = [size for size in sizes if size]
    if not known:
        return np.zeros(0, np.int64)
    usual, count = Counter(known).most_common(1)[0]
    if count > len(known) / 2:
        return np.flatnonzero([bool(size) and size != usual for size in sizes])
    return np.flatnonzero(
        [size is not None and (min(size) < MIN_SIDE or max(size) > MAX_ASPECT * min(size)) for size in sizes]
    )


def label_issues(probabilities: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Confident learning (Northcutt et al. 2021, Confident Learning: Estimating Uncertainty in Dataset Labels).

    A label's own threshold is the mean probability that its images get for it. An image is an issue where the most
    probable of the labels that reach their thresholds is not its own. The formula is short and stays
    here: the cleanlab package would bring many others for it.

    Args:
        probabilities: float (n, k), best from a model that was not trained on these images.
        codes: int (n), given labels.

    Returns:
        Rows, int64, by the margin between the given and the best other label, the worst first.
    """
    n, k = probabilities.shape
    given = probabilities[np.arange(n), codes]
    counts = np.bincount(codes, minlength=k)
    sums = np.bincount(codes, weights=given, minlength=k)
    thresholds = np.where(counts > 0, sums / np.maximum(counts, 1), np.inf)
    confident = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)
    rows = np.flatnonzero((confident.max(axis=1) >= 0) & (confident.argmax(axis=1) != codes))
    others = probabilities[rows].copy()
    others[np.arange(len(rows)), codes[rows]] = -1
    return rows[np.argsort(given[rows] - others.max(axis=1), kind="stable")]
