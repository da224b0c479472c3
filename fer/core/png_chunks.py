"""The chunks of a PNG: those that pixels depend on, with right checksums and a whole end."""

import math
import struct
import zlib

from fer.core.errors import FerError
from fer.core.formats import MOST_PIXELS

# All that pixels depend on. Other chunks hold text, colour profiles and times; libpng prints warnings about odd ones.
_PNG_NEEDED = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_PNG_KEPT = _PNG_NEEDED | {b"tRNS", b"eXIf"}
# Of an interlaced PNG: first column, first row, and the steps between columns and rows of each pass (RFC 2083, 2.6).
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type


def clean_png(data: bytes) -> bytes:
    """A PNG without the chunks that pixels do not depend on, and whole: checksums are corrected and a missing end added
    where the pixels are all there.

    Raises:
        FerError: pixels are missing or damaged, or packed in Apple's way.
    """
    chunks: list[tuple[bytes, bytes]] = []
    whole, at = True, 8
    while at + 8 <= len(data) and (not chunks or chunks[-1][0] != b"IEND"):
        size, name = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if name == b"CgBI":
            raise FerError("a PNG from an iPhone app, packed in a way of its own; save it as PNG or JPEG")
        content, checksum = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        intact = checksum == struct.pack(">I", zlib.crc32(name + content))
        whole = whole and (intact or name not in _PNG_NEEDED)
        if name in _PNG_NEEDED or (intact and name in _PNG_KEPT):
            chunks.append((name, content))
        at += 12 + size
    if not whole or not chunks or chunks[-1] != (b"IEND", b""):
        chunks = _complete_png(chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def _complete_png(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The chunks of a damaged PNG with its pixels packed anew."""
    header = next((content for name, content in chunks if name == b"IHDR"), b"")
    try:
        width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
        bits = depth * _PNG_CHANNELS[colour]
    except (struct.error, KeyError):
        raise FerError("the image is cut short or damaged (PNG)") from None
    if width * height > MOST_PIXELS:
        raise FerError(f"the image cannot be decoded ({width:,} x {height:,} pixels)")
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(math.ceil((width - x) / across), math.ceil((height - y) / down)) for x, y, across, down in passes]
    needed = sum(rows * (1 + math.ceil(columns * bits / 8)) for columns, rows in sizes if columns > 0 and rows > 0)
    try:
        packed = b"".join(content for name, content in chunks if name == b"IDAT")
        pixels = zlib.decompressobj().decompress(packed, needed)
    except zlib.error:
        pixels = b""
    if len(pixels) < needed or not needed:
        raise FerError("the image is cut short or damaged (PNG)")
    kept = [(name, content) for name, content in chunks if name not in (b"IHDR", b"IDAT", b"IEND")]
    return [(b"IHDR", header), *kept, (b"IDAT", zlib.compress(pixels, 1)), (b"IEND", b"")]
