"""What the values of an image file mean: a white of its own, light in proportion, opacity, packings."""

import contextlib
import io
import struct
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from support.image_files import encode, tiff

from fer import FerError
from fer.core.decoding import decode, from_linear

CLEAR = np.s_[:, :20]  # transparent columns


@pytest.fixture
def image(draw):
    return draw(1, 40, 56)


def grey(plane):
    return np.stack([plane] * 3, axis=2)


def opacity(image, value=0):
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[CLEAR] = value
    return alpha


def composed(image, value=0):
    expected = image.astype(float)
    expected[CLEAR] = expected[CLEAR] * value / 255 + 128 * (1 - value / 255)
    return expected


class TestNetpbm:
    """OpenCV takes 127 of a PGM whose white is 127 for a dark grey, and red of a PAM for blue."""

    @pytest.mark.parametrize("white", [15, 100, 255, 1023, 4095, 65535])
    @pytest.mark.parametrize("form", ["P5", "P6", "PAM grey", "PAM colours"])
    def test_the_stated_white_is_white(self, image, white, form):
        image[0, :2] = ((0, 0, 0), (255, 255, 255))
        pixels = image[..., ::-1] if form in ("P6", "PAM colours") else image[..., 0]
        values = np.rint(pixels / 255 * white).astype(">u2" if white > 255 else np.uint8)
        height, width = values.shape[:2]
        if form in ("P5", "P6"):
            head = f"{form}\n# of a scanner\n{width} {height} # odd\n{white}\n"
        else:
            head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {3 if values.ndim == 3 else 1}\nMAXVAL {white}\nENDHDR\n"
        expected = image if values.ndim == 3 else grey(image[..., 0])
        assert np.abs(decode(head.encode() + values.tobytes()).astype(int) - expected).max() <= 128 / white + 1

    @pytest.mark.parametrize("colours", [False, True])
    def test_transparent_areas_of_a_pam_are_grey(self, image, colours):
        pixels = np.dstack([image[..., ::-1] if colours else image[..., 0], opacity(image)])
        head = f"P7\nWIDTH 56\nHEIGHT 40\nDEPTH {pixels.shape[2]}\n# x\nMAXVAL 255\nTUPLTYPE ANY_ALPHA\nENDHDR\n"
        expected = composed(image if colours else grey(image[..., 0]))
        np.testing.assert_array_equal(decode(head.encode() + pixels.tobytes()), expected)

    @pytest.mark.parametrize(
        "head",
        [b"P5 56 40 15\n", b"P6 99999999 99999999 15\n", b"P7\nWIDTH 5\nENDHDR\n", b"P7\nWIDTH 5", b"P5 56 40 70000\n",
         b"P7\nWIDTH 9\nHEIGHT 9\nDEPTH 5\nMAXVAL 255\nENDHDR\n",
         b"P7\nWIDTH -3\nHEIGHT -3\nDEPTH 1\nMAXVAL 255\nENDHDR\n",
         b"P7\nWIDTH x\nHEIGHT 9\nDEPTH 1\nMAXVAL 1\nENDHDR\n"],
    )  # fmt: skip
    def test_a_header_that_cannot_be_true(self, head):
        with pytest.raises(FerError, match=r"cut short|cannot be decoded"):
            decode(head + bytes(1000))

    def test_grey_of_floating_point(self, image):
        data = b"Pf\n56 40\n-1.0\n" + (image[::-1, :, 0] / 255).astype("<f4").tobytes()
        np.testing.assert_array_equal(decode(data), grey(image[..., 0]))


class TestLight:
    """HDR files hold light in proportion; screens, networks and other files the sRGB curve."""

    @pytest.mark.parametrize("lamp", [1.0, 50.0])
    def test_a_radiance_file_is_as_bright_as_viewers_show_it(self, image, lamp):
        light = np.where(image <= 10, image / 255 / 12.92, ((image / 255 + 0.055) / 1.055) ** 2.4).astype(np.float32)
        light[:2, :2] = lamp
        image[:2, :2] = 255
        assert np.abs(decode(encode(light, ".hdr")).astype(int) - image).mean() < 2

    def test_light_of_any_unit(self):
        np.testing.assert_array_equal(from_linear(np.float32([0, 0.5, 1, 9, np.nan, np.inf])), [0, 188, 255, 255, 0, 0])
        assert from_linear(np.float32([100, 200, 400])).tolist()[0] in range(130, 140)


