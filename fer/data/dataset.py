"""Labelled images in memory: one type for every source, loaded by `load`."""

import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from fer.core import images, labels
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import class_folders, fer2013_csv, soft_labels, synthetic_faces
from fer.data.duplicates import group_identical
from fer.data.entry import Entry
from fer.data.keep_list import KeepList

SPLITS = ("train", "validation", "test")
AS_IS = ("as it is",)  # every split that the source has, in place of a choice
UNDIVIDED = "train and validation"  # images from which a validation split is still to be taken
VOTE_MODES = ("majority", "shares", "mixed")
DEMO_COUNTS = {"train": 1400, "validation": 350, "test": 350}
# Names under which FER2013's table is passed around, for a folder that holds it.
TABLE_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")

Progress = Callable[[Iterable, int, str], Iterable]


@dataclass(frozen=True)
class Dataset:
    """Images with their labels.

    Attributes:
        images: uint8 (n, size, size, channels), prepared for the network.
        targets: float32 (n, k), rows sum to 1: one-hot, or shares of votes.
        labels: k canonical names, in the order of the columns of `targets`.
        entries: the key of each of the n images.
        skipped: (name, reason) of everything that was left out.
        root: the folder or the table to which the entries are relative; "" for synthetic faces.
    """

    images: np.ndarray
    targets: np.ndarray
    labels: tuple[str, ...]
    entries: tuple[Entry, ...]
    skipped: tuple[tuple[str, str], ...] = ()
    root: str = ""

    def __post_init__(self):
        n, k = len(self.images), len(self.labels)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[1] != self.images.shape[2]:
            found = f"{self.images.dtype} {self.images.shape}"
            raise FerError(f"images must be uint8 (n, size, size, channels), not {found}")
        if self.targets.shape != (n, k) or self.targets.dtype != np.float32 or len(self.entries) != n:
            found = f"{self.targets.dtype} {self.targets.shape}"
            raise FerError(f"{n} images, targets {found}, {k} labels, {len(self.entries)} entries")
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
        return (self.images.max(axis=(1, 2)) == self.images.min(axis=(1, 2))).all(axis=1)

    def select(self, rows: np.ndarray) -> "Dataset":
        """The given rows, in that order."""
        entries = tuple(self.entries[i] for i in rows)
        return replace(self, images=self.images[rows], targets=self.targets[rows], entries=entries)

    def without_blank(self) -> "Dataset":
        """The images of more than one colour; the others join `skipped`."""
        dropped = tuple((self.names[i], "blank") for i in np.flatnonzero(self.is_blank))
        return replace(self.select(np.flatnonzero(~self.is_blank)), skipped=(*self.skipped, *dropped))

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


def load(
    source: str | Path,
    spec: InputSpec,
    *,
    splits: tuple[str, ...] = ("train", "validation"),
    votes: str | Path | None = None,
    vote_mode: str = "majority",
    vote_share: float = soft_labels.SHARE,
    keep_list: str | Path | None = None,
    validation_fraction: float | None = 0.1,
    seed: int = 42,
    progress: Progress = lambda items, total, text: items,
) -> dict[str, Dataset]:
    """Loads a data set, whatever its form; docs/data.md shows the folders.

    Args:
        source: a folder of class folders, a fer2013.csv, a folder that holds one, "demo", or "kaggle:OWNER/NAME".
        spec: what the network takes; every image passes `images.prepare`.
        splits: those wanted, of "train", "validation", "test"; or ("all",) for every image there is, as one;
            or `AS_IS` for the splits of the source, "all" where it has none.
        votes: FER+ votes for the rows of a CSV.
        vote_mode: "majority" for eight labels, one-hot; "shares" for eight labels, the distribution of votes; "mixed"
            for the CSV's own seven labels, those of training images softened by the votes (`soft_labels.mix`).
        vote_share: how much, from 0 to 1.
        keep_list: a CSV with the names of the images to keep (`keep_list.read`); the others join `skipped`.
        validation_fraction: share taken from the training images where the source has no validation split. It is
            stratified, and identical images stay on one side. None takes none: all of them are "train".
        seed: of that choice.
        progress: wraps the iteration over images; gets it, their number and a word.

    Returns:
        A data set for each wanted split, all with the same labels.

    Raises:
        FerError: nothing there, an unusable form, a wanted split that the source has not, or a list of other data.
    """
    source = root(source)
    path = _table_inside(Path(source))
    kept = KeepList.read(keep_list, source) if keep_list else KeepList()
    if votes is not None and (source == "demo" or not fer2013_csv.is_table(path)):
        raise FerError(f"votes belong to the rows of a fer2013.csv; {source} is none")
    if source == "demo":
        parts = _from_demo(spec, splits, kept)
    elif not path.exists():
        raise FerError(f"{path}: there is no such file or folder")
    elif path.is_dir():
        parts = _from_folders(path, spec, splits, kept, progress)
    elif fer2013_csv.is_table(path):
        parts = _from_table(path, spec, splits, kept, (votes, vote_mode, vote_share), progress)
    else:
        raise FerError(f"{path}: expected a folder of class folders or a .csv file")
    if splits == ("all",):
        parts = {"all": join(list(parts.values()))}
    for split, part in parts.items():
        if not len(part) and splits != AS_IS:
            raise FerError(f"{source}: no usable image in {split} ({len(part.skipped)} skipped)")
    if UNDIVIDED in parts and validation_fraction is None:
        parts["train"] = parts.pop(UNDIVIDED)
    elif UNDIVIDED in parts:
        parts["train"], parts["validation"] = split_off(parts.pop(UNDIVIDED), validation_fraction, seed)
    return parts if splits == AS_IS else {split: parts[split] for split in splits}


