"""Video files: every frame in order and at its time, upright, whole as far as the file is; hostile files refused."""

import math
import re
import resource
import struct
from dataclasses import replace
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from support.hostile import one_colour_png
from support.numbered import BAR, BITS, numbers, picture

from fer import FerError
from fer.video.sources import open_source
from fer.video.video_file import FileLimits, VideoFile, display, increasing
from fer.video.writer import VideoWriter


def turned(path, matrix):
    """Writes into an MP4 that its image is to be turned, as telephones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    assert struct.unpack(">9i", data[at : at + 36])[0] == 1 << 16
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


def slowed(path, at_frame, factor):
    """Rewrites the times of an MP4: from one frame on, each stays `factor` times as long."""
    data = path.read_bytes()
    at = data.index(b"stts") - 4
    size, _, _, entries, frames, ticks = struct.unpack(">I4s4I", data[at : at + 24])
    assert (size, entries) == (24, 1)
    table = struct.pack(">I4s6I", 32, b"stts", 0, 2, at_frame, ticks, frames - at_frame, ticks * factor)
    longer = bytearray(data[:at] + table + data[at + 24 :])
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        start = data.index(box) - 4
        longer[start : start + 4] = struct.pack(">I", struct.unpack(">I", data[start : start + 4])[0] + 8)
    edits = longer.index(b"edts")
    longer[edits : edits + 4] = b"free"  # an edit list that would end the video at its old time
    path.write_bytes(longer)
    return path


def cropped_mp4(path, clap):
    """Writes a clean aperture into an MP4: width, height and the shift of the centre, each as a fraction."""
    data = bytearray(path.read_bytes())
    entry = data.index(b"avc1", data.index(b"stsd")) - 4
    size = struct.unpack(">I", data[entry : entry + 4])[0]
    data[entry + size : entry + size] = struct.pack(">I4s4I4i", 40, b"clap", *clap)
    for box in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd"):
        start = data.index(box) - 4
        data[start : start + 4] = struct.pack(">I", struct.unpack(">I", data[start : start + 4])[0] + 40)
    data[entry : entry + 4] = struct.pack(">I", size + 40)
    path.write_bytes(data)
    return path


def encoded(path, images, times=None, *, codec="libx264", aspect=None):
    """A video of such frames, at such times; ten frames per second unless told otherwise."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=10, options={"g": "12"})
        stream.height, stream.width = images[0].shape[:2]
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 10 if times is None else 1000)
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="bgr24")
            frame.pts, frame.time_base = (
                (i, Fraction(1, 10)) if times is None else (round(1000 * times[i]), Fraction(1, 1000))
            )
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def packed(path, packets, size=(64, 48)):
    """A video of ready PNG packets; its header states `size`, whatever they hold."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("png", rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        for i, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = i
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, True
            file.mux(packet)
    return path


def png(image):
    return cv2.imencode(".png", image)[1].tobytes()


class TestVideoFile:
    @pytest.mark.parametrize(("name", "fps"), [("a.avi", 20), ("a.mp4", 20), ("a.mp4", 12.5), ("Fußball: 笑.avi", 30)])
    def test_every_frame_in_order_with_its_time(self, make_video, log_lines, name, fps):
        path = make_video(name, frames=70, fps=fps)
        with open_source(str(path)) as video:
            assert (video.live, video.fps, video.total, video.size) == (False, fps, 70, (BITS * BAR, 96))
            frames = list(video)
        assert numbers(frames) == [frame.index for frame in frames] == list(range(70))
        np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(70) / fps, atol=2e-3)
        assert {frame.name for frame in frames} == {str(path)}
        assert {(frame.image.dtype.name, frame.image.shape) for frame in frames} == {("uint8", (96, BITS * BAR, 3))}
        assert log_lines == []

    def test_times_of_a_video_with_changing_speed(self, make_video):
        path = slowed(make_video("phone.mp4", frames=40), at_frame=20, factor=4)
        with open_source(str(path)) as video:
            seconds = [frame.seconds for frame in video]
        expected = [*(np.arange(20) / 20), *(1 + np.arange(20) / 5)]
        np.testing.assert_allclose(seconds, expected, atol=2e-3)

    @pytest.mark.parametrize(
        ("matrix", "shape", "white"),
        [
            ((0, 1, 0, -1, 0, 0, 0, 0, 1), (BITS * BAR, 96), np.s_[:, -12:]),
            ((-1, 0, 0, 0, -1, 0, 0, 0, 1), (96, BITS * BAR), np.s_[-12:]),
            ((0, -1, 0, 1, 0, 0, 0, 0, 1), (BITS * BAR, 96), np.s_[:, :12]),
            ((1, 0, 0, 0, -1, 0, 0, 0, 1), (96, BITS * BAR), np.s_[-12:]),
        ],
        ids=["90", "180", "270", "upside down in a mirror"],
    )
    def test_a_turned_video_comes_upright(self, make_video, matrix, shape, white):
        fixed = [value << (30 if place == 8 else 16) for place, value in enumerate(matrix)]
        path = turned(make_video("phone.mp4", frames=3), fixed)
        with open_source(str(path)) as video:
            images = [frame.image for frame in video]
            assert video.size == shape[::-1]
        assert [image.shape[:2] for image in images] == [shape] * 3
        assert all(image[white].mean() > 240 for image in images)

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_a_file_cut_short_ends_with_a_line(self, make_video, log_lines, share):
        path = make_video(frames=60)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with open_source(str(path)) as video:
            found = numbers(video)
        assert found == list(range(len(found)))
        assert 60 * share - 20 < len(found) < 60
        assert log_lines == [video.damage]
        assert video.damage.startswith(f"{path}: ")
        assert f"the video ends after {len(found) + video.lost} of 60 frames; the file is cut short" in video.damage

    def test_closing(self, make_video, log_lines):
        path = str(make_video())
        video = open_source(path)
        video.close()
        video.close()
        assert list(video) == []
        with open_source(path) as video:
            frames = iter(video)
            next(frames)
            video.close()
            assert list(frames) == []
        assert log_lines == []  # it was not the file that ended

    def test_leaving_the_loop_closes_the_file(self, make_video):
        video = VideoFile(make_video())
        for _ in video:
            break
        assert list(video) == []

    def test_pixels_that_are_not_square_are_made_so(self, tmp_path):
        for aspect, size in ((Fraction(2, 1), (384, 96)), (Fraction(1, 2), (192, 192)), (Fraction(1000, 1), (192, 96))):
            path = encoded(tmp_path / "a.mp4", [picture(i) for i in range(3)], aspect=aspect)
            with VideoFile(path) as video:
                assert video.size == size
                assert [frame.image.shape[1::-1] for frame in video] == [size] * 3

    def test_what_the_container_crops_is_cut_off(self, tmp_path):
        images = [picture(i) for i in range(3)]
        with VideoFile(encoded(tmp_path / "whole.mp4", images)) as video:
            whole = [frame.image for frame in video]
        clap = (100, 1, 121, 2, -6, 1, 1, 1)  # 100 x 60.5 of 192 x 96, its centre 6 to the left and 1 down
        with VideoFile(cropped_mp4(encoded(tmp_path / "a.mp4", images), clap)) as video:
            assert video.size == (100, 60)
            for frame, image in zip(video, whole, strict=True):
                np.testing.assert_array_equal(frame.image, image[19:79, 40:140])

    @pytest.mark.parametrize(
        "clap", [(0, 1, 96, 1, 0, 1, 0, 1), (100, 0, 96, 1, 0, 1, 0, 1), (300, 1, 96, 1, 0, 1, 0, 1)]
    )
    def test_a_crop_that_leaves_nothing_or_more_is_damage(self, tmp_path, clap):
        path = cropped_mp4(encoded(tmp_path / "a.mp4", [picture(i) for i in range(3)]), clap)
        with VideoFile(path) as video:
            assert [frame.image.shape for frame in video] == [(96, 192, 3)] * 3

    def test_bursts_of_frames_keep_their_times(self, tmp_path):
        times = [0, 0.1, 0.2, 0.3, 10.3, 10.4, 10.5]
        path = encoded(tmp_path / "a.mkv", [picture(i) for i in range(7)], times)
        with VideoFile(path) as video:
            assert [frame.seconds for frame in video] == pytest.approx(times, abs=2e-3)


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ([0, 0.05, 0.1], [0, 0.05, 0.1]),
        ([0.04, 0.05, 0.1], [0.04, 0.05, 0.1]),
        ([0, 0, 0], [0, 0.1, 0.2]),
        ([math.nan, math.nan, math.nan], [0, 0.1, 0.2]),
        ([0, 0.7, 0.02, 0.9], [0, 0.7, 0.8, 0.9]),  # two recordings in one file
    ],
)
def test_times_increase_whatever_the_file_states(stated, expected):
    found, before = [], -math.inf
    for time in stated:
        found.append(before := increasing(time, before, 0.1))
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((1, 0, 0, 1), [[1, 2, 3], [4, 5, 6]]),
        ((-1, 0, 0, 1), [[3, 2, 1], [6, 5, 4]]),
        ((1, 0, 0, -1), [[4, 5, 6], [1, 2, 3]]),
        ((-1, 0, 0, -1), [[6, 5, 4], [3, 2, 1]]),
        ((0, 1, -1, 0), [[4, 1], [5, 2], [6, 3]]),
        ((0, -1, 1, 0), [[3, 6], [2, 5], [1, 4]]),
        ((0, 1, 1, 0), [[1, 4], [2, 5], [3, 6]]),
        ((0, -1, -1, 0), [[6, 3], [5, 2], [4, 1]]),
    ],
)
def test_every_display_matrix(matrix, expected):
    a, b, c, d = (value << 16 for value in matrix)
    image = np.repeat(np.uint8([[1, 2, 3], [4, 5, 6]])[..., None], 3, axis=2)
    turned = display(image, np.int32([a, b, 0, c, d, 0, 0, 0, 1 << 30]))
    assert turned[..., 0].tolist() == expected


class TestDamage:
    def test_a_damaged_frame_is_a_gap_in_the_indices(self, tmp_path, log_lines):
        data = [png(picture(i)) for i in range(8)]
        data[2] = data[2][:40] + b"\xff" * 40 + data[2][80:]
        data[5] = b"\0" * 300
        path = packed(tmp_path / "a.mov", data, size=(192, 96))
        with VideoFile(path) as video:
            frames = list(video)
        assert [frame.index for frame in frames] == [0, 1, 3, 4, 6, 7]
        assert numbers(frames) == [0, 1, 3, 4, 6, 7]
        assert [frame.seconds for frame in frames] == pytest.approx([0, 0.1, 0.3, 0.4, 0.6, 0.7])
        assert video.lost == 2
        assert log_lines == [f"{path}: 2 frames cannot be decoded; the file is cut short or damaged"] == [video.damage]

    def test_a_recording_without_a_frame_rate_that_is_cut_short(self, tmp_path, log_lines):
        rng = np.random.default_rng(0)
        with VideoWriter(tmp_path / "a.mkv") as recorder:
            for i in range(60):
                recorder.write(rng.integers(0, 256, (48, 64, 3), np.uint8), i / 10)
        data = (tmp_path / "a.mkv").read_bytes()
        (tmp_path / "a.mkv").write_bytes(data[: len(data) * 7 // 10])
        with VideoFile(tmp_path / "a.mkv") as video:
            frames = list(video)
        assert 30 < len(frames) < 55
        assert log_lines == [video.damage]
        assert re.search(r"the video ends after [34]\.\d of (5\.9|6\.0) seconds", video.damage)

    @pytest.mark.parametrize("name", ["a.avi", "a.mp4", "a.mkv", "a.ts"])
    def test_damage_in_the_middle_costs_the_frames_there(self, tmp_path, name):
        rng = np.random.default_rng(0)
        noise = [cv2.resize(rng.integers(0, 256, (12, 16, 3), np.uint8), (192, 96)) for _ in range(120)]
        codec = "mjpeg" if name == "a.avi" else "libx264"
        path = encoded(tmp_path / name, noise, codec=codec)
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 400] = rng.bytes(400)
        path.write_bytes(data)
        with VideoFile(path) as video:
            frames = list(video)
        assert len(frames) >= 100
        assert frames[-1].seconds > 11
        assert all(frame.image.shape == (96, 192, 3) for frame in frames)


class TestUntrustedFiles:
    LIMITS = FileLimits("mov,matroska,avi,mpeg,mpegvideo", pixels=1920 * 1080, streams=16)

    def open(self, path):
        return VideoFile(path, name="video", limits=self.LIMITS)

    @pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
    def test_usual_files_are_read(self, make_video, name):
        assert numbers(self.open(make_video(name))) == list(range(40))

    def test_a_frame_larger_than_its_header_says_is_not_decoded(self, tmp_path):
        small, bomb = png(np.zeros((48, 64, 3), np.uint8)), one_colour_png(16_000, 16_000)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with self.open(packed(tmp_path / "late.mov", [small] * 3 + [bomb] * 3)) as late:
            assert [frame.image.shape for frame in late] == [(48, 64, 3)] * 3
        with pytest.raises(FerError, match="pixels"):
            self.open(packed(tmp_path / "bomb.mov", [bomb] * 3))
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024

    def test_a_header_of_large_frames_is_refused(self, make_video):
        with pytest.raises(FerError, match="video: the frames have more than 18,000 pixels"):
            VideoFile(make_video(), name="video", limits=replace(self.LIMITS, pixels=18_000))

    def test_pixels_are_counted_after_they_are_made_square(self, tmp_path):
        path = encoded(tmp_path / "a.mp4", [picture(0)], aspect=Fraction(4, 1))
        with pytest.raises(FerError, match="more than 73,727 pixels"):
            VideoFile(path, name="video", limits=replace(self.LIMITS, pixels=4 * 192 * 96 - 1))
        VideoFile(path, name="video", limits=replace(self.LIMITS, pixels=4 * 192 * 96)).close()

    @pytest.mark.parametrize(
        "data",
        [
            b"\x1aE\xdf\xa3\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n",
            b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
            b"ffconcat version 1.0\nfile a.avi\n",
            b"letters\n" * 100,
        ],
        ids=["sdp", "m3u", "concat", "text"],
    )
    def test_other_kinds_are_not_opened(self, make_video, data):
        path = make_video().with_name("upload")
        path.write_bytes(data)
        with pytest.raises(FerError, match="video: not a video"):
            self.open(path)
