"""Labelled images: one type for every source, loaded by `load`."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.core.labels import canonical
from fer.data import coding, image_array, places, readers, resolve, soft_labels, synthetic_faces
from fer.data.duplicates import duplicates_in, group_identical
from fer.data.entry import Entry
from fer.data.image_array import Images
from fer.data.keep_list import KeepList
from fer.data.listing import ALL, Listing, Options, Progress
from fer.data.readers.class_folders import ClassFolders
from fer.data.readers.parquet import download_hugging_face
from fer.data.readers.pixel_tables import UNDECIDED
from fer.data.readers.table import TableOfFiles
from fer.data.splits import SPLITS
from fer.data.splitting import FRACTION, SEED, split_off
from fer.data.walk import Tree

logger = logging.getLogger(__name__)

AS_IS = ("as it is",)  # every split that the source has, in place of a choice
UNDIVIDED = "train and validation"  # images from which a validation split is still to be taken
DEMO_COUNTS = {"train": 1400, "validation": 350, "test": 350}


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
        groups: the person or sequence of each image, "" where unknown; empty where none is known.
        question: a line about folders that may be persons or not, whom a random split might put on both sides.
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
            groups: the person of each image, "" where unknown.

        Raises:
            FerError: arrays of another shape or type, or a label that is not in `order`.
        """
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
        return replace(self.select(~self.is_blank), skipped=(*self.skipped, *dropped))

    def without_duplicates_in(self, training: "Dataset") -> "Dataset":
        """The images without a duplicate or near-duplicate in the training split; the others join `skipped`."""
        seen = duplicates_in(self.images, training.images, near=True)
        dropped = tuple((self.names[i], "it has a duplicate in training") for i in np.flatnonzero(seen))
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


def _blank(images: np.ndarray) -> np.ndarray:
    """bool (n): images whose pixels all equal their first one."""
    pixels = images.reshape(len(images), -1, images.shape[-1])
    return (pixels == pixels[:, :1]).all(axis=(1, 2))


def load(
    source: str | Path,
    spec: InputSpec,
    *,
    splits: str | Collection[str] = ("train", "validation"),
    labels: str | Mapping[str, str] | None = None,
    drop_labels: Collection[str] = (),
    labels_csv: str | Path | None = None,
    format: str | None = None,
    group: str | None = None,
    votes: str | Path | None = None,
    vote_mode: str = "majority",
    vote_share: float = soft_labels.SHARE,
    keep_list: str | Path | None = None,
    validation_fraction: float | None = FRACTION,
    seed: int = SEED,
    cache: str = "auto",
    progress: Progress = lambda items, total, text: items,
) -> dict[str, Dataset]:
    """Loads a data set, whatever its form; docs/data.md lists the forms.

    Args:
        source: a folder, a table of pixels, "demo", "kaggle:OWNER/NAME" or "hf:OWNER/NAME".
        spec: what the network takes; every image passes `images.prepare`.
        splits: one or several of "train", "validation", "test"; or "all" for every image there is, as one; or `AS_IS`
            for the splits of the source, "all" where it has none.
        labels: what the class names mean: see `coding.read_coding`, or a mapping of names to labels.
        drop_labels: class names or labels whose images are left out.
        labels_csv: a table with a column of file names, one of labels, and perhaps a split and a person.
        format: the name of a reader, where the source does not show its form by itself.
        group: persons or sequences, which the validation split keeps on one side: a column of the table, or a regular
            expression for the paths, of which the first group counts; "none" keeps none apart.
        votes: FER+ votes for the rows of a CSV.
        vote_mode: "majority" for eight labels, one-hot, as images are scored; "shares" for eight labels, the
            distribution of votes; "mixed" for the CSV's own seven labels, those of training images softened by the
            votes (`soft_labels.mix`). Recipes have a mode of their own.
        vote_share: how much, from 0 to 1.
        keep_list: a CSV with the names of the images to keep (`KeepList.read`); the others join `skipped`. It does not
            move the border between training and validation images.
        validation_fraction: share taken from the training images where the source has no validation split. It is
            stratified; identical images, and those of one person, stay on one side. None takes none: all are "train".
        seed: of that choice.
        cache: where the pixels are kept: "memory", "disk", "none", or "auto"; see `image_array.decode_all`.
        progress: wraps the iteration over images; gets it, their number and a word.

    Returns:
        A data set for each wanted split, all with the same labels.

    Raises:
        FerError: nothing there, a form that is not understood, class names that are not emotions, a wanted split that
            the source has not, or a list of other data.
    """
    splits = (splits,) if isinstance(splits, str) else tuple(splits)
    source = places.local(source)
    options = Options(votes, vote_mode, vote_share, labels_csv, progress)
    given = coding.read_coding(labels) if isinstance(labels, str) else labels and coding.normalized(labels)
    same_classes = False
    if source == places.DEMO:
        listing = _demo(splits)
    elif source.startswith(places.HUGGING_FACE):
        listing = download_hugging_face(source.removeprefix(places.HUGGING_FACE))
    else:
        listing, same_classes = _list(Path(source), options, given, format)
    if votes is not None and listing.shares is None:
        raise FerError(f"votes belong to the rows of a fer2013.csv (docs/data.md); {source} is none")
    listing.groups = resolve.groups(listing, group)
    kept = KeepList.read(keep_list, source) if keep_list else KeepList()
    kept.check(listing.entries)
    present = tuple(split for split in (*SPLITS, ALL) if split in set(listing.splits))
    parts = _to_read(source, splits, present)
    rows = {part: [row for row, own in enumerate(listing.splits) if own == origin] for part, origin in parts.items()}
    targets, order = resolve.targets(listing, source, rows, given, drop_labels, same_classes=same_classes)
    datasets = {}
    for part, origin in parts.items():
        listed = KeepList() if part == UNDIVIDED else kept  # first divided, then reduced to the list
        skipped, usable = _choose(listing, rows[part], origin, parts, targets, listed)
        sources = [listing.sources[row] for row in usable]
        images, failed = image_array.decode_all(sources, spec, cache=cache, progress=progress, text=origin)
        skipped += [(str(listing.entries[usable[i]]), reason) for i, reason in failed]
        good = np.delete(np.array(usable, np.int64), [i for i, _ in failed])
        datasets[part] = Dataset(
            images,
            targets[good],
            order,
            tuple(listing.entries[row] for row in good),
            tuple(skipped),
            "" if listing.root == Path() else str(listing.root),
            tuple(listing.groups[row] for row in good) if listing.groups else (),
            listing.question,
        )
    for line in filter(None, [*listing.notes, listing.question]):
        logger.info("%s", line)
    if splits == (ALL,):
        datasets = {ALL: join(list(datasets.values()))}
    undivided = datasets.pop(UNDIVIDED, None)
    if undivided is not None and not len(undivided):
        raise FerError(f"{source}: no usable image in {UNDIVIDED} ({len(undivided.skipped)} skipped)")
    if undivided is not None and validation_fraction is None:
        datasets["train"] = undivided.kept_by(kept)
    elif undivided is not None and validation_fraction is not None:
        divided = split_off(undivided, validation_fraction, seed)
        datasets["train"], datasets["validation"] = (part.kept_by(kept) for part in divided)
    for split in splits if splits != AS_IS else ():
        if split not in datasets:
            raise FerError(f"{source}: it has no {split} split, and validation_fraction is None")
        if not len(datasets[split]):
            raise FerError(f"{source}: no usable image in {split} ({len(datasets[split].skipped)} skipped)")
    return datasets if splits == AS_IS else {split: datasets[split] for split in splits}


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


