"""Video files and cameras: whole, slow, lost and found again. Frames carry their number in pixels; the network camera
is a real MJPEG server on loopback."""

import math
import os
import signal
import statistics
import struct
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support.mjpeg import Camera
from support.numbered import BAR, BITS, number, numbers, picture

from fer import FerError
from fer.video import sources
from fer.video.sources import LiveSource, VideoFile, open_source

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lines():
    return []


@pytest.fixture(autouse=True)
def _no_thread_stays(request):
    yield
    end = time.monotonic() + 8
    while left := [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]:
        assert time.monotonic() < end, left
        time.sleep(0.02)


def turned(path, matrix):
    """Writes into an MP4 that its picture is to be turned, as telephones do."""
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
    longer[edits : edits + 4] = b"free"  # an edit list that would end the film at its old time
    path.write_bytes(longer)
    return path


class FakeCapture:
    """Gives what it is told: a number as its picture, None for a failed read, an exception, or what a call returns."""

    def __init__(self, answers, delay=0.0, fps=20.0, count=0, positions=None):
        self.answers, self.delay, self.released = iter(answers), delay, 0
        self.values = {cv2.CAP_PROP_FPS: fps, cv2.CAP_PROP_FRAME_COUNT: count}
        self.positions = iter(positions or [])

    def read(self):
        assert not self.released
        time.sleep(self.delay)
        answer = next(self.answers, None)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            answer = picture(answer)
        return answer is not None, answer

    def get(self, what):
        return next(self.positions, 0.0) if what == cv2.CAP_PROP_POS_MSEC else self.values[what]

    def release(self):
        self.released += 1


def interrupt(source):
    with source:
        for _ in source:
            raise KeyboardInterrupt


class TestVideoFile:
    @pytest.mark.parametrize(("name", "fps"), [("a.avi", 20), ("a.mp4", 20), ("a.mp4", 12.5), ("Fußball: 笑.avi", 30)])
    def test_every_frame_in_order_with_its_time(self, make_video, lines, name, fps):
        path = make_video(name, frames=70, fps=fps)
        with open_source(str(path), notify=lines.append) as video:
            assert (video.live, video.fps, video.total, video.size) == (False, fps, 70, (BITS * BAR, 96))
            frames = list(video)
        assert numbers(frames) == [frame.index for frame in frames] == list(range(70))
        np.testing.assert_allclose([frame.seconds for frame in frames], np.arange(70) / fps, atol=2e-3)
        assert {frame.name for frame in frames} == {str(path)}
        assert {(frame.image.dtype.name, frame.image.shape) for frame in frames} == {("uint8", (96, BITS * BAR, 3))}
        assert lines == []

    def test_times_of_a_video_with_changing_speed(self, make_video, lines):
        path = slowed(make_video("phone.mp4", frames=40), at_frame=20, factor=4)
        with open_source(str(path), notify=lines.append) as video:
            seconds = [frame.seconds for frame in video]
        expected = [*(np.arange(20) / 20), *(1 + np.arange(20) / 5)]
        np.testing.assert_allclose(seconds, expected, atol=2e-3)

    @pytest.mark.parametrize(
        ("matrix", "shape", "white"),
        [
            ((0, 1, 0, -1, 0, 0, 0, 0, 1), (BITS * BAR, 96), np.s_[:, -12:]),
            ((-1, 0, 0, 0, -1, 0, 0, 0, 1), (96, BITS * BAR), np.s_[-12:]),
            ((0, -1, 0, 1, 0, 0, 0, 0, 1), (BITS * BAR, 96), np.s_[:, :12]),
        ],
        ids=["90", "180", "270"],
    )
    def test_a_turned_video_comes_upright(self, make_video, lines, matrix, shape, white):
        fixed = [value << (30 if place == 8 else 16) for place, value in enumerate(matrix)]
        path = turned(make_video("phone.mp4", frames=3), fixed)
        with open_source(str(path), notify=lines.append) as video:
            images = [frame.image for frame in video]
            assert video.size == shape[::-1]
        assert [image.shape[:2] for image in images] == [shape] * 3
        assert all(image[white].mean() > 240 for image in images)

    @pytest.mark.parametrize(
        ("positions", "expected"),
        [
            ([0, 50, 100, 150], [0, 0.05, 0.1, 0.15]),
            ([40, 50, 100, 150], [0.04, 0.05, 0.1, 0.15]),
            ([0, 0, 0, 0], [0, 0.1, 0.2, 0.3]),
            ([-50, -1e15, math.nan, math.inf], [0, 0.1, 0.2, 0.3]),
            ([0, 700, 20, 900], [0, 0.7, 0.8, 0.9]),  # two recordings in one file
        ],
    )
    def test_times_increase_whatever_the_file_says(self, lines, positions, expected):
        fake = FakeCapture(range(4), fps=10, positions=positions)
        with VideoFile("fake", lambda: fake, notify=lines.append) as video:
            np.testing.assert_allclose([frame.seconds for frame in video], expected)

    @pytest.mark.parametrize("fps", [0.0, -1.0, 1000.0, 90000.0, math.nan, math.inf])
    def test_a_rate_that_cannot_be(self, lines, fps):
        with VideoFile("fake", lambda: FakeCapture(range(3), fps=fps), notify=lines.append) as video:
            assert video.fps is None
            assert [frame.seconds for frame in video] == [0, 1 / 25, 2 / 25]

    @pytest.mark.parametrize("count", [0, -9.2e18, 3, 60, 1e12, math.nan])
    def test_the_count_in_the_header_stops_nothing(self, lines, count):
        with VideoFile("fake", lambda: FakeCapture(range(60), count=count), notify=lines.append) as video:
            assert video.total == (int(count) if count in (3, 60) else None)
            assert numbers(video) == list(range(60))
        assert lines == []

    @pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
    def test_a_file_cut_short_ends_with_a_line(self, make_video, lines, share):
        path = make_video(frames=60)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        with open_source(str(path), notify=lines.append) as video:
            found = numbers(video)
        assert found == list(range(len(found)))
        assert 60 * share - 20 < len(found) < 60
        assert lines == [f"{path}: ends after {len(found)} of 60 frames; the file is cut short or damaged"]

    def test_closing(self, make_video, lines):
        path = str(make_video())
        video = open_source(path, notify=lines.append)
        video.close()
        video.close()
        assert list(video) == []
        with open_source(path, notify=lines.append) as video:
            frames = iter(video)
            next(frames)
            video.close()
            assert list(frames) == []
        assert lines == []  # it was not the file that ended

    def test_whatever_ends_the_loop_releases_the_file(self, lines):
        fakes = [FakeCapture(range(9)) for _ in range(3)]
        for _ in VideoFile("fake", lambda: fakes[0], notify=lines.append):
            break
        list(VideoFile("fake", lambda: fakes[1], notify=lines.append))
        with pytest.raises(KeyboardInterrupt):
            interrupt(VideoFile("fake", lambda: fakes[2], notify=lines.append))
        assert [fake.released for fake in fakes] == [1, 1, 1]

    def test_no_frame_at_all(self, lines):
        fake = FakeCapture([])
        with pytest.raises(FerError, match="not one frame"):
            VideoFile("fake", lambda: fake, notify=lines.append)
        assert fake.released == 1


