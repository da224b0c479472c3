"""Bytes of image files, whole and odd."""

import struct
import zlib

import cv2
import numpy as np

COLOUR_SUFFIXES = (
    ".jpg",
    ".jpeg",
    ".jpe",
    ".jfif",
    ".png",
    ".bmp",
    ".dib",
    ".webp",
    ".tif",
    ".tiff",
    ".ppm",
    ".avif",
    ".jp2",
)
LOSSY = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".jp2"}


def encode(image, suffix=".jpg", *flags):
    return cv2.imencode(suffix, image, flags)[1].tobytes()


def jpeg_segment(marker, body):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body


def exif(orientation=1, thumbnail=b""):
    """An APP1 segment with one entry, the orientation, and a thumbnail behind it."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return jpeg_segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4) + thumbnail)


def with_thumbnail(image):
    """A JPEG as cameras write it: behind a fill byte, in the header, lies a small JPEG with marks of its own."""
    jpeg = encode(image)
    return jpeg[:2] + b"\xff" + exif(thumbnail=encode(image[:16, :16])) + jpeg[2:]


def png(width, height, pixels=b""):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def tiff(pixels, *, form="<", big=False, before=(), **tags):
    """A TIFF of one strip or plane, or of several; `before` are tags of a small image in front.

    Args:
        pixels: (H, W), (H, W, C), or planes (C, H, W) with planar=2.
        form: byte order.
        big: 64-bit offsets.
        before: pairs of a tag and its value, for a directory with an image of 2 x 2 pixels in front.
        tags: photometric, planar, format, orientation, compression, extra (ExtraSamples).
    """
    planar = tags.get("planar", 1) == 2
    planes = list(pixels) if planar else [pixels]
    height, width = planes[0].shape[:2]
    samples = len(planes) if planar else pixels.shape[2] if pixels.ndim == 3 else 1
    strips = [np.ascontiguousarray(plane.astype(plane.dtype.newbyteorder(form))).tobytes() for plane in planes]
    photometric = tags.get("photometric", 2 if samples == 3 else 1)
    main = {
        256: (4, [width]), 257: (4, [height]), 258: (3, [8 * pixels.itemsize] * samples),
        259: (3, [tags.get("compression", 1)]),
        262: (3, [photometric]), 273: (4, strips), 274: (3, [tags.get("orientation", 1)]), 277: (3, [samples]),
        278: (4, [height]), 279: (4, [len(strip) for strip in strips]), 284: (3, [2 if planar else 1]),
        339: (3, [tags.get("format", 3 if pixels.dtype.kind == "f" else 1)] * samples),
    }  # fmt: skip
    if "extra" in tags:
        main[338] = (3, [tags["extra"]])
    small = {256: (4, [2]), 257: (4, [2]), 258: (3, [8]), 259: (3, [1]), 262: (3, [1]), 273: (4, [bytes(4)]),
             277: (3, [1]), 278: (4, [2]), 279: (4, [4])}  # fmt: skip
    directories = [small | {tag: (4, [value]) for tag, value in before}] * bool(before) + [main]
    offset = "Q" if big else "I"
    data = bytearray((b"II" if form == "<" else b"MM") + struct.pack(form + "H", 43 if big else 42))
    data += struct.pack(form + "HH", 8, 0) if big else b""
    link = len(data)
    data += struct.pack(form + offset, 0)
    for directory in directories:
        entries = b""
        for tag, (kind, values) in sorted(directory.items()):
            if tag == 273:
                places = []
                for strip in values:
                    places.append(len(data))
                    data += strip
                values = places
            packed = struct.pack(f"{form}{len(values)}{'H' if kind == 3 else 'I'}", *values)
            room = 8 if big else 4
            if len(packed) > room:
                packed, place = struct.pack(form + offset, len(data)), packed
                data += place
            entries += struct.pack(form + "HH" + offset, tag, kind, len(values)) + packed.ljust(room, b"\0")
        struct.pack_into(form + offset, data, link, len(data))
        data += struct.pack(form + ("Q" if big else "H"), len(directory)) + entries
        link = len(data)
        data += struct.pack(form + offset, 0)
    return bytes(data)
