"""A table beside image files: one row for each image, with a label and perhaps a split and a subject."""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import pandas as pd

from fer.core import csv
from fer.core.errors import FerError, first_line
from fer.core.files import read_text
from fer.core.labels import canonical, is_emotion
from fer.data.listing import ALL, Listing, Options, Reader
from fer.data.splits import split_above, split_of
from fer.data.walk import Tree

PATHS = ("path", "image", "file_name", "filename", "file", "pth", "name", "image_path", "img", "image_name")
NAMES = (*PATHS, "image_id", "id")
LABELS = ("label", "emotion", "expression", "class", "emotions", "labels")
SPLITS = ("split", "usage", "set", "subset", "partition")
BESIDE = ("metadata.csv", "metadata.jsonl")  # tables that lie beside the images they name, as of Hugging Face
# Files that may hold labels, in forms that no reader takes.
MAYBE = ("*.json", "*.jsonl", "*.csv", "*.tsv", "*.txt", "*.lst", "*.xml", "*.xlsx", "*.mat", "*.npy", "*.npz", "*.pkl")
SAMPLE = 200  # file names that are looked at for a hint
SUBJECTS = ("person", "subject", "person_id", "subject_id", "identity", "participant")


@dataclass
class Rows:
    """Rows of one or several tables about image files.

    Attributes:
        names: how the tables name the files.
        labels: class names.
        splits: a split each.
        groups: subjects, "" where unknown.
        columns: further columns.
    """

    names: list[str] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    columns: dict[str, list[str]] = field(default_factory=dict)


class FileIndex:
    """Finds the file of a tree that a table means: by its whole path, or by as much of its end as the two share.

    Args:
        paths: the files.
        names: all names of the table. A folder that both the files and the table have is never taken for another one:
            happy/7.png of the table is not sad/7.png.
    """

    def __init__(self, paths: Iterable[str], names: Iterable[str] = ()):
        self.by_name: dict[str, list[str]] = {}
        self.by_folder: dict[str, list[str]] = {}  # thousands of videos may have a frame 00001.jpg
        self.by_stem: dict[str, list[str]] = {}  # some tables leave the suffix out
        self.folders: set[str] = set()
        for path in paths:
            *above, name = path.lower().split("/")
            self.by_name.setdefault(name, []).append(path)
            self.by_folder.setdefault("/".join([*above[-1:], name]), []).append(path)
            self.by_stem.setdefault(name.rpartition(".")[0], []).append(path)
            self.folders.update(above)
        self.named = {part.lower() for name in set(names) for part in _parts(name)[:-1]}

    def find(self, name: str, below: str = "", *, elsewhere: bool = True) -> str | None:
        """The file, or None. A name in the folder of a split never means a file of another split.

        Args:
            name: from the table.
            below: the folder of the table, where the name is looked up first.
            elsewhere: look it up in other folders, too.

        Raises:
            FerError: the name fits several files.
        """
        parts = _parts(name)
        if not parts:
            return None
        last = parts[-1].lower()
        sharing_folder = self.by_folder.get("/".join(parts[-2:]).lower(), [])
        for start in range(len(parts)):
            end = "/".join(parts[start:]).lower()
            if last in self.by_name:
                found = {path: path.lower() for path in (sharing_folder if "/" in end else self.by_name[last])}
            else:
                found = {path: path.lower().rpartition(".")[0] for path in self.by_stem.get(last, [])}
            fits = [path for path, lower in found.items() if f"/{lower}".endswith(f"/{end}")]
            split = next(filter(None, map(split_of, reversed(parts[:start]))), None)  # of the nearest folder left out
            if split and not split_above(end):
                fits = [path for path in fits if split_above(path) in (None, split)]
            if start:
                fits = [
                    path for path in fits if self._may_be(parts[start - 1], _folder_before(path, len(parts) - start))
                ]
            near = [path for path in fits if path.startswith(f"{below}/")] if below else fits
            fits = fits if elsewhere else near
            if len(near or fits) > 1:
                written = "/".join(parts[start:])
                exact = [path for path in near or fits if found[path] in (end, f"{below}/{end}".lower())]
                exact = [path for path in exact or near or fits if f"/{path}".endswith(f"/{written}")] or exact
                if len(exact) != 1:
                    raise FerError(f"{name} may mean {fits[0]} and {fits[1]}; give more of their paths")
                return exact[0]
            if near or fits:
                return (near or fits)[0]
        return None

    def _may_be(self, named: str, there: str) -> bool:
        """Whether a folder that the table names may be another folder of the tree; "" is the tree itself."""
        moved = named.lower() not in self.folders and there.lower() not in self.named
        return not there or moved or (split_of(named) is not None and split_of(named) == split_of(there))


def _parts(name: str) -> list[str]:
    parts = PurePosixPath(name.strip().replace("\\", "/")).parts
    return [part for part in parts if part not in ("/", ".", "..")]


