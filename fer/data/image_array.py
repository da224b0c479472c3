"""Images that need not fit into memory: arrays whose rows are decoded when they are asked for."""

import hashlib
import json
import os
import shutil
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.core.files import cache_folder, replacing
from fer.core.images import InputSpec, prepare
from fer.core.system import available_memory, cores
from fer.data.listing import Crop, Progress, Source, load_image

CACHES = ("auto", "memory", "disk", "none")
SHARE = 0.5  # of the available memory that decoded images may take
COPIED = 1 << 28  # bytes up to which a selection of rows is a copy, not a view
CHUNK = 256  # images decoded ahead of whoever iterates over all
KEPT_DAYS = 30  # files of the cache folder that were not used for so long are removed
CACHED = "[0-9a-f]" * 32 + ".npy"  # the folder may hold other files of the user


class ImageArray(ABC):
    """What a uint8 array (n, size, size, channels) offers to training and evaluation, without holding the pixels.

    `array[rows]` is an ndarray for an index, a slice or an array of indexes; iteration gives one image after the other.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4
    shape: tuple[int, int, int, int]

    def __len__(self) -> int:
        return self.shape[0]

    @abstractmethod
    def take(self, rows: np.ndarray) -> np.ndarray:
        """The given rows as uint8 (len(rows), size, size, channels)."""

    def digests(self) -> np.ndarray:
        """uint8 (n, 16): a hash of each image's pixels."""
        return np.concatenate([digests(chunk) for chunk in chunks(self)] or [np.zeros((0, 16), np.uint8)])

    def __getitem__(self, rows: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(rows, int | np.integer):
            return self.take(np.array([range(len(self))[rows]]))[0]
        if isinstance(rows, slice):
            rows = np.arange(*rows.indices(len(self)))
        rows = np.asarray(rows)
        return self.take(np.flatnonzero(rows) if rows.dtype == bool else rows)

    def __iter__(self) -> Iterator[np.ndarray]:
        for chunk in chunks(self):
            yield from chunk

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return self[:].astype(dtype or self.dtype, copy=False)


Images = np.ndarray | ImageArray


class DecodedImages(ImageArray):
    """Images that are decoded and prepared whenever they are asked for, by several threads.

    Args:
        sources: where the pixels are; all of them can be read.
        spec: what the network takes.
        hashes: uint8 (n, 16), of the prepared pixels.
    """

    def __init__(self, sources: Sequence[Source], spec: InputSpec, hashes: np.ndarray):
        self.sources, self.spec, self.hashes = sources, spec, hashes
        self.shape = (len(sources), *spec.shape)
        self.pool = ThreadPoolExecutor(cores())  # OpenCV decodes outside Python's lock

    def take(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self.spec.shape), np.uint8)
        for to, image in enumerate(self.pool.map(self._decode, rows)):
            images[to] = image
        return images

    def _decode(self, row: int) -> np.ndarray:
        return prepare(load_image(self.sources[row]), self.spec)

    def digests(self) -> np.ndarray:
        return self.hashes


class StoredImages(ImageArray):
    """Images in a .npy file, mapped into memory only while rows are copied: a map that stays would count as the
    process's own memory as far as it was ever read.

    Args:
        path: uint8 (m, size, size, channels), m >= n.
        n: how many of them count.
    """

    def __init__(self, path: Path, n: int):
        stored = np.load(path, mmap_mode="r")
        self.file = path.open("rb")  # stays readable when another process prunes the cache
        self.shape, self.offset, self.stored = (n, *stored.shape[1:]), stored.offset, stored.shape

    def take(self, rows: np.ndarray) -> np.ndarray:
        return np.memmap(self.file, np.uint8, "r", self.offset, self.stored)[: len(self)][rows]


class SelectedImages(ImageArray):
    """Some rows of other images, as a view."""

    base: Images
    rows: np.ndarray

    def __init__(self, base: Images, rows: np.ndarray):
        if isinstance(base, SelectedImages):  # a view of a view is one of the images themselves
            self.base, self.rows = base.base, base.rows[rows]
        else:
            self.base, self.rows = base, np.asarray(rows, np.int64)
        self.shape = (len(self.rows), *base.shape[1:])

    def take(self, rows: np.ndarray) -> np.ndarray:
        return self.base[self.rows[rows]]

    def digests(self) -> np.ndarray:
        stored = isinstance(self.base, DecodedImages | JoinedImages)
        return digests(self.base)[self.rows] if stored else super().digests()


