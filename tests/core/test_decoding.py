"""Image files of every kind: told by their content, whole and damaged, deep, transparent, turned."""

import io
import os
import struct
import subprocess
import sys
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image
from support.image_files import COLOUR_SUFFIXES, LOSSY, encode, exif, jpeg_segment, png, with_thumbnail

from fer import FerError
from fer.core.decoding import compose, decode, from_pillow, to_8_bits, turn_upright
from fer.core.formats import image_format, is_image_file
from fer.core.images import read


@pytest.fixture
def image(draw):
    return draw(1, 40, 56)


class TestRead:
    @pytest.mark.parametrize("suffix", [*COLOUR_SUFFIXES, ".JPG", ".PNG", ".BMP", ".WebP"])
    def test_formats(self, tmp_path, write, image, suffix):
        encoded = {".jfif": ".jpg", ".jpe": ".jpg", ".dib": ".bmp"}.get(suffix, suffix)
        found = read(write(tmp_path / f"face{encoded}", image).rename(tmp_path / f"face{suffix}"))
        assert found.dtype == np.uint8
        assert found.shape == (40, 56, 3)
        error = np.abs(found.astype(int) - image)
        assert error.mean() < 8 if suffix.lower() in LOSSY else not error.any()

    @pytest.mark.parametrize("suffix", [".pgm", ".png", ".bmp", ".tif"])
    def test_grey_files_become_three_equal_channels(self, tmp_path, write, image, suffix):
        grey = image[..., 1]
        found = read(write(tmp_path / f"grey{suffix}", grey))
        np.testing.assert_array_equal(found, np.stack([grey] * 3, axis=2))

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
        path.write_bytes(encode(image)[:-100])
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

    @pytest.mark.parametrize(
        ("suffix", "missing"), [(".jpg", 16), (".png", 80), (".bmp", 1), (".webp", 3), (".ppm", 1), (".tif", 300)]
    )
    def test_truncated_by_a_few_bytes_of_pixels(self, image, suffix, missing):
        with pytest.raises(FerError, match="cut short"):
            decode(encode(image, suffix)[:-missing])

    @pytest.mark.parametrize(("suffix", "missing"), [(".jpg", 1), (".jpg", 2), (".png", 1), (".png", 12), (".png", 16)])
    def test_a_missing_end_mark_does_not_matter(self, image, suffix, missing, capfd):
        data = encode(image, suffix)
        np.testing.assert_array_equal(decode(data[:-missing]), decode(data))
        assert capfd.readouterr().err == ""

    @pytest.mark.parametrize("share", np.linspace(0.05, 0.95, 19).round(2).tolist())
    def test_a_thumbnail_does_not_pass_for_the_image(self, image, share):
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
            lambda jpeg: jpeg + b"clip: \xff\xda and so on",  # moving images of phones
            lambda jpeg: jpeg + jpeg[:-2],  # a second image, itself cut short
            lambda jpeg: jpeg[:2] + b"\xff\xff\xff" + jpeg[2:],
            lambda jpeg: jpeg[:2] + jpeg_segment(0xFE, b"comment \xff\xda") + jpeg[2:],
        ],
        ids=["thumbnail", "zeros behind", "video behind", "image behind", "fill bytes", "mark in a comment"],
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
            (b"\xff\xd8", "not an image"),
            (b"\xff\xd8\xff", "cut short"),
            (b"\xff\xd8\xff\xe0\x00\x10JFIF", "cut short"),
            (b"\x89PNG\r\n\x1a\n", "cut short"),
            (b"BM", "cut short|not an image"),
            (b"RIFF\x10\0\0\0WEBPVP8 ", "cut short or damaged"),
            (bytes(1000), "not an image"),
        ],
    )
    def test_what_is_no_image(self, data, said):
        with pytest.raises(FerError, match=said):
            decode(data)

    @pytest.mark.parametrize("side", [2_000_000, 100_000, 30_000])
    def test_a_header_that_promises_too_many_pixels(self, side):
        with pytest.raises(FerError, match=r"cannot be decoded|not an image"):
            decode(png(side, side, bytes(1000)))

    def test_a_png_with_damaged_pixels(self, image):
        data = bytearray(encode(image, ".png"))
        data[len(data) // 2] ^= 0xFF
        with pytest.raises(FerError, match="cut short or damaged"):
            decode(bytes(data))


class TestFormat:
    @pytest.mark.parametrize(
        ("suffix", "kind"),
        [(".jpg", "jpeg"), (".png", "png"), (".gif", "gif"), (".webp", "webp"), (".bmp", "bmp"), (".tif", "tiff"),
         (".avif", "avif"), (".jp2", "jp2"), (".ppm", "pnm"), (".hdr", "hdr")],
    )  # fmt: skip
    def test_the_content_tells_the_format(self, image, suffix, kind):
        assert image_format(encode(image, suffix)) == kind

    @pytest.mark.parametrize(
        ("head", "kind"),
        [
            (b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf", "heif"),
            (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avifmiaf", "avif"),
            (b"\0\0\0\x14ftypisom\0\0\0\0mp42", None),
            (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- a --><svg>", "svg"),
            (b"<?xml version='1.0'?><html>", None),
            (b"8BPS\0\1", "psd"),
            (b"BMW drivers, a novel of some length", None),
            (b"P5 is a label", None),
            (b"PK\x03\x04", None),
            (b"#!/bin/sh\n", None),
            (b"", None),
        ],
    )
    def test_other_beginnings(self, head, kind):
        assert image_format(head) == kind

    def test_names_and_contents(self, tmp_path, image):
        (tmp_path / "face").write_bytes(encode(image))
        (tmp_path / "face.txt").write_bytes(encode(image, ".png"))
        (tmp_path / "stub.heic").write_bytes(b"")
        (tmp_path / "notes.txt").write_text("letters")
        (tmp_path / "empty").touch()
        assert [is_image_file(path) for path in sorted(tmp_path.iterdir())] == [False, True, True, False, True]
        os.mkfifo(tmp_path / "pipe")
        assert not is_image_file(tmp_path / "pipe")

    def test_a_gif_is_its_first_frame(self, image):
        file = io.BytesIO()
        frames = [Image.fromarray(image), Image.fromarray(255 - image)]
        frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
        assert np.abs(decode(file.getvalue())[..., ::-1].astype(int) - image).mean() < 12


class TestDepth:
    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("bits", [9, 10, 12, 14, 16])
    def test_integers_are_scaled_by_the_highest_bit(self, image, suffix, bits):
        image[0, 0] = 255
        found = decode(encode(image.astype(np.uint16) << (bits - 8), suffix))
        np.testing.assert_array_equal(found, image)

    def test_grey_files_of_16_bits(self, image):
        grey = image[..., 0].copy()
        grey[0, 0] = 255
        for data in (encode(grey.astype(np.uint16) << 4, ".png"), encode(grey.astype(np.uint16) << 4, ".tif")):
            np.testing.assert_array_equal(decode(data), np.stack([grey] * 3, axis=2))

    @pytest.mark.parametrize("scale", [1.0, 255.0, 1000.0, 1.2])
    @pytest.mark.parametrize("grey", [False, True])
    def test_floating_point_tiff(self, image, scale, grey):
        image[0, 0] = 255
        values = (image[..., 0] if grey else image).astype(np.float32) / 255 * scale
        expected = np.stack([image[..., 0]] * 3, axis=2) if grey else image
        assert np.abs(decode(encode(values, ".tif")).astype(int) - expected).max() <= 1

    def test_values_of_every_type(self):
        np.testing.assert_array_equal(to_8_bits(np.uint16([0, 255])), [0, 255])
        np.testing.assert_array_equal(to_8_bits(np.float32([np.nan, 0, np.inf, 1])), [0, 0, 0, 255])
        np.testing.assert_array_equal(to_8_bits(np.float64([-1, 0, 1])), [0, 128, 255])
        np.testing.assert_array_equal(to_8_bits(np.int32([0, 100, 200])), [0, 100, 200])
        np.testing.assert_array_equal(to_8_bits(np.int16([-300, 0, 300])), [0, 128, 255])
        np.testing.assert_array_equal(to_8_bits(np.zeros(2, np.float32)), [0, 0])
        assert to_8_bits(np.zeros((0, 3), np.uint16)).dtype == np.uint8


class TestAlpha:
    @pytest.mark.parametrize("suffix", [".png", ".webp", ".tif", ".avif"])
    def test_transparent_areas_are_grey(self, image, suffix):
        opacity = np.full(image.shape[:2], 255, np.uint8)
        opacity[:, :20] = 0
        found = decode(
            encode(np.dstack([image, opacity]), suffix, *([cv2.IMWRITE_WEBP_QUALITY, 101] * (suffix == ".webp")))
        )
        assert np.abs(found[:, :18].astype(int) - 128).max() <= 2
        assert np.abs(found[:, 22:].astype(int) - image[:, 22:]).mean() < 8

    def test_half_transparent_areas_are_mixed(self):
        image, alpha = np.full((2, 2, 3), 28, np.uint8), np.full((2, 2), 0.5)
        assert compose(image, alpha).tolist() == [[[78] * 3] * 2] * 2

    @pytest.mark.parametrize(("kind", "grey"), [(np.uint8, 119), (np.uint16, 136)])  # 16 bits: by the highest bit used
    def test_opacity_of_many_rows_takes_little_memory(self, kind, grey):
        """A file of 100 KB may hold 25 million pixels of one colour."""
        white = np.iinfo(kind).max
        pixels = np.zeros((1500, 1000, 4), kind)
        pixels[..., :3], pixels[..., 3] = white // 3, white // 5
        data = encode(pixels, ".png")
        tracemalloc.start()
        found = decode(data)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert (found == grey).all()
        assert peak < 4 * pixels.nbytes

    def test_opaque_pixels_stay(self, image):
        np.testing.assert_array_equal(
            decode(encode(np.dstack([image, np.full_like(image[..., 0], 255)]), ".png")), image
        )

    def test_palettes_with_a_transparent_colour(self, image):
        for kind in ("PNG", "GIF"):
            palette = Image.fromarray(image).convert("P", palette=Image.Palette.ADAPTIVE, colors=8)
            file = io.BytesIO()
            palette.save(file, kind, transparency=0)
            clear = np.asarray(palette) == 0
            assert (decode(file.getvalue())[clear] == 128).all()

    def test_alpha_and_orientation(self, image):
        file, info = io.BytesIO(), Image.Exif()
        info[0x0112] = 6
        Image.fromarray(np.dstack([image, np.full(image.shape[:2], 254, np.uint8)])).save(file, "PNG", exif=info)
        assert decode(file.getvalue()).shape == (56, 40, 3)


@pytest.mark.parametrize("orientation", range(9))
def test_every_orientation(image, orientation):
    file, info = io.BytesIO(), Image.Exif()
    info[0x0112] = orientation
    Image.fromarray(image).save(file, "PNG", exif=info)
    expected = decode(file.getvalue())
    np.testing.assert_array_equal(turn_upright(image[..., ::-1], orientation), expected)
    np.testing.assert_array_equal(from_pillow(Image.open(file)), expected)


class TestOddHeaders:
    """What other viewers show: the pixels are all there."""

    def test_png_with_wrong_checksums(self, image):
        data = encode(image, ".png")
        at = data.index(b"IDAT")
        end = at + 4 + int.from_bytes(data[at - 4 : at], "big")
        for place in (29, end):  # of IHDR, of IDAT
            odd = bytearray(data)
            odd[place] ^= 1
            np.testing.assert_array_equal(decode(bytes(odd)), image)

    def test_interlaced_png_with_a_wrong_checksum(self, image):
        rows = {1: image[..., 0]}[1]
        width, height = rows.shape[::-1]
        passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
        packed = zlib.compress(
            b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in rows[y::dy, x::dx] if row.size)
        )

        def chunk(kind, body, error=0):
            return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body) ^ error)

        header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 1)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed, error=1)
        np.testing.assert_array_equal(decode(data)[..., 0], rows)
        with pytest.raises(FerError, match="cut short"):
            decode(data[:-80])

    @pytest.mark.parametrize("size", [0, 10, 10_000])
    def test_bmp_and_webp_that_state_a_wrong_length(self, image, size):
        bmp, webp = encode(image, ".bmp"), encode(image, ".webp")
        np.testing.assert_array_equal(decode(bmp[:2] + struct.pack("<I", size) + bmp[6:]), image)
        np.testing.assert_array_equal(decode(webp[:4] + struct.pack("<I", size) + webp[8:]), decode(webp))

    def test_gif_without_its_end(self, image):
        data = encode(image, ".gif")
        assert np.abs(decode(data[:-1]).astype(int) - decode(data)).mean() < 1

    def test_nothing_is_printed(self, image, tmp_path):
        """In a process of its own: libraries write to the terminal past Python."""
        png = encode(image, ".png")
        profile = b"x\0\0" + zlib.compress(b"no profile" * 20)
        odd = struct.pack(">I", len(profile)) + b"iCCP" + profile + struct.pack(">I", zlib.crc32(b"iCCP" + profile))
        tiff = io.BytesIO()
        Image.fromarray(image).save(tiff, "TIFF", tiffinfo={65000: "odd"})
        files = {
            "profile.png": png[:33] + odd + png[33:],
            "half.png": png[: len(png) // 2],
            "odd.tif": tiff.getvalue(),
            "half.tif": tiff.getvalue()[:3000],
            "half.jpg": encode(image)[:600],
            "half.bmp": encode(image, ".bmp")[:-9],
            "half.avif": encode(image, ".avif")[:-9],
        }
        for name, data in files.items():
            (tmp_path / name).write_bytes(data)
        code = "import sys\nfrom fer.core.images import read\nfrom fer import FerError\nfor name in sys.argv[1:]:\n"
        code += " try: print(read(name).shape)\n except FerError as error: print(error)"
        command = [sys.executable, "-c", code, *(str(tmp_path / name) for name in files)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        assert len(done.stdout.splitlines()) == len(files)


def test_heic_names_its_reader_or_is_read(tmp_path):
    stub = b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf"
    with pytest.raises(FerError, match=r"pip install pillow-heif|cut short or damaged"):
        decode(stub)
    heif = pytest.importorskip("pillow_heif")
    image = np.full((40, 64, 3), (250, 20, 20), np.uint8)
    heif.from_pillow(Image.fromarray(image)).save(tmp_path / "a.heic", quality=90)
    found = read(tmp_path / "a.heic")
    assert found.shape == (40, 64, 3)
    assert np.abs(found.astype(int) - image[..., ::-1]).max() < 30


@pytest.mark.parametrize("head", [b"\0\0\0\x0cJXL \r\n\x87\n", b"8BPS\0\1", b"<svg>"])
def test_images_that_cannot_be_decoded_are_named(head):
    with pytest.raises(FerError, match=r"(JXL|PSD|SVG) image, which OpenCV does not decode"):
        decode(head)
