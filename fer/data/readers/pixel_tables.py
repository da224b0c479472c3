"""CSV files that hold the pixels: fer2013.csv, icml_face_data.csv, the challenge's train.csv, ckextended.csv."""

from pathlib import Path

import numpy as np

from fer.core import csv
from fer.core.errors import FerError
from fer.core.labels import FER2013
from fer.data import fer2013_csv, soft_labels
from fer.data.coding import CODINGS
from fer.data.entry import Entry
from fer.data.listing import ALL, Listing, Options, Reader
from fer.data.splits import split_of
from fer.data.walk import Tree

WHOLE = ("fer2013.csv", "icml_face_data.csv")  # tables of all splits, beside which others hold parts of them
UNDECIDED = "no emotion holds more than half of its votes"


class PixelTable(Reader):
    """A CSV emotion,pixels[,Usage]: fer2013.csv, icml_face_data.csv, or train.csv and test.csv in one folder."""

    name = "fer2013"
    coding = "fer2013"

    def recognises(self, tree: Tree) -> bool:
        tables = self._tables(tree)
        return bool(tables) and not tree.images and not any(map(_is_extended, tables))

    def _tables(self, tree: Tree) -> list[str]:
        return [path for path in tree.named("*.csv") if "pixels" in csv.header_of(tree.root / path)]

    def read(self, tree: Tree, options: Options) -> Listing:
        tables = self._tables(tree)
        if not tables and (found := tree.named("*.csv")):
            tables = found[:1]  # its reader says which columns it lacks
        if not tables:
            raise FerError(f"{tree.root}: no CSV file with the columns emotion, pixels[, Usage]")
        whole = [path for path in tables if path.rpartition("/")[2].lower() in WHOLE]
        if len(tables) == 1 or whole:
            listing = self._read_one(tree.root / (whole or tables)[0], options)
            listing.unused(path for path in (*tree.others, *tree.images) if path != (whole or tables)[0])
            return listing
        return self._read_parts(tree, tables, options)

    def _read_one(self, path: Path, options: Options) -> Listing:
        table = fer2013_csv.read(path, lambda chunks, n: options.progress(chunks, n, path.name), CODINGS[self.coding])
        n = len(table.codes)
        splits = [ALL] * n if table.splits is None else table.splits.tolist()
        entries, coding = [Entry(row=row) for row in range(n)], CODINGS[self.coding]
        listing = Listing(path, entries, table.images, list(map(str, table.codes)), splits, coding=coding)
        listing.order = tuple(coding.values())
        if _may_be_another(set(table.codes.tolist())):
            listing.coding, listing.order = None, ()
            listing.hint = f"--codes {self.coding} if they are FER2013's numbers and an emotion is missing"
        if further := set(csv.header_of(path)) - {"emotion", "pixels", "usage", ""}:
            columns = csv.read_csv(path, columns=lambda name: name in further)
            listing.columns = {name: columns[name].str.strip().tolist() for name in columns.columns}
        if options.votes is not None:
            _apply_votes(path, listing, table, options)
        return listing

    def _read_parts(self, tree: Tree, tables: list[str], options: Options) -> Listing:
        """One file for each split, as the challenge on Kaggle has them; a file without labels is left out."""
        if options.votes is not None:
            raise FerError(f"{tree.root}: votes belong to the rows of a fer2013.csv, not to several files")
        labelled = [path for path in tables if "emotion" in csv.header_of(tree.root / path)]
        parts: dict[str, str] = {}
        for path in labelled:
            split = split_of(Path(path).stem)
            if split is None or split in parts:
                raise FerError(f"{tree.root}: which split is {path}? Give --data one of {', '.join(tables)}")
            parts[split] = path
        if not parts:
            raise FerError(f"{tree.root}: {', '.join(tables)}: no column emotion")
        coding = CODINGS[self.coding]
        listing = Listing(tree.root, coding=coding, order=tuple(coding.values()))
        images: list[np.ndarray] = []
        for split, path in parts.items():
            one = self._read_one(tree.root / path, options)
            if len(parts) > 1 and set(one.splits) != {ALL}:
                raise FerError(f"{tree.root / path}: it has a column Usage; give --data this file alone")
            listing.entries += [Entry(path, entry.row) for entry in one.entries]
            listing.names += one.names
            listing.hint = listing.hint or one.hint
            unlabelled = split == "train" and len(parts) == 1  # the challenge's test.csv has no labels
            listing.splits += one.splits if unlabelled else [split] * len(one)
            images.append(np.asarray(one.sources))
        listing.sources = np.concatenate(images)
        if _may_be_another(set(map(int, listing.names))):
            listing.coding, listing.order = None, ()
        listing.unused([path for path in tables if path not in labelled], "no column emotion")
        listing.unused(path for path in tree.others if path not in tables)
        return listing


class ExtendedCk(PixelTable):
    """`ckextended.csv` of CK+: emotion,pixels,Usage with 7 = contempt."""

    name = "ckextended"
    coding = "ckextended"

    def recognises(self, tree: Tree) -> bool:
        return not tree.images and any(map(_is_extended, self._tables(tree)))


def _is_extended(path: str) -> bool:
    return "ckextended" in path.rpartition("/")[2].lower()


def _may_be_another(codes: set[int]) -> bool:
    """Codes 0, 1, 2, 3, ... that end below FER2013's 6: perhaps another numbering, of six emotions without disgust."""
    return codes == set(range(len(codes))) and 4 <= len(codes) < len(FER2013)


def _apply_votes(path: Path, listing: Listing, table: fer2013_csv.Table, options: Options) -> None:
    """Gives the rows the targets of FER+."""
    labels = np.array((*FER2013, "contempt"))[table.codes]  # ckextended has eight
    votes = fer2013_csv.read_votes(Path(str(options.votes)), table.splits, labels)
    if options.vote_mode == "mixed":
        if table.splits is None or "validation" not in table.splits:
            raise FerError(f"{path}: votes are mixed into labels only where validation rows are kept clear of them")
        training = np.asarray(table.splits == "train")
        listing.shares = soft_labels.mix(table.codes, len(FER2013), votes.counts, training, options.vote_share)
        return
    listing.order = votes.labels
    listing.shares = votes.shares if options.vote_mode == "shares" else majority(votes.shares)


def majority(shares: np.ndarray) -> np.ndarray:
    """The winner of each row, one-hot float32; rows of zeros stay."""
    return np.eye(shares.shape[1], dtype=np.float32)[shares.argmax(axis=1)] * shares.any(axis=1, keepdims=True)
