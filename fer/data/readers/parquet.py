"""Hugging Face data sets: parquet files with a column of images and one of labels."""

import json
import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from fer.core.errors import FerError, first_line
from fer.data.entry import Entry
from fer.data.listing import ALL, Listing, Options, Reader
from fer.data.readers.table import label_column
from fer.data.splits import split_above, split_of
from fer.data.walk import Tree

IMAGES = ("image", "img", "pixel_values", "file")
LABELS = ("label", "labels", "emotion", "expression", "class")


class Parquet(Reader):
    """Hugging Face's parquet files: columns image and label; a split for each file name (needs pyarrow)."""

    name = "parquet"

    def recognises(self, tree: Tree) -> bool:
        return not tree.images and bool(tree.named("*.parquet"))

    def read(self, tree: Tree, options: Options) -> Listing:
        try:
            import pyarrow.parquet as parquet
        except ImportError as error:
            raise FerError(f"{tree.root}: parquet files need pyarrow: pip install pyarrow") from error
        paths = tree.named("*.parquet")
        listing, sources = Listing(tree.root), list[bytes]()
        for path in options.progress(paths, len(paths), "parquet"):
            file = tree.root / path
            try:
                image, labels = _columns(parquet.read_schema(file).names, file)
                table = parquet.read_table(file, columns=[image, *labels])
            except (OSError, ValueError) as error:
                raise FerError(f"{file}: not a parquet file ({' '.join(str(error).split())})") from error
            known = {label: class_names(table.schema.metadata or {}, label) for label in labels}
            label = _choose({label: table.column(label).to_pylist() for label in labels}, known, file)
            rows = zip(*(table.column(column).to_pylist() for column in (image, label)), strict=True)
            split = split_of(re.sub(r"-\d+-of-\d+.*$", "", PurePosixPath(path).stem)) or split_above(path)
            add_rows(listing, sources, rows, known[label], file=path if len(paths) > 1 else "", split=split or ALL)
        listing.sources = sources
        if len(paths) == 1:
            listing.root = tree.root / paths[0]
        listing.unused(path for path in tree.others if path not in paths)
        return listing


def _columns(columns: list[str], file: Path) -> tuple[str, list[str]]:
    """The column of images and those that may be the labels."""
    image = next((name for name in IMAGES if name in columns), None)
    labels = [name for name in LABELS if name in columns]
    if image is None or not labels:
        raise FerError(f"{file}: expected the columns image and label; found {', '.join(columns)}")
    return image, labels


def _choose(labels: dict[str, list], names: dict[str, list[str]], file: Path) -> str:
    """The column of labels; of several the one with emotions, as `label_column` does it."""
    if len(labels) == 1:
        return next(iter(labels))
    text = {column: [_name(value, names[column]) for value in values] for column, values in labels.items()}
    return str(label_column(pd.DataFrame(text), file))


def _name(label: Any, names: list[str]) -> str:
    known = names and isinstance(label, int) and 0 <= label < len(names)
    return names[label] if known else str(label)


def class_names(metadata: dict[bytes, bytes], column: str) -> list[str]:
    """The names behind a column of numbers, which Hugging Face keeps in the file's metadata; else none."""
    try:
        return list(json.loads(metadata[b"huggingface"])["info"]["features"][column]["names"])
    except (KeyError, TypeError, ValueError):
        return []


def add_rows(
    listing: Listing, sources: list[bytes], rows: Iterable[tuple[Any, Any]], names: list[str], *, file: str, split: str
) -> None:
    """Adds rows of (image, label): image bytes or {"bytes": ..., "path": ...}, label a number, a name or None."""
    for row, (image, label) in enumerate(rows):
        data = image.get("bytes") if isinstance(image, dict) else image
        entry = Entry(file, row)
        if not isinstance(data, bytes):
            listing.skipped.append((split, str(entry), "no bytes of an image"))
        elif label is None:
            listing.skipped.append((split, str(entry), "no label"))
        else:
            listing.entries.append(entry)
            sources.append(data)
            listing.names.append(_name(label, names))
            listing.splits.append(split)


def download_hugging_face(address: str) -> Listing:
    """Downloads a data set of the hub, or opens a folder that `datasets` understands.

    Raises:
        FerError: the package is missing, or the data set cannot be loaded or has other columns.
    """
    try:
        import datasets
    except ImportError as error:
        raise FerError(f"hf:{address}: needs the package datasets: pip install datasets") from error
    try:
        found = datasets.load_dataset(address)
    except Exception as error:  # the package raises many kinds, for the network, the files and the columns
        raise FerError(f"hf:{address}: {first_line(error)}") from error
    listing, sources = Listing(Path(address)), list[bytes]()
    for part, table in found.items():
        image, labels = _columns(table.column_names, Path(address))
        known = {label: getattr(table.features[label], "names", None) or [] for label in labels}
        label = _choose({label: list(table[label]) for label in labels}, known, Path(address))
        table = table.cast_column(image, datasets.Image(decode=False))
        rows = ((row[image], row[label]) for row in table)
        rows = ((_bytes(value), label) for value, label in rows)
        split = split_of(part) or (ALL if len(found) == 1 else None)
        if split is None:
            listing.notes.append(f"not used: {part} (which split it means is not known)")
            continue
        add_rows(listing, sources, rows, known[label], file=part, split=split)
    listing.sources = sources
    return listing


def _bytes(image: Any) -> Any:
    """The bytes of an undecoded image, which may lie in a file."""
    if isinstance(image, dict) and image.get("bytes") is None and image.get("path"):
        return Path(image["path"]).read_bytes()
    return image
