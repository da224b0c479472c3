"""Video files as people have them: streams beside the video, times, headers, empty frames; and what is no video."""

import logging
import struct
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image
from support.image_files import exif
from support.numbered import numbers, picture

from fer import FerError
from fer.video.sources import open_source
from fer.video.video_file import VideoFile

RATE = 10
PICTURES = [picture(i) for i in range(12)]
COVER = [np.full((200, 200, 3), (0, 0, 255), np.uint8)]


def muxed(path, *videos, begins=0.0, sound=0.0, times=None):
    """Writes a file of several video streams, (images, codec, disposition) each, and of silence of some seconds."""
    with av.open(str(path), "w") as file:
        audio = file.add_stream("aac", rate=48000) if sound else None
        streams = [file.add_stream(codec, rate=RATE, options={"g": "12", "bf": "0"}) for _, codec, _ in videos]
        for stream, (images, codec, disposition) in zip(streams, videos, strict=True):
            stream.height, stream.width = images[0].shape[:2]
            stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
            stream.codec_context.time_base = Fraction(1, RATE if path.suffix == ".avi" else 1000)
            stream.disposition = disposition
        for i in range(int(48000 * sound) // 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            frame.rate, frame.pts, frame.time_base = 48000, 1024 * i, Fraction(1, 48000)
            file.mux(audio.encode(frame))
        if audio:
            file.mux(audio.encode(None))
        for stream, (images, _, _) in zip(streams, videos, strict=True):
            for i, image in enumerate(images):
                frame = av.VideoFrame.from_ndarray(image, format="bgr24")
                seconds = begins + (i / RATE if times is None else times[i])
                frame.pts, frame.time_base = round(1000 * seconds), Fraction(1, 1000)
                file.mux(stream.encode(frame))
            file.mux(stream.encode(None))
    return path


def plain(path, **options):
    return muxed(path, (PICTURES, "libx264", Disposition.default), **options)


def copied(source, path, *, before=0.0, left_out=0):
    """The packets of a video, not encoded again: times moved back by `before` seconds, the first packets left out."""
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        packets = [packet for packet in old.demux(video=0) if packet.dts is not None]
        for packet in packets[left_out:]:
            packet.pts, packet.dts = (time - round(before / packet.time_base) for time in (packet.pts, packet.dts))
            packet.stream = stream
            new.mux(packet)
    return path


def read(path):
    with VideoFile(path) as video:
        frames = list(video)
        return numbers(frames), [frame.seconds for frame in frames], video.damage


class TestSeveralStreams:
    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
    def test_a_cover_image_is_not_the_video(self, tmp_path, name):
        cover, video = (COVER, "mjpeg", Disposition.attached_pic), (PICTURES, "libx264", Disposition.default)
        assert read(muxed(tmp_path / name, cover, video))[0] == list(range(12))

    def test_sound_with_a_cover_image_is_no_video(self, tmp_path):
        with av.open(str(tmp_path / "song.mp3"), "w") as file:
            sound, cover = file.add_stream("libmp3lame", rate=44100), file.add_stream("mjpeg", rate=RATE)
            cover.width = cover.height = 200
            cover.pix_fmt, cover.disposition = "yuvj420p", Disposition.attached_pic
            file.mux(cover.encode(av.VideoFrame.from_ndarray(COVER[0], format="bgr24")))
            file.mux(cover.encode(None))
            for i in range(20):
                frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), format="s16p", layout="mono")
                frame.rate, frame.pts, frame.time_base = 44100, 1152 * i, Fraction(1, 44100)
                file.mux(sound.encode(frame))
            file.mux(sound.encode(None))
        with pytest.raises(FerError, match=r"song\.mp3: a sound file with a cover image; it holds no video$"):
            VideoFile(tmp_path / "song.mp3")

    def test_a_choice_between_videos_is_said(self, tmp_path, caplog):
        small = [cv2.resize(image, (96, 48)) for image in PICTURES]
        main, other = (PICTURES, "libx264", Disposition.default), (small, "libx264", Disposition(0))
        with caplog.at_level(logging.WARNING):
            found, _, damage = read(muxed(tmp_path / "a.mp4", main, other))
        assert found == list(range(12))
        assert [record.getMessage() for record in caplog.records] == [
            f"{tmp_path / 'a.mp4'}: 2 video streams; number 1, 192x96, is read"
        ]
        assert damage == ""


