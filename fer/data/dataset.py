"""Labelled images: one type, whatever their source."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from fer.core.errors import FerError
from fer.core.labels import canonical
from fer.data import image_array
from fer.data.duplicates import duplicates_in, group_identical
from fer.data.entry import Entry
from fer.data.image_array import Images
from fer.data.keep_list import KeepList


@dataclass(frozen=True)
class Dataset:
    """Images with their labels.

    Attributes:
        images: uint8 (n, size, size, channels), prepared for the network; an `ImageArray` where they are not in memory.
        targets: float32 (n, k), rows sum to 1: one-hot, or shares of votes.
        labels: k canonical names, in the order of the columns of `targets`.
        entries: the key of each of the n images.
        skipped: (name, reason) of everything that was left out.
        root: the folder or the table to which the entries are relative; "" for synthetic faces.
        groups: the subject or sequence of each image, "" where unknown; empty where none is known.
        question: a line about folders that may be subjects or not, whom a random split might put on both sides.
        drawn: True for a part that was drawn by chance from images without a validation split.
    """

    images: Images
    targets: np.ndarray
    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    root: str = ""
    groups: tuple[str, ...] = ()
    question: str = ""
    drawn: bool = False

    def __post_init__(self):
        n, k = len(self.images), len(self.labels)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[1] != self.images.shape[2]:
            found = f"{self.images.dtype} {self.images.shape}"
            raise FerError(f"images must be uint8 (n, size, size, channels), not {found}")
        if self.targets.shape != (n, k) or self.targets.dtype != np.float32 or len(self.entries) != n:
            found = f"{self.targets.dtype} {self.targets.shape}"
            raise FerError(f"{n} images, targets {found}, {k} labels, {len(self.entries)} entries")
        if self.groups and len(self.groups) != n:
            raise FerError(f"{n} images, {len(self.groups)} groups")
        if (self.targets < 0).any() or not np.allclose(self.targets.sum(axis=1), 1, atol=1e-4):
            raise FerError("every row of targets must hold shares that sum to 1")
        if len(set(self.labels)) < k:
            raise FerError(f"a label is there twice: {', '.join(self.labels)}")

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape[1:]))
        return f"Dataset({len(self):,} images of {size}, {len(self.labels)} labels: {', '.join(self.labels)})"

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The entries as text."""
        return tuple(map(str, self.entries))

    @property
    def counts(self) -> dict[str, int]:
        """Images of each label (the largest share, where there are shares)."""
        found = np.bincount(self.targets.argmax(axis=1), minlength=len(self.labels))
        return dict(zip(self.labels, found.tolist(), strict=True))

    @property
    def n_blank(self) -> int:
        """Number of images of a single colour."""
        return int(self.is_blank.sum())

    @cached_property
    def is_blank(self) -> np.ndarray:
        """bool (n): images of a single colour."""
        return np.concatenate([_blank(chunk) for chunk in image_array.chunks(self.images)] or [np.zeros(0, bool)])

    @classmethod
    def from_arrays(
        cls,
        images: np.ndarray,
        labels: Sequence[str],
        *,
        order: Sequence[str] | None = None,
        groups: Sequence[str] = (),
    ) -> "Dataset":
        """A data set from arrays.

            data = fer.Dataset.from_arrays(images, ["happy", "sad", ...])

        Args:
            images: uint8 (n, size, size, channels), channels 1 (grey) or 3 (BGR), of the size that the network takes.
            labels: the label of each image.
            order: the k labels, some perhaps without an image; by default those that occur, sorted.
            groups: the subject of each image, "" where unknown.

        Raises:
            FerError: arrays of another shape or type, or a label that is not in `order`.
        """
        if wrong := [label for label in labels if not isinstance(label, str)]:
            raise FerError(f"labels are names, one for each image, not {type(wrong[0]).__name__} ({wrong[0]!r})")
        if len(images) != len(labels):
            raise FerError(f"{len(images)} images, but {len(labels)} labels")
        names = [canonical(label) for label in labels]
        order = tuple(map(canonical, order)) if order is not None else tuple(sorted(set(names)))
        if unknown := sorted(set(names) - set(order)):
            raise FerError(f"labels that are not among {', '.join(order)}: {', '.join(unknown)}")
        targets = np.zeros((len(names), len(order)), np.float32)
        targets[np.arange(len(names)), [order.index(name) for name in names]] = 1
        return cls(images, targets, order, tuple(Entry(row=row) for row in range(len(names))), groups=tuple(groups))

    def select(self, rows: np.ndarray) -> "Dataset":
        """The given rows: indexes, in their order, or bool (n)."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        entries = tuple(self.entries[i] for i in rows)
        groups = tuple(self.groups[i] for i in rows) if self.groups else ()
        images = image_array.select(self.images, rows)
        return replace(self, images=images, targets=self.targets[rows], entries=entries, groups=groups)

    def without_blank(self) -> "Dataset":
        """The images of more than one colour; the others join `skipped`."""
        dropped = tuple((self.names[i], "blank") for i in np.flatnonzero(self.is_blank))
        kept = replace(self.select(~self.is_blank), skipped=(*self.skipped, *dropped))
        vars(kept)["is_blank"] = np.zeros(len(kept), bool)  # known: images on demand are not decoded again for it
        return kept

    def without_duplicates_in(self, training: "Dataset") -> "Dataset":
        """The images without a duplicate or near-duplicate in the training split; the others join `skipped`."""
        seen = duplicates_in(self.images, training.images, near=True)
        dropped = tuple(
            (self.names[i], "it has a duplicate or near-duplicate in training") for i in np.flatnonzero(seen)
        )
        return replace(self.select(~seen), skipped=(*self.skipped, *dropped))

    def kept_by(self, keep_list: KeepList) -> "Dataset":
        """The images that the list names; the others join `skipped`."""
        rows, left_out = keep_list.choose(self.entries)
        return replace(self.select(np.array(rows, np.int64)), skipped=(*self.skipped, *left_out))

    def with_averaged_duplicates(self) -> "Dataset":
        """The same images, where pixel-identical ones share the mean of their targets."""
        _, group = group_identical(self.images)
        sums = np.zeros((group.max(initial=-1) + 1, len(self.labels)))
        np.add.at(sums, group, self.targets)
        return replace(self, targets=(sums / np.bincount(group)[:, None])[group].astype(np.float32))

    def align(self, order: tuple[str, ...]) -> "Dataset":
        """The same images with the columns of `targets` in a model's order; labels match by name.

        Raises:
            FerError: the data have a label that the model does not know.
        """
        if unknown := [label for label in self.labels if label not in order]:
            known = ", ".join(order)
            raise FerError(f"the data have labels that the model does not know: {', '.join(unknown)}; it knows {known}")
        targets = np.zeros((len(self), len(order)), np.float32)
        for column, label in enumerate(self.labels):
            targets[:, order.index(label)] = self.targets[:, column]
        return replace(self, targets=targets, labels=tuple(order))


def join(parts: Sequence[Dataset]) -> Dataset:
    """Several data sets with the same labels as one."""
    groups = tuple(group for part in parts for group in (part.groups or [""] * len(part)))
    return Dataset(
        image_array.join([part.images for part in parts]),
        np.concatenate([part.targets for part in parts]),
        parts[0].labels,
        tuple(entry for part in parts for entry in part.entries),
        tuple(dict.fromkeys(skip for part in parts for skip in part.skipped)),
        parts[0].root,
        groups if any(groups) else (),
        parts[0].question,
    )


def _blank(images: np.ndarray) -> np.ndarray:
    """bool (n): images whose pixels all equal their first one."""
    pixels = images.reshape(len(images), -1, images.shape[-1])
    return (pixels == pixels[:, :1]).all(axis=(1, 2))
