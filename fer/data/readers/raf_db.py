"""RAF-DB: Kaggle's folders 1 to 7 with their tables, and the official list of labels."""

from pathlib import Path, PurePosixPath

from fer.core.errors import FerError
from fer.data.coding import CODINGS, plain
from fer.data.listing import ALL, Listing, Options, Reader
from fer.data.readers.table import Rows, is_table, join, read_lines, read_rows
from fer.data.splits import split_above, split_of
from fer.data.walk import Tree

CODES = CODINGS["raf-db"].keys()


class RafDb(Reader):
    """RAF-DB: DATASET/train/1..7 with train_labels.csv, or list_patition_label.txt and Image/aligned."""

    name = "raf-db"
    LIST = ("list_patition_label.txt", "list_partition_label.txt")

    def recognises(self, tree: Tree) -> bool:
        if tree.named(*self.LIST):
            return True
        if not tree.images or not all(map(_is_raf_name, tree.images)):
            return False
        folders = set(map(_folder, tree.images))
        return bool(self._tables(tree)) or (folders <= CODES and "7" in folders)  # 0 to 6 is another numbering

    def _tables(self, tree: Tree) -> list[str]:
        return [path for path in tree.named("train_labels.csv", "test_labels.csv") if is_table(tree.root / path)]

    def read(self, tree: Tree, options: Options) -> Listing:
        listing = Listing(tree.root, coding=CODINGS["raf-db"])
        if lists := tree.named(*self.LIST):
            return join(_without_originals(tree, listing), [(lists[0], self._official(tree.root / lists[0]))], listing)
        if tables := self._tables(tree):
            rows = [(path, read_rows(tree.root / path, split_of(Path(path).stem))) for path in tables]
            listing = join(tree, rows, listing)
            for entry, name in zip(listing.entries, listing.names, strict=True):
                if _folder(entry.path) not in ("", plain(name)):
                    raise FerError(f"{tree.root}: {entry.path} is {name} in the table, and lies in another folder")
            _check_splits(listing)
            return listing
        for path in tree.images:
            named = split_of(PurePosixPath(path).name.partition("_")[0]) or ALL
            held_out = split_above(path) == "validation" and named == "train"  # files that kept their names
            listing.add_file(tree, path, _folder(path), "validation" if held_out else named)
        _check_splits(listing)
        listing.unused(tree.others)
        return listing

    def _official(self, path: Path) -> Rows:
        rows = Rows()
        for number, name, label in read_lines(path, 2):
            split = split_of(name.partition("_")[0])
            if split is None or plain(label) not in CODES:
                raise FerError(f"{path}, line {number}: expected 'train_00001.jpg 5' or alike, not '{name} {label}'")
            stem, _, suffix = name.rpartition(".")
            rows.names.append(f"{stem}_aligned.{suffix}")
            rows.labels.append(label)
            rows.splits.append(split)
        return rows


def _is_raf_name(path: str) -> bool:
    stem = PurePosixPath(path).stem
    return stem.startswith(("train_", "test_")) and stem.endswith("_aligned") and stem.split("_")[1].isdigit()


def _folder(path: str) -> str:
    """The number of the folder in which an image lies; "" where it is none."""
    name = plain(PurePosixPath(path).parent.name)
    return name if name.isdigit() else ""


def _check_splits(listing: Listing) -> None:
    """Refuses images in the folder of another split than their names or tables say."""
    for entry, split in zip(listing.entries, listing.splits, strict=True):
        if split_above(entry.path) not in (None, split):
            raise FerError(f"{listing.root}: {entry.path} is of the {split} split by its name or table")


def _without_originals(tree: Tree, listing: Listing) -> Tree:
    """The aligned faces alone: Image/original/ holds the uncropped photographs."""
    aligned = [path for path in tree.images if PurePosixPath(path).stem.endswith("_aligned")]
    if not aligned:
        raise FerError(f"{tree.root}: RAF-DB's Image/aligned/*_aligned.jpg are missing")
    return Tree(tree.root, aligned, tree.others, tree.folders, tree.problems)