class TestTimes:
    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
    def test_a_video_that_begins_after_its_sound_keeps_its_place(self, tmp_path, name):
        found, seconds, damage = read(plain(tmp_path / name, begins=3.0, sound=5.0))
        assert found == list(range(12))
        assert seconds == pytest.approx(3 + np.arange(12) / RATE, abs=0.05)
        assert damage == ""

    @pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
    def test_a_video_without_sound_begins_at_0(self, tmp_path, name):
        assert read(plain(tmp_path / name, begins=3.0))[1] == pytest.approx(np.arange(12) / RATE, abs=2e-3)

    @pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
    def test_a_rate_that_varies_is_no_damage(self, tmp_path, name):
        times = [0, 0.1, 0.2, 0.3, 5.3, 5.4, 5.5, 9.5, 9.6, 9.7, 9.8, 9.9]
        assert read(plain(tmp_path / name, times=times))[1:] == (pytest.approx(times, abs=2e-3), "")

    @pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
    def test_sound_that_goes_on_after_the_video_is_no_damage(self, tmp_path, name):
        assert read(plain(tmp_path / name, sound=6.0))[2] == ""

    def test_frames_that_an_edit_list_hides_are_no_damage(self, tmp_path):
        """A trimmed MP4 keeps the frames from the key frame on, and hides those before the cut."""
        path = copied(plain(tmp_path / "whole.mp4"), tmp_path / "trimmed.mp4", before=0.5)
        found, seconds, damage = read(path)
        assert found == list(range(5, 12))
        assert seconds == pytest.approx(np.arange(7) / RATE, abs=2e-3)
        assert damage == ""

    def test_a_beginning_that_cannot_be_decoded_is_said(self, tmp_path):
        images = [picture(i) for i in range(24)]
        whole = muxed(tmp_path / "whole.mp4", (images, "libx264", Disposition.default))
        found, _, damage = read(copied(whole, tmp_path / "late.mp4", left_out=5))
        assert found == list(range(12, 24))
        assert "late.mp4: the first 0.7 seconds cannot be decoded" in damage


def test_avi_frames_of_no_bytes_are_no_damage(tmp_path):
    """Capture programs write a frame of no bytes where they dropped one; players repeat the one before."""
    data = muxed(tmp_path / "a.avi", (PICTURES, "mjpeg", Disposition.default)).read_bytes()
    start = data.index(b"movi") + 4
    movie, at = b"", start
    for i in range(len(PICTURES)):
        size = struct.unpack("<I", data[at + 4 : at + 8])[0]
        movie += b"00dc\0\0\0\0" if i in (3, 4, 8) else data[at : at + 8 + size + size % 2]
        at += 8 + size + size % 2
    path = tmp_path / "dropped.avi"
    path.write_bytes(data[: start - 8] + struct.pack("<I", 4 + len(movie)) + b"movi" + movie)
    found, seconds, damage = read(path)
    assert found == [0, 1, 2, 5, 6, 7, 9, 10, 11]
    assert seconds == pytest.approx(np.array(found) / RATE)
    assert damage == ""


def test_a_frame_with_exif_is_turned(tmp_path):
    """Cameras write EXIF into the frames of MJPEG, which FFmpeg hands on as side data that PyAV does not know."""
    data = []
    for image in PICTURES[:3]:
        jpeg = cv2.imencode(".jpg", image)[1].tobytes()
        data.append(jpeg[:2] + exif(6) + jpeg[2:])
    with av.open(str(tmp_path / "a.avi"), "w") as file:
        stream = file.add_stream("mjpeg", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 96, 192, "yuvj420p"
        for i, jpeg in enumerate(data):
            packet = av.Packet(jpeg)
            packet.pts = packet.dts = i
            packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, RATE), stream, True
            file.mux(packet)
    with VideoFile(tmp_path / "a.avi") as video:
        images = [frame.image for frame in video]
    assert [image.shape for image in images] == [(192, 96, 3)] * 3
    assert np.abs(images[1].astype(int) - cv2.rotate(PICTURES[1], cv2.ROTATE_90_CLOCKWISE)).mean() < 10


class TestImages:
    @pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".avif"])
    def test_an_image_is_no_video(self, tmp_path, suffix):
        path = tmp_path / f"photo{suffix}"
        cv2.imwrite(str(path), PICTURES[0])
        with pytest.raises(FerError, match=r"photo\.\w+: an image, not a video; predict_folder\.py labels images$"):
            VideoFile(path)

    def test_a_heic_image_is_no_video(self, tmp_path):
        """FFmpeg gives one tile of it."""
        heif = pytest.importorskip("pillow_heif")
        heif.from_pillow(Image.fromarray(PICTURES[0])).save(tmp_path / "photo.heic")
        with pytest.raises(FerError, match="an image, not a video"):
            VideoFile(tmp_path / "photo.heic")

    @pytest.mark.parametrize("name", ["a.gif", "a.png", "a.avif"])
    def test_animations_are_videos(self, tmp_path, name):
        first, *others = [Image.fromarray(image) for image in PICTURES]
        first.save(tmp_path / name, save_all=True, append_images=others, duration=100)
        found, seconds, damage = read(tmp_path / name)
        assert (found, damage) == (list(range(12)), "")
        assert seconds == pytest.approx(np.arange(12) / RATE)

    def test_an_animated_webp_names_the_way_on(self, tmp_path):
        first, *others = [Image.fromarray(image) for image in PICTURES]
        first.save(tmp_path / "a.webp", save_all=True, append_images=others)
        with pytest.raises(FerError, match=r"a\.webp: an animated WebP, .* save it as GIF or MP4$"):
            VideoFile(tmp_path / "a.webp")


@pytest.mark.parametrize("name", [" a.mp4", "a.mp4 ", "a\nb.mp4", "a:b.mp4", "%03d 😀.mp4"])
def test_names_of_any_characters(tmp_path, monkeypatch, name):
    plain(tmp_path / "x.mp4").rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with open_source(name) as video:
        assert numbers(video) == list(range(12))
