"""Decodes image files of any common format and variant, as other viewers show them.

OpenCV decodes first. Pillow takes over where OpenCV gives up on a file whose pixels are all there.
"""

import functools
import io
import struct
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

import cv2
import numpy as np

from fer.core import netpbm, tiff_header
from fer.core.errors import FerError
from fer.core.formats import HEAD, image_format
from fer.core.opencv import quiet_libjpeg, quiet_opencv
from fer.core.png_chunks import clean_png

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

GREY = 128  # behind transparent areas
WHITE = 255.0
BAND = 256  # rows of an image that are composed at a time
LEAST_WHITE = 16.0  # a brightest value below it is no image of the range 0 to 255
ALPHA_FORMATS = frozenset({"png", "webp", "gif", "tiff", "jp2", "bmp"})
LINEAR = frozenset({"hdr", "exr"})  # values in proportion to the light
# Pillow's readers that stand in where OpenCV fails.
PILLOW = {
    "jpeg": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "webp": "WEBP",
    "bmp": "BMP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "jp2": "JPEG2000",
    "pnm": "PPM",
    "ico": "ICO",
}


def decode(data: bytes) -> np.ndarray:
    """Decodes the bytes of an image file.

    Values of more than 8 bits are scaled by the highest bit used, floating-point values by their range. Transparent
    areas become grey.

    Returns:
        uint8 (H, W, 3) BGR, upright where the file states an EXIF orientation.

    Raises:
        FerError: the bytes are empty, cut short or no image.
    """
    if not data:
        raise FerError("the file is empty (0 bytes)")
    kind = image_format(data[:HEAD])
    if kind == "heif":
        return _decode_heif(data)
    if kind in ("jxl", "psd", "svg"):
        raise FerError(f"a {kind.upper()} image, which OpenCV does not decode; save it as PNG or JPEG")
    if kind == "raw":
        raise tiff_header.raw_photograph()
    if kind == "avif":  # OpenCV ignores that it is to be turned
        return _with_pillow(data, kind)
    if kind == "pnm" and (found := netpbm.decode_raw(data)):
        return compose(*found)
    tags: tiff_header.Tags = {}
    if kind == "tiff":
        data, tags = tiff_header.front(data)
        if not tiff_header.is_unpacked_by_opencv(tags):
            return _with_pillow(data, kind)
    elif kind == "bmp":
        data = _newer_bmp(data)
    elif kind == "jpeg":
        data = _end_jpeg(data)
    elif kind == "png":
        data = clean_png(data)
    try:
        with quiet_opencv(), quiet_libjpeg():
            image = _with_opencv(data, kind, tags)
            if image is None and kind == "webp":  # the stated length may be all that is wrong
                image = _with_opencv(data[:4] + struct.pack("<I", len(data) - 8) + data[8:], kind, tags)
    except cv2.error as error:  # for instance more pixels than OpenCV's own limit
        raise FerError(f"the image cannot be decoded ({error.err or 'OpenCV gave up'})") from error
    if image is not None:
        if kind == "jpeg" and _ends_flat(image, data):
            _check_complete(data[: data.find(_END, _first_scan(data))])
        return 255 - image if tiff_header.white_is_zero(tags) else image
    if kind not in PILLOW:
        raise FerError("not an image that OpenCV can decode")
    return _with_pillow(data, kind)


def _with_opencv(data: bytes, kind: str | None, tags: tiff_header.Tags) -> np.ndarray | None:
    buffer = np.frombuffer(data, np.uint8)
    if kind in ALPHA_FORMATS and _states_alpha(data, kind, tags):
        return _with_pillow(data, kind) if kind == "gif" else _with_alpha(buffer, data, kind, tags)
    image = cv2.imdecode(buffer, cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH)
    if image is None and kind == "tiff":  # OpenCV does not turn grey of 64 bits into colours
        image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)
        if image is None or image.ndim != 2:
            return None
    if image is None:
        return None
    image = from_linear(image) if kind in LINEAR else to_8_bits(image)
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def _with_alpha(buffer: np.ndarray, data: bytes, kind: str, tags: tiff_header.Tags) -> np.ndarray | None:
    image = cv2.imdecode(buffer, cv2.IMREAD_UNCHANGED)  # which does not obey the orientation, but in TIFF
    if image is None:
        return None
    if image.ndim == 2 and not (kind == "png" and image.dtype == np.uint16):
        return _with_pillow(data, kind)  # OpenCV ignores the opacity of grey pixels
    if image.ndim == 2:
        place = data.index(b"tRNS") + 4  # the one value that means transparent; Pillow ignores it
        opacity: np.ndarray = image != int.from_bytes(data[place : place + 2])
        image = compose(cv2.cvtColor(to_8_bits(image), cv2.COLOR_GRAY2BGR), opacity)
    elif image.shape[2] == 4:
        opacity, opaque = image[..., 3], 1.0 if image.dtype.kind == "f" else 256.0**image.itemsize - 1
        if kind == "bmp" and not opacity.any():  # written by programs that do not mean it
            return to_8_bits(image[..., :3])
        multiplied = tiff_header.is_multiplied(tags)
        image = compose(to_8_bits(image[..., :3]), opacity, opaque=opaque, multiplied=multiplied)
    return to_8_bits(image) if kind == "tiff" else turn_upright(to_8_bits(image), _orientation(data))


