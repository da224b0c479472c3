"""Videos with transparent areas, with grey of 16 bits, and with clocks that jump."""

import logging
import math
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from PIL import Image
from support.numbered import numbers, picture

from fer.video.video_file import VideoFile, without_outliers

CLEAR = np.s_[:, :60]  # transparent columns


def written(path, images, codec, pixels, kind, *, rate=10, **options):
    """A video of images of the kind `kind`, encoded as `pixels`."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = pixels
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format=kind)
            frame.pts, frame.time_base = i, Fraction(1, rate)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def second_frame(path):
    with VideoFile(path) as video:
        return list(video)[1].image


class TestOpacity:
    """What lies under transparent areas must not be taken for a face."""

    @pytest.mark.parametrize(
        ("name", "codec", "pixels", "options"),
        [
            ("a.mov", "png", "rgba", {}),
            ("a.mov", "qtrle", "argb", {}),
            ("a.mov", "prores_ks", "yuva444p10le", {"profile": "4", "alpha_bits": "16"}),
            ("a.webm", "libvpx-vp9", "yuva420p", {"crf": "10", "b:v": "0", "cpu-used": "8"}),
            ("a.webm", "libvpx", "yuva420p", {"b": "2M", "auto-alt-ref": "0", "cpu-used": "8"}),
        ],
    )
    def test_transparent_areas_are_grey(self, tmp_path, draw, name, codec, pixels, options):
        image = draw(1, 64, 128)
        opacity = np.full(image.shape[:2], 255, np.uint8)
        opacity[CLEAR] = 0
        frames = [np.dstack([image[..., ::-1], opacity])] * 3
        found = second_frame(written(tmp_path / name, frames, codec, pixels, "rgba", **options))
        assert np.abs(found[:, :58].astype(int) - 128).max() <= 4
        assert np.abs(found[:, 62:].astype(int) - image[:, 62:]).mean() < 8

    @pytest.mark.parametrize("name", ["a.gif", "a.png"])
    def test_transparent_colours_of_a_palette(self, tmp_path, name):
        square = Image.new("P", (64, 64), 1)
        square.putpalette([0, 0, 255, 250, 250, 250])
        square.paste(0, (0, 0, 30, 64))
        other = square.copy()
        other.paste(0, (40, 0, 50, 64))
        options = {"transparency": 0, "duration": 100} | ({"disposal": 2} if name == "a.gif" else {})
        square.save(tmp_path / name, save_all=True, append_images=[other], **options)
        found = second_frame(tmp_path / name)
        assert (found[:, :28] == 128).all()
        assert (found[:, 55:] == 250).all()


@pytest.mark.parametrize("bits", [10, 12, 16])
def test_grey_of_16_bits_is_scaled_by_the_highest_bit_used(tmp_path, draw, bits):
    """Infrared cameras store 12 bits in 16: nearly black otherwise."""
    grey = draw(1, 64, 128)[..., 0]
    grey[0, 0] = 255
    values = grey.astype(np.uint16) << (bits - 8)
    found = second_frame(written(tmp_path / "a.mkv", [values] * 3, "ffv1", "gray16le", "gray16le"))
    np.testing.assert_array_equal(found, cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR))


def stamped(path, seconds):
    """Numbered frames at these times, without an order of their own."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=10, options={"bf": "0", "tune": "zerolatency"})
        stream.height, stream.width = picture(0).shape[:2]
        stream.pix_fmt = "yuv420p"
        packets = []
        for i in range(len(seconds)):
            packets += stream.encode(av.VideoFrame.from_ndarray(picture(i), format="bgr24"))
        packets += stream.encode(None)
        for i, packet in enumerate(packets):
            late = seconds[i] - i / 10
            packet.pts += round(late / packet.time_base)
            if late < 100 or path.suffix == ".ts":
                packet.dts = packet.pts
            packet.stream = stream
            file.mux(packet)
    return path


def times(path, caplog):
    with caplog.at_level(logging.WARNING), VideoFile(path) as video:
        frames = list(video)
    assert numbers(frames) == list(range(len(frames)))
    assert not caplog.records
    return [frame.seconds for frame in frames]


class TestClocks:
    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
    def test_a_single_frame_hours_ahead(self, tmp_path, caplog, name):
        """All frames after it would be hours late."""
        seconds = [i / 10 for i in range(12)]
        seconds[5] += 9800
        expected = [i / 10 for i in range(12)]
        assert times(stamped(tmp_path / name, seconds), caplog) == pytest.approx(expected, abs=0.01)

    def test_a_clock_that_is_set_anew_in_a_broadcast(self, tmp_path, caplog):
        """Recordings of television, joined segments: players go on, and do not wait for an hour."""
        seconds = [i / 10 + 3600 * (i >= 6) for i in range(12)]
        found = times(stamped(tmp_path / "a.ts", seconds), caplog)
        assert found == pytest.approx([i / 10 for i in range(12)], abs=0.01)

    @pytest.mark.parametrize("name", ["a.mkv", "a.ts"])
    def test_a_pause_is_a_pause(self, tmp_path, caplog, name):
        seconds = [i / 10 + 8 * (i >= 6) for i in range(12)]
        assert times(stamped(tmp_path / name, seconds), caplog) == pytest.approx(seconds, abs=0.01)

    def test_only_the_frame_out_of_order_loses_its_time(self):
        given = [0.0, 0.1, 9800.0, 0.3, 0.4, 0.2, 0.3, math.nan, 0.5]
        found = [time for _, time, _ in without_outliers((None, time, 0) for time in given)]
        assert [math.isnan(time) for time in found] == [i in (2, 7) for i in range(9)]
        assert list(without_outliers(iter([]))) == []
