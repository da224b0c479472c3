"""The web page as its users meet it: app.py in a process of its own."""

import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support import tiny


@contextmanager
def serving(model: Path, *flags: str) -> Iterator[str]:
    """Starts the page at a free port and gives its address, such as http://127.0.0.1:40001."""
    process = tiny.start("--model", model, "--port", "0", *flags, script="app.py", PYTHONUNBUFFERED="1")
    try:
        for line in process.stdout:
            if line.startswith("http"):
                yield line.strip().rstrip("/")
                break
        else:
            raise AssertionError(f"app.py ended with code {process.wait()}: {process.stderr.read()}")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def get(address: str) -> dict:
    """The JSON at an address."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)
