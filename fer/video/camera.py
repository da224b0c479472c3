"""Cameras: the newest frame whenever one is asked for, and connections that are lost and found again."""

import enum
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from fer.core.errors import FerError
from fer.core.opencv import quiet_opencv
from fer.video import capture as captures
from fer.video.capture import Capture
from fer.video.frames import Frame, FrameSource

logger = logging.getLogger(__name__)

PATIENCE = 5.0  # seconds without a frame after which a camera counts as lost; also FFmpeg's own time limits
PAUSES = (0.5, 5.0)  # seconds before the first attempt to reconnect, doubled for each later one up to the second value
START = 20.0  # seconds that a camera has for its first frame once it is open
TICK = 0.05  # seconds between two `None` of a camera without a new frame
FAREWELL = 1.5  # seconds that closing waits for a read that hangs
LIMIT_SHARE = 0.9  # of the patience: a read that takes longer met its time limit
FAILED_READS = 10  # in a row, 30 ms apart, end a connection: cheap cameras drop a frame now and then


class Connection(enum.Enum):
    """The connection to a camera."""

    CONNECTING = "connecting"
    LIVE = "live"
    LOST = "lost"


@dataclass(frozen=True)
class CameraState:
    """The state of a camera.

    Attributes:
        connection: connecting, live or lost.
        since: value of `time.monotonic()` when this began.
        reason: why the camera was lost; "" otherwise.
        losses: how often it was lost so far.
    """

    connection: Connection
    since: float
    reason: str = ""
    losses: int = 0


class LiveCamera(FrameSource):
    """A camera: its newest frame each time one is asked for, and `None` while there is no new one, at least every 0.1
    seconds. Leaving the loop closes it.

    A thread reads the camera as fast as it delivers and keeps the last frame only. A lost camera is released and opened
    again, until it is back or the source is closed; `state` says so, and a line of the log.

    Args:
        name: the source as it may be printed.
        open_capture: connects.
        patience: seconds without a frame after which the camera counts as lost.
        pauses: seconds before the first attempt to reconnect, and at most before a later one.
        start: seconds for the first frame.
        limited: a read ends after `patience` seconds by itself, and its connection is given up. Otherwise a read that
            hangs may still go on: local cameras do.

    Attributes:
        name: see above.
        state: whether frames come; replaced as a whole, so any thread may read it.
        fps: frames per second as the camera states them, often wrong (25 for every MJPEG stream); None for none.
        size: width and height of the first frame in pixels; may change after a loss.
        total: None.

    Raises:
        FerError: the camera cannot be opened, or gives no frame.
    """

    live = True
    total = None

    def __init__(
        self,
        name: str,
        open_capture: Callable[[], Capture],
        *,
        patience: float = PATIENCE,
        pauses: tuple[float, float] = PAUSES,
        start: float = START,
        limited: bool = False,
    ):
        self.name = name
        self.fps: float | None = None
        self.size: tuple[int, int] = (0, 0)
        self.state = CameraState(Connection.CONNECTING, time.monotonic())
        self._open_capture = open_capture
        self._patience, self._pauses, self._limited = patience, pauses, limited
        self._news = threading.Condition()  # guards the state and what follows
        self._newest: tuple[np.ndarray, float] | None = None
        self._last: float | None = None  # when the last frame came
        self._error: BaseException | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"camera {name}", daemon=True)
        self._thread.start()
        try:
            self._await_first(start)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Releases the camera; a second call does nothing.

        A read that hangs is left behind after a moment: OpenCV cannot end it. Its thread releases the camera later.
        """
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
                raise FerError(f"{self._label}: gave no frame within {limit:g} s")

    def _next(self) -> tuple[np.ndarray, float] | None:
        with self._news:
            if self._newest is None and not self._closing.is_set():
                self._news.wait(TICK)
            if self._error is not None:
                raise self._error
            newest, self._newest = self._newest, None
            if newest is None and self._last is not None and time.monotonic() - self._last > self._patience:
                self._lose(self._silence)  # its thread hangs in a read, and cannot say so
        return newest

    # In the camera's thread

    def _work(self) -> None:
        try:
            with quiet_opencv():
                self._capture_until_closed()
        except BaseException as error:  # the reader raises it, whatever it is
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
                    raise FerError(f"{self._label}: can be opened but gives no frame; does another program use it?")
                if self._last > begun + longest:  # a connection that lasts for a moment only is no reason to hurry
                    pause = first
            with self._news:
                self._lose("reading failed")
            self._closing.wait(pause)
            pause = min(2 * pause, longest)

    def _read_until_lost(self, capture: Capture) -> None:
        failed, seen = 0, False
        while failed < FAILED_READS and not self._closing.is_set():
            begun = time.monotonic()
            image = captures.read(capture)
            if self._limited and seen and time.monotonic() - begun > LIMIT_SHARE * self._patience:
                with self._news:
                    self._lose(self._silence)
                return  # FFmpeg's time limit; a frame that comes all the same is an old one, left in the decoder
            if image is None:
                failed += 1
                self._closing.wait(0.03)
                continue
            failed, seen = 0, True
            with self._news:
                now = time.monotonic()
                if self._last is None:
                    self.fps, self.size = captures.rate(capture), image.shape[1::-1]
                self._newest, self._last = (image, now), now
                self._found(now)
                self._news.notify_all()

    def _found(self, now: float) -> None:
        """Notes that frames come; the lock is held."""
        before = self.state
        if before.connection is not Connection.LIVE:
            self.state = CameraState(Connection.LIVE, now, losses=before.losses)
            if before.losses:
                logger.info("camera is back after %.1f s (%s)", now - before.since, self._label)

    def _lose(self, reason: str) -> None:
        """Notes the loss, once; the lock is held."""
        if self.state.connection is not Connection.LOST and not self._closing.is_set():
            since = time.monotonic() if self._last is None else self._last
            self.state = CameraState(Connection.LOST, since, reason, self.state.losses + 1)
            logger.warning("camera lost (%s: %s), trying again", self._label, reason)

    @property
    def _silence(self) -> str:
        return f"no frame for {self._patience:g} s"

    @property
    def _label(self) -> str:
        return f"camera {self.name}" if self.name.isdecimal() else self.name
