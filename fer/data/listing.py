"""What a reader finds: the images of a data set with class names, splits and subjects, none of them decoded yet."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fer.core import images
from fer.core.errors import FerError
from fer.data import soft_labels
from fer.data.entry import Entry
from fer.data.walk import Tree

ALL = "all"  # the split of images without one
MOST = 0.9  # of the file names must follow a form that names tell: a stray file changes nothing

Progress = Callable[[Iterable, int, str], Iterable]


class Crop(NamedTuple):
    """A part of an image file: one of several faces.

    Attributes:
        path: the file.
        box: left, top, right, bottom edge in pixels; right and bottom are excluded.
        relative: the edges are shares of the image's width and height.
    """

    path: str
    box: tuple[float, float, float, float]
    relative: bool = False


Source = str | Crop | bytes | np.ndarray  # a file, a part of one, the bytes of one, or uint8 (H, W[, 3])


def load_image(source: Source) -> np.ndarray:
    """Decodes an image of a listing: uint8 (H, W, 3) BGR or (H, W) grey.

    Raises:
        FerError: it cannot be read.
    """
    if isinstance(source, np.ndarray):
        return source
    if isinstance(source, bytes):
        return images.decode(source)
    if isinstance(source, str):
        return images.read(source)
    image = images.read(source.path)
    height, width = image.shape[:2]
    scale = np.array([width, height] * 2 if source.relative else [1])
    left, top, right, bottom = np.rint(source.box * scale).astype(int)
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if left >= right or top >= bottom:
        raise FerError(f"the box {source.box} lies outside the image of {width} x {height} pixels")
    return image[top:bottom, left:right]


@dataclass
class Listing:
    """The images of a data set, one item of every list each.

    Attributes:
        root: the folder or table to which the entries are relative.
        entries: keys.
        sources: where the pixels are.
        names: class names as written; "" where there is none.
        splits: "train", "validation", "test" or "all".
        groups: subjects or sequences; "" where unknown.
        coding: what the class names mean, where the form says so.
        order: labels that the data set has even where no image carries them, in their order.
        shares: float32 (n, len(order)), votes as shares, in place of names; rows of zeros for images that do not count.
        skipped: (split, name, reason) of what is left out; "" for what belongs to no split.
        notes: a line for everything that lies there and is not used.
        hint: where the labels may be, for whoever finds that the class names are none.
        question: a line about folders that may be subjects or not; "" where all is clear.
        columns: further columns of a table, for subjects and attributes: name -> n values.
    """

    root: Path
    entries: list[Entry] = field(default_factory=list)
    sources: Sequence[Source] | np.ndarray = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    coding: Mapping[str, str] | None = None
    order: tuple[str, ...] = ()
    shares: np.ndarray | None = None
    skipped: list[tuple[str, str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hint: str = ""
    question: str = ""
    columns: dict[str, list[str]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    def add_file(
        self, tree: Tree, path: str, name: str, split: str, group: str = "", *, crop: tuple[int, Crop] | None = None
    ) -> None:
        """Adds an image file of the tree, or one of the faces in it: its number and where it is."""
        self.entries.append(Entry(path) if crop is None else Entry(path, crop[0]))
        assert isinstance(self.sources, list)
        self.sources.append(str(tree.root / path) if crop is None else crop[1])
        self.names.append(name)
        self.splits.append(split)
        self.groups.append(group)

    def unused(self, paths: Iterable[str], reason: str = "") -> None:
        """Names files or folders that are not used, in one line."""
        found = list(dict.fromkeys(paths))
        if found:
            shown = ", ".join(found[:4]) + (f" and {len(found) - 4:,} more" if len(found) > 4 else "")
            self.notes.append(f"not used: {shown}{f' ({reason})' if reason else ''}")


@dataclass(frozen=True)
class Options:
    """What the user says about the form of the data.

    Attributes:
        votes, vote_mode, vote_share: FER+ votes and their use; see `loading.load`.
        labels_csv: a table of image names and labels.
        progress: wraps a slow iteration.
    """

    votes: str | Path | None = None
    vote_mode: str = "majority"
    vote_share: float = soft_labels.SHARE
    labels_csv: str | Path | None = None
    progress: Progress = lambda items, total, text: items

    def __post_init__(self) -> None:
        if self.vote_mode not in soft_labels.VOTE_MODES:
            raise FerError(f"vote_mode must be one of {', '.join(soft_labels.VOTE_MODES)}, not {self.vote_mode!r}")


class Reader(ABC):
    """One form in which data sets lie on disk. Sub-classes are found by their marks or named by --format."""

    name: str

    @abstractmethod
    def recognises(self, tree: Tree) -> bool:
        """True where the files carry the marks of this form."""

    @abstractmethod
    def read(self, tree: Tree, options: Options) -> Listing:
        """Lists the images.

        Raises:
            FerError: the files are not of this form, or contradict each other.
        """
