"""Labelled pictures in memory: one type for every source, loaded by `load`."""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer.core import images, labels
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import class_folders, fer2013_csv, soft_labels, synthetic_faces
from fer.data.keep_list import EVERYTHING, Kept
from fer.data.keep_list import read as read_keep_list
from fer.training.recipes import Recipe

SPLITS = ("train", "validation", "test")
AS_IS = ("as it is",)  # every split that the source has, in place of a choice
UNDIVIDED = "train and validation"  # pictures from which a validation split is still to be taken
VOTE_MODES = ("majority", "shares", "mixed")
DEMO_COUNTS = {"train": 1400, "validation": 350, "test": 350}
# Names under which FER2013's table is passed around, for a folder that holds it.
TABLE_NAMES = ("fer2013.csv", "icml_face_data.csv", "train.csv")

Progress = Callable[[Iterable, int, str], Iterable]


@dataclass(frozen=True)
class Dataset:
    """Pictures with their labels.

    Attributes:
        images: uint8 (n, size, size, channels), prepared for the network.
        targets: float32 (n, k), rows sum to 1: one-hot, or shares of votes.
        labels: k canonical names, in the order of the columns of `targets`.
        names: where each of the n pictures is from: a path, or a row of a table.
        skipped: (name, reason) of everything that was left out.
    """

    images: np.ndarray
    targets: np.ndarray
    labels: tuple[str, ...]
    names: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        n, k = len(self.images), len(self.labels)
        if self.images.dtype != np.uint8 or self.images.ndim != 4 or self.images.shape[1] != self.images.shape[2]:
            found = f"{self.images.dtype} {self.images.shape}"
            raise FerError(f"images must be uint8 (n, size, size, channels), not {found}")
        if self.targets.shape != (n, k) or self.targets.dtype != np.float32 or len(self.names) != n:
            found = f"{self.targets.dtype} {self.targets.shape}"
            raise FerError(f"{n} images, targets {found}, {k} labels, {len(self.names)} names")
        if (self.targets < 0).any() or not np.allclose(self.targets.sum(axis=1), 1, atol=1e-4):
            raise FerError("every row of targets must hold shares that sum to 1")
        if len(set(self.labels)) < k:
            raise FerError(f"a label is there twice: {', '.join(self.labels)}")

    def __len__(self):
        return len(self.images)

    @property
    def counts(self) -> dict[str, int]:
        """Pictures of each label (the strongest one, where there are shares)."""
        found = np.bincount(self.targets.argmax(axis=1), minlength=len(self.labels))
        return dict(zip(self.labels, found.tolist(), strict=True))

    @property
    def blank(self) -> int:
        """Pictures of one single colour."""
        return int(self._blank().sum())

    def _blank(self) -> np.ndarray:
        return (self.images.max(axis=(1, 2)) == self.images.min(axis=(1, 2))).all(axis=1)

    def select(self, rows: np.ndarray) -> "Dataset":
        """The given rows, in that order."""
        names = tuple(self.names[i] for i in rows)
        return Dataset(self.images[rows], self.targets[rows], self.labels, names, self.skipped)

    def without_blank(self) -> "Dataset":
        """The pictures of more than one colour; the others join `skipped`."""
        blank = self._blank()
        dropped = tuple((self.names[i], "blank") for i in np.flatnonzero(blank))
        return replace(self.select(np.flatnonzero(~blank)), skipped=(*self.skipped, *dropped))

    def averaging_twins(self) -> "Dataset":
        """The same pictures, where pixel-identical ones share the mean of their targets."""
        _, group = identical(self.images)
        sums = np.zeros((group.max(initial=-1) + 1, len(self.labels)))
        np.add.at(sums, group, self.targets)
        return replace(self, targets=(sums / np.bincount(group)[:, None])[group].astype(np.float32))

    def align(self, order: tuple[str, ...]) -> "Dataset":
        """The same pictures with the columns of `targets` in a model's order; labels match by name.

        Raises:
            FerError: a label of the data that the model does not know.
        """
        if unknown := [label for label in self.labels if label not in order]:
            known = ", ".join(order)
            raise FerError(f"the data have labels that the model does not know: {', '.join(unknown)}; it knows {known}")
        targets = np.zeros((len(self), len(order)), np.float32)
        for column, label in enumerate(self.labels):
            targets[:, order.index(label)] = self.targets[:, column]
        return Dataset(self.images, targets, tuple(order), self.names, self.skipped)


