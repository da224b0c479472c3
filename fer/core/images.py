"""Reading images and preparing them for a network: the only place where pixels change before the network."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer.core.decoding import decode, from_pillow
from fer.core.errors import FerError
from fer.core.formats import SUFFIXES, is_image_file

__all__ = ["SUFFIXES", "InputSpec", "decode", "encode", "from_pillow", "is_image_file", "prepare", "read"]

MAX_SIZE = 1024  # pixels of a network's input


@dataclass(frozen=True)
class InputSpec:
    """What a network takes: square images of `size` pixels with `channels` colours.

    Attributes:
        size: side of the image in pixels.
        channels: 1 for grey, 3 for BGR colour.
    """

    size: int = 48
    channels: int = 1

    def __post_init__(self):
        if not isinstance(self.size, int) or not 1 <= self.size <= MAX_SIZE:
            raise FerError(f"image size must be a whole number of 1 to {MAX_SIZE} pixels, not {self.size}")
        if self.channels not in (1, 3):
            raise FerError(f"channels must be 1 (grey) or 3 (colour), not {self.channels}")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(size, size, channels)."""
        return (self.size, self.size, self.channels)


def read(path: str | Path) -> np.ndarray:
    """Reads one image file.

    Args:
        path: a file in any format OpenCV decodes, whatever its suffix.

    Returns:
        uint8 (H, W, 3) BGR, see `decoding.decode`.

    Raises:
        FerError: the file is missing, empty, cut short or not an image.
    """
    try:
        # cv2.imread cannot open non-ASCII names on Windows; reading the bytes ourselves can.
        data = Path(path).read_bytes()
    except OSError as error:
        raise FerError(f"{path}: cannot be opened ({error.strerror or error})") from error
    try:
        return decode(data)
    except FerError as error:
        raise FerError(f"{path}: {error}") from error


def encode(image: np.ndarray, suffix: str) -> bytes:
    """The bytes of an image file.

    Args:
        image: uint8 (H, W) grey or (H, W, 3) BGR.
        suffix: names the format: ".jpg", ".png", ...

    Raises:
        FerError: OpenCV writes no such format, or not this image in it.
    """
    try:
        done, data = cv2.imencode(suffix, image)
    except cv2.error as error:
        raise FerError(f"images cannot be written as {suffix}") from error
    if not done:
        raise FerError(f"images cannot be written as {suffix}")
    return data.tobytes()


def prepare(image: np.ndarray, spec: InputSpec) -> np.ndarray:
    """Turns one image of a face into a row of a network's input. Training and every way of serving pass here.

    Args:
        image: uint8 (H, W, 3) BGR, or (H, W) grey.
        spec: what the network takes.

    Returns:
        uint8 (size, size, channels). Scaling to [0, 1] is a layer of the network, not done here.

    Raises:
        FerError: the array is not such an image.
    """
    colours = {2: 1, 3: image.shape[-1]}.get(image.ndim) if image.size else None
    if image.dtype != np.uint8 or (image.ndim, colours) not in ((2, 1), (3, 3)):
        raise FerError(f"expected an image uint8 (H, W, 3) or (H, W), received {image.dtype} {image.shape}")
    if spec.channels == 1 and image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    elif spec.channels == 3 and image.ndim == 2:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    if image.shape[:2] != (spec.size, spec.size):
        # Area averaging keeps small details from aliasing when shrinking, and is blocky when enlarging.
        method = cv2.INTER_AREA if min(image.shape[:2]) >= spec.size else cv2.INTER_LINEAR
        image = cv2.resize(image, (spec.size, spec.size), interpolation=method)
    return image.reshape(spec.shape)
