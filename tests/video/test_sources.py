"""What counts as a camera: for predict_webcam.py --source and for app.py --camera alike."""

import pytest

from fer.cli import app
from fer.cli.app import parse_camera
from fer.core.errors import FerError
from fer.video import sources


@pytest.mark.parametrize("text", ["0", " 7 ", "99", "/dev/video2", "rtsp://10.0.0.7/live", "HTTP://camera.local/a"])
def test_cameras(text):
    assert sources.is_camera(text)
    assert parse_camera(f"front door={text}") == ("front door", text)


@pytest.mark.parametrize("text", ["", "100", "-1", "٣", "9" * 5000, "clip.mp4", "/etc/passwd", "file:///etc/passwd"])
def test_anything_else_is_no_camera(text):
    assert not sources.is_camera(text)
    with pytest.raises(FerError, match=r"expected NAME=URL.*a number from 0 to 99"):
        parse_camera(f"door={text}")


def test_number_beyond_the_last_camera_is_refused():
    with pytest.raises(FerError, match="numbers from 0 to 99, not 200"):
        sources.open_source("/dev/video200")


@pytest.mark.parametrize("name", ["", "a/b", "x" * 41])
def test_names_of_cameras(name):
    with pytest.raises(FerError, match="the name of letters"):
        parse_camera(f"{name}=0")


def test_two_cameras_of_one_name_are_refused(refuse):
    assert refuse(app, "--camera", "door=0", "--camera", "door=1") == (
        "two cameras have one name: give each --camera a name of its own"
    )
