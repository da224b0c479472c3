"""Twins: the same picture twice, within a set or in two of them."""

import numpy as np

from fer import FerError, dataset


def twins_in(pictures: np.ndarray, others: np.ndarray, *, near: bool = False) -> np.ndarray:
    """Which pictures also stand among others.

    Args:
        pictures: uint8 (n, size, size, channels).
        others: uint8 (m, size, size, channels).
        near: also count pictures that are almost the same.

    Returns:
        bool (n,).

    Raises:
        FerError: pictures of another shape, or near twins, which this version does not know.
    """
    if near or pictures.shape[1:] != others.shape[1:]:
        raise FerError(f"twins of {pictures.shape[1:]} among {others.shape[1:]}: only exact ones of the same shape")
    _, group = dataset.identical(np.concatenate([others, pictures]))
    return np.isin(group[len(others) :], group[: len(others)])