class JoinedImages(ImageArray):
    """Several arrays of images, one behind the other."""

    def __init__(self, parts: Sequence[Images]):
        self.parts = list(parts)
        self.starts = np.cumsum([0, *map(len, self.parts)])
        self.shape = (int(self.starts[-1]), *self.parts[0].shape[1:])

    def take(self, rows: np.ndarray) -> np.ndarray:
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        owner = np.searchsorted(self.starts, rows, side="right") - 1
        for number in np.unique(owner):
            mine = owner == number
            images[mine] = self.parts[number][rows[mine] - self.starts[number]]
        return images

    def digests(self) -> np.ndarray:
        return np.concatenate([digests(part) for part in self.parts])


def chunks(images: Images) -> Iterator[np.ndarray]:
    """All images in order, `CHUNK` at a time; those of the next chunk are decoded meanwhile."""
    starts = range(0, len(images), CHUNK)
    if isinstance(images, np.ndarray):
        yield from (images[start : start + CHUNK] for start in starts)
        return
    with ThreadPoolExecutor(1) as ahead:
        waiting = deque(ahead.submit(images.__getitem__, slice(start, start + CHUNK)) for start in starts[:2])
        for start in starts[2:]:
            chunk = waiting.popleft().result()
            waiting.append(ahead.submit(images.__getitem__, slice(start, start + CHUNK)))
            yield chunk
        while waiting:
            yield waiting.popleft().result()


def select(images: Images, rows: np.ndarray) -> Images:
    """The given rows: a copy where it is small, else a view."""
    if isinstance(images, np.ndarray) and len(rows) * images[:1].nbytes <= COPIED:
        return images[rows]
    return SelectedImages(images, rows)


def join(parts: Sequence[Images]) -> Images:
    """Several arrays as one."""
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if len(arrays) == len(parts) and sum(part.nbytes for part in arrays) <= COPIED:
        return np.concatenate(arrays)
    return parts[0] if len(parts) == 1 else JoinedImages(parts)


def digests(images: Images) -> np.ndarray:
    """uint8 (n, 16): a hash of each image's pixels."""
    if isinstance(images, ImageArray):
        return images.digests()
    hashes = b"".join(_hash(image) for image in images)
    return np.frombuffer(hashes, np.uint8).reshape(-1, 16)


def _hash(image: np.ndarray) -> bytes:
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16).digest()


def decode_all(
    sources: Sequence[Source], spec: InputSpec, *, cache: str, progress: Progress, text: str
) -> tuple[Images, list[tuple[int, str]]]:
    """Decodes and prepares images.

    Args:
        sources: n of them.
        spec: what the network takes.
        cache: "memory" holds all pixels; "disk" keeps them in a file of the cache folder; "none" decodes again whenever
            rows are asked for; "auto" holds them where they take at most half of the available memory, else "none".
        progress: wraps the iteration.
        text: what is decoded.

    Returns:
        The images that can be read, and (row, reason) of the others.

    Raises:
        FerError: an unknown cache, or the cache folder cannot be written or has too little space.
    """
    if cache not in CACHES:
        raise FerError(f"the cache must be one of {', '.join(CACHES)}, not {cache!r}")
    size = len(sources) * int(np.prod(spec.shape))
    if cache == "auto":
        tasks = int(os.environ.get("SLURM_NTASKS_PER_NODE") or 1)  # which decode the same images at the same time
        cache = "memory" if size <= SHARE / tasks * available_memory() else "none"
    if cache == "disk" and len(sources):
        return _from_disk(sources, spec, progress, text)
    failed: list[tuple[int, str]] = []
    if cache == "none":
        hashes = np.zeros((len(sources), 16), np.uint8)
        for row, image in _decoded(sources, spec, failed, progress, text):
            hashes[row] = np.frombuffer(_hash(image), np.uint8)
        good = _without(len(sources), failed)
        return DecodedImages([sources[row] for row in good], spec, hashes[good]), failed
    images = np.empty((len(sources), *spec.shape), np.uint8)
    n = 0
    for _, image in _decoded(sources, spec, failed, progress, text):
        images[n] = image
        n += 1
    return images[:n], failed


