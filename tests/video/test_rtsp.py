"""A real RTSP camera on loopback, Debian's gst-rtsp-server: labels arrive, it is lost and found, no delay grows."""

import os
import shutil
import signal
import socket
import statistics
import subprocess
import time

import pytest
from support import rtsp_camera
from support.session import FakeClassifier

from fer.inference.detectors import WholeImage
from fer.inference.recognizer import Recognizer
from fer.video.camera import Connection
from fer.video.session import Session, track
from fer.video.sources import open_source

pytestmark = pytest.mark.slow

PYTHON = shutil.which("python3", path="/usr/bin:/bin")
LIMIT = 60  # seconds for anything, on a busy machine
NEEDED = (
    "apt-get install gir1.2-gst-rtsp-server-1.0 python3-gi gstreamer1.0-plugins-base gstreamer1.0-plugins-good "
    "gstreamer1.0-plugins-ugly"
)


class RtspCamera:
    """A server that can stall, die and return, from a port that stays."""

    def __init__(self):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.address = f"rtsp://127.0.0.1:{self.port}/live"

    def start(self):
        command = [PYTHON, rtsp_camera.__file__, str(self.port)]
        self._server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self._server.stdout.readline() != "ready\n":
            pytest.fail(self._server.communicate()[1])

    def stall(self):
        self._server.send_signal(signal.SIGSTOP)

    def stop(self):
        self._server.kill()
        self._server.communicate()


@pytest.fixture
def camera():
    if os.name == "nt" or PYTHON is None:
        pytest.skip("RTSP is tested on Linux")
    check = subprocess.run([PYTHON, rtsp_camera.__file__, "--check"], capture_output=True, text=True, check=False)
    if check.returncode:
        pytest.skip(f"there is no gst-rtsp-server: {NEEDED}")
    camera = RtspCamera()
    camera.start()
    yield camera
    camera.stop()


def delay(image):
    """Seconds since the frame was taken."""
    return (round(1000 * time.monotonic()) - rtsp_camera.taken(image)) % (1 << 24) / 1000


def take(items, wanted):
    """So many frames of an iterator, which stays open."""
    end = time.monotonic() + LIMIT
    found = []
    while len(found) < wanted:
        assert time.monotonic() < end
        found += [frame] if (frame := next(items)) else []
    return found


def wait_for(items, source, connection):
    end = time.monotonic() + LIMIT
    while source.state.connection is not connection:
        assert time.monotonic() < end
        next(items)


def test_labels_arrive(camera):
    recognizer = Recognizer(FakeClassifier(), WholeImage())
    found = []
    for frame, predictions in track(recognizer, camera.address):
        found.append((frame.index, len(predictions), frame.image.shape))
        if len(found) == 10:
            break
    assert found == [(i, 1, (240, 320, 3)) for i in range(10)]


def test_no_delay_grows_however_slow_the_reader_is(camera):
    session = Session(Recognizer(FakeClassifier(), WholeImage()))
    with open_source(camera.address) as source:
        delays = []
        for frame in source:
            if frame is None:
                continue
            delays.append(delay(frame.image))
            session.process(frame)
            time.sleep(0.25)  # four frames: a queue would grow by 0.2 s each time
            if len(delays) == 24:
                break
    early, late = statistics.median(delays[2:8]), statistics.median(delays[-6:])
    assert late < early + 0.3
    assert late < 2


def test_a_server_that_dies_is_announced_and_found_again(camera, log_lines):
    with open_source(camera.address) as source:
        items = iter(source)
        before = take(items, 5)
        camera.stop()
        wait_for(items, source, Connection.LOST)
        camera.start()
        wait_for(items, source, Connection.LIVE)
        after = take(items, 5)
        assert source.state.losses == 1
    assert [frame.index for frame in after] == list(range(after[0].index, after[0].index + 5))
    assert after[0].index > before[-1].index
    assert delay(after[-1].image) < 5
    assert log_lines[0].startswith(f"camera lost ({camera.address}: ")
    assert log_lines[1].startswith("camera is back after ")
    assert len(log_lines) == 2


def test_a_server_that_stalls_without_closing_is_given_up_and_found_again(camera, log_lines):
    with open_source(camera.address) as source:
        items = iter(source)
        take(items, 5)
        camera.stall()
        wait_for(items, source, Connection.LOST)
        assert source.state.reason == "no frame for 5 s"
        camera.stop()  # the old connection never answers again
        camera.start()
        wait_for(items, source, Connection.LIVE)
        take(items, 5)
        assert source.state.losses == 1
    assert len(log_lines) == 2
