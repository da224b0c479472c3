"""Reading images and preparing them for a network: the only place where pixels change before the network."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fer.core.errors import FerError

SUFFIXES = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".pgm", ".ppm"})


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
        if self.size < 1:
            raise FerError(f"image size must be at least 1 pixel, not {self.size}")
        if self.channels not in (1, 3):
            raise FerError(f"channels must be 1 (grey) or 3 (colour), not {self.channels}")

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.size, self.size, self.channels)


def read(path: str | Path) -> np.ndarray:
    """Reads one image file.

    Args:
        path: a file in any format OpenCV decodes; the name may hold any Unicode character.

    Returns:
        uint8 (H, W, 3), BGR, upright where the file carries an EXIF orientation; 16-bit files are reduced to 8 bits.

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


def decode(data: bytes) -> np.ndarray:
    """Decodes the bytes of one image file; see `read` for the result.

    Raises:
        FerError: the bytes are empty, cut short or not an image.
    """
    if not data:
        raise FerError("the file is empty (0 bytes)")
    if _cut_short(data):
        raise FerError("the image is cut short")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:  # for instance more pixels than OpenCV's own limit
        raise FerError(f"the image cannot be decoded ({error.err or 'OpenCV gave up'})") from error
    if image is None:
        raise FerError("not an image that OpenCV can decode")
    return image


def _cut_short(data: bytes) -> bool:
    """True for a JPEG, PNG or BMP whose end is missing: the decoders would fill the rest with grey and say nothing."""
    if data.startswith(b"\xff\xd8"):
        return b"\xff\xd9" not in data[_first_scan(data) :]
    if data.startswith(b"\x89PNG"):
        return b"IEND" not in data
    if data.startswith(b"BM"):
        return len(data) < int.from_bytes(data[2:6], "little")
    return False


def _first_scan(data: bytes) -> int:
    """Where the pixels of a JPEG begin. A thumbnail inside a header segment, or a video behind the image, has marks of
    its own and must not be taken for the image's."""
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        filler = data[at + 1 : at + 2] == b"\xff"
        at += 1 if filler else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at


def encode(image: np.ndarray, suffix: str) -> bytes:
    """The bytes of an image file in the format of the suffix (".jpg", ".png", ...).

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