def _without(n: int, failed: list[tuple[int, str]]) -> np.ndarray:
    return np.setdiff1d(np.arange(n), [row for row, _ in failed])


def _decoded(
    sources: Sequence[Source], spec: InputSpec, failed: list[tuple[int, str]], progress: Progress, text: str
) -> Iterator[tuple[int, np.ndarray]]:
    """(row, image) of all that can be read, in order; the others join `failed`."""

    def read(source: Source) -> np.ndarray | str:
        try:
            return prepare(load_image(source), spec)
        except FerError as error:
            path = source.path if isinstance(source, Crop) else source
            return str(error).removeprefix(f"{path}: ") if isinstance(path, str) else str(error)

    def results() -> Iterator[np.ndarray | str]:
        # No more than a few chunks ahead: `map` would start them all, and hold what nobody has taken yet.
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(sources), CHUNK):
                yield from pool.map(read, (sources[row] for row in range(start, min(start + CHUNK, len(sources)))))

    for row, result in enumerate(progress(results(), len(sources), text)):
        if isinstance(result, str):
            failed.append((row, result))
        else:
            yield row, result


def _from_disk(
    sources: Sequence[Source], spec: InputSpec, progress: Progress, text: str
) -> tuple[ImageArray, list[tuple[int, str]]]:
    """All images in a file of the cache folder, written on first use."""
    stem = cache_folder() / _fingerprint(sources, spec)
    pixels, rest = stem.with_suffix(".npy"), stem.with_suffix(".json")
    failed = _stored_failures(sources, spec, pixels, rest)
    if failed is None:
        _make_room(len(sources) * int(np.prod(spec.shape)))
        failed = []
        with replacing(pixels) as temporary, temporary.open("wb") as file:
            head = {"descr": "|u1", "fortran_order": False, "shape": (len(sources), *spec.shape)}
            np.lib.format.write_array_header_1_0(file, head)
            for _, image in _decoded(sources, spec, failed, progress, text):
                file.write(image.tobytes())
            file.truncate(file.tell() + len(failed) * int(np.prod(spec.shape)))  # rows of failed images, unused
        with replacing(rest) as temporary:
            temporary.write_text(json.dumps(failed), encoding="utf-8")
    os.utime(pixels)  # in use
    return StoredImages(pixels, len(sources) - len(failed)), failed


def _stored_failures(
    sources: Sequence[Source], spec: InputSpec, pixels: Path, rest: Path
) -> list[tuple[int, str]] | None:
    """The images that could not be read when the file was written; None where it is to be written (again).

    They are tried once more: a disk was away, or a package for their format is installed by now.
    """
    if not (pixels.exists() and rest.exists()):
        return None
    failed = [(row, reason) for row, reason in json.loads(rest.read_text(encoding="utf-8"))]
    again = _decoded([sources[row] for row, _ in failed], spec, [], lambda items, total, text: items, "")
    return failed if next(again, None) is None else None


def _make_room(size: int) -> None:
    """Removes what was not used for long from the cache folder, and refuses more bytes than fit."""
    folder, before = cache_folder(), time.time() - KEPT_DAYS * 24 * 3600
    with suppress(OSError):  # another process may do the same
        for path in [*folder.glob(CACHED), *folder.glob(f".*-{CACHED}")]:  # also of killed processes
            if path.stat().st_mtime < before:
                path.with_suffix(".json").unlink(missing_ok=True)
                path.unlink()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise FerError(f"{folder}: cannot be written: {error.strerror or error}") from error
    if size > free:
        found = f"{size / 1e9:.1f} GB of images, {free / 1e9:.1f} GB free"
        raise FerError(f"{folder}: {found}; FER_CACHE names another folder, --cache none needs none")


def _fingerprint(sources: Sequence[Source], spec: InputSpec) -> str:
    """Changes with the files, their sizes, their times and the network's input."""
    digest = hashlib.blake2b(repr(spec).encode(), digest_size=16)
    for source in sources:
        if isinstance(source, bytes | np.ndarray):
            digest.update(np.ascontiguousarray(source).data if isinstance(source, np.ndarray) else source)
            continue
        path = source if isinstance(source, str) else source.path
        try:
            status = os.stat(path)
            mark = (status.st_size, status.st_mtime_ns)
        except OSError:
            mark = (0, 0)
        digest.update(repr((source, *mark)).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
