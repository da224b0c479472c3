"""Named cameras over WebSockets: read once for all, told by name only, tried again when they are lost."""

import json
import threading
import time
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from support import portrait
from support.mjpeg import Camera

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import connect, farewell, wait
from websockets.sync.client import connect as connect_socket

from fer.web import cameras

pytestmark = pytest.mark.slow

DOOR = "ws://localhost/cameras/door"
QUICK = {"camera_linger_seconds": 0.2, "camera_retry_seconds": 0.2}


@pytest.fixture
def camera():
    image = cv2.resize(portrait.astronaut(), (320, 320))
    camera = Camera(lambda i: image, fps=20)
    camera.start()
    yield camera
    camera.stop()


def frames(socket, count):
    """The next frames and their results; notices on the way are kept apart."""
    seen, notices = [], []
    while len(seen) < count:
        message = socket.receive()
        if message["type"] == "websocket.close":
            raise AssertionError(message)
        if message.get("bytes") is not None:
            seen.append((message["bytes"], socket.receive_json()))
            socket.send_text("next")
        else:
            notices.append(json.loads(message["text"]))
    return seen, notices


def test_camera_is_shared_and_closes_without_viewers(camera, caplog):
    address = camera.address(login="user:secret@")
    with connect(cameras={"door": address}, **QUICK) as client:
        assert client.get("/cameras").json() == {"cameras": ["door"]}
        with (
            client.websocket_connect(DOOR) as one,
            client.websocket_connect(DOOR) as other,
        ):
            for socket in (one, other):
                seen, _ = frames(socket, 2)
                for jpeg, said in seen:
                    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (320, 320, 3)
                    assert set(said) == {"emotion", "faces", "width", "height"}
                assert seen[-1][1]["faces"][0]["track"] == 1
            assert len(camera.logins) == 1  # read once for both
        sent = camera.sent
        wait(lambda: not [thread for thread in threading.enumerate() if thread.name == "camera door"])
        assert camera.sent < sent + 100
    assert "secret" not in caplog.text


def test_viewer_who_returns_while_the_camera_closes_sees_it_at_once(camera, monkeypatch):
    closing, opened = threading.Event(), cameras.sources.open_source

    @contextmanager
    def slow(address):
        with opened(address) as source:
            yield source
        closing.set()
        time.sleep(0.7)

    monkeypatch.setattr(cameras.sources, "open_source", slow)
    patience = {"camera_linger_seconds": 0.2, "camera_retry_seconds": 60.0}
    with connect(cameras={"door": camera.address()}, **patience) as client:
        with client.websocket_connect(DOOR) as socket:
            frames(socket, 1)
        assert closing.wait(20)
        with client.websocket_connect(DOOR) as socket:
            assert frames(socket, 1)[1] == []  # no notice that it gives no image


def test_only_named_cameras_are_opened(camera):
    with connect(cameras={"door": camera.address()}) as client:
        for name in ("hall", "0", "door%00", "DOOR", camera.address().replace("/", "%5c").replace(":", "%3a")):
            with client.websocket_connect(f"ws://localhost/cameras/{name}") as socket:
                assert farewell(socket, 1008) == "there is no such camera"
    assert not camera.logins


def test_lost_camera_is_tried_again(camera, caplog):
    camera.stop()
    with (
        connect(cameras={"door": camera.address("/backyard")}, **QUICK) as client,
        client.websocket_connect(DOOR) as socket,
    ):
        said = socket.receive_json()
        assert said == {"notice": "camera door gives no image at the moment, trying again"}
        camera.start()
        assert frames(socket, 1)[0][0][1]["faces"]
        camera.stop()
        _, notices = [], [socket_notice(socket)]
        camera.start()
        notices += frames(socket, 2)[1]
    assert notices[0] == {"notice": "camera door is lost, trying again"}
    assert {"notice": "camera door is back"} in notices
    assert str(camera.port) not in json.dumps(notices)
    assert "/backyard" in caplog.text


def socket_notice(socket):
    """The next notice, after any frames before it."""
    while True:
        message = socket.receive()
        if message.get("text") and "notice" in (said := json.loads(message["text"])):
            return said
        if message.get("text"):
            socket.send_text("next")


def test_leaving_a_stalled_camera_frees_the_place(camera):
    with web.listening(cameras={"door": camera.address()}, viewers=2) as (_, port):
        address = f"ws://localhost:{port}/cameras/door"
        with connect_socket(address) as watching:
            watching.recv(timeout=20)
            camera.stalled.set()
            for _ in range(4):
                wait(lambda: comes_in(address))


def comes_in(address):
    """Whether a client finds a place; it leaves at once."""
    with connect_socket(address) as socket:
        first = socket.recv(timeout=20)
        return isinstance(first, bytes) or "busy" not in first


def test_camera_survives_a_bug(camera, monkeypatch, caplog):
    real, calls = cameras._reduced, iter([True])

    def once(image, width):
        if next(calls, False):
            raise cv2.error("a bad image")
        return real(image, width)

    monkeypatch.setattr(cameras, "_reduced", once)
    with connect(cameras={"door": camera.address()}, **QUICK) as client, client.websocket_connect(DOOR) as socket:
        seen, notices = frames(socket, 1)
    assert seen
    assert notices == [{"notice": "camera door gives no image at the moment, trying again"}]
    assert "a bad image" in caplog.text


def test_camera_does_not_begin_with_an_old_frame(camera):
    with connect(cameras={"door": camera.address()}, **QUICK) as client:
        with client.websocket_connect(DOOR) as socket:
            frames(socket, 1)
        wait(lambda: not [thread for thread in threading.enumerate() if thread.name == "camera door"])
        camera.stop()
        with client.websocket_connect(DOOR) as socket:
            assert "notice" in json.loads(socket.receive()["text"])


def test_number_of_viewers_is_limited(camera):
    with connect(cameras={"door": camera.address()}, viewers=1) as client, client.websocket_connect(DOOR) as socket:
        frames(socket, 1)
        with client.websocket_connect(DOOR) as next_one:
            assert farewell(next_one, 1013).startswith("busy: the limit is 1 viewers of cameras")
