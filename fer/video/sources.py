"""Opens a source by its name: a video file, a camera's number or an address.

A file gives every frame in order. A camera gives its newest frame, so that a slow reader never falls behind, and `None`
while there is no new one, so that a window stays responsive.
"""

import os
import re

from fer.core.errors import FerError
from fer.video import camera, capture
from fer.video.camera import LiveCamera
from fer.video.capture import without_secrets
from fer.video.video_file import VideoFile

SCHEMES = ("http://", "https://", "rtsp://", "rtmp://")
MAX_CAMERA = 99  # to OpenCV 200 is camera 0 by way of V4L2


def is_camera(text: str) -> bool:
    """Whether `open_source` takes this text as a camera: its number, /dev/videoN, or an address."""
    number = _device(text)
    return text.strip().lower().startswith(SCHEMES) or (number is not None and number <= MAX_CAMERA)


def open_source(text: str) -> VideoFile | LiveCamera:
    """Opens a source. Returns when its first frame has come.

    Args:
        text: a camera's number (or /dev/video0); an address that begins with http://, https://, rtsp:// or rtmp://,
            which counts as a camera; or the path of a video file. A file named "0" is "./0".

    Raises:
        FerError: nothing can be read there; the message says what was tried.
    """
    text = text if os.path.isfile(text) else text.strip()  # names of files may begin or end with a space
    number = _device(text)
    if number is not None and not is_camera(text):
        raise FerError(f"cameras have numbers from 0 to {MAX_CAMERA}, not {number}")
    if number is not None:
        return LiveCamera(str(number), lambda: capture.open_camera(number))
    if is_camera(text):
        patience, name = camera.PATIENCE, without_secrets(text)
        return LiveCamera(name, lambda: capture.open_address(text, patience), patience=patience, limited=True)
    if os.path.isdir(text):
        raise FerError(f"{text}: is a folder; expected a video file, a camera's number or an address")
    if os.path.exists(text):
        return VideoFile(text)
    raise FerError(
        f"{without_secrets(text)!r} is not a camera number (0 to {MAX_CAMERA}), address ({', '.join(SCHEMES)}) or file"
    )


def _device(text: str) -> int | None:
    match = re.fullmatch(r"(?:/dev/video)?([0-9]{1,9})", text.strip())
    return int(match[1]) if match else None