def load(
    source: str | Path,
    spec: InputSpec,
    *,
    splits: tuple[str, ...] = ("train", "validation"),
    votes: str | Path | None = None,
    vote_mode: str = "majority",
    vote_share: float = Recipe.vote_share,
    keep_list: str | Path | None = None,
    validation_fraction: float | None = 0.1,
    seed: int = 42,
    progress: Progress = lambda items, total, text: items,
) -> dict[str, Dataset]:
    """Loads a data set, whatever its form; the README draws the folders.

    Args:
        source: a folder of class folders, a fer2013.csv, a folder that holds one, "demo", or "kaggle:OWNER/NAME".
        spec: what the network takes; every picture passes `images.prepare`.
        splits: those wanted, of "train", "validation", "test"; or ("all",) for every picture there is, as one;
            or `AS_IS` for the splits of the source, "all" where it has none.
        votes: FER+ votes for the rows of a CSV.
        vote_mode: "majority" for eight labels, one-hot; "shares" for eight labels, the distribution of votes; "mixed"
            for the CSV's own seven labels, those of training pictures softened by the votes (`mixing.mixed`).
        vote_share: how much, from 0 to 1.
        keep_list: a CSV with the names of the pictures to keep (`keep.read`); the others join `skipped`.
        validation_fraction: share taken from the training pictures where the source has no validation split. It is
            stratified, and identical pictures stay on one side. None takes none: all of them are "train".
        seed: of that choice.
        progress: wraps the iteration over pictures; gets it, their number and a word.

    Returns:
        A data set for each wanted split, all with the same labels.

    Raises:
        FerError: nothing there, an unusable form, a wanted split that the source has not, or a list of other data.
    """
    source = root(source)
    path = _table_inside(Path(source))
    kept = read_keep_list(keep_list, source) if keep_list else EVERYTHING
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
            raise FerError(f"{source}: no usable picture in {split} ({len(part.skipped)} skipped)")
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
        tuple(name for part in parts for name in part.names),
        tuple(dict.fromkeys(skip for part in parts for skip in part.skipped)),
    )