def _newer_bmp(data: bytes) -> bytes:
    """A BMP of 32 bits that states an order of colours, with a header of the version in which OpenCV looks for it."""
    start, size, _, _, bits, packing = struct.unpack("<2I2i2xHI", data[10:34].ljust(24, b"\0"))
    if size not in (40, 52) or (bits, packing) != (32, 3):
        return data
    return data[:10] + struct.pack("<2I", start + 4, 56) + data[18:66] + bytes(4) + data[66:]


def _states_alpha(data: bytes, kind: str, tags: tiff_header.Tags) -> bool:
    """True if the header states transparency; no pixel is decoded."""
    if kind == "png":
        return data[25:26] in (b"\x04", b"\x06") or b"tRNS" in data[: max(data.find(b"IDAT"), 0)]
    if kind == "tiff":
        return tiff_header.states_alpha(tags)
    if kind == "bmp":  # versions 3 to 5 of its header have a mask for the opacity
        size, bits, packing = (int.from_bytes(data[at : at + 2], "little") for at in (14, 28, 30))
        return size >= 56 and (bits, packing) == (32, 3) and any(data[66:70])
    try:
        with _pillow().open(io.BytesIO(data), formats=(PILLOW[kind],)) as header:
            return "A" in header.getbands() or "transparency" in header.info
    except Exception:  # Pillow's readers raise nearly anything at odd headers; OpenCV may still read them
        return False


def compose(image: np.ndarray, alpha: np.ndarray, *, opaque: float = 1.0, multiplied: bool = False) -> np.ndarray:
    """Composes an image onto grey.

    Args:
        image: uint8 (H, W, 3).
        alpha: (H, W), opacity from 0 to `opaque`.
        opaque: the value without transparency.
        multiplied: the values of the image are multiplied by the opacity already.

    Returns:
        uint8 (H, W, 3).
    """
    if (alpha == opaque).all():
        return np.ascontiguousarray(image)
    composed = np.empty(image.shape, np.uint8)
    for top in range(0, len(image), BAND):  # floats of the whole image would take many times its bytes
        rows = slice(top, top + BAND)
        share = (alpha[rows] / opaque).astype(np.float32)[..., None]
        colours = image[rows] if multiplied else share * image[rows]
        composed[rows] = np.rint(np.minimum(colours + (1 - share) * GREY, WHITE))
    return composed


def from_linear(values: np.ndarray) -> np.ndarray:
    """Values in proportion to the light as sRGB (IEC 61966-2-1), of the same shape, uint8.

    1 is white, as viewers show it; where most of the image is brighter, its 99th percentile is.
    """
    values = np.nan_to_num(values.astype(np.float32), posinf=0.0, neginf=0.0)
    white = 1.0 if np.median(values) <= 1 else float(np.percentile(values, 99))
    values = np.clip(values / white, 0, 1)
    curve = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return np.rint(WHITE * curve).astype(np.uint8)


def to_8_bits(image: np.ndarray) -> np.ndarray:
    """Scales pixel values of any type to 8 bits.

    Unsigned integers are scaled by the highest bit used: cameras store 10 and 12 bits in 16-bit files. Other values are
    taken as 0 to 1 or as 0 to 255 if they fit these ranges, else by their own range; zero or the lowest value is black.

    Returns:
        uint8, of the same shape.
    """
    if image.dtype == np.uint8:
        return image
    if image.dtype.kind == "u":
        bits = max(8, int(image.max(initial=0)).bit_length())
        return (image >> (bits - 8)).astype(np.uint8)
    values = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if image.dtype.kind == "f" and low >= 0 and high <= 1:
        high = 1.0
    elif low >= 0 and LEAST_WHITE < high <= WHITE:
        high = WHITE
    low = min(low, 0.0)
    return np.rint((values - low) * (WHITE / max(high - low, 1e-12))).astype(np.uint8)


def _orientation(data: bytes) -> int:
    try:
        with _pillow().open(io.BytesIO(data)) as header:
            return int(header.getexif().get(0x0112, 1))
    except Exception:  # no EXIF that can be read
        return 1


_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.transpose(1, 0, 2),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: image[::-1, ::-1].transpose(1, 0, 2),
    8: lambda image: np.rot90(image),
}


