"""A network camera, a real MJPEG server on loopback, stops, stalls and returns. Frames carry their number in pixels."""

import os
import signal
import statistics
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
from support.mjpeg import Camera
from support.numbered import number, numbers, picture

from fer import FerError
from fer.video import camera as cameras
from fer.video.sources import open_source

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


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
        assert max(np.diff(times)) < 3  # FFmpeg waits 5 seconds for a camera
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
        assert camera.sent > 40

    def test_it_stalls_without_closing_and_is_found_again(self, camera, log_lines, monkeypatch):
        monkeypatch.setattr(cameras, "PATIENCE", 1.0)
        connections = []
        with open_source(camera.address()) as source:
            before, after = [], []
            for frame in source:
                if not log_lines:
                    before += [frame] if frame else []
                    if len(before) == 5:
                        connections.append(len(camera.logins))
                        camera.stalled.set()
                elif len(log_lines) == 1 and camera.stalled.is_set():
                    if len(camera.logins) > connections[0]:  # it knocks again, although the old connection still stands
                        camera.stalled.clear()
                elif len(log_lines) == 2:
                    after += [frame] if frame else []
                    if len(after) == 5:
                        break
            assert source.state.losses == 1
        assert log_lines[0] == f"camera lost ({camera.address()}: no frame for 1 s), trying again"
        assert log_lines[1].startswith("camera is back after ")
        frames = before + after
        assert [frame.index for frame in frames] == list(range(len(frames)))
        assert numbers(frames) == sorted(set(numbers(frames)))

    def test_closing_while_the_camera_is_silent(self, camera):
        with open_source(camera.address()) as source:
            for frame in source:
                if frame:
                    camera.stalled.set()
                elif camera.stalled.is_set():
                    break
            begun = time.monotonic()
        assert time.monotonic() - begun < cameras.FAREWELL + 3  # a busy machine
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
