"""Twins: pictures with the same pixels, and near twins: the same photograph cut, scaled, lit or stamped a little
otherwise; found without comparing all pairs.

Near means a correlation of at least `NEAR` between two pictures in grey, at 16 x 16 pixels. Measured on FER2013 (all
pairs of its 30,765 different pictures, 32 drawn and looked at of each band): from 0.95 on all show one photograph, and
15 to 22 % of their labels differ, no more than above 0.995; from 0.94 to 0.95 29 of 32 do; below, other people of
the same looks come in, and from 0.92 to 0.93 42 % of the labels differ. A mirrored copy, or one cut much
tighter, correlates less and is not found.

Correlation is the distance of two unit vectors, and a projection never makes distances longer. So a k-d tree of a few
principal axes, and the length of what they leave out, gives candidates among which no near twin is missing; each is
then compared in full (filter and refine: Faloutsos et al. 1994, Efficient and Effective Querying by Image Content).
Among more than `ALL` pictures a guess makes the search several times faster: what tells twins apart is small and
scattered, so the leading axes hold at most `SHARE` of it. On FER2013 that would miss 2 of 1,813 pairs.
"""

from collections.abc import Iterator
from itertools import chain

import cv2
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from fer.core.errors import FerError
from fer.data.dataset import identical

NEAR = 0.95  # correlation
FLAT = 5.0  # grey levels of standard deviation, below which a picture has nothing to compare
SIDE = 16  # pixels
AXES = 10
ALL = 100_000  # pictures up to which not one near twin is missed
SHARE = 0.7  # of the distance, that the axes may hold where there are more
SAMPLE = 20_000  # pictures from which the axes are taken
BLOCK = 4096  # pictures looked up at a time
PROBE = 16  # a block in so many parts tells how many candidates it will have
CANDIDATES = 1 << 21  # pairs in memory at a time, about: 100 MB
COMPARED = 1 << 15  # of them compared at a time
MOST_PAIRS = 20_000_000


def twins_in(pictures: np.ndarray, others: np.ndarray, *, near: bool = False) -> np.ndarray:
    """Which pictures have a twin among others.

    Args:
        pictures: uint8 (n, H, W, C).
        others: uint8 (m, H, W, C), of the same shape.
        near: near twins count as well.

    Returns:
        bool (n).

    Raises:
        FerError: pictures of different shapes.
    """
    if pictures.shape[1:] != others.shape[1:]:
        raise FerError(f"twins need pictures of one shape, not {pictures.shape[1:]} and {others.shape[1:]}")
    _, group = identical(np.concatenate([pictures, others]))
    found = np.isin(group[: len(pictures)], group[len(pictures) :])
    if near:
        rows = np.flatnonzero(~found)
        ours, usable = signatures(pictures[rows])
        theirs, among = signatures(others)
        for i, _, _ in _between(ours[usable], theirs[among], NEAR):
            found[rows[np.flatnonzero(usable)[i]]] = True
    return found


def near_pairs(pictures: np.ndarray, threshold: float = NEAR) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of near twins. Flat pictures have none; identical ones should be left out before.

    Args:
        pictures: uint8 (n, H, W, C).
        threshold: least correlation, below 1.

    Returns:
        Rows i < j, int64 (pairs), and their correlations, float32 (pairs).

    Raises:
        FerError: a threshold outside 0.8..1, or so many pairs that nearly everything is like everything.
    """
    if not 0.8 <= threshold < 1:
        raise FerError(f"the correlation of near twins must lie from 0.8 to below 1, not {threshold}")
    vectors, usable = signatures(pictures)
    rows = np.flatnonzero(usable)
    vectors = vectors[rows]
    parts, total = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))], 0
    for i, j, r in _between(vectors, vectors, threshold):
        once = i < j
        parts.append((rows[i[once]], rows[j[once]], r[once]))
        total += int(once.sum())
        if total > MOST_PAIRS:
            raise FerError(f"more than {MOST_PAIRS:,} pairs correlate above {threshold}: choose a higher correlation")
    i, j, r = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((j, i))
    return i[order], j[order], r[order]


def connected(i: np.ndarray, j: np.ndarray, n: int) -> np.ndarray:
    """Groups of what pairs connect, also over others: int64 (n), the number of each one's group."""
    return connected_components(coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n)), directed=False)[1]


def signatures(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What near twins share: 16 x 16 grey pixels, mean 0 and length 1, so that a product is a correlation.

    Returns:
        float32 (n, 256); bool (n), False where the picture is flat.
    """
    vectors = np.empty((len(pictures), SIDE * SIDE), np.float32)
    for vector, picture in zip(vectors, pictures, strict=True):
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY) if picture.shape[-1] == 3 else picture
        vector[:] = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).ravel()
    vectors -= vectors.mean(axis=1, keepdims=True)
    length = np.linalg.norm(vectors, axis=1)
    vectors /= np.maximum(length, 1e-6)[:, None]
    return vectors, length >= FLAT * SIDE


def _between(ours: np.ndarray, theirs: np.ndarray, threshold: float) -> Iterator[tuple]:
    """Pairs (rows of ours, rows of theirs, correlations) at or above the threshold, a block at a time."""
    if not len(ours) or not len(theirs):
        return
    places = _places(theirs)
    mapped = places(theirs)
    tree, points = cKDTree(mapped), mapped if ours is theirs else places(ours)
    order = tree.indices if ours is theirs else cKDTree(points).indices  # neighbours come in one block
    share = 1 if max(len(ours), len(theirs)) <= ALL else SHARE
    reach = share * np.sqrt(2 - 2 * threshold) + 1e-4
    blocks = [order[a : a + BLOCK] for a in range(0, len(order), BLOCK)][::-1]
    while blocks:
        block = blocks.pop()
        counts = tree.query_ball_point(points[block[::PROBE]], reach, return_length=True)
        if len(block) > 1 and counts.mean() * len(block) > CANDIDATES:
            blocks += [block[len(block) // 2 :], block[: len(block) // 2]]
            continue
        found = tree.query_ball_point(points[block], reach, workers=-1, return_sorted=False)
        those = np.fromiter(chain.from_iterable(found), np.int64)
        these = np.repeat(block, [len(part) for part in found])
        for a in range(0, len(those), COMPARED):
            i, j = these[a : a + COMPARED], those[a : a + COMPARED]
            r = np.einsum("ij,ij->i", ours[i], theirs[j])
            near = r >= threshold
            yield i[near], j[near], r[near]


def _places(vectors: np.ndarray):
    """A function from vectors to points (m, 1 + AXES) whose distances are never longer than those of the vectors."""
    sample = vectors[:: -(-len(vectors) // SAMPLE)]
    mean = sample.mean(axis=0)
    axes = np.linalg.eigh(np.cov(sample - mean, rowvar=False, bias=True))[1][:, -AXES:].astype(np.float32)

    def places(of):
        points = np.empty((len(of), AXES + 1))
        for a in range(0, len(of), SAMPLE):
            centred = of[a : a + SAMPLE] - mean
            along = points[a : a + SAMPLE, :AXES] = centred @ axes
            points[a : a + SAMPLE, AXES] = np.sqrt(np.maximum((centred**2).sum(1) - (along**2).sum(1), 0))
        return points

    return places