def _folder_before(path: str, count: int) -> str:
    """The folder above the last `count` parts of a path, "" where there is none."""
    above = path.split("/")[:-count]
    return above[-1] if above else ""


def join(
    tree: Tree, tables: Sequence[tuple[str, Rows]], listing: Listing | None = None, *, beside: bool = False
) -> Listing:
    """Finds the files that tables name.

    Args:
        tree: the files.
        tables: the path of each table in the tree, and its rows.
        listing: what is known of the form so far.
        beside: a table means files below its own folder, if there are images.

    Raises:
        FerError: no name is a file, a name fits several, or a file is listed twice with another label, split or
            subject.
    """
    listing = Listing(tree.root) if listing is None else listing
    index = FileIndex(tree.images, [name for _, rows in tables for name in rows.names])
    seen: dict[str, tuple[str, str, str]] = {}
    kept: list[tuple[Rows, int]] = []
    for table, rows in tables:
        below = table.rpartition("/")[0]
        elsewhere = not (beside and any(path.startswith(f"{below}/") for path in tree.images))
        for row, name in enumerate(rows.names):
            try:
                path = index.find(name, below, elsewhere=elsewhere)
            except FerError as error:
                raise FerError(f"{tree.root / table}: {error}") from error
            if path is None:
                listing.skipped.append((rows.splits[row], name, "no such image"))
                continue
            told = (rows.labels[row], rows.splits[row], rows.groups[row] if rows.groups else "")
            if path in seen:
                for one, other in zip(seen[path], told, strict=True):
                    if one != other:
                        text = f"{path} is listed twice, as {one!r} and {other!r}"
                        raise FerError(f"{tree.root / table}: {text}")
                continue
            seen[path] = told
            listing.add_file(tree, path, *told)
            kept.append((rows, row))
    if not listing.entries:
        first = next((rows.names[0] for _, rows in tables if rows.names), "none")
        where = ", ".join(str(tree.root / table) for table, _ in tables)
        raise FerError(f"{where}: none of its names is an image in {tree.root} (first: {first!r})")
    take_splits_of_folders(listing)
    _name_relabelled(listing)
    for column in {name for _, rows in tables for name in rows.columns}:
        listing.columns[column] = [rows.columns[column][row] if column in rows.columns else "" for rows, row in kept]
    listing.unused([path for path in tree.images if path not in seen], "no row names them")
    used = {table for table, _ in tables}
    listing.unused([path for path in tree.others if path not in used])
    return listing


def take_splits_of_folders(listing: Listing) -> None:
    """Gives images without a split that of the folder in which they lie, if one of the folders is for training.

    Raises:
        FerError: some lie in such folders, some do not.
    """
    found = {row: split_above(listing.entries[row].path) for row, split in enumerate(listing.splits) if split == ALL}
    if "train" not in found.values():
        return
    for row, split in found.items():
        if split is None:
            text = f"{listing.entries[row].path} lies in no folder of a split, others do"
            raise FerError(f"{listing.root}: {text}: move it, or add a column split to the table")
        listing.splits[row] = split


def _name_relabelled(listing: Listing) -> None:
    """Tells how many rows name another emotion than the folder of their image: the table counts."""
    other = [
        str(entry)
        for entry, name in zip(listing.entries, listing.names, strict=True)
        if is_emotion(name)
        and is_emotion(folder := PurePosixPath(entry.path).parent.name)
        and canonical(folder) != canonical(name)
    ]
    if other:
        listing.notes.append(f"{len(other):,} images have another label in the table than their folder: {other[0]} ...")


def read_rows(path: Path, split: str | None = None) -> Rows:
    """Reads a table with one of the columns `NAMES` and one of `LABELS`, and perhaps `SPLITS` and `SUBJECTS`.

    Raises:
        FerError: it is no such table.
    """
    table = _read_lines_of_json(path) if path.suffix.lower() == ".jsonl" else csv.read_csv(path)
    csv.require(table, (), path)
    table = table.map(str.strip)  # "S01 " would be another subject than "S01"
    name, label = _column(table, NAMES), label_column(table, path)
    if name is None or label is None:
        raise FerError(
            f"{path}: expected a column of file names ({', '.join(NAMES[:4])}) and one of labels "
            f"({', '.join(LABELS[:3])}); found {', '.join(table.columns)}"
        )
    parts, subject = _column(table, SPLITS), _column(table, SUBJECTS)
    splits = [split or ALL] * len(table)
    if parts is not None:
        known = {cell: split_of(cell) for cell in set(table[parts])}
        if unknown := sorted(cell for cell, found in known.items() if found is None):
            raise FerError(f"{path}: the column {parts} must say train, validation or test, not {unknown[0]!r}")
        splits = [known[cell] or ALL for cell in table[parts]]
    further = [column for column in table.columns if column not in (name, label, parts) and column]
    return Rows(
        table[name].tolist(),
        table[label].tolist(),
        splits,
        table[subject].tolist() if subject else [],
        {column: table[column].tolist() for column in further},
    )


