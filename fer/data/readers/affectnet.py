"""AffectNet: the official tables of 2017, the *_exp.npy files of 2021, and copies in the YOLO layout."""

import re
from pathlib import Path, PurePosixPath

import numpy as np

from fer.core import csv
from fer.core.errors import FerError
from fer.core.files import read_text
from fer.data.coding import CODINGS
from fer.data.listing import ALL, Crop, Listing, Options, Reader
from fer.data.readers.table import Rows, join
from fer.data.splits import split_above, split_of
from fer.data.walk import Tree

CODES = CODINGS["affectnet"].keys()
BESIDE_EACH_OTHER = ("images", "labels", "annotations")  # folders of images, and of what describes each of them
PATH_COLUMN = "subdirectory_filepath"
# Some copies of validation.csv lack the header: path, box of the face, landmarks, expression, valence, arousal.
AT_PATH, AT_EXPRESSION, N_COLUMNS = 0, 6, 9
WHOLE = 0.25  # of the image: where most boxes are smaller, the images of a YOLO layout are photographs
Box = tuple[str, tuple[float, float, float, float]]  # class; left, top, right, bottom


class AffectNetTables(Reader):
    """AffectNet of 2017: Manually_Annotated_Images/ and training.csv, validation.csv."""

    name = "affectnet"

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images) and bool(self._tables(tree))

    def _tables(self, tree: Tree) -> list[str]:
        return [path for path in tree.named("*.csv") if _has_columns(tree.root / path)]

    def read(self, tree: Tree, options: Options) -> Listing:
        tables = []
        for path in self._tables(tree):
            if (split := split_of(PurePosixPath(path).stem)) is None:
                continue  # automatically_annotated.csv: labels by a network, not by people
            header = PATH_COLUMN in csv.read_header(tree.root / path)
            wanted = (PATH_COLUMN, "expression") if header else (str(AT_PATH), str(AT_EXPRESSION))
            table = csv.read_csv(tree.root / path, columns=wanted.__contains__, header=header)
            names, labels = (table[column].tolist() for column in wanted)
            rows = Rows(names, labels, [split] * len(table))
            tables.append((path, rows))
        if not tables:
            raise FerError(f"{tree.root}: expected training.csv and validation.csv with the column expression")
        return join(tree, tables, Listing(tree.root, coding=CODINGS["affectnet"]))


def _has_columns(path: Path) -> bool:
    """True for a table of AffectNet, with or without a header: 1/x.jpg,134,134,899,899,...,6,-0.1,0.9."""
    first = csv.header_of(path)
    if {PATH_COLUMN, "expression"} <= set(first):
        return True
    # pandas writes a second "6" as "6.1"
    return len(first) == N_COLUMNS and "/" in first[AT_PATH] and first[AT_EXPRESSION].partition(".")[0] in CODES


class AffectNetArrays(Reader):
    """AffectNet of 2021: train_set/images and train_set/annotations/*_exp.npy."""

    name = "affectnet-2021"

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images) and any(path.endswith("_exp.npy") for path in tree.others)

    def read(self, tree: Tree, options: Options) -> Listing:
        listing = Listing(tree.root, coding=CODINGS["affectnet"])
        labels = {_key(path, "_exp"): path for path in tree.others if path.endswith("_exp.npy")}
        unlabelled = []
        for path in options.progress(tree.images, len(tree.images), "labels"):
            split = split_above(path)
            file = labels.get(_key(path, ""))
            if file is None or split is None:
                unlabelled.append(path)
                continue
            listing.add_file(tree, path, _read_number(tree.root / file), split)
        if not listing.entries:
            raise FerError(f"{tree.root}: no image has an annotation of its name, train_set/annotations/NAME_exp.npy")
        listing.unused(unlabelled, "no annotation")
        listing.unused(path for path in tree.others if not re.search(r"_(exp|val|aro|lnd)\.npy$", path))
        return listing


def _key(path: str, ending: str) -> tuple[tuple[str, ...], str]:
    """What an image and its annotation share: the name, and the folders but for images/, labels/ or annotations/."""
    pure = PurePosixPath(path)
    folders = pure.parts[:-1]
    at = next((i for i in reversed(range(len(folders))) if folders[i].lower() in BESIDE_EACH_OTHER), len(folders))
    return (*folders[:at], *folders[at + 1 :]), pure.stem.removesuffix(ending)


