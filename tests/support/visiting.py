"""The web page in this process with a tiny network, and what visitors send: pictures, films, hostile things."""

import functools
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest

from support import tiny

pytest.importorskip("fastapi_offline", reason="requirements-app.txt is not installed")
pytest.importorskip("websockets", reason="requirements-app.txt is not installed")
pytest.importorskip("av", reason="requirements-app.txt is not installed")
pytest.importorskip("httpx2", reason="requirements-dev.txt is not installed")

import uvicorn
from starlette.testclient import TestClient

from fer.core.images import InputSpec
from fer.inference.haar import Haar
from fer.models.classifier import Classifier
from fer.web import guard, server
from fer.web.limits import Limits

BOX = ("x", "y", "width", "height")


@functools.cache
def classifier() -> Classifier:
    return Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))


def application(*, cameras=None, detector: Callable = Haar, hosts=guard.LOOPBACK, lines=None, **limits) -> guard.Guard:
    """The page; `limits` are fields of `Limits`, `lines` a list that gets what the person at the server is told."""
    notify = [].append if lines is None else lines.append
    return server.create(
        classifier(), "tiny", detector, cameras=cameras, hosts=hosts, limits=Limits(**limits), notify=notify
    )


def visitor(**options) -> TestClient:
    """A client of such a page; use it as a context manager. A bug on the server's side is raised here."""
    return TestClient(application(**options), base_url="http://localhost")


@contextmanager
def listening(**options) -> Iterator[tuple[str, int]]:
    """Such a page served by uvicorn from a thread, for clients that misbehave on the wire; gives host and port."""
    with socket.create_server(("127.0.0.1", 0)) as place:
        web = uvicorn.Server(server.settings(application(**options)))
        thread = threading.Thread(target=web.run, kwargs={"sockets": [place]})
        thread.start()
        try:
            wait(lambda: web.started)
            yield place.getsockname()
        finally:
            web.should_exit = True
            thread.join(20)
    assert not thread.is_alive()


def wait(state: Callable, seconds: float = 20.0):
    """What `state` gives, as soon as it is true."""
    end = time.monotonic() + seconds
    while not (value := state()):
        assert time.monotonic() < end, "it never came about"
        time.sleep(0.02)
    return value


def predict(client: TestClient, data: bytes, name: str = "a.jpg"):
    return client.post("/predict", files={"image": (name, data)})


def line(answer) -> str:
    """The one line of a refusal."""
    said = answer.json()
    assert list(said) == ["detail"]
    assert isinstance(said["detail"], str)
    assert said["detail"]
    assert "\n" not in said["detail"]
    assert "Traceback" not in said["detail"]
    return said["detail"]


def encode(image: np.ndarray, suffix: str = ".jpg") -> bytes:
    return cv2.imencode(suffix, image)[1].tobytes()


def film(path: Path, frames, fps: float = 10.0, code: str = "MJPG") -> bytes:
    """Frames uint8 (H, W, 3) as the bytes of a video file."""
    frames = list(frames)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path.read_bytes()


def plain_frames(count: int, width: int = 160, height: int = 120) -> Iterator[np.ndarray]:
    return (np.full((height, width, 3), 10 + 7 * i % 200, np.uint8) for i in range(count))


def one_colour_png(width: int, height: int) -> bytes:
    """A picture of any size in few bytes."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packer = zlib.compressobj(9, wbits=-15)
    piece = packer.compress(bytes((1 + width) * 100)) + packer.flush(zlib.Z_FULL_FLUSH)  # which can be repeated
    count = (1 + width) * (height + -height % 100)
    rows = b"\x78\x9c" + piece * -(-height // 100) + b"\x03\x00" + struct.pack(">HH", count % 65521, 1)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
