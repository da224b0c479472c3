"""Uploaded videos are decoded as OpenCV decodes them; other formats and larger frames are refused."""

import resource
import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

import av
from support.web import encode, encode_video, one_colour_png, plain_frames

from fer import FerError
from fer.video.sources import VideoFile
from fer.web.decoder import Decoder
from fer.web.limits import Limits

LIMITS = Limits(video_pixels=1920 * 1080)


def frames(count=12, width=160, height=120):
    draw = np.random.default_rng(0)
    for image in plain_frames(count, width, height):
        image[: height // 3, : width // 2] = draw.integers(0, 256, 3)
        yield image


def written(path, packets, codec="png", size=(64, 48)):
    """A video of ready packets; its header says `size`, whatever they hold."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *size, "rgb24"
        for i, data in enumerate(packets):
            packet = av.Packet(data)
            packet.pts = packet.dts = i
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, True
            file.mux(packet)
    return path


def both(path):
    """The file by way of OpenCV and by ours."""
    ours = VideoFile("ours", lambda: Decoder(path, LIMITS), notify=pytest.fail)
    theirs = VideoFile("theirs", lambda: cv2.VideoCapture(str(path)), notify=pytest.fail)
    assert (ours.fps, ours.size, ours.total) == (pytest.approx(theirs.fps), theirs.size, theirs.total)
    return list(ours), list(theirs)


@pytest.mark.parametrize(
    ("name", "code"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "MJPG"), ("a.webm", "VP80")]
)
def test_frames_and_times_match_opencv(tmp_path, name, code):
    encode_video(tmp_path / name, frames(), code=code)
    ours, theirs = both(tmp_path / name)
    assert len(ours) == 12
    for one, other in zip(ours, theirs, strict=True):
        assert one.seconds == pytest.approx(other.seconds, abs=0.002)
        assert np.abs(one.image.astype(int) - other.image).max() <= 2


@pytest.mark.parametrize(
    "matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)], ids=["clockwise", "upside-down", "counter-clockwise"]
)
def test_rotation_of_phone_videos(tmp_path, matrix):
    data = encode_video(tmp_path / "a.mp4", frames(3), code="mp4v")
    begin = data.index(b"tkhd") + 4 + 40  # ISO 14496-12, 8.3.2: the matrix, 16.16 and 2.30 fixed point
    a, b, c, d = (value << 16 for value in matrix)
    (tmp_path / "a.mp4").write_bytes(
        data[:begin] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[begin + 36 :]
    )
    ours, theirs = both(tmp_path / "a.mp4")
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(one.image.astype(int) - other.image).max() <= 2


def test_frame_larger_than_its_header_is_not_decoded(tmp_path):
    small, bomb = encode(np.zeros((48, 64, 3), np.uint8), ".png"), one_colour_png(16_000, 16_000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    late = VideoFile(
        "late", lambda: Decoder(written(tmp_path / "late.mov", [small] * 3 + [bomb] * 3), LIMITS), notify=[].append
    )
    assert [frame.image.shape for frame in late] == [(48, 64, 3)] * 3
    with pytest.raises(FerError, match="pixels"):
        Decoder(written(tmp_path / "bomb.mov", [bomb] * 3), LIMITS)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024


def test_header_with_large_frames_is_refused(tmp_path):
    encode_video(tmp_path / "a.avi", plain_frames(2))
    with pytest.raises(FerError, match="more than 19,040 pixels"):
        Decoder(tmp_path / "a.avi", Limits(video_pixels=160 * 119))


def test_damaged_frame_does_not_end_the_video(tmp_path):
    images = [encode(image, ".png") for image in plain_frames(5, 64, 48)]
    images[2] = images[2][:40] + b"\xff" * 40 + images[2][80:]
    path = written(tmp_path / "a.mov", images)
    assert len(list(VideoFile("a", lambda: Decoder(path, LIMITS), notify=[].append))) >= 4


@pytest.mark.parametrize(
    "data",
    [
        b"\x1aE\xdf\xa3\nv=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 26\n",
        b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n",
        b"ffconcat version 1.0\nfile other.avi\n",
        b"letters\n" * 100,
    ],
    ids=["sdp", "m3u", "concat", "text"],
)
def test_other_formats_are_refused(tmp_path, data):
    encode_video(tmp_path / "other.avi", plain_frames(2))
    (tmp_path / "upload").write_bytes(data)
    with pytest.raises(FerError, match="not a video"):
        Decoder(tmp_path / "upload", LIMITS)