def _read_lines_of_json(path: Path) -> pd.DataFrame:
    """A table of text from lines such as {"file_name": "0001.png", "label": "happy"}; names as `csv.read_csv` gives."""
    try:
        rows = [json.loads(line) for line in read_text(path).splitlines() if line.strip()]
        table = pd.DataFrame([{csv.plain(name): value for name, value in row.items()} for row in rows])
    except (ValueError, AttributeError) as error:
        example = '{"file_name": "0001.png", "label": "happy"}'
        raise FerError(f"{path}: expected lines such as {example} ({first_line(error)})") from error
    return table.map(lambda cell: "" if cell is None or cell != cell else str(cell))


def label_column(table: pd.DataFrame, path: Path) -> str | None:
    """The column of labels; of several the one with emotions.

    Raises:
        FerError: two columns have different emotions.
    """
    known = [name for name in LABELS if name in table.columns]
    named = [name for name in known if all(map(is_emotion, set(table[name])))] or known
    for other in named[1:]:
        first, second = (table[name].map(canonical) for name in (named[0], other))
        if (first != second).any():
            raise FerError(f"{path}: the columns {named[0]} and {other} differ; keep the one that has the labels")
    return next(iter(named), None)


def _column(table: pd.DataFrame, names: Sequence[str]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def is_table(path: Path) -> bool:
    """True for a CSV file with a column of file names and one of labels."""
    header = csv.header_of(path)
    return any(name in header for name in NAMES) and any(name in header for name in LABELS)


def label_hint(tree: Tree) -> str:
    """For the message about images without known classes: the files that may hold their labels."""
    if tables := [path for path in tree.named("*.csv") if is_table(tree.root / path)]:
        files = ",".join(str(tree.root / path) for path in tables[:3])
        verb = "names" if len(tables) == 1 else "name"
        return f"{', '.join(tables[:3])} {verb} images and labels: --labels-csv {files}"
    if tables := [path for path in tree.named("*.csv") if "pixels" in csv.header_of(tree.root / path)]:
        return f"{tables[0]} holds pixels itself: --data {tree.root / tables[0]}"
    if tables := tree.named("*.parquet"):
        return f"--format parquet reads {tables[0]}"
    if "label.csv" in tree.others and split_of(tree.root.name):
        return f"if label.csv has FER+'s votes, give the folder above: --data {tree.root.parent}"
    if (named := _emotions_in_names(tree)) and not any(is_emotion(PurePosixPath(path).name) for path in tree.folders):
        text = f"file names such as {named} seem to hold the labels: write a CSV with the columns path and label"
        return f"{text}: --labels-csv FILE"
    found = [path for path in tree.named(*MAYBE) if not path.rpartition("/")[2].lower().startswith("readme")]
    if not found:
        return ""
    shown = ", ".join(found[:3]) + (" ..." if len(found) > 3 else "")
    return f"if {shown} has the labels, write a CSV with the columns path and label: --labels-csv FILE"


def _emotions_in_names(tree: Tree) -> str:
    """A file whose name holds an emotion word, if most do; "" otherwise."""
    names = [PurePosixPath(path).name for path in tree.images[:SAMPLE]]
    fitting = [name for name in names if any(map(is_emotion, re.findall(r"[^\W\d_]+", name.rpartition(".")[0])))]
    return fitting[0] if len(fitting) > len(names) / 2 else ""


class TableOfFiles(Reader):
    """Images and a CSV of names and labels: --labels-csv FILE[,FILE], or metadata.csv or .jsonl beside them."""

    name = "table"

    def recognises(self, tree: Tree) -> bool:
        if not tree.images:
            return False
        return any(path.endswith(".jsonl") or is_table(tree.root / path) for path in tree.named(*BESIDE))

    def read(self, tree: Tree, options: Options) -> Listing:
        if options.labels_csv is None:
            paths = tree.named(*BESIDE)
            tables = [(path, read_rows(tree.root / path, split_above(path))) for path in paths]
            return join(tree, tables, beside=True)
        given = str(options.labels_csv)
        files = [Path(given)] if os.path.isfile(given) else list(map(Path, given.split(",")))
        tables = []
        for file in files:
            split = _split_in(file.stem) if len(files) > 1 else None
            inside = file.is_relative_to(tree.root)
            tables.append((file.relative_to(tree.root).as_posix() if inside else str(file), read_rows(file, split)))
        return join(tree, tables)


def _split_in(stem: str) -> str | None:
    """The split that the name of a table means: train, my_data_train, train-2."""
    found = {split for word in re.split(r"[\W_]+", stem) if (split := split_of(word))}
    return split_of(stem) or (found.pop() if len(found) == 1 else None)


def read_lines(path: Path, cells: int) -> Iterable[tuple]:
    """Lines of cells between blanks: (line number, cells...).

    Raises:
        FerError: a line has another number of cells.
    """
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if line.strip():
            found = line.split()
            if len(found) != cells:
                raise FerError(f"{path}, line {number}: expected {cells} cells, found {line.strip()!r}")
            yield (number, *found)
