"""No test of a camera leaves its thread behind."""

import threading
import time

import pytest


@pytest.fixture(autouse=True)
def _no_thread_stays():
    yield
    end = time.monotonic() + 8
    while left := [thread for thread in threading.enumerate() if thread.name.startswith("camera ")]:
        assert time.monotonic() < end, left
        time.sleep(0.02)
