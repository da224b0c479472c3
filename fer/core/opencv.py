"""OpenCV's own log lines."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_lock = threading.Lock()
_blocks = 0
_level_before = 0


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """Silences OpenCV's lines on stderr about what cannot be opened or read, which may contain a password.

    `fer/__init__.py` silences those of FFmpeg. OpenCV has one log level for all threads: the last block to end restores
    it.
    """
    global _blocks, _level_before
    with _lock:
        if not _blocks:
            _level_before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks:
                cv2.utils.logging.setLogLevel(_level_before)
