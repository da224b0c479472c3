"""Bytes of image files, whole and odd."""

import struct
import zlib

import cv2

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
