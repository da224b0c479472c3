"""Finds the files to label, in folders and in object stores, and divides them into units of work.

Names and listings only: no image is opened here, but for the first bytes of local files without a telling name.
"""

import fnmatch
import functools
import glob
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fer.core import images
from fer.core.errors import FerError, first_line
from fer.core.images import SUFFIXES, is_image_file
from fer.data import walk

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

VIDEOS = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".ogv", ".webm", ".wmv"})
SMALLEST, LARGEST = 32, 4096  # images in a unit
STEP = 8  # units of one size for each worker, before the size doubles


class Found(NamedTuple):
    """A file to label.

    Attributes:
        root: the input in which it was found: a folder, a file or a URL, which may hold a key.
        name: the file as rows show it: the path as given, or an address without options and keys.
        video: True for a video, by its name.
    """

    root: str
    name: str
    video: bool


@dataclass(frozen=True)
class Unit:
    """What a worker labels in one go, and writes as one part: some images of one input, or one video."""

    root: str
    names: tuple[str, ...]
    video: bool = False


@dataclass(frozen=True)
class _Root:
    """An input as it is listed.

    Attributes:
        place: a folder, a file or a URL.
        base: where folders named like labels begin.
        named: True for a file that was named itself, and is read whatever its name.
    """

    place: str
    base: str
    named: bool = True


def is_url(text: str) -> bool:
    """True for an address such as s3://bucket/prefix."""
    return "://" in text


def is_video(name: str) -> bool:
    """True for a video file by its suffix."""
    return os.path.splitext(name)[1].lower() in VIDEOS


def find_files(
    inputs: Iterable[str],
    *,
    on_error: Callable[[str], None] = lambda line: None,
    on_other: Callable[[Path], None] = lambda path: None,
) -> Iterator[Found]:
    """The images and videos of the inputs, in the order of `walk.find_images`, one at a time.

    Local files count as images by name or content, those of an object store by name. A file that two inputs hold is
    found once.

    Args:
        inputs: folders, files, patterns such as "photos/2024-*", or URLs that pyarrow or fsspec know.
        on_error: takes a line for each folder that cannot be listed.
        on_other: takes each visible file that is neither image nor video.

    Raises:
        FerError: an input does not exist or cannot be listed, or a pattern matches nothing; before the first file.
    """
    roots = _distinct([root for text in inputs for root in _expand(text)])
    for root in roots:
        find = _find_remote if is_url(root.place) else _find_local
        yield from find(root, on_error, on_other)


def make_units(files: Iterable[Found], workers: int) -> Iterator[Unit]:
    """Divides files into units, only as fast as they are taken.

    Units are small at first, so that few files occupy all workers, and grow, so that many files give few parts. The
    last unit is always a small share of the whole.
    """
    size, made = SMALLEST, 0
    root, names = "", list[str]()
    for file in files:
        if file.video:
            yield Unit(file.root, (file.name,), video=True)
            continue
        if names and (file.root != root or len(names) == size):
            yield Unit(root, tuple(names))
            names, made = [], made + 1
            if made % (STEP * workers) == 0:
                size = min(2 * size, LARGEST)
        root = file.root
        names.append(file.name)
    if names:
        yield Unit(root, tuple(names))


def _expand(text: str) -> list[_Root]:
    """The roots of one input: itself, or what a pattern matches."""
    if is_url(text) or os.path.lexists(text) or not any(sign in text for sign in "*?["):
        return [_Root(text, text)]
    matches = sorted(glob.glob(text, recursive=True))
    if not matches:
        raise FerError(f"{text}: no file matches")
    parts = Path(text).parts
    fixed = next(i for i, part in enumerate(parts) if any(sign in part for sign in "*?["))
    return [_Root(match, str(Path(*parts[:fixed])), named=False) for match in matches]


def _distinct(roots: list[_Root]) -> list[_Root]:
    """The roots without those that lie in another one, or are named twice."""
    real = {os.path.realpath(root.place): root for root in reversed(roots) if not is_url(root.place)}
    urls = {root.place.rstrip("/"): root for root in reversed(roots) if is_url(root.place)}
    kept = []
    for root in roots:
        known, place = (urls, root.place.rstrip("/")) if is_url(root.place) else (real, os.path.realpath(root.place))
        above = (place[:at] for at, sign in enumerate(place) if sign in ("/", os.sep))
        if known[place] is root and not any(folder in known for folder in above):
            kept.append(root)
    return kept


def _find_local(root: _Root, on_error: Callable[[str], None], on_other: Callable[[Path], None]) -> Iterator[Found]:
    path = Path(root.place)
    if not root.named and not path.is_dir() and not is_image_file(path):
        yield from _videos([path], root, on_other)
        return
    others: list[Path] = []
    for image in walk.find_images(path, on_error=on_error, on_other=others.append):
        yield from _videos(others, root, on_other)
        others.clear()
        yield Found(root.base, str(image), is_video(str(image)))
    yield from _videos(others, root, on_other)


