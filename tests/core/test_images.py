"""Reading real files of every kind, whole and broken, and the one function that prepares pixels."""

import os
import struct
import zlib

import cv2
import numpy as np
import pytest

from fer import FerError
from fer.core import images
from fer.core.images import SUFFIXES, InputSpec, decode, prepare, read

LOSSY = {".jpg", ".jpeg", ".jpe", ".webp"}


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


@pytest.fixture
def image(draw):
    return draw(1, 40, 56)


class TestRead:
    @pytest.mark.parametrize("suffix", [*sorted(SUFFIXES - {".pgm"}), ".JPG", ".PNG", ".BMP", ".WebP"])
    def test_formats(self, tmp_path, write, image, suffix):
        found = read(write(tmp_path / f"face{suffix}", image))
        assert found.dtype == np.uint8
        assert found.shape == (40, 56, 3)
        error = np.abs(found.astype(int) - image)
        assert error.mean() < 4 if suffix.lower() in LOSSY else not error.any()

    @pytest.mark.parametrize("suffix", [".pgm", ".png", ".bmp", ".tif"])
    def test_grey_files_become_three_equal_channels(self, tmp_path, write, image, suffix):
        grey = image[..., 1]
        found = read(write(tmp_path / f"grey{suffix}", grey))
        np.testing.assert_array_equal(found, np.stack([grey] * 3, axis=2))

    def test_alpha_is_dropped(self, tmp_path, write, image):
        alpha = np.random.default_rng(0).integers(0, 256, image.shape[:2], np.uint8)
        np.testing.assert_array_equal(read(write(tmp_path / "a.png", np.dstack([image, alpha]))), image)

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    def test_16_bits_become_8(self, tmp_path, write, image, suffix):
        np.testing.assert_array_equal(read(write(tmp_path / f"deep{suffix}", image.astype(np.uint16) * 257)), image)

    @pytest.mark.parametrize("name", ["Fröhliches Gesicht.png", "笑顔 😀.jpg", "улыбка.webp", "a b'c$.bmp"])
    def test_names_of_any_characters(self, tmp_path, write, image, name):
        assert read(write(tmp_path / "été" / name, image)).shape == image.shape

    @pytest.mark.parametrize(
        ("orientation", "turn"),
        [(1, None), (3, cv2.ROTATE_180), (6, cv2.ROTATE_90_CLOCKWISE), (8, cv2.ROTATE_90_COUNTERCLOCKWISE)],
    )
    def test_exif_orientation_is_obeyed(self, tmp_path, image, orientation, turn):
        jpeg = encode(image)
        path = tmp_path / "phone.jpg"
        path.write_bytes(jpeg[:2] + exif(orientation) + jpeg[2:])
        upright = decode(jpeg) if turn is None else cv2.rotate(decode(jpeg), turn)
        np.testing.assert_array_equal(read(path), upright)

    def test_the_path_is_named(self, tmp_path, image):
        path = tmp_path / "half.jpg"
        path.write_bytes(encode(image)[:-1])
        with pytest.raises(FerError, match=r"^.*half\.jpg: the image is cut short$"):
            read(path)

    def test_a_missing_file_and_a_folder(self, tmp_path):
        with pytest.raises(FerError, match=r"none\.jpg: cannot be opened"):
            read(tmp_path / "none.jpg")
        with pytest.raises(FerError, match="cannot be opened"):
            read(tmp_path)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything")
    def test_a_file_without_permission(self, tmp_path, write, image):
        path = write(tmp_path / "secret.png", image)
        path.chmod(0)
        with pytest.raises(FerError, match=r"secret\.png: cannot be opened"):
            read(path)


class TestDecode:
    @pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".tif", ".ppm"])
    def test_truncated_at_a_share(self, image, suffix, share):
        data = encode(image, suffix)
        with pytest.raises(FerError, match=r"cut short|not an image"):
            decode(data[: int(share * len(data))])

    @pytest.mark.parametrize("missing", [1, 2, 3, 16])
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp", ".ppm"])
    def test_truncated_by_a_few_bytes(self, image, suffix, missing):
        with pytest.raises(FerError, match=r"cut short|not an image"):
            decode(encode(image, suffix)[:-missing])

    @pytest.mark.parametrize("share", np.linspace(0.05, 0.95, 19).round(2).tolist())
    def test_a_thumbnail_does_not_pass_for_the_picture(self, image, share):
        data = with_thumbnail(image)
        with pytest.raises(FerError, match="cut short"):
            decode(data[: int(share * len(data))])

    @pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8, 0.97])
    def test_truncated_progressive_jpeg(self, image, share):
        data = encode(image, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
        with pytest.raises(FerError, match="cut short"):
            decode(data[: int(share * len(data))])

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda jpeg: jpeg[:2] + exif(thumbnail=jpeg) + jpeg[2:],
            lambda jpeg: jpeg + bytes(5000),
            lambda jpeg: jpeg + b"film: \xff\xda and so on",  # moving pictures of phones
            lambda jpeg: jpeg + jpeg[:-2],  # a second picture, itself cut short
            lambda jpeg: jpeg[:2] + b"\xff\xff\xff" + jpeg[2:],
            lambda jpeg: jpeg[:2] + jpeg_segment(0xFE, b"comment \xff\xda") + jpeg[2:],
        ],
        ids=["thumbnail", "zeros behind", "film behind", "picture behind", "fill bytes", "mark in a comment"],
    )
    def test_whole_jpeg_with_extras(self, image, wrap):
        """What looks like a missing end, and is none."""
        jpeg = encode(image)
        np.testing.assert_array_equal(decode(wrap(jpeg)), decode(jpeg))

    def test_whole_png_with_much_behind_it(self, image):
        np.testing.assert_array_equal(decode(encode(image, ".png") + bytes(10_000)), image)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            (b"", "empty"),
            (b"<html>404 not found</html>", "not an image"),
            (b"\xff", "not an image"),
            (b"\xff\xd8", "cut short"),
            (b"\xff\xd8\xff", "cut short"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF", "cut short"),
            (b"\x89PNG\r\n\x1a\n", "cut short"),
            (b"BM", "cut short|not an image"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "not an image"),
            (bytes(1000), "not an image"),
        ],
    )
    def test_what_is_no_picture(self, data, said):
        with pytest.raises(FerError, match=said):
            decode(data)

    @pytest.mark.parametrize("side", [2_000_000, 100_000, 30_000])
    def test_a_header_that_promises_too_many_pixels(self, side):
        with pytest.raises(FerError, match=r"cannot be decoded|not an image"):
            decode(png(side, side, bytes(1000)))

    def test_a_png_with_damaged_pixels(self, image):
        data = bytearray(encode(image, ".png"))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(FerError, match="not an image"):
            decode(bytes(data))