def live(answers, lines, *, delay=0.005, **options):
    """A camera of fakes: each list of answers is one connection, None a failed attempt to open."""
    attempts, captures = [], []

    def open_capture():
        attempts.append(time.monotonic())
        connection = next(connections, None)
        if connection is None:
            raise FerError("not there")
        captures.append(FakeCapture(connection, delay))
        return captures[-1]

    connections = iter(answers)
    options = {"pauses": (0.02, 0.08), **options}
    source = LiveSource("7", open_capture, notify=lines.append, **options)
    return source, attempts, captures


def take(source, wanted=None, until=lambda: False):
    """Items of a source until there are so many frames, or something else has happened."""
    items, end = [], time.monotonic() + 20
    for item in source:
        items.append(item)
        if sum(item is not None for item in items) == wanted or until():
            break
        assert time.monotonic() < end
    return items


class TestLiveSource:
    def test_frames(self, lines):
        source, _, captures = live([range(10_000)], lines, delay=0.02)
        assert (source.live, source.name, source.total, source.fps, source.size) == (True, "7", None, 20, (192, 96))
        asked = time.monotonic()
        items = take(source, 10)
        frames = [item for item in items if item]
        assert [frame.index for frame in frames] == list(range(10))
        assert numbers(frames) == sorted(set(numbers(frames)))
        seconds = [frame.seconds for frame in frames]
        assert seconds == sorted(set(seconds))
        assert seconds[0] >= 0
        assert seconds[-1] <= time.monotonic() - asked
        assert captures[0].released == 1
        assert lines == []

    def test_the_first_frame_is_not_older_than_the_question(self, lines):
        source, _, _ = live([range(10_000)], lines, delay=0.01)
        time.sleep(0.3)
        (first,) = [item for item in take(source, 1) if item]
        assert number(first.image) > 5
        assert 0 <= first.seconds < 0.2

    def test_a_slow_reader_gets_the_newest(self, lines):
        now = [0]

        def count():
            now[0] += 1
            return now[0] % 4096

        source, _, _ = live([iter(lambda: count, None)], lines, delay=0.01)
        for frame in source:
            if frame is None:
                continue
            assert now[0] - number(frame.image) <= 12  # on a busy machine; a queue would be 20, 40, 60 ... behind
            if frame.index == 4:
                break
            time.sleep(0.2)
        assert now[0] > 40

    def test_grey_and_deep_cameras(self, lines):
        grey = picture(5)[..., 0]
        for image in (grey, grey[..., None], picture(5).astype(np.uint16) * 257, grey.astype(np.uint16) * 257):
            source, _, _ = live([[image] * 1000], lines)
            (frame,) = [item for item in take(source, 1) if item]
            np.testing.assert_array_equal(frame.image, picture(5))

    def test_ticks_while_nothing_comes(self, lines):
        hold = threading.Event()
        source, _, captures = live([[1, lambda: hold.wait(20)]], lines)
        times = []
        for item in source:
            assert item is None
            times.append(time.monotonic())
            if len(times) == 10:
                hold.set()
                break
        assert statistics.median(np.diff(times)) < 0.1
        assert captures[0].released == 1
        assert lines == []  # it is not that long yet

    def test_one_failed_read_is_not_a_loss(self, lines):
        hiccups = [1, None, 2, cv2.error("half a picture"), 3, np.zeros((0, 0, 3), np.uint8)] * 500
        source, attempts, _ = live([hiccups], lines)
        assert len([item for item in take(source, 5) if item]) == 5
        assert len(attempts) == 1
        assert lines == []

    def test_a_lost_camera_is_tried_again_ever_more_slowly(self, lines):
        source, attempts, captures = live([range(20), None, None, None, None, range(5000)], lines)
        items = take(source, until=lambda: len(lines) == 2)
        assert [frame.index for frame in items if frame] == list(range(sum(item is not None for item in items)))
        assert len(attempts) == 6
        waits = np.diff(attempts)[1:]  # the first holds the pictures, too
        assert (waits >= [0.04, 0.08, 0.08, 0.08]).all()
        assert (waits < 0.5).all()
        assert [capture.released for capture in captures] == [1, 1]
        assert len(lines) == 2
        assert lines[0] == "camera lost (camera 7: reading failed), trying again"
        assert lines[1].startswith("camera is back after 0.")
        assert float(lines[1].split()[4]) >= 0.2  # the pauses

    def test_a_camera_that_comes_for_moments_is_not_tried_faster(self, lines):
        source, attempts, _ = live([[1], [2], [3], [4], None], lines, pauses=(0.02, 0.16))
        take(source, until=lambda: len(attempts) == 6)
        waits = np.diff(attempts)
        assert (waits >= [0.02, 0.04, 0.08, 0.16, 0.16]).all()

    def test_a_read_that_hangs_is_announced_and_closing_does_not_wait_for_it(self, lines, monkeypatch):
        monkeypatch.setattr(sources, "FAREWELL", 0.2)
        hold = [threading.Event(), threading.Event()]
        answers = [1, lambda: hold[0].wait(20) and 2, *range(3, 40), lambda: hold[1].wait(20) and None]
        source, attempts, captures = live([answers], lines, patience=0.3)
        seen = []
        for frame in source:
            if frame:
                seen.append(number(frame.image))
            elif len(lines) == 1:
                assert seen == []
                hold[0].set()
            elif len(lines) == 3:
                break
        assert seen == sorted(seen)
        assert lines[0] == lines[2] == "camera lost (camera 7: no picture for 0.3 s), trying again"
        assert lines[1].startswith("camera is back after ")
        begun = time.monotonic()
        source.close()
        assert time.monotonic() - begun < 1
        assert captures[0].released == 0  # the hanging read holds it
        hold[1].set()
        source._thread.join(5)
        assert captures[0].released == 1
        assert len(attempts) == 1

    def test_a_camera_without_pictures_is_refused(self, lines):
        with pytest.raises(FerError, match="camera 7: can be opened but gives no picture"):
            live([[]], lines)
        with pytest.raises(FerError, match="not there"):
            live([], lines)
        with pytest.raises(FerError, match=r"camera 7: gave no picture within 0\.1 s"):
            live([[lambda: time.sleep(0.5)]], lines, start=0.1)

    def test_a_bug_in_the_thread_reaches_the_reader(self, lines):
        source, _, captures = live([[*range(20), ZeroDivisionError()]], lines)
        with pytest.raises(ZeroDivisionError):
            take(source)
        assert captures[0].released == 1

    def test_whatever_ends_the_loop_closes_it(self, lines):
        source, _, captures = live([range(5000)], lines)
        with pytest.raises(KeyboardInterrupt):
            interrupt(source)
        assert captures[0].released == 1
        source.close()
        assert list(source) == []

    def test_closing_during_the_pause_after_a_loss(self, lines):
        source, _, _ = live([range(20)], lines, pauses=(60, 60))
        for _ in source:
            if lines:
                break
        begun = time.monotonic()
        source.close()
        assert time.monotonic() - begun < 1


