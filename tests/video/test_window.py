"""A real OpenCV window on a virtual screen, driven with keys as a person would."""

import os
import shutil
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from support import tiny
from support.mjpeg import Camera

from fer import FerError
from fer.inference import drawing
from fer.video import window
from fer.video.frames import Frame

pytestmark = pytest.mark.gui

PATIENCE = 60  # seconds


def until(condition, what):
    end = time.monotonic() + PATIENCE
    while not (result := condition()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
    return result


@pytest.fixture(scope="module")
def display():
    """The address of a virtual screen."""
    for program in ("Xvfb", "xdotool"):
        if not shutil.which(program):
            pytest.skip(f"{program} is not installed: windows are not tested (apt install xvfb xdotool)")
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "800x600x24", "-nolisten", "tcp"]
    process = subprocess.Popen(command, pass_fds=[write], stderr=subprocess.DEVNULL)
    os.close(write)
    with os.fdopen(read) as number:
        address = f":{number.readline().strip()}"
    yield address
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A minute of video: a bright left half, and a counter in the grey of the right one."""
    path = tmp_path_factory.mktemp("clip") / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(600):
        image = np.full((120, 160, 3), 250, np.uint8)
        image[:, 80:] = i % 200
        writer.write(image)
    writer.release()
    return path


class Player:
    """predict_webcam.py in its window."""

    def __init__(self, display, clip, model, folder, *arguments):
        command = [sys.executable, tiny.ROOT / "predict_webcam.py", "--source", clip, "--model", model]
        command += ["--detector", "none", "--log", folder / "log.csv", *arguments]
        self.folder, self.environment = folder, os.environ | {"DISPLAY": display}
        self.process = subprocess.Popen(
            list(map(str, command)), cwd=folder, env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        until(lambda: self.rows() > 3 or self.process.poll() is not None, "the first frames")
        self.window = self.xdotool("search", "--name", "expressions").split()[0]

    def xdotool(self, *words):
        command = ["xdotool", *words]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def press(self, key):
        self.xdotool("windowfocus", self.window, "key", key)

    def passes(self, seconds):
        """Whether the video goes on for so long."""
        before = self.rows()
        time.sleep(seconds)
        return self.rows() > before

    def rows(self):
        log = self.folder / "log.csv"
        return log.read_text().count("\n") - 1 if log.exists() else 0

    def snapshot(self, number):
        """Presses s; the image that is saved."""
        path = self.folder / f"snapshot-{number:03}.png"
        self.press("s")
        until(path.exists, path.name)
        return cv2.imread(str(path))

    def end(self):
        output, errors = self.process.communicate(timeout=PATIENCE)
        assert self.process.returncode == 0, errors
        return output, errors


@pytest.fixture
def player(display, clip, light_model, tmp_path):
    players = []

    def play(*arguments):
        players.append(Player(display, clip, light_model, tmp_path, *arguments))
        return players[-1]

    yield play
    for started in players:
        if started.process.poll() is None:
            started.process.kill()
            started.process.communicate()


def test_snapshots_mirror_pause_and_end(player):
    played = player()
    straight = played.snapshot(1)
    assert straight.shape == (120, 160, 3)
    played.press("m")
    until(lambda: played.passes(0.5), "the next frames")
    mirrored = played.snapshot(2)
    assert straight[60:, :40].mean() > 200 > mirrored[100:, :40].mean()  # the bright half has changed sides
    played.press("space")
    until(lambda: not played.passes(0.5), "the pause")
    paused = played.rows()
    assert played.snapshot(3).shape == straight.shape  # keys are heard while nothing moves
    assert not played.passes(0.5)
    played.press("space")
    until(lambda: played.rows() > paused + 3, "the clip to go on")
    played.press("q")
    output, errors = played.end()
    assert "frames, 0 without a face" in output
    assert errors.count("saved snapshot-") == 3
    assert played.rows() < 590  # ended by the key, not by the video


def test_a_video_plays_at_its_own_speed(player):
    played = player()
    begun, first = time.monotonic(), played.rows()
    time.sleep(2)
    speed = (played.rows() - first) / (time.monotonic() - begun)
    played.press("Escape")
    played.end()
    assert 5 < speed < 13  # 10 frames a second


def test_a_window_without_a_face_is_alive(player):
    played = player("--detector", "haar")
    assert played.snapshot(1).shape == (120, 160, 3)
    played.press("q")
    output, _ = played.end()
    frames, _, empty = output.splitlines()[-1].partition(" frames, ")
    assert empty == f"{frames} without a face; 0 faces in 0 tracks"


def test_a_window_outlives_its_camera(player):
    camera = Camera(lambda i: np.full((120, 160, 3), i % 200, np.uint8), fps=20)
    camera.start()
    played = player("--source", camera.address())
    camera.stop()
    time.sleep(1)
    played.snapshot(1)  # keys are heard while there is no image
    played.press("q")
    _, errors = played.end()
    assert "lost" in errors


def test_last_frame_gets_another_caption_once(monkeypatch):
    shown = []
    monkeypatch.setattr(window, "_has_display", lambda: True)
    monkeypatch.setattr(cv2, "imshow", lambda title, image: shown.append(image))
    monkeypatch.setattr(cv2, "resizeWindow", lambda *_: None)
    screen = window.Screen("camera", paced=False)
    screen.caption("camera lost")  # before any frame
    assert shown == []
    image = np.zeros((120, 160, 3), np.uint8)
    screen.show(Frame(image, "camera", 0, 0.0), [], "25 fps")
    for _ in range(3):
        screen.caption("camera lost")
    assert len(shown) == 2
    assert (shown[0] != shown[1]).any()
    # Whether there is a face nobody knows any more.
    np.testing.assert_array_equal(shown[1], drawing.draw(image, None, caption="camera lost"))
    assert (shown[1] != drawing.draw(image, [], caption="camera lost")).any()
    screen.mirror = True
    screen.caption("camera still lost")
    np.testing.assert_array_equal(shown[2], drawing.draw(image, None, caption="camera still lost"))


def test_a_window_that_is_closed_ends_the_loop(display):
    code = """
import cv2, numpy as np
from fer.video.window import Screen
from fer.video.frames import Frame
with Screen("closing", paced=False) as screen:
    screen.show(Frame(np.zeros((60, 80, 3), np.uint8), "x", 0, 0.0), [], "")
    assert screen.attend()
    cv2.destroyWindow("closing")
    assert not screen.attend()
print("ended")
"""
    environment = os.environ | {"DISPLAY": display, "PYTHONPATH": str(tiny.ROOT)}
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert process.stdout == "ended\n", process.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Qt and X are asked for their screen on Linux only")
@pytest.mark.parametrize("address", [None, ":987"])
def test_without_a_screen_there_is_a_clear_error(monkeypatch, address):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    if address:
        monkeypatch.setenv("DISPLAY", address)
    with pytest.raises(FerError, match="no display to open a window on; use --headless"):
        window.Screen("x", paced=False)
