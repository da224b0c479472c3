"""OpenCV's captures of cameras: backends are tried in turn, quietly, and errors say which."""

import os
import re
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.core.opencv import quiet_libjpeg, quiet_opencv
from fer.video.frames import MAX_FPS

# They open numbered series of images and device files, neither of which an address means.
_NOT_FOR_STREAMS = (cv2.CAP_IMAGES, cv2.CAP_V4L2)
_SECRET = re.compile(r"(?i)(\w*(?:user|usr|login|pas|pwd|psw|token|key|auth|secret|sig)\w*=)[^&#]*")


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that is used."""

    def grab(self) -> bool: ...

    def retrieve(self) -> tuple[bool, np.ndarray | None]: ...

    def get(self, what: int) -> float: ...

    def release(self) -> None: ...


def without_secrets(text: str) -> str:
    """A source as it may be printed: the login of an address becomes ***, before the host and after `user=`,
    `password=` and similar words."""
    scheme, mark, rest = text.partition("://")
    if not mark:
        scheme, rest = "", text
    login, at, host = rest.rpartition("@")
    # A password may contain @, / or #: better to hide too much than too little.
    if at and (":" in login or (mark and "@" in re.split("[/?#]", rest)[0])):
        rest = f"***@{host}"
    return scheme + mark + (_SECRET.sub(r"\1***", rest) if mark else rest)


def open_camera(number: int) -> Capture:
    """Opens a camera of this machine.

    Raises:
        FerError: it cannot be opened; the message lists the devices.
    """
    capture, tried = _try(number, cv2.videoio_registry.getCameraBackends())
    if capture is None:
        raise FerError(f"camera {number} cannot be opened (tried {tried}); {_devices(number)}")
    return capture


def _devices(number: int, folder: str = "/dev") -> str:
    """The likely reason why a camera cannot be opened."""
    if not os.path.isdir("/sys/class"):  # no Linux
        return "is it plugged in, and may this program use it?"
    found = sorted(Path(folder).glob("video[0-9]*"), key=lambda path: (len(path.name), path.name))
    device = Path(folder, f"video{number}")
    if device not in found:
        return f"this machine has {', '.join(map(str, found)) or f'no {folder}/video*, so no camera'}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"{device} is there, but this user may not read it (group video)"
    return f"{device} is there; does another program use it, or is it no camera?"


def open_address(address: str, patience: float) -> Capture:
    """Opens a network camera; connecting and each read take at most `patience` seconds.

    Raises:
        FerError: no video can be opened there.
    """
    capture, tried = _try(address, _stream_backends(), round(1000 * patience))
    if capture is None:
        raise FerError(
            f"{without_secrets(address)}: no video can be opened there (tried {tried}, for {patience:g} s at most); "
            "is the camera on, and are host, port, path and login right?"
        )
    return capture


def _stream_backends() -> list[int]:
    return [backend for backend in cv2.videoio_registry.getStreamBackends() if backend not in _NOT_FOR_STREAMS]


def _try(target: int | str, backends: list[int], milliseconds: int = 0) -> tuple[Capture | None, str]:
    """The capture of the first backend that opens the target, or None; and the names of the backends tried."""
    registry = cv2.videoio_registry
    tried = []
    with quiet_opencv():
        for backend in filter(registry.hasBackend, backends):
            tried.append(registry.getBackendName(backend))
            limits = []
            if milliseconds and backend == cv2.CAP_FFMPEG:  # other backends refuse limits that they do not know
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds]
            capture = cv2.VideoCapture(target, backend, limits)
            if capture.isOpened():
                return capture, ", ".join(tried)
            capture.release()
    return None, ", ".join(tried) or "nothing: this OpenCV was built without video"


def read(capture: Capture) -> np.ndarray | None:
    """The next frame as uint8 (H, W, 3) BGR, or None."""
    try:
        ok, image = capture.grab(), None
        if ok:
            with quiet_libjpeg():  # webcams send JPEG, some of it a little damaged
                ok, image = capture.retrieve()
    except cv2.error:  # half a frame
        return None
    if not ok or image is None or not image.size:
        return None
    if image.dtype == np.uint16:
        image = (image >> 8).astype(np.uint8)
    if image.ndim == 2 or image.shape[2] == 1:  # infrared and thermal cameras
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    return image


def rate(capture: Capture) -> float | None:
    """The stated frames per second; None where none or an impossible rate is stated."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if 0 < fps <= MAX_FPS else None
