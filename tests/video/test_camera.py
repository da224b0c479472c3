"""Cameras: slow, lost and found again. Frames carry their number in pixels; the network camera is a real MJPEG server
on loopback."""

import os
import signal
import statistics
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
from support.numbered import number, numbers, picture

from fer import FerError
from fer.video import camera as cameras
from fer.video.camera import Connection, LiveCamera
from fer.video.sources import open_source

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    end = time.monotonic() + 8
    while left := [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]:
        assert time.monotonic() < end, left
        time.sleep(0.02)


class FakeCapture:
    """Gives what it is told: a number as its image, None for a failed read, an exception, or what a call returns."""

    def __init__(self, answers, delay=0.0):
        self.answers, self.delay, self.released = iter(answers), delay, 0

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
        return {cv2.CAP_PROP_FPS: 20.0}[what]

    def release(self):
        self.released += 1


def interrupt(source):
    with source:
        for _ in source:
            raise KeyboardInterrupt


def live(answers, *, delay=0.005, **options):
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
    source = LiveCamera("7", open_capture, **options)
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


class TestLiveCamera:
    def test_frames(self, log_lines):
        source, _, captures = live([range(10_000)], delay=0.02)
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
        assert log_lines == []

    def test_the_first_frame_is_not_older_than_the_question(self):
        source, _, _ = live([range(10_000)], delay=0.01)
        time.sleep(0.3)
        (first,) = [item for item in take(source, 1) if item]
        assert number(first.image) > 5
        assert 0 <= first.seconds < 0.2

    def test_a_slow_reader_gets_the_newest(self):
        now = [0]

        def count():
            now[0] += 1
            return now[0] % 4096

        source, _, _ = live([iter(lambda: count, None)], delay=0.01)
        for frame in source:
            if frame is None:
                continue
            assert now[0] - number(frame.image) <= 12  # on a busy machine; a queue would be 20, 40, 60 ... behind
            if frame.index == 4:
                break
            time.sleep(0.2)
        assert now[0] > 40

    def test_grey_and_deep_cameras(self):
        grey = picture(5)[..., 0]
        for image in (grey, grey[..., None], picture(5).astype(np.uint16) * 257, grey.astype(np.uint16) * 257):
            source, _, _ = live([[image] * 1000])
            (frame,) = [item for item in take(source, 1) if item]
            np.testing.assert_array_equal(frame.image, picture(5))

    def test_ticks_while_nothing_comes(self, log_lines):
        hold = threading.Event()
        source, _, captures = live([[1, lambda: hold.wait(20)]])
        times = []
        for item in source:
            assert item is None
            times.append(time.monotonic())
            if len(times) == 10:
                hold.set()
                break
        assert statistics.median(np.diff(times)) < 0.1
        assert captures[0].released == 1
        assert log_lines == []  # it is not that long yet

    def test_one_failed_read_is_not_a_loss(self, log_lines):
        hiccups = [1, None, 2, cv2.error("half a picture"), 3, np.zeros((0, 0, 3), np.uint8)] * 500
        source, attempts, _ = live([hiccups])
        assert len([item for item in take(source, 5) if item]) == 5
        assert len(attempts) == 1
        assert log_lines == []

    def test_a_lost_camera_is_tried_again_ever_more_slowly(self, log_lines):
        source, attempts, captures = live([range(20), None, None, None, None, range(5000)])
        items = take(source, until=lambda: len(log_lines) == 2)
        assert [frame.index for frame in items if frame] == list(range(sum(item is not None for item in items)))
        assert len(attempts) == 6
        waits = np.diff(attempts)[1:]  # the first holds the images, too
        assert (waits >= [0.04, 0.08, 0.08, 0.08]).all()
        assert (waits < 0.5).all()
        assert [capture.released for capture in captures] == [1, 1]
        assert len(log_lines) == 2
        assert (source.state.connection, source.state.losses) == (Connection.LIVE, 1)
        assert log_lines[0] == "camera lost (camera 7: reading failed), trying again"
        assert log_lines[1].startswith("camera is back after 0.")
        assert float(log_lines[1].split()[4]) >= 0.2  # the pauses

    def test_a_camera_that_comes_for_moments_is_not_tried_faster(self):
        source, attempts, _ = live([[1], [2], [3], [4], None], pauses=(0.02, 0.16))
        take(source, until=lambda: len(attempts) == 6)
        waits = np.diff(attempts)
        assert (waits >= [0.02, 0.04, 0.08, 0.16, 0.16]).all()

    def test_a_read_that_hangs_is_announced_and_closing_does_not_wait_for_it(self, log_lines, monkeypatch):
        monkeypatch.setattr(cameras, "FAREWELL", 0.2)
        hold = [threading.Event(), threading.Event()]
        answers = [1, lambda: hold[0].wait(20) and 2, *range(3, 40), lambda: hold[1].wait(20) and None]
        source, attempts, captures = live([answers], patience=0.3)
        seen = []
        for frame in source:
            if frame:
                seen.append(number(frame.image))
            elif len(log_lines) == 1:
                assert seen == []
                hold[0].set()
            elif len(log_lines) == 3:
                break
        assert seen == sorted(seen)
        assert log_lines[0] == log_lines[2] == "camera lost (camera 7: no frame for 0.3 s), trying again"
        assert log_lines[1].startswith("camera is back after ")
        begun = time.monotonic()
        source.close()
        assert time.monotonic() - begun < 1
        assert captures[0].released == 0  # the hanging read holds it
        hold[1].set()
        source._thread.join(5)
        assert captures[0].released == 1
        assert len(attempts) == 1

    def test_camera_without_frames_is_refused(self):
        with pytest.raises(FerError, match="camera 7: can be opened but gives no frame"):
            live([[]])
        with pytest.raises(FerError, match="not there"):
            live([])
        with pytest.raises(FerError, match=r"camera 7: gave no frame within 0\.1 s"):
            live([[lambda: time.sleep(0.5)]], start=0.1)

    def test_a_bug_in_the_thread_reaches_the_reader(self):
        source, _, captures = live([[*range(20), ZeroDivisionError()]])
        with pytest.raises(ZeroDivisionError):
            take(source)
        assert captures[0].released == 1

    def test_whatever_ends_the_loop_closes_it(self):
        source, _, captures = live([range(5000)])
        with pytest.raises(KeyboardInterrupt):
            interrupt(source)
        assert captures[0].released == 1
        source.close()
        assert list(source) == []

    def test_closing_during_the_pause_after_a_loss(self):
        source, _, _ = live([range(20)], pauses=(60, 60))
        for _ in source:
            if source.state.connection is Connection.LOST:
                break
        assert source.state.reason == "reading failed"
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
    def test_it_stops_and_returns(self, camera, log_lines):
        before, gap, after, times = [], [], [], []
        with open_source(camera.address()) as source:
            assert (source.live, source.total, source.size) == (True, None, (192, 96))
            for frame in source:
                times.append(time.monotonic())
                if not log_lines:
                    before += [frame] if frame else []
                    if len(before) == 10:
                        camera.stop()
                elif len(log_lines) == 1:
                    gap.append(frame)
                    if len(gap) == 15:
                        camera.start()
                else:
                    after += [frame] if frame else []
                    if len(after) == 10:
                        break
        assert len(log_lines) == 2
        assert log_lines[0].startswith(f"camera lost ({camera.address()}: ")
        assert log_lines[1].startswith("camera is back after ")
        assert set(gap) == {None}
        assert statistics.median(np.diff(times)) < 0.1
        assert max(np.diff(times)) < 1
        frames = before + after
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert numbers(frames) == sorted(set(numbers(frames)))
        assert after[0].seconds - before[-1].seconds > 0.5

    def test_a_slow_reader_never_falls_behind(self, camera):
        late = []
        with open_source(camera.address()) as source:
            for frame in source:
                if frame:
                    late.append(camera.sent - 1 - number(frame.image))
                    if frame.index == 8:
                        break
                    time.sleep(0.25)  # 12 images: a queue would be 12, 24, 36 ... behind
        assert max(late[1:]) <= 10
        assert camera.sent > 60

    def test_closing_while_the_camera_is_silent(self, camera):
        with open_source(camera.address()) as source:
            for frame in source:
                if frame:
                    camera.stalled.set()
                elif camera.stalled.is_set():
                    break
            begun = time.monotonic()
        assert time.monotonic() - begun < cameras.FAREWELL + 1
        camera.stalled.clear()

    def test_a_login_is_used_and_not_shown(self, camera, log_lines):
        with open_source(camera.address("/locked?pwd=hush", "ann:hush@")) as source:
            assert source.name == f"http://***@127.0.0.1:{camera.port}/locked?pwd=***"
            assert "hush" not in source._thread.name
            for frame in source:
                if frame:
                    assert frame.name == source.name
                    camera.stop()
                if log_lines:
                    break
        assert camera.logins[-1] == "Basic YW5uOmh1c2g="
        assert "hush" not in log_lines[0]
        camera.start()

    def test_an_address_that_hangs(self, camera, monkeypatch):
        monkeypatch.setattr(cameras, "PATIENCE", 0.5)
        camera.stalled.set()
        begun = time.monotonic()
        with pytest.raises(FerError, match=r"no video can be opened there \(tried .*FFMPEG"):
            open_source(camera.address())
        assert time.monotonic() - begun < 4

    @pytest.mark.skipif(os.name == "nt", reason="signals are another thing there")
    def test_ctrl_c_while_the_camera_is_silent(self, camera):
        """The process ends at once, and as cleanly as it can."""
        script = textwrap.dedent(
            """
            import signal, sys
            from fer.cli.terminal import run
            from fer.video.sources import open_source

            signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background jobs ignore

            def main(address):
                with open_source(address) as source:
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
            assert time.monotonic() - begun < cameras.FAREWELL + 3  # a busy machine; the read itself would end after 5
            assert (child.returncode, said) == (130, "interrupted\n")
        finally:
            child.kill()
            child.communicate()
