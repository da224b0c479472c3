"""POST /predict with images of every legal kind and of extreme sizes: a result, or one line."""

import io
import time
import zlib

import cv2
import numpy as np
import pytest
from support import portrait

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from PIL import Image
from support import web
from support.hostile import one_colour_png
from support.web import connect, line, predict

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def client():
    with connect() as client:
        yield client


def save(image, format, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("size", "words"),
    [
        ((100_000, 250), "the limit is 32,768 for a side"),
        ((60_000, 100), "the limit is 32,768 for a side"),
        ((250, 100_000), "the limit is 32,768 for a side"),
        ((30_000, 100), "the limit is 20:1 for its sides"),
        ((1, 3000), "the limit is 20:1 for its sides"),
    ],
)
def test_extreme_sizes_are_refused_before_they_are_decoded(client, size, words):
    data = one_colour_png(*size)
    assert len(data) < 2**20
    begun = time.process_time()
    answer = predict(client, data, "strip.png")
    assert time.process_time() - begun < 2
    assert answer.status_code == 422
    assert words in line(answer)


def crowded(suffix, at, part):
    """An image file with nine megabytes of a part that says nothing, behind its first bytes."""
    data = web.encode(np.zeros((100, 100, 3), np.uint8), suffix)
    return data[:at] + part * (9 * 2**20 // len(part)) + data[at:]


@pytest.mark.parametrize(
    "data",
    [
        crowded(".jpg", 2, b"\xff\xfe\0\2"),
        crowded(".jpg", 2, b"\xff"),
        crowded(".jpg", 2, b"\xff\xe1\0\x08Exif\0\0"),
        crowded(".jpg", -2, b"\xff\xfe\0\2"),
        crowded(".png", 33, b"\0\0\0\0abCd" + zlib.crc32(b"abCd").to_bytes(4, "big")),
        crowded(".png", 33, b"\0\0\0\0IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big")),
    ],
    ids=["comments", "fillers", "exif", "behind", "chunks", "pixels"],
)
def test_files_of_many_parts_are_refused_at_once(client, data):
    """Readers in Python take a step for each part, 5 to 15 seconds in all."""
    begun = time.process_time()
    answer = predict(client, data)
    assert time.process_time() - begun < 2
    assert answer.status_code == 422
    assert "more than 20,000" in line(answer)


def test_other_clients_do_not_wait_for_strips(client):
    """Four strips within the limits at once: each takes no more than a few times as long as a photograph."""
    begun = time.process_time()
    assert predict(client, web.encode(np.zeros((300, 6000, 3), np.uint8), ".png")).json()["faces"] == []
    assert time.process_time() - begun < 10


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 20), (15, 15)])
def test_tiny_image_has_no_face(client, size):
    answer = predict(client, web.encode(np.full((*size, 3), 128, np.uint8), ".png"))
    assert answer.json() == {"emotion": None, "faces": [], "width": size[1], "height": size[0]}


def photograph():
    return Image.fromarray(portrait.astronaut()[..., ::-1].copy())


EXOTIC = {
    "palette.png": lambda: save(photograph().quantize(64), "PNG"),
    "black-and-white.png": lambda: save(photograph().convert("1"), "PNG"),
    "grey-alpha.png": lambda: save(photograph().convert("LA"), "PNG"),
    "deep-grey.png": lambda: web.encode(
        cv2.cvtColor(portrait.astronaut(), cv2.COLOR_BGR2GRAY).astype("u2") * 257, ".png"
    ),
    "animated.png": lambda: save(photograph(), "PNG", save_all=True, append_images=[Image.new("RGB", (512, 512))] * 3),
    "animated.webp": lambda: save(
        photograph(), "WEBP", save_all=True, append_images=[Image.new("RGB", (512, 512))] * 3
    ),
    "lossless.webp": lambda: save(photograph(), "WEBP", lossless=True),
    "cmyk.jpg": lambda: save(photograph().convert("CMYK"), "JPEG"),
    "grey.jpg": lambda: save(photograph().convert("L"), "JPEG"),
    "progressive.jpg": lambda: save(photograph(), "JPEG", progressive=True),
    "thumbnail.jpg": lambda: save(photograph(), "JPEG", exif=_exif_with_thumbnail()),
    "palette.bmp": lambda: save(photograph().quantize(64), "BMP"),
}


def _exif_with_thumbnail():
    exif = Image.Exif()
    exif[0x010E] = "a description with \xff\xd9 in it"
    return exif


@pytest.mark.parametrize("name", EXOTIC)
def test_legal_but_unusual_files(client, name):
    answer = predict(client, EXOTIC[name](), name)
    if answer.status_code == 200:
        said = answer.json()
        assert (said["width"], said["height"]) == (512, 512)
        assert len(said["faces"]) == 1 or name == "black-and-white.png"
    else:
        assert answer.status_code in (415, 422)
        line(answer)


def test_messages_of_decoders_stay_out_of_the_response(client):
    data = bytearray(save(photograph(), "JPEG"))
    data[len(data) // 2 : len(data) // 2 + 40] = b"\x55" * 40
    answer = predict(client, bytes(data))
    assert answer.status_code in (200, 422)