def _videos(paths: list[Path], root: _Root, on_other: Callable[[Path], None]) -> Iterator[Found]:
    for path in paths:
        if is_video(path.name):
            yield Found(root.base, str(path), True)
        else:
            on_other(path)


# --- object stores


def _find_remote(root: _Root, on_error: Callable[[str], None], on_other: Callable[[Path], None]) -> Iterator[Found]:
    from pyarrow.fs import FileSelector, FileType

    filesystem, path = open_filesystem(root.place)
    with reading(shown(root.place)):
        info = filesystem.get_file_info(path)
    if info.type == FileType.NotFound:
        raise FerError(f"{shown(root.place)}: no such file or folder")
    if info.type == FileType.File:
        yield Found(root.base, address(root.place, path), is_video(path))
        return
    folders = [path]
    while folders:
        folder = folders.pop()
        try:
            with reading(address(root.place, folder)):
                entries = sorted(filesystem.get_file_info(FileSelector(folder)), key=lambda entry: entry.base_name)
        except FerError as error:
            if folder == path:
                raise
            on_error(str(error))
            continue
        visible = [entry for entry in entries if not entry.base_name.startswith(".")]
        for entry in visible:
            if entry.type != FileType.File:
                continue
            video = is_video(entry.path)
            if video or os.path.splitext(entry.path)[1].lower() in SUFFIXES:
                yield Found(root.base, address(root.place, entry.path), video)
            else:
                on_other(Path(entry.path))
        inside = [entry.path for entry in visible if entry.type == FileType.Directory]
        folders += [entry for entry in reversed(inside) if not fnmatch.fnmatch(os.path.basename(entry), "__*")]


@functools.cache
def open_filesystem(url: str) -> "tuple[FileSystem, str]":
    """The file system of a URL and the path in it. Schemes that pyarrow does not know are left to fsspec.

    Raises:
        FerError: neither knows the scheme, or a package for it is missing.
    """
    try:
        import pyarrow
        from pyarrow.fs import FileSystem
    except ImportError as error:
        raise FerError(f'{shown(url)}: reading it needs pyarrow: pip install ".[ray]"') from error
    try:
        try:
            return FileSystem.from_uri(url)
        except pyarrow.ArrowInvalid as error:
            if "Unrecognized filesystem type" not in str(error):
                raise
            return FileSystem.from_uri(f"fsspec+{url}")
    except (pyarrow.ArrowException, ImportError, ValueError, OSError) as error:
        raise FerError(f"{shown(url)}: cannot be opened ({first_line(error)})") from error


def address(url: str, path: str) -> str:
    """The address of a path in the file system of `url`, without options and keys; see `path_of`."""
    return f"{url.partition('://')[0]}://{path}"


def path_of(name: str) -> str:
    """The path in its file system of an `address`."""
    return name.partition("://")[2]


def shown(url: str) -> str:
    """A URL as it may be printed: without user, key and options. A local path stays as it is."""
    if not is_url(url):
        return url
    scheme, _, rest = url.partition("://")
    rest = rest.partition("?")[0]
    place, slash, path = rest.partition("/")
    return f"{scheme}://{place.rpartition('@')[2]}{slash}{path}"


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turns what a file system raises into a `FerError` that names the file."""
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's errors are sub-classes of these
        reason = getattr(error, "strerror", None) or first_line(error)
        raise FerError(f"{name}: cannot be opened ({reason})") from error


def read_image(root: str, name: str | Path, base: str = "") -> np.ndarray:
    """Reads an image: uint8 (H, W, 3) BGR, see `images.read`.

    Args:
        root, name: of a `Found`.
        base: where relative local names begin.

    Raises:
        FerError: it cannot be read.
    """
    if is_url(str(name)):
        return images.decode(read_bytes(root, str(name)))
    return images.read(os.path.join(base, name))


def read_bytes(root: str, name: str) -> bytes:
    """The bytes of a file in an object store.

    Args:
        root: the URL in which it was found, with its options and keys.
        name: its `address`.

    Raises:
        FerError: it cannot be read.
    """
    with reading(name), open_filesystem(root)[0].open_input_stream(path_of(name)) as stream:
        return stream.read()


def download(root: str, name: str, folder: str) -> str:
    """Copies a file of an object store into a local folder and returns its path. See `read_bytes`."""
    target = os.path.join(folder, os.path.basename(name))
    with reading(name), open_filesystem(root)[0].open_input_stream(path_of(name)) as source, open(target, "wb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
    return target
