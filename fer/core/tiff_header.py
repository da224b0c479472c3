"""TIFF header fields that OpenCV ignores: thumbnails in front, raw photographs, white stored as 0."""

import struct
from collections.abc import Iterator

from fer.core.errors import FerError

Tags = dict[int, int]  # the first value of each tag that holds whole numbers

SUBFILE, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, PLANAR, SUB_DIRECTORIES, EXTRA, DNG = (
    254, 258, 259, 262, 277, 284, 330, 338, 50706
)  # fmt: skip
# Compressions that OpenCV unpacks: none, fax, LZW, JPEG, Deflate, PackBits, LZMA, Zstandard. Others come out black.
UNPACKED = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000})
RAW = frozenset({32803, 34892})  # photometric interpretations: colour filter array, linear raw
MAX_DIRECTORIES = 100  # a hostile file has a loop of them
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}  # of whole numbers


def front(data: bytes) -> tuple[bytes, Tags]:
    """The file with its first image of full size in front, and the tags of that image.

    Raises:
        FerError: a raw photograph, of which a decoder gives the preview, or a kind that OpenCV reads wrongly.
    """
    found = list(_directories(data))
    if data[8:10] == b"CR" or any(DNG in tags or tags.get(PHOTOMETRIC) in RAW for _, tags in found):
        raise raw_photograph()
    full = next(((place, tags) for place, tags in found if not tags.get(SUBFILE, 0) & 1), None)
    if full is None and any(SUB_DIRECTORIES in tags for _, tags in found):
        raise raw_photograph()
    place, tags = full or (0, found[0][1] if found else {})
    if tags.get(PLANAR) == 2 and tags.get(SAMPLES, 1) > 1 and tags.get(BITS, 1) > 8:
        kind = f"separate planes of {tags[BITS]}-bit values"
        raise FerError(f"a TIFF with {kind}, which OpenCV reads wrongly; save it as PNG")
    if full is None or found[0][0] == place:
        return data, tags
    form, big = _form(data)
    start, end = (8, 16) if big else (4, 8)
    return data[:start] + struct.pack(form + ("Q" if big else "I"), place) + data[end:], tags


def raw_photograph() -> FerError:
    """The refusal of a raw photograph of a camera."""
    return FerError("a raw photograph of a camera, which holds no finished image; save it as JPEG or PNG")


def white_is_zero(tags: Tags) -> bool:
    """True for an image whose values OpenCV gives the wrong way round."""
    return tags.get(PHOTOMETRIC) == 0 and tags.get(BITS, 1) > 8


def is_unpacked_by_opencv(tags: Tags) -> bool:
    """False for an image of which OpenCV gives black pixels, and no error."""
    return tags.get(COMPRESSION, 1) in UNPACKED


def states_alpha(tags: Tags) -> bool:
    """True where the first value beside the colours is the opacity; some programs do not say what it is."""
    return tags.get(EXTRA, 0) in (1, 2) or (EXTRA not in tags and tags.get(SAMPLES) == 4 and tags.get(PHOTOMETRIC) == 2)


def is_multiplied(tags: Tags) -> bool:
    """True where OpenCV gives colours that are multiplied by the opacity: as stored, or made so in 8 bits."""
    return tags.get(EXTRA) == 1 or (tags.get(EXTRA) == 2 and tags.get(BITS, 1) <= 8)


def _form(data: bytes) -> tuple[str, bool]:
    """The byte order as `struct` writes it, and whether offsets have eight bytes."""
    form = "<" if data[:2] == b"II" else ">"
    return form, data[2:4] in (b"+\0", b"\0+")


def _directories(data: bytes) -> Iterator[tuple[int, Tags]]:
    """Each directory of the main chain: where it begins, and its tags (TIFF 6.0, section 2; BigTIFF)."""
    form, big = _form(data)
    entry, inside, count_form, offset_form = (20, 12, "Q", "Q") if big else (12, 8, "H", "I")
    count_size, offset_size = struct.calcsize("<" + count_form), struct.calcsize("<" + offset_form)
    try:
        (place,) = struct.unpack_from(form + offset_form, data, 8 if big else 4)
        for _ in range(MAX_DIRECTORIES):
            if not place:
                return
            (count,) = struct.unpack_from(form + count_form, data, place)
            tags: Tags = {}
            for at in range(place + count_size, place + count_size + entry * min(count, 1000), entry):
                tag, kind = struct.unpack_from(form + "HH", data, at)
                (number,) = struct.unpack_from(form + offset_form, data, at + 4)
                if kind in _TYPES and number:
                    value = at + inside
                    if number * struct.calcsize("<" + _TYPES[kind]) > offset_size:  # the values lie elsewhere
                        (value,) = struct.unpack_from(form + offset_form, data, value)
                    (tags[tag],) = struct.unpack_from(form + _TYPES[kind], data, value)
            yield place, tags
            (place,) = struct.unpack_from(form + offset_form, data, place + count_size + entry * count)
    except (struct.error, OverflowError):  # cut short or damaged: the decoder will say so
        return