@pytest.fixture
def camera():
    camera = Camera(lambda i: picture(i % 4096))
    camera.start()
    yield camera
    camera.stop()


class TestNetworkCamera:
    def test_it_stops_and_returns(self, camera, lines):
        before, gap, after, times = [], [], [], []
        with open_source(camera.address(), notify=lines.append) as source:
            assert (source.live, source.total, source.size) == (True, None, (192, 96))
            for frame in source:
                times.append(time.monotonic())
                if not lines:
                    before += [frame] if frame else []
                    if len(before) == 10:
                        camera.stop()
                elif len(lines) == 1:
                    gap.append(frame)
                    if len(gap) == 15:
                        camera.start()
                else:
                    after += [frame] if frame else []
                    if len(after) == 10:
                        break
        assert len(lines) == 2
        assert lines[0].startswith(f"camera lost ({camera.address()}: ")
        assert lines[1].startswith("camera is back after ")
        assert set(gap) == {None}
        assert statistics.median(np.diff(times)) < 0.1
        assert max(np.diff(times)) < 1
        frames = before + after
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert numbers(frames) == sorted(set(numbers(frames)))
        assert after[0].seconds - before[-1].seconds > 0.5

    def test_a_slow_reader_never_falls_behind(self, camera, lines):
        late = []
        with open_source(camera.address(), notify=lines.append) as source:
            for frame in source:
                if frame:
                    late.append(camera.sent - 1 - number(frame.image))
                    if frame.index == 8:
                        break
                    time.sleep(0.25)  # 12 pictures: a queue would be 12, 24, 36 ... behind
        assert max(late[1:]) <= 10
        assert camera.sent > 60

    def test_closing_while_the_camera_is_silent(self, camera, lines):
        with open_source(camera.address(), notify=lines.append) as source:
            for frame in source:
                if frame:
                    camera.stalled.set()
                elif camera.stalled.is_set():
                    break
            begun = time.monotonic()
        assert time.monotonic() - begun < sources.FAREWELL + 1
        camera.stalled.clear()

    def test_a_login_is_used_and_not_shown(self, camera, lines):
        with open_source(camera.address("/locked?pwd=hush", "ann:hush@"), notify=lines.append) as source:
            assert source.name == f"http://***@127.0.0.1:{camera.port}/locked?pwd=***"
            assert "hush" not in source._thread.name
            for frame in source:
                if frame:
                    assert frame.name == source.name
                    camera.stop()
                if lines:
                    break
        assert camera.logins[-1] == "Basic YW5uOmh1c2g="
        assert "hush" not in lines[0]
        camera.start()

    def test_an_address_that_hangs(self, camera, lines, monkeypatch):
        monkeypatch.setattr(sources, "PATIENCE", 0.5)
        camera.stalled.set()
        begun = time.monotonic()
        with pytest.raises(FerError, match=r"no video can be opened there \(tried .*FFMPEG"):
            open_source(camera.address(), notify=lines.append)
        assert time.monotonic() - begun < 4

    @pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")
    def test_ctrl_c_while_the_camera_is_silent(self, camera):
        """The process ends at once, and as cleanly as it can."""
        script = textwrap.dedent(
            """
            import signal, sys
            from fer.cli.common import run
            from fer.video.sources import open_source

            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore

            def main(address):
                with open_source(address, notify=print) as source:
                    for frame in source:
                        print("none" if frame is None else frame.index, flush=True)

            run(main, lambda: sys.argv[1])
            """
        )
        child = subprocess.Popen(
            [sys.executable, "-c", script, camera.address()],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while child.stdout.readline() != "3\n":
                assert child.poll() is None
            camera.stalled.set()
            while child.stdout.readline() != "none\n":
                assert child.poll() is None
            begun = time.monotonic()
            child.send_signal(signal.SIGINT)
            _, said = child.communicate(timeout=20)
            assert time.monotonic() - begun < sources.FAREWELL + 3  # a busy machine; the read itself would end after 5
            assert (child.returncode, said) == (130, "interrupted\n")
        finally:
            child.kill()
            child.communicate()
