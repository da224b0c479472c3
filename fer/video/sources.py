"""Where pictures come from: video files, webcams and network cameras as one iterator of frames.

A file gives every frame in order. A camera gives its newest frame, so that a slow reader never falls behind, and `None`
while there is no new one, so that a window can be kept alive.
"""

import itertools
import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.video import capture as captures
from fer.video.capture import Capture, without_secrets

SCHEMES = ("http://", "https://", "rtsp://", "rtmp://")
PATIENCE = 5.0  # seconds without a picture after which a camera counts as lost; also FFmpeg's own time limits
PAUSES = (0.5, 5.0)  # seconds before the first and, each time doubled, at most before any later attempt to get it back
START = 20.0  # seconds a camera that could be opened has for its first picture
TICK = 0.05  # seconds between two `None` of a camera without news
FAREWELL = 1.5  # seconds that closing waits for a read that hangs
FAILED_READS = 10  # in a row, 30 ms apart, end a camera's connection: cheap cameras drop one now and then
USUAL_FPS = 25.0


@dataclass(frozen=True)
class Frame:
    """One picture out of a video.

    Attributes:
        image: uint8 (H, W, 3) BGR, upright.
        name: the source as it may be printed, without a password.
        index: 0, 1, 2 ... in the order of delivery; what a camera shows between two deliveries is not counted.
        seconds: a file's presentation time, increasing; of a camera the time at capture since its first frame was
            asked for.
    """

    image: np.ndarray
    name: str
    index: int
    seconds: float


def open_source(text: str, *, notify: Callable[[str], None]) -> "VideoFile | LiveSource":
    """Opens a video of any kind. Returns when its first picture has come.

    Args:
        text: a camera's number (or /dev/video0); an address that begins with http://, https://, rtsp:// or rtmp://,
            which counts as a camera whatever it serves; or the path of a video file. A file named "0" is "./0".
        notify: takes one line for a person; called while the source is read, in the reader's thread.

    Raises:
        FerError: nothing can be read there; says what was tried.
    """
    text = text.strip()
    if device := re.fullmatch(r"(?:/dev/video)?([0-9]+)", text):
        number = int(device[1])
        if number > 99:  # to OpenCV 200 is camera 0 by way of V4L2
            raise FerError(f"cameras have numbers from 0 to 99, not {number}")
        return LiveSource(str(number), lambda: captures.open_camera(number), notify=notify)
    if text.lower().startswith(SCHEMES):
        return LiveSource(without_secrets(text), lambda: captures.open_address(text, PATIENCE), notify=notify)
    if os.path.isdir(text):
        raise FerError(f"{text}: is a folder; a video file is needed here, a camera's number or an address")
    if os.path.exists(text):
        return VideoFile(text, lambda: captures.open_file(text), notify=notify)
    raise FerError(
        f"{without_secrets(text)!r} is no camera's number (0 to 99), no address ({', '.join(SCHEMES)}) and no file"
    )