def identical(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Groups pictures with the same pixels; groups are numbered in the order of their first picture.

    Args:
        pictures: uint8 (n, ...).

    Returns:
        first, int64 (groups): row of each group's first picture; group, int64 (n): the group of each picture.
    """
    keys = [hashlib.blake2b(picture.tobytes(), digest_size=16).digest() for picture in pictures]
    _, first, group = np.unique(np.array(keys), return_index=True, return_inverse=True)
    by_place = np.argsort(first)  # not by hash: a split must not change with the size a network wants
    return first[by_place], np.argsort(by_place)[group]


def split_off(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Splits pictures in two, stratified by label, identical pictures never on both sides.

    Returns:
        (the rest, about `fraction` of the pictures).

    Raises:
        FerError: a fraction outside 0..1, or a label with fewer than two different pictures.
    """
    if not 0 < fraction < 1:
        raise FerError(f"the validation fraction must lie between 0 and 1, not {fraction}")
    first, group = identical(dataset.images)
    codes = dataset.targets.argmax(axis=1)[first]
    present, counts = np.unique(codes, return_counts=True)
    if (counts < 2).any():
        label = dataset.labels[present[counts.argmin()]]
        raise FerError(f"{label!r} has a single distinct picture: too few to split into training and validation")
    rng, chosen = np.random.default_rng(seed), []
    for code, count in zip(present, counts, strict=True):  # at least one picture of every label on each side
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
            found = "pictures without splits" if "all" in present else ", ".join(present)
            raise FerError(f"{source}: it has no {split} split, only {found}")
        parts[UNDIVIDED if undivided else split] = origin
    return parts


def _from_demo(spec: InputSpec, wanted, kept: Kept) -> dict[str, Dataset]:
    kept.check(f"demo {split} {i}" for split, count in DEMO_COUNTS.items() for i in range(count))
    return {split: _demo(split, spec, kept) for split in (SPLITS if wanted in (("all",), AS_IS) else wanted)}


def _demo(split: str, spec: InputSpec, kept: Kept) -> Dataset:
    faces, codes = synthetic_faces.faces(DEMO_COUNTS[split], seed=SPLITS.index(split))
    names = [f"demo {split} {i}" for i in range(len(faces))]
    rows, skipped = kept.choose(names)
    pixels = np.empty((len(rows), *spec.shape), np.uint8)
    for to, of in enumerate(rows):
        pixels[to] = images.prepare(faces[of], spec)
    names = tuple(names[i] for i in rows)
    return Dataset(pixels, _one_hot(codes[rows], len(synthetic_faces.LABELS)), synthetic_faces.LABELS, names, skipped)


def _from_folders(root: Path, spec: InputSpec, wanted, kept: Kept, progress: Progress) -> dict[str, Dataset]:
    found = class_folders.find(root)
    kept.check(str(file) for files in found.files.values() for file, _ in files)
    to_read = _to_read(root, wanted, found.files)
    return {part: _read_files(found, split, spec, kept, progress) for part, split in to_read.items()}


def _read_files(found: class_folders.Found, split: str, spec: InputSpec, kept: Kept, progress: Progress) -> Dataset:
    files = found.files[split]
    chosen, left_out = kept.choose([str(file) for file, _ in files])
    files = [files[i] for i in chosen]
    rows, codes, names = np.empty((len(files), *spec.shape), np.uint8), [], []
    skipped = [*found.skipped.get(split, ()), *left_out]

    def read(file):
        try:
            return images.prepare(images.read(file), spec)
        except FerError as error:
            return str(error)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # OpenCV decodes outside Python's lock
        results = pool.map(read, (file for file, _ in files))
        for (file, label), result in zip(files, progress(results, len(files), split), strict=True):
            if isinstance(result, str):
                skipped.append((str(file), result.removeprefix(f"{file}: ")))
                continue
            rows[len(names)] = result
            codes.append(found.labels.index(label))
            names.append(str(file))
    targets = _one_hot(np.array(codes, np.int64), len(found.labels))
    return Dataset(rows[: len(names)], targets, found.labels, tuple(names), tuple(skipped))


def _from_table(path: Path, spec: InputSpec, wanted, kept: Kept, voting, progress: Progress) -> dict[str, Dataset]:
    table = fer2013_csv.read(path, lambda chunks, total: progress(chunks, total, path.name))
    names = np.array([f"{path.name} row {i}" for i in range(len(table.codes))])
    kept.check(names.tolist())
    targets, order = _targets(path, table, *voting)
    usable = targets.any(axis=1)
    parts = {}
    splits = np.full(len(names), "all") if table.splits is None else table.splits
    for part, split in _to_read(path, wanted, tuple(dict.fromkeys(splits.tolist()))).items():
        rows = np.flatnonzero((splits == split) & usable)
        dropped = names[(splits == split) & ~usable].tolist()
        chosen, left_out = kept.choose(names[rows].tolist())
        rows = rows[chosen]
        skipped = tuple((name, "no emotion holds more than half of its votes") for name in dropped) + left_out
        pixels = np.empty((len(rows), *spec.shape), np.uint8)
        for to, of in enumerate(rows):
            pixels[to] = images.prepare(table.images[of], spec)
        parts[part] = Dataset(pixels, targets[rows], order, tuple(names[rows].tolist()), skipped)
    return parts


def _targets(path: Path, table: fer2013_csv.Table, votes, vote_mode: str, vote_share: float):
    """Targets float32 (n, k), rows of zeros where a picture does not count, and the labels of their columns."""
    k = len(labels.FER2013)
    if votes is None:
        return _one_hot(table.codes, k), labels.FER2013
    if vote_mode not in VOTE_MODES:
        raise FerError(f"vote mode must be one of {', '.join(VOTE_MODES)}, not {vote_mode!r}")
    counted = fer2013_csv.read_votes(Path(votes), table.splits)
    if vote_mode == "mixed":
        if "validation" not in table.splits:
            raise FerError(f"{path}: votes are mixed into labels only where validation rows are kept clear of them")
        return soft_labels.mixed(table.codes, k, counted.counts, table.splits == "train", vote_share), labels.FER2013
    if vote_mode == "shares":
        return counted.shares, counted.labels
    usable = counted.shares.any(axis=1, keepdims=True)
    return _one_hot(counted.shares.argmax(axis=1), len(counted.labels)) * usable, counted.labels


def _one_hot(codes: np.ndarray, k: int) -> np.ndarray:
    return np.eye(k, dtype=np.float32)[codes]
