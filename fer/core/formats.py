"""Formats of image files, told by their first bytes; a suffix may be wrong or missing."""

import os
import re
from pathlib import Path

DECODED = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2")
NETPBM = (".pbm", ".pgm", ".ppm", ".pnm", ".pam", ".pfm")
# Images that OpenCV does not decode. Most raw photographs are known by their content.
UNREADABLE = (".heic", ".heif", ".hif", ".jxl", ".psd", ".svg", ".tga", ".pcx", ".sgi", ".dds", ".icns", ".xcf", ".cr3")
SUFFIXES = frozenset({*DECODED, *NETPBM, *UNREADABLE, ".exr", ".hdr", ".j2k", ".ico"})
MOST_PIXELS = 2**27  # of an image: a few hundred bytes may claim to be one of gigabytes
HEAD = 4096  # bytes from which the format shows; an SVG file may begin with comments
HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
BMP_HEADERS = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # sizes of its versions, bytes
_NETPBM_HEAD = re.compile(rb"P([1-6Ff]\s+[#\d]|7\s+[#A-Z])")
_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG", "png"),
    (b"GIF8", "gif"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"MM\0+", "tiff"),
    (b"\0\0\0\x0cjP  \r\n", "jp2"),
    (b"\xff\x4f\xff\x51", "jp2"),
    (b"v/1\x01", "exr"),
    (b"#?RADIANCE", "hdr"),
    (b"#?RGBE", "hdr"),
    (b"8BPS", "psd"),
    (b"\xff\x0a", "jxl"),
    (b"\0\0\0\x0cJXL ", "jxl"),
    (b"\x59\xa6\x6a\x95", "sunraster"),
    (b"FUJIFILMCCD-RAW", "raw"),
    (b"IIRO", "raw"),
    (b"IIRS", "raw"),
    (b"MMOR", "raw"),
    (b"IIU\0", "raw"),
)


def image_format(head: bytes) -> str | None:
    """The format of an image file by its first bytes ("jpeg", "png", ...); None if they begin no image.

    Args:
        head: the first `HEAD` bytes, or all of them.
    """
    for signature, name in _SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        brands = head[8 : max(16, min(int.from_bytes(head[:4], "big"), 256))]
        if b"avif" in brands or b"avis" in brands:
            return "avif"
        if b"crx " in brands:
            return "raw"
        return "heif" if any(brand in brands for brand in HEIF_BRANDS) else None
    if _NETPBM_HEAD.match(head):
        return "pnm"
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in BMP_HEADERS:
        return "bmp"
    if head[:4] == b"\0\0\x01\0" and head[4] > 0 and head[5] == 0:
        return "ico"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return "svg" if text.startswith((b"<svg", b"<?xml", b"<!--")) and b"<svg" in head else None


def is_image_file(path: str | Path) -> bool:
    """True for a file that is an image by its name or, with any other name, by its content. Pipes are not opened."""
    if Path(path).suffix.lower() in SUFFIXES:
        # A broken link is left to whoever reads it and reports it; a pipe named x.jpg would block.
        return os.path.isfile(path) or not os.path.exists(path)
    if not os.path.isfile(path):
        return False
    try:
        with open(path, "rb") as file:
            return image_format(file.read(HEAD)) is not None
    except OSError:
        return False