def _list(
    path: Path, options: Options, given: Mapping[str, str] | str | None, format: str | None
) -> tuple[Listing, bool]:
    """The images of a folder or a file, and whether all of its splits should have the same classes."""
    tree = Tree.of(path)
    if options.labels_csv is not None:
        if format not in (None, TableOfFiles.name):
            raise FerError(f"--labels-csv is a format of its own, not {format}")
        return TableOfFiles().read(tree, options), False
    reader = readers.find_reader(tree, format)
    if isinstance(reader, ClassFolders) and isinstance(given, Mapping):
        reader = ClassFolders(lambda name: coding.plain(name) in given or coding.is_emotion(name))
    return reader.read(tree, options), isinstance(reader, ClassFolders)


def _demo(wanted: tuple[str, ...]) -> Listing:
    """Synthetic faces; those of splits that are not wanted are not drawn."""
    listing, sources = Listing(Path(), order=synthetic_faces.LABELS), list[np.ndarray]()
    for split, count in DEMO_COUNTS.items():
        if split in wanted or wanted in ((ALL,), AS_IS):
            faces, codes = synthetic_faces.faces(count, seed=SPLITS.index(split))
        else:
            faces, codes = np.empty((count, 0, 0), np.uint8), np.zeros(count, np.int64)
        listing.entries += [Entry(f"demo {split} {i}") for i in range(count)]
        listing.names += [synthetic_faces.LABELS[code] for code in codes]
        listing.splits += [split] * count
        sources += list(faces)
    listing.sources = sources
    return listing


def _to_read(source: str | Path, wanted: tuple[str, ...], present: Collection[str]) -> dict[str, str]:
    """The parts to read for the wanted splits, each with the name it has in the source."""
    if wanted in ((ALL,), AS_IS):
        return {split: split for split in (*SPLITS, ALL) if split in present}
    parts = {}
    for split in wanted:
        undivided = split != "test" and "validation" not in present
        origin = split if not undivided else ALL if ALL in present else "train"
        if (undivided or split == "train") and {ALL, "train"} <= set(present):
            text = "some images belong to train, others to no split: give these a split, or leave them out"
            raise FerError(f"{source}: {text}")
        if origin not in present:
            found = "images without splits" if ALL in present else ", ".join(present)
            raise FerError(f"{source}: it has no {split} split, only {found}")
        parts[UNDIVIDED if undivided else split] = origin
    return parts


def _choose(
    listing: Listing,
    rows: list[int],
    origin: str,
    parts: Mapping[str, str],
    targets: np.ndarray,
    kept: KeepList,
) -> tuple[list[tuple[str, str]], list[int]]:
    """What one split leaves out, as (name, reason), and the rows to decode."""
    first = "train" if "train" in parts.values() else next(iter(parts.values()))
    skipped = [
        (name, reason)
        for split, name, reason in listing.skipped
        if split == origin or (origin == first and split not in SPLITS)  # what belongs to no split is named once
    ]
    counts = np.asarray(targets.any(axis=1))
    if listing.shares is not None:
        skipped += [(str(listing.entries[row]), UNDECIDED) for row in rows if not listing.shares[row].any()]
    else:
        skipped += [(str(listing.entries[row]), "no label") for row in rows if listing.names[row] == ""]
    rows = [row for row in rows if counts[row]]
    chosen, left_out = kept.choose([listing.entries[row] for row in rows])
    return [*skipped, *left_out], [rows[i] for i in chosen]
