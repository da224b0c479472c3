"""A window that shows labelled frames, and the keys pressed in it."""

import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from fer.core import images
from fer.core.errors import FerError
from fer.core.files import replacing
from fer.inference import drawing
from fer.inference.recognizer import Prediction
from fer.video.frames import Frame

logger = logging.getLogger(__name__)

PAUSE = 0.05  # seconds between two checks of the keyboard while the image stands
HELP = "q, Esc: end   space: pause   s: snapshot   m: mirror"


class Screen:
    """A window on the screen. Use it as a context manager: it opens then.

    Args:
        title: of the window.
        paced: show a file's frames no faster than they were taken.

    Raises:
        FerError: there is no display, or OpenCV was built without windows.
    """

    def __init__(self, title: str, *, paced: bool):
        self.title, self.paced = title, paced
        self.mirror = False
        self.shown: np.ndarray | None = None
        self.content: tuple[Frame, list[Prediction] | None, str] | None = None
        self.ahead: float | None = None  # wall clock less the time of the frame
        # Without a display Qt does not raise: it ends the program.
        if sys.platform == "linux" and not _has_display():
            raise FerError("there is no display to open a window on; use --headless")

    def __enter__(self) -> "Screen":
        try:
            cv2.namedWindow(self.title, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO | cv2.WINDOW_GUI_NORMAL)
        except cv2.error as error:
            raise FerError("this OpenCV has no windows (a headless build); use --headless") from error
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_open():
            cv2.destroyWindow(self.title)

    def show(self, frame: Frame, predictions: list[Prediction] | None, caption: str) -> None:
        """Shows a frame with its faces drawn, if they are known."""
        content, image = (frame, predictions, caption), frame.image
        if self.mirror:
            image, flipped = drawing.mirrored(image, predictions or [])
            predictions = predictions and flipped
        first = self.shown is None
        drawn = drawing.draw(image, predictions, caption=caption)
        self.shown, self.content = drawn, content
        if first:
            cv2.resizeWindow(self.title, image.shape[1], image.shape[0])
        cv2.imshow(self.title, drawn)

    def caption(self, text: str) -> None:
        """Shows the last frame again, without its faces, under another caption."""
        if self.content and self.content[2] != text:
            self.show(self.content[0], None, text)

    def attend(self, stopped: Callable[[], bool] = lambda: False) -> bool:
        """Handles the window's events and keys, waiting where a file's frame is early or space was pressed.

        Args:
            stopped: called repeatedly, also in a pause; True ends the window.

        Returns:
            False to end.
        """
        paused = False
        while True:
            wait = self._early()
            key = cv2.waitKey(max(1, round(1000 * (PAUSE if paused else min(wait, PAUSE)))))
            if stopped() or not self._is_open() or key & 0xFF in (ord("q"), 27):
                return False
            if key & 0xFF == ord(" "):
                paused = not paused
                self.ahead = None  # a pause is not time to catch up with
            elif key & 0xFF == ord("m"):
                self.mirror = not self.mirror
                if self.content:
                    self.show(*self.content)
            elif key & 0xFF == ord("s") and self.content:
                self._save()
            if not paused and self._early() <= 0:
                return True

    def _early(self) -> float:
        """Seconds until the next frame is due."""
        if not self.paced or self.content is None:
            return 0.0
        now, seconds = time.monotonic(), self.content[0].seconds
        if self.ahead is None or now - seconds > self.ahead + 1:  # begin, or too late to catch up
            self.ahead = now - seconds
        return self.ahead + seconds - now

    def _save(self) -> None:
        """Writes the image on show under a free name."""
        if self.shown is None:
            return
        number = 1
        while os.path.exists(path := f"snapshot-{number:03}.png"):
            number += 1
        try:
            with replacing(path) as temporary:
                temporary.write_bytes(images.encode(self.shown, ".png"))
        except FerError as error:
            logger.warning("%s", error)
        else:
            logger.info("saved %s", path)

    def _is_open(self) -> bool:
        try:
            return cv2.getWindowProperty(self.title, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:
            return False


def _has_display() -> bool:
    """True if a screen seems to exist: an address, and for one on this machine also its socket."""
    if os.environ.get("WAYLAND_DISPLAY") or os.environ.get("QT_QPA_PLATFORM") in ("offscreen", "minimal"):
        return True
    host, _, number = os.environ.get("DISPLAY", "").rpartition(":")
    if host in ("", "unix"):
        return bool(number) and Path(f"/tmp/.X11-unix/X{number.partition('.')[0]}").exists()
    return True
