"""Loads labelled images from whatever holds them: folders, tables, addresses, synthetic faces."""

import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import coding, image_array, places, readers, resolve, soft_labels, synthetic_faces
from fer.data.dataset import Dataset, join
from fer.data.entry import Entry
from fer.data.keep_list import KeepList
from fer.data.listing import ALL, Listing, Options, Progress
from fer.data.readers.class_folders import ClassFolders
from fer.data.readers.parquet import download_hugging_face
from fer.data.readers.pixel_tables import UNDECIDED
from fer.data.readers.table import TableOfFiles
from fer.data.splits import SPLITS
from fer.data.splitting import FRACTION, SEED, split_off
from fer.data.unseen import check_unseen
from fer.data.walk import Tree

logger = logging.getLogger(__name__)

AS_IS = ("as it is",)  # every split that the source has, in place of a choice
UNDIVIDED = "train and validation"  # images from which a validation split is still to be taken
DEMO_COUNTS = {"train": 1400, "validation": 350, "test": 350}


def load(
    source: str | Path,
    spec: InputSpec,
    *,
    splits: str | Collection[str] = ("train", "validation"),
    labels: str | Mapping[str, str] | None = None,
    drop_labels: str | Collection[str] = (),
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
        drop_labels: one or several class names or labels, whose images are left out.
        labels_csv: a table with a column of file names, one of labels, and perhaps a split and a subject.
        format: the name of a reader, where the source does not show its form by itself.
        group: subjects or sequences, which the validation split keeps on one side: a column of the table, or a regular
            expression for the paths, of which the first group counts; "none" keeps none apart.
        votes: FER+ votes for the rows of a CSV.
        vote_mode: "majority" for eight labels, one-hot, as images are scored; "shares" for eight labels, the
            distribution of votes; "mixed" for the CSV's own seven labels, those of training images softened by the
            votes (`soft_labels.mix`). Recipes have a mode of their own.
        vote_share: how much, from 0 to 1.
        keep_list: a CSV with the names of the images to keep (`KeepList.read`); the others join `skipped`. It does not
            move the border between training and validation images.
        validation_fraction: share taken from the training images where the source has no validation split. It is
            stratified; identical images, and those of one subject, stay on one side. None takes none: all are "train".
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
    drop_labels = (drop_labels,) if isinstance(drop_labels, str) else tuple(drop_labels)
    if unknown := sorted({*splits} - {*SPLITS, ALL, *AS_IS}):
        raise FerError(f"the splits are {', '.join(SPLITS)} and {ALL}, not {unknown[0]!r}")
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
    if not listing.entries:
        raise FerError(f"{source}: no image with a label ({len(listing.skipped):,} skipped)")
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
    if UNDIVIDED in datasets:
        datasets |= _divide(datasets.pop(UNDIVIDED), source, kept, validation_fraction, seed)
    for split in splits if splits != AS_IS else ():
        if split not in datasets:
            raise FerError(f"{source}: it has no {split} split, and validation_fraction is None")
        if not len(datasets[split]):
            raise FerError(f"{source}: no usable image in {split} ({len(datasets[split].skipped)} skipped)")
    return datasets if splits == AS_IS else {split: datasets[split] for split in splits}


def _divide(undivided: Dataset, source: str, kept: KeepList, fraction: float | None, seed: int) -> dict[str, Dataset]:
    """The splits of data that have none of their own: first divided, then reduced to the list."""
    if not len(undivided):
        raise FerError(f"{source}: no usable image in {UNDIVIDED} ({len(undivided.skipped)} skipped)")
    if fraction is None:
        return {"train": undivided.kept_by(kept)}
    parts = split_off(undivided, fraction, seed)
    return {name: part.kept_by(kept) for name, part in zip(("train", "validation"), parts, strict=True)}


def load_for_models(
    specs: Sequence[InputSpec], source: str | Path, split: str, *, metadata: Sequence[Mapping] = (), **options
) -> dict[InputSpec, Dataset]:
    """Loads one split of a data set for every input that occurs.

    Args:
        specs: inputs of the models.
        source, options: as `load` takes them.
        split: one of the splits of the data, or "all".
        metadata: of each model, for `check_unseen`.

    Raises:
        FerError: as `load` or `check_unseen`; or resized for different inputs, the data are split differently.
    """
    data = {spec: load(source, spec, splits=split, **options)[split] for spec in dict.fromkeys(specs)}
    if len({part.names for part in data.values()}) > 1:
        raise FerError(
            "these models cannot be averaged or compared here: resized for their inputs, the data are split differently"
        )
    check_unseen(metadata, data[specs[0]], source, split, **options)
    return data


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
