"""The door of the page: names and origins, places, sizes and times of uploads; headers of every answer."""

import http.client
import logging
import re
import socket
import time
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("support.visiting", reason="requirements-app.txt is not installed")

from fastapi import HTTPException
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from support import visiting
from support.visiting import encode, line, visitor, wait

from fer.web import guard, wire
from fer.web.limits import Slots

PICTURE = encode(np.full((100, 100, 3), 90, np.uint8))
HEAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"
FORM = b"Content-Type: multipart/form-data; boundary=x\r\n"
PART = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'


@pytest.fixture(scope="module")
def client():
    with visitor() as client:
        yield client


@pytest.fixture
def logged(caplog):
    """What uvicorn writes for the person at the server."""
    logger = logging.getLogger("uvicorn")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_slots():
    slots = Slots(2, "things")
    with slots.one(), slots.one():
        with pytest.raises(HTTPException) as refusal, slots.one():
            pass
        assert refusal.value.status_code == 429
        assert refusal.value.headers == {"Retry-After": "1"}
        assert refusal.value.detail == "busy: 2 things at once are served; try again in a moment"
    with pytest.raises(ValueError, match="inside"), slots.one():
        raise ValueError("inside")
    assert not slots.holders


def test_one_visitor_holds_a_part_of_the_slots_only():
    slots = Slots(3, "things", each=1)
    with slots.one("a"), slots.one("b"):
        with pytest.raises(HTTPException) as refusal, slots.one("a"):
            pass
        assert refusal.value.detail == "busy: 1 things of one visitor at once are served; try again in a moment"
        with slots.one("c"):
            pass
    with slots.one("a"):
        pass


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_names_of_this_server(client, host):
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io:7860", "", "[::1", "10.0.0.7.example"]
)
def test_foreign_names_are_refused(client, host):
    for answer in (client.get("/health", headers={"Host": host}), client.get("/", headers={"Host": host})):
        assert answer.status_code == 403
        line(answer)
    with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)):
        client.websocket_connect("ws://localhost/live", headers={"Host": host}).__enter__()


@pytest.mark.parametrize("host", ["10.0.0.7:7860", "[fe80::1]:7860", "Faces.example", "faces.example:443"])
def test_addresses_in_digits_and_the_names_given_are_answered(host):
    with visitor(hosts=guard.LOOPBACK | {"faces.example"}) as client:
        assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://localhost:1", "http://localhost.evil.example", "file://", ""]
)
def test_pages_of_other_origins_change_nothing(client, origin):
    headers = {"Origin": origin}
    for answer in (
        client.post("/predict", files={"image": PICTURE}, headers=headers),
        client.post("/videos", content=PICTURE, headers=headers),
        client.delete("/videos/x", headers=headers),
    ):
        assert answer.status_code == 403
        assert line(answer) == "pages of other sites may not use this server"
    for place in ("ws://localhost/live", "ws://localhost/cameras/door"):
        with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)):
            client.websocket_connect(place, headers=headers).__enter__()


def test_the_page_itself_may(client):
    assert client.post("/predict", files={"image": PICTURE}, headers={"Origin": "http://localhost"}).status_code == 200
    with client.websocket_connect("ws://localhost/live", headers={"Origin": "http://localhost"}) as socket:
        socket.send_bytes(PICTURE)
        assert socket.receive_json()["faces"] is not None


def test_headers_of_every_answer(client):
    for answer in (client.get("/health"), client.get("/nothing"), client.post("/predict"), client.get("/docs")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "access-control-allow-origin" not in answer.headers
    assert "unsafe" not in client.get("/health").headers["content-security-policy"]


def test_health_cameras_and_documents_ask_nobody_else(client):
    said = client.get("/health").json()
    assert (said["status"], said["model"], tuple(said["labels"])) == ("ok", "tiny", visiting.classifier().labels)
    assert said["limits"]["picture_bytes"] == 10 * 2**20
    assert client.get("/cameras").json() == {"cameras": []}
    docs = client.get("/docs").text
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", docs) + re.findall(r"url: '([^']+)", docs)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/")
        assert client.get(address).status_code == 200


def test_unknown_places_and_methods(client):
    for answer, status in (
        (client.get("/nothing"), 404),
        (client.put("/predict"), 405),
        (client.patch("/health"), 405),
    ):
        assert answer.status_code == status
        line(answer)
    for path in ("/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static/../server.py", "/static//etc/passwd"):
        assert client.get(path).status_code == 404


def test_large_bodies(client):
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (bytes(50 * 2**20), (bytes(2**20) for _ in range(50))):
        answer = client.post("/predict", content=content, headers=form)
        assert answer.status_code == 413
        assert line(answer) == "the file is larger than 10 MB"
    assert client.post("/predict", files={"image": bytes(10 * 2**20)}).status_code == 415  # still in size
    assert client.post("/predict", files={"image": bytes(10 * 2**20 + 2**17)}).status_code == 413


