"""The WebSocket /live: clients kept apart, places that come free, and what a webcam may not send."""

import cv2
import numpy as np
import pytest
from support import portrait

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support.web import connect, encode, farewell, wait

from fer.web import webcam

pytestmark = pytest.mark.slow

LIVE = "ws://localhost/live"


@pytest.fixture(scope="module")
def face():
    return encode(cv2.resize(portrait.astronaut(), (320, 320)))


def label(socket, data):
    socket.send_bytes(data)
    return socket.receive_json()


def test_webcam_is_labelled_and_tracked(face):
    with connect() as client, client.websocket_connect(LIVE) as socket:
        answers = [label(socket, face) for _ in range(3)]
        for said in answers:
            assert set(said) == {"emotion", "faces", "width", "height"}
            assert (said["width"], said["height"]) == (320, 320)
            (found,) = said["faces"]
            assert set(found) == {"x", "y", "width", "height", "label", "confidence", "probabilities", "track"}
            assert said["emotion"] == found["label"]
        assert {said["faces"][0]["track"] for said in answers} == {1}


def test_webcams_have_separate_tracks(face):
    empty = encode(np.full((320, 320, 3), 90, np.uint8))
    with (
        connect() as client,
        client.websocket_connect(LIVE) as one,
        client.websocket_connect(LIVE) as other,
    ):
        label(one, face)
        label(one, face)
        assert label(other, empty)["faces"] == []  # nothing of the first client's
        found = wait(lambda: label(other, face)["faces"])  # a face that appears is found within a few frames
        assert found[0]["track"] == 1
        assert label(one, face)["faces"][0]["track"] == 1


def test_number_of_webcams_is_limited(face):
    with connect(webcams=1) as client:
        with client.websocket_connect(LIVE) as socket:
            label(socket, face)
            with client.websocket_connect(LIVE) as next_one:
                assert farewell(next_one, 1013).startswith("busy: the limit is 1 webcams at once")
        for _ in range(3):
            with client.websocket_connect(LIVE) as socket:
                assert label(socket, face)["faces"]


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", 1008, "empty"),
        (b"garbage", 1008, "not an image"),
        (encode(np.zeros((40, 40, 3), np.uint8), ".png"), 1008, "JPEG"),
        (encode(np.zeros((40, 40, 3), np.uint8))[:-9], 1008, "cut short"),
        (bytes(2**20 + 1), 1009, "too large"),
        (encode(np.zeros((1100, 1920, 3), np.uint8)), 1009, "pixels"),
    ],
    ids=["nothing", "garbage", "png", "short", "bytes", "pixels"],
)
def test_bad_frames_end_the_conversation(data, code, words):
    with connect() as client, client.websocket_connect(LIVE) as socket:
        socket.send_bytes(data)
        assert words in farewell(socket, code)


def test_text_in_place_of_a_frame():
    with connect() as client, client.websocket_connect(LIVE) as socket:
        socket.send_text("hello")
        assert farewell(socket, 1008) == "expected a message of bytes"


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 1500), (1500, 1), (3, 2)])
def test_odd_shapes_get_a_result_or_one_line(face, width, height):
    with connect() as client:
        with client.websocket_connect(LIVE) as socket:
            said = label(socket, encode(np.zeros((height, width, 3), np.uint8)))
            assert said.get("faces") == [] or "\n" not in said["error"]
        with client.websocket_connect(LIVE) as socket:
            assert label(socket, face)["faces"]


def test_silent_client_is_closed():
    with connect(idle_seconds=0.2) as client, client.websocket_connect(LIVE) as socket:
        assert "no message came" in farewell(socket, 1008)


def test_long_sessions_forget_their_history(face, monkeypatch):
    sessions, real = [], webcam._label

    def remembering(state, session, *rest):
        sessions.append(session)
        return real(state, session, *rest)

    monkeypatch.setattr(webcam, "_label", remembering)
    with connect(history_frames=4) as client, client.websocket_connect(LIVE) as socket:
        for _ in range(10):
            label(socket, face)
    assert max(one.history.frames for one in sessions) <= 4
