"""Test-time augmentation (TTA): the views of an image whose probabilities are averaged."""

from collections.abc import Iterator

import numpy as np

from fer.core.errors import FerError

TTA = ("none", "flip", "ten-crop")
_VIEW_COUNTS = {"none": 1, "flip": 2, "ten-crop": 10}


def view_count(tta: str) -> int:
    """Number of views that `views` yields."""
    return _VIEW_COUNTS[tta]


def views(images: np.ndarray, tta: str) -> Iterator[np.ndarray]:
    """Yields the views of test-time augmentation, one array at a time.

    "flip" is the images and their mirror images. "ten-crop" is the images and their four shifts by 1/24 of the side
    (2 of 48 pixels) towards the corners, each also mirrored. For a network with a central crop of 44 of 48 pixels these
    are the classic ten crops (Krizhevsky et al. 2012). For other networks, edge pixels are repeated.

    Args:
        images: uint8 (n, size, size, channels).
        tta: one of `TTA`.

    Yields:
        uint8 (n, size, size, channels).

    Raises:
        FerError: an unknown name.
    """
    if tta not in TTA:
        raise FerError(f"test-time augmentation must be one of {', '.join(TTA)}, not {tta!r}")
    size = images.shape[1]
    shift = max(1, size // 24)
    offsets = [(0, 0)]
    if tta == "ten-crop":
        offsets += [(-shift, -shift), (-shift, shift), (shift, -shift), (shift, shift)]
        padded = np.pad(images, ((0, 0), (shift, shift), (shift, shift), (0, 0)), "edge")
    for dy, dx in offsets:
        view = images
        if dy or dx:
            view = padded[:, shift + dy : shift + dy + size, shift + dx : shift + dx + size]
        yield view
        if tta != "none":
            yield view[:, :, ::-1]
