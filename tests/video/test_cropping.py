"""The crop that a container states: its bytes, written by hand."""

import random

import pytest

from fer.video.cropping import stated_crop

NONE = (0, 0, 0, 0)


def element(number: int, content: bytes) -> bytes:
    """An EBML element whose size takes one byte, or four."""
    size = len(content)
    head = bytes([0x80 | size]) if size < 127 else (0x10000000 | size).to_bytes(4)
    return number.to_bytes((number.bit_length() + 7) // 8) + head + content


def matroska(*tracks: bytes, size: bytes | None = None) -> bytes:
    body = element(0x1654AE6B, b"".join(tracks))
    segment = b"\x18\x53\x80\x67" + (size + body if size else element(0x18538067, body)[4:])
    return element(0x1A45DFA3, element(0x4282, b"matroska")) + segment


def track(kind: int, *crops: tuple[int, int]) -> bytes:
    pixels = b"".join(element(number, value.to_bytes(2)) for number, value in crops)
    video = element(0xE0, element(0xB0, b"\x00\xc0") + pixels)
    return element(0xAE, element(0xD7, b"\x01") + element(0x83, bytes([kind])) + video)


@pytest.fixture
def crop_of(tmp_path):
    def read(data: bytes):
        path = tmp_path / "a.mkv"
        path.write_bytes(data)
        return stated_crop(path)

    return read


def test_matroska_states_four_sides(crop_of):
    sides = ((0x54CC, 300), (0x54BB, 4), (0x54DD, 20), (0x54AA, 8))
    assert crop_of(matroska(track(1, *sides))) == (300, 4, 20, 8)
    assert crop_of(matroska(track(1, sides[2]))) == (0, 0, 20, 0)
    assert crop_of(matroska(track(1))) == NONE


def test_the_first_video_track_counts(crop_of):
    sound, video = track(2, (0x54CC, 9)), track(1, (0x54CC, 7))
    assert crop_of(matroska(sound, video, track(1, (0x54CC, 5)))) == (7, 0, 0, 0)


def test_a_segment_of_unknown_size_is_read_to_its_end(crop_of):
    """As live recordings have it."""
    assert crop_of(matroska(track(1, (0x54CC, 7)), size=b"\x01" + b"\xff" * 7)) == (7, 0, 0, 0)


def test_other_files_state_none(crop_of, tmp_path):
    for data in (b"", b"\x1a\x45\xdf\xa3", b"RIFF" + bytes(100), bytes(1000), b"\xff" * 1000):
        assert crop_of(data) == NONE
    assert stated_crop(tmp_path / "nothing.mkv") == NONE


def test_damage_never_raises(crop_of):
    whole, random_byte = matroska(track(1, (0x54CC, 7), (0x54DD, 3))), random.Random(1)
    for _ in range(300):
        data = bytearray(whole)
        data[random_byte.randrange(4, len(data))] = random_byte.randrange(256)
        assert min(crop_of(bytes(data[: random_byte.randrange(4, len(data) + 1)]))) >= 0