class TestOpacity:
    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    @pytest.mark.parametrize("multiplied", [False, True])
    @pytest.mark.parametrize("value", [0, 128])
    def test_tiff(self, image, kind, multiplied, value):
        """Colours may be stored multiplied by the opacity; OpenCV multiplies those of 8 bits itself."""
        alpha = opacity(image, value)
        colours = np.rint(image * (alpha[..., None] / 255)) if multiplied else image
        values = np.dstack([colours[..., ::-1], alpha]).astype(kind) * (1 if kind == np.uint8 else 257)
        found = decode(tiff(values, photometric=2, extra=1 if multiplied else 2))
        assert np.abs(found - composed(image, value)).max() <= 2

    def test_grey_tiff(self, image):
        pixels = np.dstack([image[..., 0], opacity(image)])
        np.testing.assert_array_equal(decode(tiff(pixels, photometric=1, extra=2)), composed(grey(image[..., 0])))
        with pytest.raises(FerError, match="of a kind that is not read"):  # OpenCV would leave the opacity out
            decode(tiff(pixels.astype(np.uint16) * 257, photometric=1, extra=2))

    def test_a_fourth_value_that_is_no_opacity(self, image):
        pixels = np.dstack([image[..., ::-1], np.zeros(image.shape[:2], np.uint8)])
        np.testing.assert_array_equal(decode(tiff(pixels, photometric=2, extra=0)), image)

    @pytest.mark.parametrize("empty", [False, True])
    def test_bmp(self, image, empty):
        """A mask for the opacity, as GIMP writes it; where all are 0 the program did not mean it."""
        alpha = np.zeros_like(image[..., 0]) if empty else opacity(image)
        pixels = np.dstack([image, alpha])[::-1].tobytes()
        head = struct.pack("<I2i2H6I", 124, 56, 40, 1, 32, 3, len(pixels), 0, 0, 0, 0)
        head += struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + bytes(68)
        data = b"BM" + struct.pack("<I2HI", 14 + len(head) + len(pixels), 0, 0, 14 + len(head)) + head + pixels
        np.testing.assert_array_equal(decode(data), image if empty else composed(image))

    def test_the_transparent_grey_of_a_png_of_16_bits(self, image):
        values = (image[..., 0].astype(np.uint16) * 257).astype(">u2")
        values[0, -1] = 65535
        values[CLEAR] = 7

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        rows = b"".join(b"\0" + row.tobytes() for row in values)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 56, 40, 16, 0, 0, 0, 0))
        data += chunk(b"tRNS", b"\0\7") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
        np.testing.assert_array_equal(decode(data), composed(grey((values >> 8).astype(np.uint8))))


class TestPackings:
    @pytest.mark.parametrize("number", [6, 33003, 34712, 34933, 34887, 50002])
    def test_what_opencv_gives_black(self, image, number):
        """JPEG 2000 in TIFF, as slide scanners write it, and others that the build has no reader for."""
        with pytest.raises(FerError, match="of a kind that is not read"):
            decode(tiff(image[..., ::-1], compression=number))

    @pytest.mark.parametrize("name", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd", "lzma", "jpeg"])
    def test_what_is_unpacked(self, image, name):
        file = io.BytesIO()
        Image.fromarray(image[..., ::-1]).save(file, "TIFF", compression=name)
        assert np.abs(decode(file.getvalue()).astype(int) - image).mean() < 8

    def test_fax(self, image):
        plane = image[..., 0] > 128
        file = io.BytesIO()
        Image.fromarray(plane).save(file, "TIFF", compression="group4")
        np.testing.assert_array_equal(decode(file.getvalue()), grey(plane.astype(np.uint8) * 255))


def test_a_damaged_jpeg_prints_nothing(draw, capfd):
    """libjpeg knows no log level: "Corrupt JPEG data"."""
    if not sys.platform.startswith("linux"):
        pytest.skip("the C library's stderr can be replaced on Linux only")
    data = bytearray(encode(draw(1, 160, 240)))
    for place in range(len(data) // 2, len(data) - 100, 50):
        data[place : place + 4] = b"\xff\x13\xab\x12"
    buffer = np.frombuffer(bytes(data), np.uint8)
    with contextlib.suppress(FerError):  # it may count as cut short
        decode(bytes(data))
    assert capfd.readouterr().err == ""
    cv2.imdecode(buffer, cv2.IMREAD_COLOR)
    assert "Corrupt JPEG data" in capfd.readouterr().err  # else the test shows nothing