def root(source: str | Path) -> str:
    """Where the data lie: the source itself, or the folder to which Kaggle's were downloaded.

    Raises:
        FerError: they cannot be downloaded.
    """
    source = str(source)
    return str(_download(source.removeprefix("kaggle:"))) if source.startswith("kaggle:") else source


def locate(source: str | Path) -> Path:
    """The folder or the table that a source of `load` is, downloaded if need be; "demo" stays as it is."""
    return _table_inside(Path(root(source)))


def join(parts: list[Dataset]) -> Dataset:
    """Several data sets with the same labels as one."""
    return Dataset(
        np.concatenate([part.images for part in parts]),
        np.concatenate([part.targets for part in parts]),
        parts[0].labels,
        tuple(entry for part in parts for entry in part.entries),
        tuple(dict.fromkeys(skip for part in parts for skip in part.skipped)),
        parts[0].root,
    )


def split_off(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Splits images in two, stratified by label, identical images never on both sides.

    Returns:
        (the rest, about `fraction` of the images).

    Raises:
        FerError: a fraction outside 0..1, or a label with fewer than two different images.
    """
    if not 0 < fraction < 1:
        raise FerError(f"the validation fraction must lie between 0 and 1, not {fraction}")
    first, group = group_identical(dataset.images)
    codes = dataset.targets.argmax(axis=1)[first]
    present, counts = np.unique(codes, return_counts=True)
    if (counts < 2).any():
        label = dataset.labels[present[counts.argmin()]]
        raise FerError(f"{label!r} has a single distinct image: too few to split into training and validation")
    rng, chosen = np.random.default_rng(seed), []
    for code, count in zip(present, counts, strict=True):  # at least one image of every label on each side
        size = min(max(1, round(fraction * count)), count - 1)
        chosen.extend(rng.permutation(np.flatnonzero(codes == code))[:size])
    taken = np.isin(group, chosen)
    rest, part = (dataset.select(np.flatnonzero(side)) for side in (~taken, taken))
    return rest, replace(part, skipped=())  # what was left out is counted once


def _download(handle: str) -> Path:
    if not re.fullmatch(r"[\w-]+/[\w-]+(/versions/\d+)?", handle):
        raise FerError(f"kaggle:{handle}: expected kaggle:OWNER/NAME, as in the address of the data set's page")
    try:
        import kagglehub
    except ImportError as error:
        raise FerError("data from Kaggle need kagglehub: pip install kagglehub") from error
    try:
        return Path(kagglehub.dataset_download(handle))
    except (ValueError, OSError, zipfile.BadZipFile, kagglehub.exceptions.DataCorruptionError) as error:
        raise FerError(f"kaggle:{handle}: {' '.join(str(error).split())}") from error  # requests' errors are OSErrors


def _table_inside(path: Path) -> Path:
    """A known CSV in a folder without class folders, also one folder deeper; else the path itself."""
    inner = path
    while inner.is_dir() and len(inside := class_folders.children(inner)[0]) == 1:
        inner = inside[0]
    if inner.is_dir() and not inside:
        return next((inner / name for name in TABLE_NAMES if (inner / name).is_file()), path)
    return path


def _to_read(source, wanted: tuple[str, ...], present: Collection[str]) -> dict[str, str]:
    """The parts to read for the wanted splits, each with the name it has in the source."""
    if wanted in (("all",), AS_IS):
        return {split: split for split in present}
    parts = {}
    for split in wanted:
        undivided = split != "test" and "validation" not in present
        origin = split if not undivided else "all" if "all" in present else "train"
        if origin not in present:
            found = "images without splits" if "all" in present else ", ".join(present)
            raise FerError(f"{source}: it has no {split} split, only {found}")
        parts[UNDIVIDED if undivided else split] = origin
    return parts


def _from_demo(spec: InputSpec, wanted, kept: KeepList) -> dict[str, Dataset]:
    entries = {split: [Entry(f"demo {split} {i}") for i in range(count)] for split, count in DEMO_COUNTS.items()}
    kept.check(entry for part in entries.values() for entry in part)
    chosen = SPLITS if wanted in (("all",), AS_IS) else wanted
    return {split: _demo(split, entries[split], spec, kept) for split in chosen}


def _demo(split: str, entries: list[Entry], spec: InputSpec, kept: KeepList) -> Dataset:
    faces, codes = synthetic_faces.faces(DEMO_COUNTS[split], seed=SPLITS.index(split))
    rows, skipped = kept.choose(entries)
    targets = _one_hot(codes[rows], len(synthetic_faces.LABELS))
    entries = tuple(entries[i] for i in rows)
    return Dataset(_prepared(faces, rows, spec), targets, synthetic_faces.LABELS, entries, skipped)


def _from_folders(root: Path, spec: InputSpec, wanted, kept: KeepList, progress: Progress) -> dict[str, Dataset]:
    found = class_folders.find(root)
    kept.check(_entry(file, root) for files in found.files.values() for file, _ in files)
    to_read = _to_read(root, wanted, found.files)
    return {part: _read_files(root, found, split, spec, kept, progress) for part, split in to_read.items()}


def _entry(file: Path, root: Path) -> Entry:
    return Entry(file.relative_to(root).as_posix())


def _read_files(root, found: class_folders.Found, split, spec: InputSpec, kept: KeepList, progress) -> Dataset:
    files = found.files[split]
    chosen, left_out = kept.choose([_entry(file, root) for file, _ in files])
    files = [files[i] for i in chosen]
    rows, codes, entries = np.empty((len(files), *spec.shape), np.uint8), [], []
    skipped = [(_entry(Path(path), root).path, reason) for path, reason in found.skipped.get(split, ())]
    skipped += left_out

    def read(file):
        try:
            return images.prepare(images.read(file), spec)
        except FerError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes outside Python's lock
        results = pool.map(read, (file for file, _ in files))
        for (file, label), result in zip(files, progress(results, len(files), split), strict=True):
            entry = _entry(file, root)
            if isinstance(result, str):
                skipped.append((str(entry), result.removeprefix(f"{file}: ")))
                continue
            rows[len(entries)] = result
            codes.append(found.labels.index(label))
            entries.append(entry)
    targets = _one_hot(np.array(codes, np.int64), len(found.labels))
    return Dataset(rows[: len(entries)], targets, found.labels, tuple(entries), tuple(skipped), str(root))


def _from_table(path: Path, spec: InputSpec, wanted, kept: KeepList, voting, progress: Progress) -> dict[str, Dataset]:
    table = fer2013_csv.read(path, lambda chunks, total: progress(chunks, total, path.name))
    entries = [Entry(row=row) for row in range(len(table.codes))]
    kept.check(entries)
    targets, order = _targets(path, table, *voting)
    usable = targets.any(axis=1)
    parts = {}
    splits = np.full(len(entries), "all") if table.splits is None else table.splits
    for part, split in _to_read(path, wanted, tuple(dict.fromkeys(splits.tolist()))).items():
        rows = np.flatnonzero((splits == split) & usable)
        undecided = np.flatnonzero((splits == split) & ~usable)
        chosen, left_out = kept.choose([entries[row] for row in rows])
        rows = rows[chosen]
        skipped = tuple((str(entries[row]), "no emotion holds more than half of its votes") for row in undecided)
        own = tuple(entries[row] for row in rows)
        parts[part] = Dataset(
            _prepared(table.images, rows, spec), targets[rows], order, own, skipped + left_out, str(path)
        )
    return parts


def _prepared(faces: np.ndarray, rows, spec: InputSpec) -> np.ndarray:
    pixels = np.empty((len(rows), *spec.shape), np.uint8)
    for to, of in enumerate(rows):
        pixels[to] = images.prepare(faces[of], spec)
    return pixels


def _targets(path: Path, table: fer2013_csv.Table, votes, vote_mode: str, vote_share: float):
    """Targets float32 (n, k), rows of zeros where an image does not count, and the labels of their columns."""
    k = len(labels.FER2013)
    if votes is None:
        return _one_hot(table.codes, k), labels.FER2013
    if vote_mode not in VOTE_MODES:
        raise FerError(f"vote mode must be one of {', '.join(VOTE_MODES)}, not {vote_mode!r}")
    counted = fer2013_csv.read_votes(Path(votes), table.splits)
    if vote_mode == "mixed":
        if "validation" not in table.splits:
            raise FerError(f"{path}: votes are mixed into labels only where validation rows are kept clear of them")
        return soft_labels.mix(table.codes, k, counted.counts, table.splits == "train", vote_share), labels.FER2013
    if vote_mode == "shares":
        return counted.shares, counted.labels
    usable = counted.shares.any(axis=1, keepdims=True)
    return _one_hot(counted.shares.argmax(axis=1), len(counted.labels)) * usable, counted.labels


def _one_hot(codes: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k, dtype=np.float32)[codes]
