"""The web page in this process with a tiny network, and what clients send: images, videos, hostile files."""

import functools
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
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
from starlette.websockets import WebSocketDisconnect

from fer.core.images import InputSpec
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier
from fer.web import protocol, security, server
from fer.web.limits import Limits

BOX = ("x", "y", "width", "height")
# The beginning of a raw request to /predict, and of its form.
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


@functools.cache
def classifier() -> Classifier:
    return Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))


def application(
    *, detector: Callable = Haar, uncertain_below=None, limits: Limits, **options
) -> security.SecurityMiddleware:
    """The page; `options` are those of `server.create_app`."""

    def new_recognizer(detectors: int) -> Recognizer:
        return Recognizer(classifier(), [detector() for _ in range(detectors)], uncertain_below=uncertain_below)

    return server.create_app(new_recognizer, "tiny", limits=limits, **options)


def connect(*, detector: Callable = Haar, **options) -> TestClient:
    """A client of such a page; use it as a context manager. A bug on the server's side is raised here.

    `options` are those of `server.create_app` and fields of `Limits`.
    """
    limits, others = split(options)
    app = application(detector=detector, limits=limits, **others)
    return TestClient(app, base_url="http://localhost")


def split(options: dict) -> tuple[Limits, dict]:
    """The fields of `Limits` among options, and the rest."""
    names = {limit.name for limit in fields(Limits)}
    return Limits(**{n: v for n, v in options.items() if n in names}), {
        n: v for n, v in options.items() if n not in names
    }


@contextmanager
def listening(
    *, detector: Callable = Haar, proxies=(), certificate=None, key=None, **options
) -> Iterator[tuple[str, int]]:
    """Such a page served by uvicorn from a thread, for clients that misbehave on the wire; gives host and port."""
    limits, others = split(options)
    app = application(detector=detector, limits=limits, **others)
    with socket.create_server(("127.0.0.1", 0)) as place:
        config = server.uvicorn_config(app, limits, proxies=proxies, certificate=certificate, key=key)
        web = uvicorn.Server(config)
        address = place.getsockname()
        thread = threading.Thread(target=web.run, kwargs={"sockets": [protocol.Listener(place, limits, proxies)]})
        thread.start()
        try:
            wait(lambda: web.started)
            yield address
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


def encode_video(path: Path, frames, fps: float = 10.0, code: str = "MJPG") -> bytes:
    """Frames uint8 (H, W, 3) as the bytes of a video file."""
    frames = list(frames)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, frames[0].shape[1::-1])
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path.read_bytes()


def plain_frames(count: int, width: int = 160, height: int = 120) -> Iterator[np.ndarray]:
    return (np.full((height, width, 3), 10 + 7 * i % 200, np.uint8) for i in range(count))


def said(wires):
    """Status and text of the answer on a raw connection."""
    answer = http.client.HTTPResponse(wires)
    answer.begin()
    return answer.status, answer.read().decode(), answer.headers


def post(place, data):
    """Status, text and headers of the response to an image in a form."""
    connection = http.client.HTTPConnection("localhost", place[1], timeout=30)
    connection.request(
        "POST", "/predict", PART + data + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


def http_get(place, path):
    connection = http.client.HTTPConnection("localhost", place[1], timeout=30)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def farewell(socket, code):
    """The line with which the server ends a conversation."""
    said = socket.receive_json()
    with pytest.raises(WebSocketDisconnect) as end:
        socket.receive_json()
    assert end.value.code == code
    assert list(said) == ["error"]
    assert "\n" not in said["error"]
    return said["error"]
