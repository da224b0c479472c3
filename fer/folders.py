"""Finds the pictures of a data set kept as class folders, without opening one."""

from dataclasses import dataclass
from pathlib import Path

from fer import FerError
from fer.images import SUFFIXES
from fer.labels import canonical

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
    """What lies in the folders: picture files with their label, by split ("all" where there are no split folders)."""

    files: dict[str, list[tuple[Path, str]]]
    labels: tuple[str, ...]
    skipped: tuple[tuple[str, str], ...]


def find(root: Path) -> Found:
    """Lists class folders below `root`.

    Recognised, also one folder deeper (`images/`, or a single wrapping folder):
    ROOT/train/CLASS, ROOT/validation/CLASS [, ROOT/test/CLASS]; ROOT/train/CLASS and ROOT/test/CLASS; ROOT/CLASS.

    Returns:
        Files sorted by name; labels canonical and in alphabetical order; skipped files and folders with the reason.

    Raises:
        FerError: no class folders, no pictures, or splits with different classes.
    """
    base, split_folders = _base(root)
    skipped = []
    by_split = {}
    for split, folder in split_folders.items() or {"all": base}.items():
        by_split[split] = _classes(folder, skipped)
    _check_same_classes(base, by_split)
    labels = sorted({label for classes in by_split.values() for label, files in classes.items() if files})
    if not labels:
        raise FerError(f"{root}: no pictures in class folders ({', '.join(sorted(SUFFIXES))})")
    files = {
        split: [(file, label) for label in labels for file in classes.get(label, [])] for split, classes in by_split.items()
    }
    if "validation" not in files and "test" in files:
        files |= _by_prefix(files["test"])
    return Found(files, tuple(labels), tuple(skipped))


def _base(root: Path) -> tuple[Path, dict[str, Path]]:
    """The folder that holds split or class folders, and its split folders by canonical name."""
    while True:
        folders = _folders(root)
        splits = {}
        for folder in folders:
            if split := SPLITS.get(folder.name.lower()):
                if split in splits:
                    raise FerError(f"{root}: both {splits[split].name}/ and {folder.name}/ mean {split}; keep one")
                splits[split] = folder
        if splits:
            return root, splits
        images = next((folder for folder in folders if folder.name.lower() == "images"), None)
        wrapper = images or (folders[0] if len(folders) == 1 and _folders(folders[0]) else None)
        if wrapper is None:
            return root, {}
        root = wrapper


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith((".", "__")))


def _classes(folder: Path, skipped: list) -> dict[str, list[Path]]:
    classes, spelled = {}, {}
    for path in sorted(folder.iterdir()):
        if not path.is_dir():
            skipped.append((str(path), "not in a class folder"))
    for path in _folders(folder):
        label = canonical(path.name)
        if label in spelled:
            raise FerError(f"{folder}: {spelled[label]}/ and {path.name}/ both mean {label!r}; put them together")
        spelled[label] = path.name
        classes[label] = []
        for file in sorted(path.rglob("*")):
            if file.is_dir():
                continue
            if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
                classes[label].append(file)
            else:
                skipped.append((str(file), "not a picture file"))
        if not classes[label]:
            skipped.append((str(path), "a class without pictures"))
    return classes


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