class TestInputSpec:
    def test_shape(self):
        assert InputSpec().shape == (48, 48, 1)
        assert InputSpec(64, 3).shape == (64, 64, 3)

    @pytest.mark.parametrize(
        ("values", "said"),
        [
            ({"size": 0}, "at least 1 pixel"),
            ({"channels": 2}, "1 .grey. or 3"),
            ({"channels": 4}, "1 .grey. or 3"),
        ],
    )
    def test_errors(self, values, said):
        with pytest.raises(FerError, match=said):
            InputSpec(**values)


class TestPrepare:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("size", [48, 24, 96, 1])
    @pytest.mark.parametrize("shape", [(48, 48), (48, 48, 3), (224, 224, 3), (100, 37), (1, 1), (7, 300, 3)])
    def test_shape_and_type(self, shape, size, channels):
        spec = InputSpec(size, channels)
        row = prepare(np.full(shape, 77, np.uint8), spec)
        assert row.dtype == np.uint8
        assert row.shape == spec.shape
        assert (row == 77).all()  # neither colour nor size may shift a level

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("side", [30, 48, 100])
    def test_a_grey_picture_gives_the_same_row_with_one_or_three_channels(self, draw, side, channels):
        grey, spec = draw(3, side, side)[..., 0], InputSpec(48, channels)
        np.testing.assert_array_equal(prepare(grey, spec), prepare(np.stack([grey] * 3, axis=2), spec))

    def test_every_grey_level_survives_the_way_over_colour(self):
        levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
        row = prepare(np.stack([levels] * 3, axis=2), InputSpec(16, 1))
        np.testing.assert_array_equal(row[..., 0], levels)

    def test_a_picture_of_the_right_form_stays_as_it_is(self, draw):
        image = draw(4)
        np.testing.assert_array_equal(prepare(image, InputSpec(48, 3)), image)
        np.testing.assert_array_equal(prepare(image[..., 0], InputSpec(48, 1))[..., 0], image[..., 0])

    def test_colours_are_bgr(self):
        red = np.zeros((4, 4, 3), np.uint8)
        red[..., 2] = 255
        assert prepare(red, InputSpec(4, 1))[0, 0, 0] == 76  # 0.299 * 255, ITU-R BT.601

    def test_shrinking_averages_areas(self):
        fine = np.tile(np.array([[0, 0, 0, 0], [0, 200, 200, 0]] * 2, np.uint8), (8, 8))
        np.testing.assert_array_equal(prepare(fine, InputSpec(8, 1)), np.full((8, 8, 1), 50))

    def test_enlarging_is_smooth(self):
        edge = np.array([[0, 200]] * 2, np.uint8)
        row = prepare(edge, InputSpec(8, 1))[4, :, 0].astype(int)
        assert len(set(row)) > 2
        assert (np.diff(row) >= 0).all()

    @pytest.mark.parametrize(
        "view",
        [lambda image: image[:, ::-1], lambda image: image[5:90:2, 3:80], lambda image: image.transpose(1, 0, 2)],
        ids=["mirrored", "cut out", "turned"],
    )
    @pytest.mark.parametrize("channels", [1, 3])
    def test_views_give_what_copies_give(self, draw, view, channels):
        image, spec = view(draw(5, 100, 100)), InputSpec(48, channels)
        np.testing.assert_array_equal(prepare(image, spec), prepare(image.copy(), spec))

    def test_the_input_stays_untouched(self, draw):
        image = draw(6, 60, 60)
        before = image.copy()
        prepare(image, InputSpec(48, 1))
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((48, 48), np.uint16),
            np.zeros((48, 48, 3), np.float32),
            np.zeros((48, 48), bool),
            np.zeros((48, 48, 1), np.uint8),
            np.zeros((48, 48, 4), np.uint8),
            np.zeros((3, 48, 48), np.uint8),
            np.zeros((2, 48, 48, 3), np.uint8),
            np.zeros(48, np.uint8),
            np.zeros((0, 48, 3), np.uint8),
        ],
        ids=lambda array: f"{array.dtype} {array.shape}",
    )
    def test_other_arrays_are_refused(self, array):
        with pytest.raises(FerError, match="expected an image uint8") as error:
            prepare(array, InputSpec())
        assert f"{array.dtype} {array.shape}" in str(error.value)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_encode(image, suffix):
    decoded = cv2.imdecode(np.frombuffer(images.encode(image, suffix), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - image).mean() < 4


@pytest.mark.parametrize("suffix", [".gif2", "", ".txt"])
def test_encode_refuses(image, suffix):
    with pytest.raises(FerError, match="images cannot be written as"):
        images.encode(image, suffix)