def _read_number(path: Path) -> str:
    try:
        value = np.load(path, allow_pickle=False)
        return str(int(np.asarray(value).astype(str).item().split(".")[0]))
    except (OSError, ValueError, EOFError) as error:
        raise FerError(f"{path}: not a single number ({' '.join(str(error).split())})") from error


class Yolo(Reader):
    """A YOLO layout, as of AffectNet: data.yaml, {train,valid,test}/images and /labels."""

    name = "yolo"

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images) and bool(tree.named("data.yaml", "data.yml"))

    def read(self, tree: Tree, options: Options) -> Listing:
        if not (described := tree.named("data.yaml", "data.yml")):
            raise FerError(f"{tree.root}: there is no data.yaml, which names the classes")
        description = described[0]
        names = _yolo_names(tree.root / description)
        listing = Listing(tree.root)
        labels = {_key(path, ""): path for path in tree.named("*.txt")}
        used, boxes = {description}, dict[str, list[Box]]()
        for path in options.progress(tree.images, len(tree.images), "labels"):
            split = split_above(path) or ALL
            file = labels.get(_key(path, ""))
            if file is None:
                listing.skipped.append((split, path, "no label file"))
                continue
            used.add(file)
            boxes[path] = _read_boxes(tree.root / file)
            if unknown := sorted({code for code, _ in boxes[path]} - names.keys()):
                raise FerError(f"{tree.root / file}: class {unknown[0]} is none of {description}'s {', '.join(names)}")
        if not boxes:
            raise FerError(f"{tree.root}: no image has a label file of its name in labels/")
        areas = [(right - left) * (bottom - top) for found in boxes.values() for _, (left, top, right, bottom) in found]
        if cut := bool(areas) and float(np.median(areas)) < WHOLE:
            listing.notes.append("these are photographs: the faces are cut out by their boxes")
        for path, found in boxes.items():
            split = split_above(path) or ALL
            if cut:
                for row, (code, box) in enumerate(found):
                    face = row, Crop(str(tree.root / path), box, relative=True)
                    listing.add_file(tree, path, names[code], split, path, crop=face)  # those of a photograph together
            elif len(codes := {code for code, _ in found}) == 1:
                listing.add_file(tree, path, names[codes.pop()], split)
            else:
                listing.skipped.append((split, path, f"{len(codes)} different labels in its label file"))
        listing.unused(path for path in tree.others if path not in used)
        return listing


def _read_boxes(path: Path) -> list[Box]:
    """The lines "class, centre x, centre y, width, height", in shares of the image, as class and edges."""
    found = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        try:
            code, *numbers = line.split()
            x, y, width, height = map(float, numbers)
        except ValueError as error:
            raise FerError(f"{path}, line {number}: expected class, centre x and y, width, height") from error
        found.append((code, (x - width / 2, y - height / 2, x + width / 2, y + height / 2)))
    return found


def _yolo_names(path: Path) -> dict[str, str]:
    """The class names of a data.yaml: a list in brackets, a list of lines "- name", or lines "0: name"."""
    text = read_text(path)
    found = re.search(r"^names:[ \t]*(\[[^\]]*\]|\{[^}]*\})?(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    if not found:
        raise FerError(f"{path}: no class names (names: [...])")
    if found[1]:
        parts = [part.strip().strip("'\"") for part in re.split(r"[,\n]", found[1][1:-1]) if part.strip()]
    else:
        lines = [line.strip() for line in found[2].splitlines()]
        parts = [re.sub(r"^-\s*", "", line).strip().strip("'\"") for line in lines if line and not line.startswith("#")]
    numbered = [re.fullmatch(r"['\"]?(\d+)['\"]?\s*:\s*['\"]?(.*?)['\"]?", part) for part in parts]
    if parts and all(numbered):
        return {match[1]: match[2] for match in numbered if match}
    if not parts:
        raise FerError(f"{path}: no class names (names: [...])")
    return {str(code): name for code, name in enumerate(parts)}
