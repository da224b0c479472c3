"""Recorded videos: H.264 for browsers, each frame at its own time, whatever the rate of the source."""

import os
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from fer import FerError
from fer.video import writer
from fer.video.video_file import VideoFile
from fer.video.writer import VideoWriter, fit


def grey(level, shape=(48, 64)):
    return np.full((*shape, 3), level, np.uint8)


def written(path, times, **options):
    with VideoWriter(path, **options) as video:
        for i, seconds in enumerate(times):
            video.write(grey(20 * i % 240), seconds)
    return path


def read(path):
    """The times of a video's frames, and their mean grey."""
    with VideoFile(path) as video:
        return zip(*[(frame.seconds, round(frame.image.mean())) for frame in video], strict=True)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
@pytest.mark.parametrize("fps", [12.5, 29.97, 90.123])
def test_every_frame_is_written_once_at_its_time(tmp_path, suffix, fps):
    path = written(tmp_path / f"deeper/out{suffix}", [i / fps for i in range(25)])
    times, levels = read(path)
    assert times == pytest.approx([i / fps for i in range(25)], abs=0.0006 if suffix == ".mkv" else 1e-4)
    assert levels == pytest.approx([20 * i % 240 for i in range(25)], abs=6)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert file.duration / av.time_base == pytest.approx(25 / fps, abs=0.002)  # the last frame stands as long
        if suffix != ".mkv":
            assert float(stream.average_rate) == pytest.approx(fps, rel=2e-3)


def test_bursts_and_pauses_of_a_file_stay_as_they_are(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 0.4, 10.4, 10.5, 10.6, 10.61, 10.8]
    assert next(iter(read(written(tmp_path / "out.mp4", times)))) == pytest.approx(times, abs=1e-4)


def test_an_outage_of_a_camera_is_shortened(tmp_path):
    times = [0, 0.1, 3600.1, 3600.2, 3601.2, 7201.2]
    path = written(tmp_path / "out.mp4", times, longest_still=writer.LONGEST_STILL)
    assert next(iter(read(path))) == pytest.approx([0, 0.1, 2.1, 2.2, 3.2, 5.2], abs=1e-4)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_the_recording_of_a_camera_survives_a_crash(tmp_path, suffix):
    path = tmp_path / f"out{suffix}"
    with VideoWriter(path, longest_still=writer.LONGEST_STILL) as video:
        for i in range(600):
            video.write(np.random.default_rng(i).integers(0, 256, (120, 160, 3), np.uint8), i / 25)
        shutil.copy(path, tmp_path / f"crash{suffix}")  # what is on the disk so far
    assert len(next(read(path))) == 600
    times, _ = read(tmp_path / f"crash{suffix}")
    assert 250 < len(times) < 600


def test_frames_that_share_a_moment_are_all_there(tmp_path):
    times, levels = read(written(tmp_path / "out.mp4", [0, 0, 0, 0.1, 0.05]))
    assert len(levels) == 5
    assert list(times) == sorted(set(times))


@pytest.mark.parametrize("count", [0, 1])
def test_hardly_any_frames(tmp_path, count):
    path = written(tmp_path / "out.mp4", [0.0] * count)
    assert path.exists() == bool(count)
    if count:
        assert len(list(VideoFile(path))) == count


def test_a_frame_of_another_size_is_fitted_in(tmp_path):
    with VideoWriter(tmp_path / "out.mp4") as video:
        video.write(grey(200), 0.0)
        video.write(grey(200, (96, 96)), 0.1)
    _, levels = read(tmp_path / "out.mp4")
    assert levels == pytest.approx([200, 150], abs=4)  # three quarters of the width


@pytest.mark.parametrize(
    ("shape", "most", "size"),
    [((49, 65), None, (64, 48)), ((480, 641), 320, (320, 238)), ((1, 1), None, (2, 2)), ((48, 64), 1280, (64, 48))],
)
def test_sides_are_even_and_no_wider_than_asked(tmp_path, shape, most, size):
    with VideoWriter(tmp_path / "out.mp4", max_width=most) as video:
        video.write(grey(100, shape), 0.0)
    with VideoFile(tmp_path / "out.mp4") as video:
        assert video.size == size


def test_an_odd_row_is_left_out_not_blurred():
    image = np.random.default_rng(0).integers(0, 256, (49, 65, 3), np.uint8)
    np.testing.assert_array_equal(fit(image, (64, 48)), image[:48, :64])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk at hand")
def test_a_full_disk_is_one_error(tmp_path):
    (tmp_path / "out.mkv").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 256, (200, 120, 160, 3), np.uint8)

    def write():
        with VideoWriter(tmp_path / "out.mkv") as video:
            for i, image in enumerate(noise):
                video.write(image, i / 10)

    with pytest.raises(FerError, match=r"out.mkv: cannot be written"):
        write()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk at hand")
def test_a_disk_that_is_full_at_the_very_end_is_one_error(tmp_path):
    (tmp_path / "out.mkv").symlink_to("/dev/full")
    video = VideoWriter(tmp_path / "out.mkv")
    video.write(np.zeros((16, 16, 3), np.uint8), 0)  # still in memory
    with pytest.raises(FerError, match=r"out.mkv: cannot be written"):
        video.__exit__()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no colons in names")
def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoWriter("10:30.mp4") as video:
        video.write(np.zeros((16, 16, 3), np.uint8), 0)
    assert (tmp_path / "10:30.mp4").stat().st_size > 0


def test_refused(tmp_path):
    with pytest.raises(FerError, match=r"out.gif: videos are written as .mp4, .mkv, .mov"):
        VideoWriter(tmp_path / "out.gif")
    with pytest.raises(FerError, match=r"out.avi: videos are written as"):
        VideoWriter(tmp_path / "out.avi")
    (tmp_path / "file").touch()
    with pytest.raises(FerError, match="cannot be written"):
        VideoWriter(tmp_path / "file" / "out.mp4")