def test_a_body_without_end_is_cut_off():
    with visiting.listening(picture_bytes=2**20) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(PART), PART))
        taken = 0
        with suppress(OSError):  # cut off
            while taken < 10**9:
                wires.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
                taken += 2**20
        assert taken < 50 * 2**20


def said(wires):
    """Status and text of the answer on a raw connection."""
    answer = http.client.HTTPResponse(wires)
    answer.begin()
    return answer.status, answer.read().decode(), answer.headers


def test_an_upload_that_hangs_is_cut_off_and_stalls_nobody(logged):
    with visiting.listening(stall=0.5) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 5000\r\n\r\n" + PART)
        begun = time.monotonic()
        assert post(place, PICTURE)[0] == 200  # meanwhile
        status, text, headers = said(wires)
        assert status == 408
        assert text == '{"detail":"the upload took too long"}'
        assert time.monotonic() - begun < 10
        assert headers["connection"] == "close"
        assert wires.recv(1) == b""
    assert not [record for record in logged.records if record.levelno >= logging.ERROR]


def test_an_upload_that_drips_is_cut_off():
    with visiting.listening(stall=0.5, picture_time=1.0) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 5000\r\n\r\n" + PART)
        begun = time.monotonic()
        wires.settimeout(0.1)
        while time.monotonic() < begun + 8:
            try:
                wires.sendall(b".")
                head = wires.recv(100)
                break
            except TimeoutError:
                continue
        assert head.startswith(b"HTTP/1.1 408")
        assert 0.9 < time.monotonic() - begun < 8


def post(place, data):
    connection = http.client.HTTPConnection("localhost", place[1], timeout=30)
    connection.request(
        "POST", "/predict", PART + data + b"\r\n--x--\r\n", {"Content-Type": "multipart/form-data; boundary=x"}
    )
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, answer.headers


def test_uploads_beyond_their_places_are_told_to_wait():
    with visiting.listening(uploads=1) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 5000\r\n\r\n" + PART)
        _, text, headers = wait(lambda: (got := post(place, PICTURE))[0] == 429 and got)
        assert "busy: 1 uploads" in text
        assert int(headers["retry-after"]) > 0
        assert http_get(place, "/health") == 200
        wires.close()
        wait(lambda: post(place, PICTURE)[0] == 200)  # the place is free again


def http_get(place, path):
    connection = http.client.HTTPConnection("localhost", place[1], timeout=30)
    connection.request("GET", path)
    status = connection.getresponse().status
    connection.close()
    return status


def test_clients_that_leave_write_no_traceback(logged):
    with visiting.listening() as place:
        for path in (b"/predict", b"/videos"):
            with socket.create_connection(place, 20) as wires:
                wires.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + FORM)
                wires.sendall(b"Content-Length: 5000\r\n\r\n\x00\x00\x00\x18ftypmp42" + bytes(1000))
                time.sleep(0.2)
        assert post(place, PICTURE)[0] == 200
        time.sleep(0.2)
    assert not [record for record in logged.records if record.levelno >= logging.ERROR]


def test_a_client_that_waits_for_leave_is_refused_at_once():
    with visiting.listening() as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        assert said(wires)[0] == 413


def test_heads_that_never_end_are_cut_off(monkeypatch):
    monkeypatch.setattr(wire, "HEAD_TIME", 0.5)
    with visiting.listening() as place:
        silent, slow, second = (socket.create_connection(place, 20) for _ in range(3))
        slow.sendall(HEAD)
        second.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert said(second)[0] == 200
        second.sendall(HEAD)  # the next request on a connection that is kept
        assert http_get(place, "/health") == 200
        for wires in (silent, slow, second):
            assert wires.recv(100) == b""
            wires.close()


def test_a_slow_answer_and_a_long_socket_are_not_cut_off(monkeypatch):
    monkeypatch.setattr(wire, "HEAD_TIME", 0.3)
    connect = pytest.importorskip("websockets.sync.client").connect
    with visiting.listening() as place, connect(f"ws://localhost:{place[1]}/live") as client:
        time.sleep(0.8)
        client.send(PICTURE)
        assert '"faces"' in client.recv()


def test_connections_beyond_their_number_are_closed(monkeypatch):
    monkeypatch.setattr(wire, "CONNECTIONS", 5)
    with visiting.listening() as place:
        many = [socket.create_connection(place, 20) for _ in range(10)]
        with pytest.raises((OSError, http.client.HTTPException)):
            http_get(place, "/health")
        for wires in many:
            wires.close()
        wait(lambda: served(place))


def served(place):
    try:
        return http_get(place, "/health") == 200
    except (OSError, http.client.HTTPException):
        return False
