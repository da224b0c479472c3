"""Attributes of the people in the images, such as gender or age, from a table or from the folders of a data set."""

import reprlib
from itertools import pairwise
from pathlib import Path, PurePath

import numpy as np

from fer.core import csv
from fer.core.errors import FerError
from fer.core.labels import canonical
from fer.data.dataset import Dataset
from fer.data.readers.table import PATHS

FOLDER = "folder"  # the attribute that folders below the class folders hold
KEYS = (*PATHS, "source")  # columns that may name the images in a table of attributes


def read(attribute: str, data: Dataset, table: str | Path | None = None) -> np.ndarray:
    """The group of each image.

    Args:
        attribute: a column of `table`, or of the data's own CSV; or "folder", for CLASS/GROUP/image.jpg.
        data: the images.
        table: a CSV with a column of file names and one of the attribute.

    Returns:
        str (n,), "" where the attribute is not known.

    Raises:
        FerError: no such column, a table that cannot be read, or names in it that fit more than one image.
    """
    if table is not None:
        return _from_names(Path(table), attribute, data)
    place = Path(data.root)
    if all(entry.path == "" and entry.row is not None for entry in data.entries) and place.suffix.lower() == ".csv":
        return _column(place, attribute)[np.array([entry.row for entry in data.entries], np.int64)]
    if attribute == FOLDER and place.is_dir():
        return np.array(_folders_below_classes(data))
    if attribute == FOLDER:
        raise FerError(f"{place}: --group-by {FOLDER} is for class folders with folders inside them")
    raise FerError(
        f"{place}: these images have no column {attribute!r}; give a table with --attributes FILE.csv "
        f"(columns name, {attribute}), or use --group-by {FOLDER} for the folders inside the class folders"
    )


def _folders_below_classes(data: Dataset) -> list[str]:
    """GROUP of .../CLASS/GROUP/.../image.jpg for each image; "" for an image in the class folder itself.

    Where no folder is named like its label (1/ for happy, by --labels), the classes are the first level of folders of
    which each has a single label.
    """
    labels = [data.labels[code] for code in data.targets.argmax(axis=1)]
    folders = [PurePath(entry.path).parts[:-1] for entry in data.entries]
    pairs = list(zip(folders, labels, strict=True))
    if any(canonical(part) == label for parts, label in pairs for part in parts):
        deeper = [[low for above, low in pairwise(parts) if canonical(above) == label] for parts, label in pairs]
        return [found[0] if found else "" for found in deeper]
    for level in range(max(map(len, folders), default=0)):
        known = {(parts[level], label) for parts, label in pairs if level < len(parts)}
        if len(known) == len({name for name, _ in known}) >= len(set(labels)):
            return [parts[level + 1] if level + 1 < len(parts) else "" for parts in folders]
    return [""] * len(data)


def _column(path: Path, name: str) -> np.ndarray:
    """A column of a CSV as text, str (n,), "" where a cell is empty; the others, say pixels, never fill the memory."""
    table = csv.read_csv(path, columns=lambda column: column == csv.plain(name))
    if not table.shape[1]:
        raise FerError(f"{path}: it has no column {name!r}; found {reprlib.repr(csv.read_header(path))}")
    return table.iloc[:, 0].str.strip().to_numpy(str)


def _from_names(path: Path, attribute: str, data: Dataset) -> np.ndarray:
    """Looks every image up in a table, by its whole name or as much of its end as the table gives."""
    header = csv.read_header(path)
    key = next((column for column in header if column in KEYS), None)
    if key is None:
        expected = ", ".join(sorted(KEYS))
        raise FerError(f"{path}: expected a column of file names ({expected}); found {reprlib.repr(header)}")
    values = _column(path, attribute)
    named = [_parts(name) for name in _column(path, key)]
    known = dict(zip(named, values.tolist(), strict=True))
    if conflict := next((name for name, value in zip(named, values, strict=True) if known[name] != value), None):
        raise FerError(f"{path}: {'/'.join(conflict)} is listed twice, with different {attribute}")
    groups: list[str] = []
    used: dict[tuple[str, ...], str] = {}
    for name in (str(Path(data.root) / entry.path) for entry in data.entries):
        parts = _parts(name)
        found = next((end for end in (parts[i:] for i in range(len(parts))) if end in known), None)
        if found and used.setdefault(found, name) != name:
            both = f"{used[found]} and {name}"
            raise FerError(f"{path}: {'/'.join(found)} may mean {both}; give more of their paths")
        groups.append(known[found] if found else "")
    if not used:
        first = f"{'/'.join(named[0])!r}, where an image is {data.names[0]!r}" if named else "no rows"
        raise FerError(f"{path}: none of its names is an image of this split (first: {first})")
    return np.array(groups)


def _parts(name: str) -> tuple[str, ...]:
    return PurePath(name.strip().replace("\\", "/")).parts
