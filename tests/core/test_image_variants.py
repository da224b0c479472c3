"""Image files that decoders read wrongly or in part: turned, planar, raw, with orders of their own, unfinished."""

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from support.image_files import encode, exif, tiff

from fer import FerError
from fer.core.decoding import decode
from fer.core.formats import image_format
from fer.core.tiff_header import front


@pytest.fixture
def image(draw):
    return draw(1, 40, 56)


def grey(image):
    return np.stack([image[..., 0]] * 3, axis=2)


FORMS = pytest.mark.parametrize(("form", "big"), [("<", False), (">", False), ("<", True), (">", True)])


class TestTiff:
    @FORMS
    def test_the_first_image_of_full_size_is_read(self, image, form, big):
        """Scanners and cameras put a small copy in front."""
        small_first = tiff(image[..., ::-1], form=form, big=big, before=[(254, 1)])
        np.testing.assert_array_equal(decode(small_first), image)
        np.testing.assert_array_equal(decode(tiff(image[..., ::-1], form=form, big=big)), image)

    @FORMS
    def test_a_raw_photograph_is_not_its_preview(self, image, form, big):
        for data in (
            tiff(image[..., 0], form=form, big=big, before=[(50706, 0x01040000)]),  # DNG
            tiff(image[..., 0], form=form, big=big, before=[(254, 1)], photometric=32803),  # colour filters
        ):
            with pytest.raises(FerError, match="raw photograph of a camera, which holds no finished image; save it as"):
                decode(data)

    def test_a_preview_whose_photograph_lies_below_it(self, image):
        """NEF and ARW: the raw photograph is in a directory within the directory."""
        data = bytearray(tiff(image[..., 0], before=[(254, 1), (330, 8)]))
        first = int.from_bytes(data[4:8], "little")
        entries = int.from_bytes(data[first : first + 2], "little")
        data[first + 2 + 12 * entries :][:4] = bytes(4)
        link = first + 2 + 12 * entries
        data[link : link + 4] = bytes(4)  # no other image in the main chain
        with pytest.raises(FerError, match="raw photograph"):
            decode(bytes(data))

    @pytest.mark.parametrize(
        "head",
        [b"II*\0\x10\0\0\0CR\2\0", b"FUJIFILMCCD-RAW 0201", b"IIRO\x08\0\0\0", b"IIU\0\x18\0\0\0",
         b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"],
    )  # fmt: skip
    def test_raw_photographs_by_their_first_bytes(self, head):
        assert image_format(head) in ("raw", "tiff")
        with pytest.raises(FerError, match="raw photograph"):
            decode(head + bytes(100))

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    def test_white_can_be_0(self, image, kind):
        image[0, :2] = ((0, 0, 0), (255, 255, 255))
        values = (255 - image[..., 0]).astype(kind) * (1 if kind == np.uint8 else 257)
        np.testing.assert_array_equal(decode(tiff(values, photometric=0)), grey(image))

    def test_planes(self, image):
        planes = np.moveaxis(image[..., ::-1], -1, 0)
        np.testing.assert_array_equal(decode(tiff(planes, planar=2)), image)
        for kind in (np.uint16, np.float32):
            with pytest.raises(FerError, match=r"separate planes of \d\d-bit values, which OpenCV reads wrongly"):
                decode(tiff(planes.astype(kind), planar=2))

    def test_values_of_32_and_64_bits(self, image):
        image[0, 0] = 255
        whole = image[..., 0].astype(np.uint32) << 24
        np.testing.assert_array_equal(decode(tiff(whole)), grey(image))
        for kind in (np.float32, np.float64):
            np.testing.assert_array_equal(decode(tiff(image[..., 0].astype(kind) / 255)), grey(image))

    @pytest.mark.parametrize("kind", [np.uint8, np.uint16])
    @pytest.mark.parametrize("orientation", [1, 2, 3, 6])
    def test_alpha_and_orientation(self, image, kind, orientation):
        rgba = np.dstack([image[..., ::-1], np.full(image.shape[:2], 255, np.uint8)])
        data = io.BytesIO()
        Image.fromarray(rgba).save(data, "TIFF", tiffinfo={274: orientation})
        turned = {1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 6: np.rot90(image, -1)}[orientation]
        np.testing.assert_array_equal(decode(data.getvalue()), turned)

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_header_that_is_cut_or_loops(self, image, share):
        data = tiff(image[..., ::-1], before=[(254, 1)])
        front(data[: int(share * len(data))])
        first = int.from_bytes(data[4:8], "little")
        link = first + 2 + 12 * int.from_bytes(data[first : first + 2], "little")
        loop = data[:link] + struct.pack("<I", first) + data[link + 4 :]
        assert front(loop) == (loop, front(loop)[1])

    @pytest.mark.parametrize("place", [0, 7, 2**31, 2**64 - 1])
    def test_a_header_that_points_anywhere(self, place):
        for data in (b"II+\0\x08\0\0\0" + struct.pack("<Q", place), b"MM\0*" + struct.pack(">I", place % 2**32)):
            with pytest.raises(FerError):
                decode(data + b"\xff" * 100)


class TestTurns:
    @pytest.mark.parametrize("orientation", range(1, 9))
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_avif(self, image, orientation, mode):
        """AVIF states turns in boxes of its own, as phones and converters write them."""
        file, info = io.BytesIO(), Image.Exif()
        info[0x0112] = orientation
        Image.fromarray(image[..., ::-1]).convert(mode).save(file, "AVIF", exif=info, quality=95)
        jpeg = encode(image, ".png")
        plain = decode(jpeg)
        turns = {1: plain, 2: plain[:, ::-1], 3: plain[::-1, ::-1], 4: plain[::-1], 5: plain.transpose(1, 0, 2),
                 6: np.rot90(plain, -1), 7: plain[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(plain)}  # fmt: skip
        found = decode(file.getvalue())
        assert found.shape == turns[orientation].shape
        assert np.abs(found.astype(int) - turns[orientation]).mean() < 8


class TestColours:
    @pytest.mark.parametrize("header", [40, 52, 56, 108, 124])
    @pytest.mark.parametrize("order", ["BGR0", "RGB0", "0BGR", "0RGB"])
    def test_bmp_states_an_order_of_colours(self, image, header, order):
        height, width = image.shape[:2]
        channels = {"B": image[..., 0], "G": image[..., 1], "R": image[..., 2], "0": np.zeros_like(image[..., 0])}
        pixels = np.dstack([channels[letter] for letter in order])[::-1].tobytes()
        masks = struct.pack("<4I", *(0xFF << 8 * order.index(letter) for letter in "RGB"), 0)
        head = struct.pack("<I2i2H6I", header, width, height, 1, 32, 3, len(pixels), 0, 0, 0, 0)
        head = head + masks[:12] if header == 40 else (head + masks + bytes(68))[:header]
        place = 14 + len(head)
        data = b"BM" + struct.pack("<I2HI", place + len(pixels), 0, 0, place) + head + pixels
        np.testing.assert_array_equal(decode(data), image)

    def test_a_grey_value_of_a_png_that_means_transparent(self, image):
        values = image[..., 0].copy()
        values[:, :20] = 7

        def chunk(kind, body):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

        header = struct.pack(">IIBBBBB", *values.shape[::-1], 8, 0, 0, 0, 0)
        rows = b"".join(b"\0" + row.tobytes() for row in values)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tRNS", b"\0\7")
        found = decode(data + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        expected = np.stack([np.where(values == 7, 128, values)] * 3, axis=2)
        np.testing.assert_array_equal(found, expected)

    def test_a_png_of_an_iphone_app_is_named(self, capfd):
        data = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 4) + b"CgBI" + bytes(8)
        with pytest.raises(FerError, match="a PNG from an iPhone app, packed in a way of its own; save it as PNG"):
            decode(data)
        assert capfd.readouterr().err == ""


class TestUnfinishedJpeg:
    """Uploads that broke off and were closed by a server, and copies with a hole."""

    @pytest.mark.parametrize("orientation", [1, 3, 6, 8])
    @pytest.mark.parametrize("options", [(), (cv2.IMWRITE_JPEG_RST_INTERVAL, 4)])
    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_missing_pixels_before_the_end_marker(self, draw, orientation, options, share):
        jpeg = encode(draw(1, 160, 240), ".jpg", *options)
        jpeg = jpeg[:2] + exif(orientation) + jpeg[2:]
        assert decode(jpeg).size
        cut = int(share * len(jpeg))
        for tail in (b"\xff\xd9", b"\xff" * 100):
            with pytest.raises(FerError, match="cut short"):
                decode(jpeg[:cut] + tail)

    @pytest.mark.parametrize("progressive", [0, 1])
    @pytest.mark.parametrize("corner", [np.s_[-30:, -30:], np.s_[:30], np.s_[:]])
    def test_whole_images_that_end_in_one_colour(self, draw, progressive, corner):
        image = draw(1, 160, 240)
        image[corner] = 255
        jpeg = encode(image, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, progressive)
        np.testing.assert_array_equal(decode(jpeg), cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
