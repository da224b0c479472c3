"""Webcams and named cameras over WebSockets: visitors kept apart, places that come free, addresses untold."""

import json
import threading

import cv2
import numpy as np
import pytest
from support import portrait
from support.mjpeg import Camera

pytest.importorskip("support.visiting", reason="requirements-app.txt is not installed")

from starlette.websockets import WebSocketDisconnect
from support import visiting
from support.visiting import encode, visitor, wait
from websockets.sync.client import connect

from fer.web import streams

LIVE, DOOR = "ws://localhost/live", "ws://localhost/cameras/door"


@pytest.fixture(scope="module")
def face():
    return encode(cv2.resize(portrait.astronaut(), (320, 320)))


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(streams, "LINGER", 0.2)
    monkeypatch.setattr(streams, "RETRY", 0.2)


def label(socket, data):
    socket.send_bytes(data)
    return socket.receive_json()


def farewell(socket, code):
    """The line with which the server ends a conversation."""
    said = socket.receive_json()
    with pytest.raises(WebSocketDisconnect) as end:
        socket.receive_json()
    assert end.value.code == code
    assert list(said) == ["error"]
    assert "\n" not in said["error"]
    return said["error"]


def test_a_webcam_is_labelled_and_followed(face):
    with visitor() as client, client.websocket_connect(LIVE) as socket:
        answers = [label(socket, face) for _ in range(3)]
        for said in answers:
            assert set(said) == {"emotion", "faces", "width", "height"}
            assert (said["width"], said["height"]) == (320, 320)
            (found,) = said["faces"]
            assert set(found) == {"x", "y", "width", "height", "label", "confidence", "probabilities", "track"}
            assert said["emotion"] == found["label"]
        assert {said["faces"][0]["track"] for said in answers} == {1}


def test_two_webcams_have_tracks_of_their_own(face):
    empty = encode(np.full((320, 320, 3), 90, np.uint8))
    with (
        visitor() as client,
        client.websocket_connect(LIVE) as one,
        client.websocket_connect(LIVE) as other,
    ):
        label(one, face)
        label(one, face)
        assert label(other, empty)["faces"] == []  # nothing of the first visitor's
        assert label(other, face)["faces"][0]["track"] == 1
        assert label(one, face)["faces"][0]["track"] == 1


def test_so_many_webcams_at_once_and_places_come_free(face):
    with visitor(visitors=1) as client:
        with client.websocket_connect(LIVE) as socket:
            label(socket, face)
            with client.websocket_connect(LIVE) as next_one:
                assert farewell(next_one, 1013).startswith("busy: 1 webcams at once")
        for _ in range(3):
            with client.websocket_connect(LIVE) as socket:
                assert label(socket, face)["faces"]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", 1008, "empty"),
        (b"garbage", 1008, "not a picture"),
        (encode(np.zeros((40, 40, 3), np.uint8), ".png"), 1008, "JPEG"),
        (encode(np.zeros((40, 40, 3), np.uint8))[:-9], 1008, "cut short"),
        (bytes(2**20 + 1), 1009, "too large"),
        (encode(np.zeros((1100, 1920, 3), np.uint8)), 1009, "pixels"),
    ],
    ids=["nothing", "garbage", "png", "short", "bytes", "pixels"],
)
def test_what_a_webcam_may_not_send(data, code, words):
    with visitor() as client, client.websocket_connect(LIVE) as socket:
        socket.send_bytes(data)
        assert words in farewell(socket, code)


def test_text_for_a_picture():
    with visitor() as client, client.websocket_connect(LIVE) as socket:
        socket.send_text("hello")
        assert farewell(socket, 1008) == "expected bytes"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 1500), (1500, 1), (3, 2)])
def test_odd_pictures_get_an_answer_or_one_line(face, width, height):
    with visitor() as client:
        with client.websocket_connect(LIVE) as socket:
            said = label(socket, encode(np.zeros((height, width, 3), np.uint8)))
            assert said.get("faces") == [] or "\n" not in said["error"]
        with client.websocket_connect(LIVE) as socket:
            assert label(socket, face)["faces"]


def test_a_silent_visitor_is_sent_away(monkeypatch):
    monkeypatch.setattr(streams, "IDLE", 0.2)
    monkeypatch.setattr(streams._hear, "__defaults__", (0.2,))
    with visitor() as client, client.websocket_connect(LIVE) as socket:
        assert "nothing came" in farewell(socket, 1008)


def test_long_visits_take_no_more_memory(face, monkeypatch):
    sessions = []
    monkeypatch.setattr(streams, "FORGET", 4)
    monkeypatch.setattr(streams.Webcams, "_label", remembering(streams.Webcams._label, sessions))
    with visitor() as client, client.websocket_connect(LIVE) as socket:
        for _ in range(10):
            label(socket, face)
    assert max(one.history.frames for one in sessions) <= 4


