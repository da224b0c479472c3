"""Cameras: slow, lost and found again. Frames carry their number in pixels."""

import statistics
import threading
import time

import cv2
import numpy as np
import pytest
from support.numbered import number, numbers, picture

from fer import FerError
from fer.video import camera as cameras
from fer.video.camera import Connection, LiveCamera

pytestmark = pytest.mark.slow


class FakeCapture:
    """Gives what it is told: a number as its image, None for a failed read, an exception, or what a call returns."""

    def __init__(self, answers, delay=0.0):
        self.answers, self.delay, self.released = iter(answers), delay, 0
        self.image = None

    def grab(self):
        assert not self.released
        time.sleep(self.delay)
        answer = next(self.answers, None)
        if callable(answer):
            answer = answer()
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, int):
            answer = picture(answer)
        self.image = answer
        return answer is not None

    def retrieve(self):
        return True, self.image

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
        source, _, captures = live([range(4000)], delay=0.01)
        time.sleep(0.3)
        newest, asked = number(captures[0].image), time.monotonic()
        (first,) = [item for item in take(source, 1) if item]
        assert number(first.image) >= newest > 0
        assert 0 <= first.seconds <= time.monotonic() - asked  # not since the camera was opened

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
        assert (waits < 2).all()  # far above the pauses, for busy machines
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
        assert time.monotonic() - begun < 10  # the read hangs for 20
        assert captures[0].released == 0  # the hanging read holds it
        hold[1].set()
        source._thread.join(5)
        assert captures[0].released == 1
        assert len(attempts) == 1

    @pytest.mark.parametrize("left", [None, 2])
    def test_a_read_that_meets_its_time_limit_ends_the_connection(self, log_lines, left):
        def silent():
            time.sleep(0.4)
            return left  # as FFmpeg's reads end, some with a frame that is left in the decoder

        source, attempts, captures = live([[1, *[silent] * 5], range(3, 5000)], patience=0.3, limited=True)
        items = take(source, until=lambda: len(log_lines) == 2)
        assert len(attempts) == 2
        assert len(list(captures[0].answers)) == 4  # and not after the ten failed reads of a hiccup
        assert 2 not in numbers([item for item in items if item])
        assert source.state.losses == 1
        assert captures[0].released == 1
        assert log_lines[0] == "camera lost (camera 7: no frame for 0.3 s), trying again"

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
        assert time.monotonic() - begun < 10  # the pause is 60
