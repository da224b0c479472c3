"""Lines that OpenCV, and libjpeg within it, write to the terminal."""

import ctypes
import functools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import cv2


class _Silence:
    """A state of the whole process: the first block that needs it begins it, the last one to end restores it."""

    def __init__(self, begin: Callable[[], Callable[[], object]]):
        self._begin, self._blocks, self._lock = begin, 0, threading.Lock()
        self._end: Callable[[], object] = lambda: None

    @contextmanager
    def block(self) -> Iterator[None]:
        with self._lock:
            if not self._blocks:
                self._end = self._begin()
            self._blocks += 1
        try:
            yield
        finally:
            with self._lock:
                self._blocks -= 1
                if not self._blocks:
                    self._end()


def _lower_log_level() -> Callable[[], object]:
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    return lambda: cv2.utils.logging.setLogLevel(before)


def _divert_stderr() -> Callable[[], object]:
    stream, nowhere = _c_stderr()
    before = stream.value
    stream.value = nowhere or before

    def restore() -> None:
        stream.value = before

    return restore


@functools.cache
def _c_stderr() -> tuple[ctypes.c_void_p, int | None]:
    """The variable `stderr` of the C library, and a stream whose lines go nowhere; None where it is no variable."""
    if sys.platform.startswith("linux"):
        try:
            library = ctypes.CDLL(None)
            library.fopen.restype = ctypes.c_void_p
            return ctypes.c_void_p.in_dll(library, "stderr"), library.fopen(b"/dev/null", b"w")
        except (OSError, ValueError):  # another C library than those of Linux distributions
            pass
    return ctypes.c_void_p(), None


_opencv, _libjpeg = _Silence(_lower_log_level), _Silence(_divert_stderr)


def quiet_opencv() -> AbstractContextManager[None]:
    """Silences OpenCV's lines on stderr about what cannot be opened or read, which may contain a password.

    `fer/__init__.py` silences those of FFmpeg.
    """
    return _opencv.block()


def quiet_libjpeg() -> AbstractContextManager[None]:
    """Silences libjpeg on Linux ("Corrupt JPEG data"), which knows no log level.

    It writes through the variable `stderr` of the C library, which this diverts; Python's own lines are not affected.
    Keep the block short: the lines of other C libraries are lost meanwhile.
    """
    return _libjpeg.block()
