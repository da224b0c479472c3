"""The crop that the container of a video states. FFmpeg leaves it to the player; PyAV does not expose it."""

import struct
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

Span = tuple[int, int]  # from where to where, in bytes of the file
Crop = tuple[int, int, int, int]

MAX_PARTS = 1000  # of one level of a file: a hostile file has millions
EBML = b"\x1a\x45\xdf\xa3"
SEGMENT, TRACKS, TRACK, TYPE, VIDEO = 0x18538067, 0x1654AE6B, 0xAE, 0x83, 0xE0
PIXEL_CROPS = (0x54CC, 0x54BB, 0x54DD, 0x54AA)  # left, top, right, bottom
NONE = (0, 0, 0, 0)


def stated_crop(path: str | Path) -> Crop:
    """The pixels to cut off at the left, top, right and bottom of each decoded frame of the first video track.

    MP4 and MOV state them in a `clap` box (ISO 14496-12, section 12.1.4), Matroska and WebM in PixelCrop elements (RFC
    9559, section 5.1.4.1.28.8). Other containers have none; a file that cannot be read so states none.
    """
    try:
        with open(path, "rb") as file:
            whole = (0, file.seek(0, 2))
            crop = _matroska_crop(file, whole) if _read(file, (0, 4)) == EBML else _mp4_crop(file, whole)
    except (OSError, struct.error, ZeroDivisionError):
        return NONE
    return crop if min(crop) >= 0 else NONE


def _mp4_crop(file: BinaryIO, whole: Span) -> Crop:
    for movie in _boxes(file, whole, b"moov"):
        for track in _boxes(file, movie, b"trak"):
            for media in _boxes(file, track, b"mdia"):
                handlers = [_read(file, (start + 8, start + 12)) for start, _ in _boxes(file, media, b"hdlr")]
                if b"vide" not in handlers:
                    continue
                for information in _boxes(file, media, b"minf"):
                    for table in _boxes(file, information, b"stbl"):
                        for start, end in _boxes(file, table, b"stsd"):
                            return _clap_crop(file, (start + 8, end))
    return NONE


def _clap_crop(file: BinaryIO, descriptions: Span) -> Crop:
    """The crop of the first sample description."""
    for start, end in _boxes(file, descriptions):
        width, height = struct.unpack(">2H", _read(file, (start + 24, start + 28)))
        for at, _ in _boxes(file, (start + 78, end), b"clap"):
            numbers = struct.unpack(">4I4i", _read(file, (at, at + 32)))
            across, down, x, y = (Fraction(*numbers[i : i + 2]) for i in (0, 2, 4, 6))
            left, top = round((width - across) / 2 + x), round((height - down) / 2 + y)
            return left, top, round(width - across) - left, round(height - down) - top
        break
    return NONE


def _boxes(file: BinaryIO, inside: Span, wanted: bytes | None = None) -> Iterator[Span]:
    """The content of the boxes of a kind, or of all, in a part of an MP4."""
    start, end = inside
    for _ in range(MAX_PARTS):
        if end - start < 8:
            return
        size, kind = struct.unpack(">I4s", _read(file, (start, start + 8)))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", _read(file, (start + 8, start + 16))), 16
        size = size or end - start
        if not head <= size <= end - start:
            return
        if wanted in (None, kind):
            yield start + head, start + size
        start += size


def _matroska_crop(file: BinaryIO, whole: Span) -> Crop:
    for segment in _elements(file, whole, SEGMENT):
        for tracks in _elements(file, segment, TRACKS):
            for track in _elements(file, tracks, TRACK):
                if any(_number(file, kind) == 1 for kind in _elements(file, track, TYPE)):
                    for video in _elements(file, track, VIDEO):
                        sides = [[_number(file, at) for at in _elements(file, video, one)] for one in PIXEL_CROPS]
                        left, top, right, bottom = (found[0] if found else 0 for found in sides)
                        return left, top, right, bottom
    return NONE


def _elements(file: BinaryIO, inside: Span, wanted: int) -> Iterator[Span]:
    """The content of the EBML elements of a number in a part of a Matroska file (RFC 8794, section 4)."""
    start, end = inside
    for _ in range(MAX_PARTS):
        head = _read(file, (start, min(start + 12, end)))
        if len(head) < 2 or not head[0]:
            return
        long = 9 - head[0].bit_length()  # the leading zeros say how many bytes follow
        if len(head) <= long or not head[long]:
            return
        digits = 9 - head[long].bit_length()
        if len(head) < long + digits:
            return
        size = int.from_bytes(head[long : long + digits]) & ~(1 << 7 * digits)
        content = start + long + digits
        unknown = size == (1 << 7 * digits) - 1  # all ones, as live recordings have it
        stop = end if unknown else min(content + size, end)
        if int.from_bytes(head[:long]) == wanted:
            yield content, stop
        start = stop


def _number(file: BinaryIO, span: Span) -> int:
    return int.from_bytes(_read(file, (span[0], min(span[1], span[0] + 8))))


def _read(file: BinaryIO, span: Span) -> bytes:
    file.seek(span[0])
    return file.read(max(span[1] - span[0], 0))