class VideoFile:
    """A video file: every frame in order, once. Leaving the loop closes it.

    Attributes:
        name: the source as it may be printed.
        fps: frames a second as the file says; None where it does not, or nonsense.
        size: width and height in pixels of the upright picture.
        total: frames as the file says; None where it does not. A hint: files err.
    """

    live = False

    def __init__(self, name: str, open_capture: Callable[[], Capture], *, notify: Callable[[str], None]):
        self.name = name
        self._notify = notify
        self._lock = threading.Lock()  # to release a capture in the middle of a read ends the process
        self._capture = open_capture()
        try:
            self._ahead = self._read()
            if self._ahead is None:
                raise FerError(f"{name}: not one frame can be read; the file is cut short or damaged")
            self.fps = captures.rate(self._capture)
            total = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
            self.total = int(total) if 1 <= total < 1e9 else None
            self.size = self._ahead[0].shape[1::-1]
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Releases the file; a second time does nothing."""
        with self._lock:
            capture, self._capture, self._ahead = self._capture, None, None
            if capture is not None:
                capture.release()

    def __iter__(self) -> Iterator[Frame]:
        seconds = -math.inf
        step = 1 / (self.fps or USUAL_FPS)
        try:
            for index in itertools.count():
                item, self._ahead = self._ahead or self._read(), None
                if item is None:
                    break
                image, position = item
                if not position > seconds:  # no time, or one that runs backwards
                    position = seconds + step if index else 0.0
                seconds = position
                yield Frame(image, self.name, index, seconds)
            # Headers err by a frame or two; what is missing beyond that is worth a line.
            if self._capture is not None and index < 0.99 * (self.total or 0) - 1:
                self._notify(
                    f"{self.name}: ends after {index:,} of {self.total:,} frames; the file is cut short or damaged"
                )
        finally:
            self.close()

    def _read(self) -> tuple[np.ndarray, float] | None:
        """The next picture and its time in seconds, NaN for nonsense."""
        with self._lock:
            if self._capture is None:
                return None
            image = captures.read(self._capture)
            position = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
        return None if image is None else (image, position if 0 <= position < 1e7 else math.nan)


class LiveSource:
    """A camera: its newest picture each time one is asked for, `None` while there is no new one, at least every 0.1 s.
    Leaving the loop closes it.

    A thread of its own reads the camera as fast as that delivers and keeps the last picture only. A camera that is lost
    is announced, released and tried again until it is back or the source is closed.

    Attributes:
        name: the source as it may be printed.
        fps: frames a second as the camera claims, often wrong (25 for every MJPEG stream); None where it does not.
        size: width and height in pixels of its first picture; may change after a loss.
        total: None.
    """

    live = True
    total = None

    def __init__(
        self,
        name: str,
        open_capture: Callable[[], Capture],
        *,
        notify: Callable[[str], None],
        patience: float = PATIENCE,
        pauses: tuple[float, float] = PAUSES,
        start: float = START,
    ):
        self.name = name
        self.fps, self.size = None, None
        self._open_capture = open_capture
        self._notify = notify
        self._patience, self._pauses = patience, pauses
        self._news = threading.Condition()  # guards what follows
        self._newest: tuple[np.ndarray, float] | None = None
        self._last: float | None = None  # when the last picture came
        self._lost = False
        self._lines = deque()
        self._error: BaseException | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"camera {name}", daemon=True)
        self._thread.start()
        try:
            self._await_first(start)
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Releases the camera; a second time does nothing. A read that hangs is left behind after a moment: OpenCV has
        no way to end it, and its thread releases the camera when it returns."""
        if self._closing.is_set():
            return
        self._closing.set()
        with self._news:
            self._newest = None
            self._news.notify_all()
        self._thread.join(FAREWELL)

    def __iter__(self) -> Iterator[Frame | None]:
        try:
            with self._news:
                begun = time.monotonic()
                self._newest = None  # it is older than the question
            index = 0
            while True:
                newest = self._next()
                while self._lines:
                    self._notify(self._lines.popleft())
                if self._closing.is_set():
                    return
                if newest is None:
                    yield None
                else:
                    yield Frame(newest[0], self.name, index, newest[1] - begun)
                    index += 1
        finally:
            self.close()

    # In the reader's thread

    def _await_first(self, limit: float) -> None:
        end = time.monotonic() + limit
        with self._news:
            while self._last is None and self._error is None and time.monotonic() < end:
                self._news.wait(TICK)  # short, or Ctrl-C would have to wait on Windows
            if self._error is not None:
                raise self._error
            if self._last is None:
                raise FerError(f"{self._label}: gave no picture within {limit:g} s")

    def _next(self) -> tuple[np.ndarray, float] | None:
        with self._news:
            if self._newest is None and not self._closing.is_set():
                self._news.wait(TICK)
            if self._error is not None:
                raise self._error
            newest, self._newest = self._newest, None
            if newest is None and time.monotonic() - self._last > self._patience:
                self._lose(f"no picture for {self._patience:g} s")  # its thread hangs in a read, and cannot say so
        return newest

    # In the camera's thread

    def _work(self) -> None:
        try:
            with captures.quiet():
                self._capture_until_closed()
        except BaseException as error:  # the reader is told, whatever it is
            with self._news:
                self._error = error
                self._news.notify_all()

    def _capture_until_closed(self) -> None:
        first, longest = self._pauses
        pause = first
        while not self._closing.is_set():
            begun = time.monotonic()
            try:
                capture = self._open_capture()
            except FerError:
                if self._last is None:
                    raise
            else:
                try:
                    self._read_until_lost(capture)
                finally:
                    capture.release()
                if self._closing.is_set():
                    return
                if self._last is None:
                    raise FerError(f"{self._label}: can be opened but gives no picture; does another program use it?")
                if self._last > begun + longest:  # one that comes for a moment only is no reason to hurry
                    pause = first
            with self._news:
                self._lose("reading failed")
            self._closing.wait(pause)
            pause = min(2 * pause, longest)

    def _read_until_lost(self, capture: Capture) -> None:
        failed = 0
        while failed < FAILED_READS and not self._closing.is_set():
            image = captures.read(capture)
            if image is None:
                failed += 1
                self._closing.wait(0.03)
                continue
            failed = 0
            with self._news:
                now = time.monotonic()
                if self._last is None:
                    self.fps, self.size = captures.rate(capture), image.shape[1::-1]
                if self._lost:
                    self._lost = False
                    self._lines.append(f"camera is back after {now - self._last:.1f} s ({self._label})")
                self._newest, self._last = (image, now), now
                self._news.notify_all()

    def _lose(self, reason: str) -> None:
        """Announces the loss, once; the lock is held."""
        if not self._lost and not self._closing.is_set():
            self._lost = True
            self._lines.append(f"camera lost ({self._label}: {reason}), trying again")

    @property
    def _label(self) -> str:
        return f"camera {self.name}" if self.name.isdecimal() else self.name
