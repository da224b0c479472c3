"""Duplicates: images with the same pixels. Near-duplicates: one photograph cropped, scaled, lit or stamped differently.

Two images are near-duplicates where their correlation in grey, at 16 x 16 pixels, is at least `NEAR`. Measured on
FER2013 (all pairs of its 30,765 different images, 32 random pairs of each band inspected): from 0.95 on all pairs show
one photograph, and 15 to 22 % of their labels differ, as many as above 0.995. From 0.94 to 0.95, 29 of 32 pairs do.
Below, similar people come in: from 0.92 to 0.93, 42 % of the labels differ. A mirrored copy, or one cropped much
tighter, correlates less and is not found.

Every image is compared with every other: a block of vectors of length 1 times another is a block of correlations. The
time grows with the square of the number of images, the memory does not.
"""

from collections.abc import Iterator

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fer.core.errors import FerError
from fer.data.image_array import Images, JoinedImages, digests

NEAR = 0.95  # correlation
FLAT = 5.0  # grey levels of standard deviation, below which an image has nothing to compare
SIDE = 16  # pixels
BLOCK = 2048  # images compared with as many others at a time: 17 MB
MAX_PAIRS = 20_000_000


def group_identical(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Groups images with the same pixels; groups are numbered in the order of their first image.

    Args:
        images: uint8 (n, ...).

    Returns:
        first, int64 (groups): row of each group's first image; group, int64 (n): the group of each image.
    """
    keys = np.ascontiguousarray(digests(images)).view("V16").ravel()
    _, first, group = np.unique(keys, return_index=True, return_inverse=True)
    by_place = np.argsort(first)  # not by hash: a split must not change with the size a network wants
    return first[by_place], np.argsort(by_place)[group]


def duplicates_in(images: Images, others: Images, *, near: bool = False) -> np.ndarray:
    """Which images have a duplicate among others.

    Args:
        images: uint8 (n, H, W, C).
        others: uint8 (m, H, W, C), of the same shape.
        near: near-duplicates count as well.

    Returns:
        bool (n).

    Raises:
        FerError: images of different shapes.
    """
    if images.shape[1:] != others.shape[1:]:
        raise FerError(f"duplicates need images of one shape, not {images.shape[1:]} and {others.shape[1:]}")
    _, group = group_identical(JoinedImages([images, others]))
    found = np.isin(group[: len(images)], group[len(images) :])
    if near:
        ours, usable = signatures(images)
        theirs, among = signatures(others)
        rows = np.flatnonzero(usable & ~found)
        for i, _, _ in _pairs(ours[rows], theirs[among], NEAR):
            found[rows[i]] = True
    return found


def near_duplicates(images: Images, threshold: float = NEAR) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of near-duplicates. Flat images have none; leave out identical images before.

    Args:
        images: uint8 (n, H, W, C).
        threshold: least correlation, below 1.

    Returns:
        Rows i < j, int64 (pairs), and their correlations, float32 (pairs).

    Raises:
        FerError: a threshold outside 0.8..1, or so many pairs that nearly every image is like every other.
    """
    if not 0.8 <= threshold < 1:
        raise FerError(f"the correlation of near-duplicates must lie from 0.8 to below 1, not {threshold}")
    vectors, usable = signatures(images)
    rows = np.flatnonzero(usable)
    vectors = vectors[rows]
    parts, total = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))], 0
    for i, j, r in _pairs(vectors, vectors, threshold):
        parts.append((rows[i], rows[j], r))
        total += len(i)
        if total > MAX_PAIRS:
            raise FerError(f"more than {MAX_PAIRS:,} pairs correlate above {threshold}: choose a higher correlation")
    i, j, r = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], r[order]


def connected(i: np.ndarray, j: np.ndarray, n: int) -> np.ndarray:
    """Groups that pairs connect, also through others: int64 (n), the group of each row."""
    return connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n)), directed=False)[1]


def signatures(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """What near-duplicates share: 16 x 16 grey pixels, mean 0 and length 1, so that a product is a correlation.

    Args:
        images: uint8 (n, H, W, 1 or 3).

    Returns:
        float32 (n, 256); bool (n), False where the image is flat.
    """
    vectors = np.empty((len(images), SIDE * SIDE), np.float32)
    for vector, image in zip(vectors, images, strict=True):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if image.shape[-1] == 3 else image
        vector[:] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1)
    vectors /= np.maximum(length, 1e-6)[:, None]
    return vectors, length >= FLAT * SIDE


def _pairs(ours: np.ndarray, theirs: np.ndarray, threshold: float) -> Iterator[tuple]:
    """Pairs (rows of ours, rows of theirs, correlations) at or above the threshold, a block at a time; each pair once
    where both are the same array."""
    same = ours is theirs
    for a in range(0, len(ours), BLOCK):
        for b in range(a if same else 0, len(theirs), BLOCK):
            r = ours[a : a + BLOCK] @ theirs[b : b + BLOCK].T
            if same and a == b:
                r = np.triu(r, 1)
            rows = np.flatnonzero(r.max(axis=1) >= threshold)  # few: far cheaper than looking for pairs in the block
            i, j = np.nonzero(r[rows] >= threshold)
            yield a + rows[i], b + j, r[rows[i], j]