def turn_upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Turns and mirrors an image (H, W, 3) as the EXIF orientation 1 to 8 states; other values leave it."""
    turn = _TURNS.get(orientation)
    return image if turn is None else np.ascontiguousarray(turn(image))


def from_pillow(image: "PilImage") -> np.ndarray:
    """Converts a PIL image of any mode to uint8 (H, W, 3) BGR: upright, transparent areas grey."""
    from PIL import ImageOps

    # SampleFormat of TIFF: Pillow takes all values of 32 bits as signed.
    unsigned = getattr(image, "tag_v2", {}).get(339) in (1, (1,))
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image)
        if image.mode == "I" and (unsigned or grey.min(initial=0) >= 0):  # how Pillow holds 16-bit grey
            grey = grey.astype(np.uint32)
        return cv2.cvtColor(to_8_bits(grey), cv2.COLOR_GRAY2BGR)
    if "A" in image.getbands() or "transparency" in image.info:
        pixels = np.asarray(image.convert("RGBA"))
        return compose(pixels[..., 2::-1], pixels[..., 3], opaque=WHITE)
    return cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR)


@functools.cache
def _pillow() -> ModuleType:
    """Pillow's `Image`, without its warnings about odd tags."""
    from PIL import Image

    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    return Image


def _with_pillow(data: bytes, kind: str, *, small: bool = False) -> np.ndarray:
    """Decodes with Pillow; with `small` a JPEG at an eighth of its sides, unless it is progressive."""
    Image = _pillow()
    try:
        with Image.open(io.BytesIO(data), formats=(PILLOW[kind],)) as image:
            if small and not image.info.get("progressive"):
                image.draft(None, (1, 1))
            image.load()
            return from_pillow(image)
    except Image.DecompressionBombError as error:
        raise FerError("the image cannot be decoded (too many pixels)") from error
    except Exception as error:  # Pillow's readers raise nearly anything at damaged files
        if isinstance(error, FerError):
            raise
        raise FerError(f"the image is cut short or damaged, or of a kind that is not read ({kind.upper()})") from error


def _decode_heif(data: bytes) -> np.ndarray:
    try:
        import pillow_heif
    except ImportError as error:
        raise FerError("a HEIC image: pip install pillow-heif reads it") from error
    try:
        return from_pillow(pillow_heif.open_heif(io.BytesIO(data)).to_pillow())
    except Exception as error:  # libheif's own
        raise FerError("the image is cut short or damaged (HEIF)") from error


# --- files that are a little damaged

_FILLER = bytes(range(1, 255)) * 4  # bytes that a JPEG decoder takes for pixels
_END = b"\xff\xd9"  # marker of a JPEG
_FIRST, _LAST = slice(4), slice(-4, None)
# Rows and columns where the pixels of a JPEG end, by its EXIF orientation; the last ones, if it is not here.
_ENDS = {
    2: (_LAST, _FIRST),
    3: (_FIRST, _FIRST),
    4: (_FIRST, _LAST),
    6: (_LAST, _FIRST),
    7: (_FIRST, _FIRST),
    8: (_FIRST, _LAST),
}


def _end_jpeg(data: bytes) -> bytes:
    """Adds a missing end marker to a JPEG whose pixels are all there.

    Raises:
        FerError: pixels are missing.
    """
    if _END in data[_first_scan(data) :]:
        return data
    if _first_scan(data) >= len(data):
        raise FerError("the image is cut short")
    _check_complete(data)
    return data + _END


def _check_complete(data: bytes) -> None:
    """Tells whether the pixels of a JPEG are all there, up to its end marker, which is left out.

    A decoder fills missing pixels with one colour and reports nothing. Where the pixels are complete, it ignores what
    follows them: different continuations give the same image.

    Raises:
        FerError: pixels are missing.
    """
    # Pillow decodes here: OpenCV's libjpeg prints a warning for each continuation.
    data = data.rstrip(b"\xff")
    image = _with_pillow(data + _END, "jpeg", small=True)
    for filler in (_FILLER, _FILLER[::-1]):
        if not np.array_equal(image, _with_pillow(data + filler + _END, "jpeg", small=True)):
            raise FerError("the image is cut short")


def _ends_flat(image: np.ndarray, data: bytes) -> bool:
    """True if the last pixels have one colour, as those have that a decoder filled in; most images end otherwise."""

    def flat(rows: slice, columns: slice) -> bool:
        return not np.ptp(image[rows, columns], axis=(0, 1)).any()

    if not any(flat(rows, columns) for rows in (_FIRST, _LAST) for columns in (_FIRST, _LAST)):
        return False
    return flat(*_ENDS.get(_orientation(data), (_LAST, _LAST)))


def _first_scan(data: bytes) -> int:
    """Where the pixels of a JPEG begin.

    A thumbnail in a header segment, or a video behind the image, has markers of its own, which must not be taken for
    those of the image.
    """
    at = 2
    while data[at : at + 1] == b"\xff" and data[at + 1 : at + 2] != b"\xda":
        filler = data[at + 1 : at + 2] == b"\xff"
        at += 1 if filler else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
