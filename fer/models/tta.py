"""Test-time augmentation: the views of one image whose probabilities are averaged."""

from collections.abc import Iterator

import numpy as np

from fer.core.errors import FerError

TTA = ("none", "flip", "ten-crop")


def view_count(tta: str) -> int:
    return {"none": 1, "flip": 2, "ten-crop": 10}[tta]


def views(images: np.ndarray, tta: str) -> Iterator[np.ndarray]:
    """The views of test-time augmentation, one array at a time.

    "ten-crop" is the picture and its four shifts by a twenty-fourth of the side (2 of 48 pixels) to the corners, each
    also mirrored. For a network with a central crop of 44 of 48 pixels these are exactly the classic ten crops; for
    others the edge pixels are repeated.

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
    reach = max(1, size // 24)
    corners = [(-reach, -reach), (-reach, reach), (reach, -reach), (reach, reach)]
    padded = np.pad(images, ((0, 0), (reach, reach), (reach, reach), (0, 0)), "edge") if tta == "ten-crop" else None
    for dy, dx in [(0, 0), *corners] if tta == "ten-crop" else [(0, 0)]:
        view = images
        if dy or dx:
            view = padded[:, reach + dy : reach + dy + size, reach + dx : reach + dx + size]
        yield view
        if tta != "none":
            yield view[:, :, ::-1]