def remembering(function, sessions):
    def wrapped(self, session, *rest):
        sessions.append(session)
        return function(self, session, *rest)

    return wrapped


@pytest.fixture
def camera():
    image = cv2.resize(portrait.astronaut(), (320, 320))
    camera = Camera(lambda i: image, fps=20)
    camera.start()
    yield camera
    camera.stop()


def pictures(socket, count):
    """So many pictures and their answers; notices on the way are kept apart."""
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


def test_a_camera_is_shown_to_two_and_closes_when_they_leave(camera):
    lines = []
    address = camera.address(login="user:secret@")
    with visitor(cameras={"door": address}, lines=lines) as client:
        assert client.get("/cameras").json() == {"cameras": ["door"]}
        with (
            client.websocket_connect(DOOR) as one,
            client.websocket_connect(DOOR) as other,
        ):
            for socket in (one, other):
                seen, _ = pictures(socket, 2)
                for jpeg, said in seen:
                    assert cv2.imdecode(np.frombuffer(jpeg, np.uint8), 1).shape == (320, 320, 3)
                    assert set(said) == {"emotion", "faces", "width", "height"}
                assert seen[-1][1]["faces"][0]["track"] == 1
            assert len(camera.logins) == 1  # read once for both
        sent = camera.sent
        wait(lambda: not [thread for thread in threading.enumerate() if thread.name == "camera door"])
        assert camera.sent < sent + 100
    assert not any("secret" in text for text in lines)


def test_nothing_but_named_cameras(camera):
    with visitor(cameras={"door": camera.address()}) as client:
        for name in ("hall", "0", "door%00", "DOOR", camera.address().replace("/", "%5c").replace(":", "%3a")):
            with client.websocket_connect(f"ws://localhost/cameras/{name}") as socket:
                assert farewell(socket, 1008) == "there is no such camera"
    assert not camera.logins


def test_a_camera_that_is_off_and_comes_on(camera):
    camera.stop()
    lines = []
    with (
        visitor(cameras={"door": camera.address("/backyard")}, lines=lines) as client,
        client.websocket_connect(DOOR) as socket,
    ):
        said = socket.receive_json()
        assert said == {"notice": "camera door gives no picture at the moment, trying again"}
        camera.start()
        assert pictures(socket, 1)[0][0][1]["faces"]
        camera.stop()
        _, notices = [], [socket_notice(socket)]
        camera.start()
        notices += pictures(socket, 2)[1]
    assert notices[0] == {"notice": "camera door is lost, trying again"}
    assert {"notice": "camera door is back"} in notices
    assert str(camera.port) not in json.dumps(notices)
    assert lines


def socket_notice(socket):
    """The next notice; the pictures before it are drawn."""
    while True:
        message = socket.receive()
        if message.get("text") and "notice" in (said := json.loads(message["text"])):
            return said
        if message.get("text"):
            socket.send_text("next")


def test_those_who_leave_a_dead_camera_free_their_places(camera):
    with visiting.listening(cameras={"door": camera.address()}, viewers=2) as (_, port):
        address = f"ws://localhost:{port}/cameras/door"
        with connect(address) as watching:
            watching.recv(timeout=20)
            camera.stalled.set()
            for _ in range(4):
                wait(lambda: comes_in(address))


def comes_in(address):
    """Whether a visitor finds a place; he leaves at once."""
    with connect(address) as socket:
        first = socket.recv(timeout=20)
        return isinstance(first, bytes) or "busy" not in first


def test_a_camera_outlives_a_bug(camera, monkeypatch):
    lines, real = [], streams._shrunk
    calls = iter([True])

    def once(image):
        if next(calls, False):
            raise cv2.error("a bad picture")
        return real(image)

    monkeypatch.setattr(streams, "_shrunk", once)
    with visitor(cameras={"door": camera.address()}, lines=lines) as client, client.websocket_connect(DOOR) as socket:
        seen, notices = pictures(socket, 1)
    assert seen
    assert notices == [{"notice": "camera door gives no picture at the moment, trying again"}]
    assert any("a bad picture" in text for text in lines)


def test_a_camera_does_not_begin_with_an_old_picture(camera):
    with visitor(cameras={"door": camera.address()}) as client:
        with client.websocket_connect(DOOR) as socket:
            pictures(socket, 1)
        wait(lambda: not [thread for thread in threading.enumerate() if thread.name == "camera door"])
        camera.stop()
        with client.websocket_connect(DOOR) as socket:
            assert "notice" in json.loads(socket.receive()["text"])


def test_so_many_viewers(camera):
    with visitor(cameras={"door": camera.address()}, viewers=1) as client, client.websocket_connect(DOOR) as socket:
        pictures(socket, 1)
        with client.websocket_connect(DOOR) as next_one:
            assert farewell(next_one, 1013).startswith("busy: 1 pages that watch cameras")
