"""FER+ as PNG files: FER2013Train/, FER2013Valid/, FER2013Test/ with a label.csv of votes each, without a header."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from fer.core import csv
from fer.core.errors import FerError
from fer.core.labels import canonical
from fer.data.fer2013_csv import EMOTIONS, shares_of, vote_counts
from fer.data.listing import Listing, Options, Reader
from fer.data.readers.pixel_tables import majority
from fer.data.readers.table import FileIndex
from fer.data.splits import split_of
from fer.data.walk import Tree, walk


def has_votes(source: str | Path) -> bool:
    """True where folders such as FER2013Train/ hold votes of their own; no image is opened."""
    if not Path(source).is_dir():
        return False
    found = (path for path, is_folder in walk(Path(source), lambda *_: None) if not is_folder)
    return FerPlusFolders.marked(
        path.relative_to(source).as_posix() for path in found if path.name.lower() == "label.csv"
    )


class FerPlusFolders(Reader):
    """FER+ as PNG files in FER2013Train, FER2013Valid and FER2013Test, each with its label.csv of votes."""

    name = "ferplus"

    def recognises(self, tree: Tree) -> bool:
        return bool(tree.images) and self.marked(tree.named("label.csv"))

    @staticmethod
    def marked(paths: Iterable[str]) -> bool:
        """True where a label.csv lies in a folder that is named like FER+'s."""
        return any("fer2013" in path.lower() and _is_votes(path) for path in paths)

    def _tables(self, tree: Tree) -> list[str]:
        return list(filter(_is_votes, tree.named("label.csv")))

    def read(self, tree: Tree, options: Options) -> Listing:
        if options.vote_mode == "mixed":
            text = "--vote-mode mixed needs fer2013.csv, which has labels beside the votes"
            raise FerError(f"{tree.root}: {text}; --vote-mode shares takes the votes alone")
        listing = Listing(tree.root, order=tuple(map(canonical, EMOTIONS)))
        index, rows, used = FileIndex(tree.images), [], set()
        tables = self._tables(tree)
        for path in tables:
            folder = path.rpartition("/")[0]
            split = split_of(PurePosixPath(folder).name) or ""
            table = csv.read_csv(tree.root / path, header=False)
            if table.shape[1] != 12:
                raise FerError(f"{tree.root / path}: expected 12 columns: name, box, ten votes; found {table.shape[1]}")
            counts = vote_counts(table.iloc[:, 2:], tree.root / path, header=False)
            for name, votes in zip(table.iloc[:, 0], counts, strict=True):
                file = index.find(name, folder, elsewhere=False)
                if file is None:
                    listing.skipped.append((split, f"{folder}/{name}", "no such image"))
                    continue
                listing.add_file(tree, file, "votes", split)
                rows.append(votes)
                used.add(file)
        if not rows:
            raise FerError(f"{tree.root}: no label.csv names an image beside it")
        shares = shares_of(np.array(rows, np.float32))
        listing.shares = shares if options.vote_mode == "shares" else majority(shares)
        listing.unused([path for path in tree.images if path not in used], "no row names them")
        listing.unused(path for path in tree.others if path not in tables)
        return listing


def _is_votes(path: str) -> bool:
    return "/" in path and split_of(PurePosixPath(path).parent.name) is not None
