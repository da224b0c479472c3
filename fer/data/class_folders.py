"""Finds images in folders without opening one: those of a data set of class folders, or simply all."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fer.core.errors import FerError
from fer.core.images import SUFFIXES, is_image_file
from fer.core.labels import canonical

SPLITS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
    "testing": "test",
}
# FER2013's folder copies mix both official test splits in test/; the file names still tell them apart.
PREFIXES = {"PublicTest": "validation", "PrivateTest": "test"}


@dataclass(frozen=True)
class Found:
    """Image files with their label, and (path, reason) of what was left out, by split ("all" without split folders)."""

    files: dict[str, list[tuple[Path, str]]]
    labels: tuple[str, ...]
    skipped: dict[str, list[tuple[str, str]]]


def find(root: Path) -> Found:
    """Lists class folders below `root`.

    Recognised, also one folder deeper (`images/`, or a single wrapping folder):
    ROOT/train/CLASS, ROOT/validation/CLASS [, ROOT/test/CLASS]; ROOT/train/CLASS and ROOT/test/CLASS; ROOT/CLASS.

    Returns:
        Files sorted by name; labels canonical and in alphabetical order.

    Raises:
        FerError: no class folders, no images, splits with different classes, or a folder that cannot be read.
    """
    base, split_folders, beside = _base(root)
    by_split, skipped = {}, {}
    for split, folder in split_folders.items() or {"all": base}.items():
        by_split[split], skipped[split] = _classes(folder)
    first = "train" if "train" in skipped else next(iter(skipped))
    skipped[first] += [(str(path), "not in a class folder") for path in beside]
    _check_same_classes(base, by_split)
    labels = sorted({label for classes in by_split.values() for label, files in classes.items() if files})
    if not labels:
        raise FerError(f"{root}: no images in class folders ({', '.join(sorted(SUFFIXES))})")
    files = {
        split: [(file, label) for label in labels for file in classes.get(label, [])]
        for split, classes in by_split.items()
    }
    if "validation" not in files and "test" in files:
        files |= _by_prefix(files["test"])
        if "validation" in files:
            skipped["validation"] = skipped.pop("test")
    return Found(files, tuple(labels), skipped)


def children(folder: Path) -> tuple[list[Path], list[Path]]:
    """The folders that may hold images, and all else: files, hidden folders, what unzipping on a Mac leaves behind.

    Raises:
        FerError: the folder cannot be read.
    """
    folders, others = [], []
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise FerError(f"{folder}: cannot be read ({error.strerror})") from error
    for entry in found:
        # os.path.isdir, as it takes a link into a closed folder for a file, where others raise.
        is_folder = os.path.isdir(entry) and not entry.name.startswith((".", "__"))
        (folders if is_folder else others).append(Path(entry))
    return folders, others


def find_images(
    folder: str | Path, *, on_error: Callable[[str], None], on_other: Callable[[Path], None] = lambda path: None
) -> Iterator[Path]:
    """Image files below `folder` at any depth, one at a time; of each folder first its files by name, then its
    folders by name. Hidden files and folders are left out.

    Args:
        folder: or a single file, which is all there is then, whatever its name.
        on_error: takes one line for each folder that cannot be read, or is a link (which may lead in a circle).
        on_other: takes each file that is no image, neither by its name nor by its content.

    Raises:
        FerError: there is no such file or folder, or it cannot be read; before the first image is asked for.
    """
    folder = Path(folder)
    if not folder.exists():
        raise FerError(f"{folder}: no such file or folder")
    if not folder.is_dir():
        return iter([folder])
    return _below(children(folder), on_error, on_other)


def _below(
    listing: tuple[list[Path], list[Path]] | None, on_error: Callable[[str], None], on_other: Callable[[Path], None]
) -> Iterator[Path]:
    waiting = []
    while listing or waiting:
        folders, others = listing or ([], [])
        for path in others:
            if path.name.startswith(".") or path.is_dir():
                continue
            if is_image_file(path):
                yield path
            else:
                on_other(path)
        waiting += reversed(folders)
        listing = _listing(waiting.pop(), on_error) if waiting else None


def _listing(folder: Path, on_error: Callable[[str], None]) -> tuple[list[Path], list[Path]] | None:
    if folder.is_symlink():
        on_error(f"{folder}: a link to a folder is not followed")
        return None
    try:
        return children(folder)
    except FerError as error:
        on_error(str(error))
        return None


def _base(root: Path) -> tuple[Path, dict[str, Path], list[Path]]:
    """The folder of split or class folders, the split folders by canonical name, and what lies beside the way there."""
    beside = []
    while True:
        folders, others = children(root)
        splits = {}
        for folder in folders:
            if split := SPLITS.get(folder.name.lower()):
                if split in splits:
                    raise FerError(f"{root}: both {splits[split].name}/ and {folder.name}/ mean {split}; keep one")
                splits[split] = folder
        images = next((folder for folder in folders if folder.name.lower() == "images"), None)
        wrapper = images or (folders[0] if len(folders) == 1 and children(folders[0])[0] else None)
        if not splits and wrapper is None:
            return root, {}, beside
        used = splits.values() or [wrapper]
        beside += others + [folder for folder in folders if folder not in used]
        if splits:
            return root, splits, beside
        root = wrapper


def _classes(folder: Path) -> tuple[dict[str, list[Path]], list[tuple[str, str]]]:
    """Image files by label, and what was left out."""
    folders, others = children(folder)
    skipped = [(str(path), "not in a class folder") for path in others]
    classes, spelled = {}, {}
    for path in folders:
        label = canonical(path.name)
        if label in spelled:
            raise FerError(f"{folder}: {spelled[label]}/ and {path.name}/ both mean {label!r}; put them together")
        spelled[label] = path.name
        classes[label] = _images(path, skipped)
        if not classes[label]:
            skipped.append((str(path), "a class without images"))
    return classes, skipped


def _images(folder: Path, skipped: list[tuple[str, str]]) -> list[Path]:
    """Image files at any depth; names what is none in `skipped`."""
    folders, others = children(folder)
    files = []
    for path in others:
        if not path.name.startswith(".") and path.is_file() and is_image_file(path):
            files.append(path)
        else:
            skipped.append((str(path), "not an image file"))
    for path in folders:
        if path.is_symlink():
            skipped.append((str(path), "a link to a folder"))  # it may lead in a circle
        else:
            files += _images(path, skipped)
    return files


def _check_same_classes(base: Path, by_split: dict[str, dict]) -> None:
    (first, classes), *others = by_split.items()
    for split, other in others:
        if missing := sorted(classes.keys() ^ other.keys()):
            where = {label: first if label in classes else split for label in missing}
            text = ", ".join(f"{label!r} only in {where[label]}" for label in missing)
            raise FerError(f"{base}: {first} and {split} have different classes: {text}")


def _by_prefix(files: list[tuple[Path, str]]) -> dict[str, list[tuple[Path, str]]]:
    """Takes a mixed test folder apart, if every file says where it is from."""
    parts = {"validation": [], "test": []}
    for file, label in files:
        split = PREFIXES.get(file.name.partition("_")[0])
        if split is None:
            return {}
        parts[split].append((file, label))
    return {split: part for split, part in parts.items() if part} | ({} if parts["test"] else {"test": []})
