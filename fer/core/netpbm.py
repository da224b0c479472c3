"""Raw Netpbm images with header fields that OpenCV ignores: a white below 255 or 65,535, colours, transparency."""

import re

import numpy as np

from fer.core.errors import FerError
from fer.core.formats import HEAD, MOST_PIXELS

_RAW = re.compile(rb"P([56])" + 3 * rb"(?:\s|#[^\r\n]*[\r\n])+(\d{1,9})" + rb"\s")
_OPENCV_SCALES = (255, 65535)  # values that mean white where OpenCV takes them as they stand
_COLOURS = {1: [0, 0, 0], 2: [0, 0, 0], 3: [2, 1, 0], 4: [2, 1, 0]}  # by depth: the channels of blue, green, red


def decode_raw(data: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """Decodes a PAM (P7), or a raw PGM or PPM (P5, P6) with an unusual white.

    Returns:
        (uint8 (H, W, 3) BGR, opacity (H, W) from 0 to 1); None for an image that OpenCV reads.

    Raises:
        FerError: the header is damaged, or pixels are missing.
    """
    if data.startswith(b"P7"):
        width, height, depth, white, start = _pam_header(data)
    elif (header := _RAW.match(data[:HEAD])) and int(header[4]) not in _OPENCV_SCALES:
        width, height, white = (int(header[i]) for i in (2, 3, 4))
        depth, start = {b"5": 1, b"6": 3}[header[1]], header.end()
    else:
        return None
    if not (min(width, height) > 0 and width * height <= MOST_PIXELS and depth in _COLOURS and 0 < white < 65536):
        raise FerError(f"the image cannot be decoded ({width} x {height}, {depth} values up to {white} a pixel)")
    kind = np.dtype(">u2" if white > 255 else np.uint8)
    if len(data) - start < width * height * depth * kind.itemsize:
        raise FerError("the image is cut short")
    values = np.frombuffer(data, kind, width * height * depth, start).reshape(height, width, depth)
    shares = np.minimum(values.astype(np.float32) / white, 1)
    opacity = shares[..., -1] if depth in (2, 4) else np.ones((height, width), np.float32)
    return np.rint(255 * shares[..., _COLOURS[depth]]).astype(np.uint8), opacity


def _pam_header(data: bytes) -> tuple[int, int, int, int, int]:
    """Width, height, depth, white, and where the pixels begin (netpbm.sourceforge.net/doc/pam.html)."""
    head, end, _ = data[:HEAD].partition(b"\nENDHDR\n")
    fields = dict(line.split(None, 1) for line in head.splitlines()[1:] if len(line.split(None, 1)) == 2)
    try:
        width, height, depth, white = (int(fields[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    except (KeyError, ValueError):
        raise FerError("the image is cut short or damaged (PAM)") from None
    return width, height, depth, white, len(head) + len(end)
