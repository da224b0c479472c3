"""Uploads: too large, too slow, too many, or cut off by the client."""

import encodings
import logging
import socket
import time
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import FORM, HEAD, PART, connect, encode, http_get, line, post, said, wait

pytestmark = pytest.mark.slow

IMAGE = encode(np.full((100, 100, 3), 90, np.uint8))


@pytest.fixture(scope="module")
def client():
    with connect() as client:
        yield client


@pytest.fixture
def logged(caplog):
    """What uvicorn writes for the person at the server."""
    logger = logging.getLogger("uvicorn")
    logger.addHandler(caplog.handler)
    yield caplog
    logger.removeHandler(caplog.handler)


def test_large_bodies(client):
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for content in (bytes(50 * 2**20), (bytes(2**20) for _ in range(50))):
        answer = client.post("/predict", content=content, headers=form)
        assert answer.status_code == 413
        assert line(answer) == "the file is larger than 10 MB"
    assert client.post("/predict", files={"image": bytes(10 * 2**20)}).status_code == 415  # still in size
    assert client.post("/predict", files={"image": bytes(10 * 2**20 + 2**17)}).status_code == 413


def test_types_of_forms_leave_nothing_behind(client):
    """Python's `codecs` keeps every name that it does not know; charset is of no use to a form with a file."""
    form = PART + IMAGE + b"\r\n--x--\r\n"
    before = len(encodings._cache)
    for number, beginning in enumerate((b"", b" charset=x%d;", b" CHARSET = y%d ;", b' charset="z%d";')):
        kind = b"multipart/form-data;" + beginning.replace(b"%d", b"%d" % number) + b" boundary=x"
        assert client.post("/predict", content=form, headers={"Content-Type": kind}).status_code == 200
    assert len(encodings._cache) == before


def test_other_forms_are_not_parsed(client):
    """Five million empty fields take seconds, in which no other client is served."""
    begun = time.process_time()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = client.post("/predict", content=b"&" * 5_000_000, headers=kind)
    assert time.process_time() - begun < 0.5
    assert answer.status_code == 422
    assert line(answer) == "image: Field required"


def test_endless_body_is_cut_off():
    with web.listening(image_bytes=2**20) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(PART), PART))
        taken = 0
        with suppress(OSError):  # cut off
            while taken < 10**9:
                wires.sendall(b"100000\r\n" + bytes(2**20) + b"\r\n")
                taken += 2**20
        assert taken < 50 * 2**20


def test_stalled_upload_is_cut_off_and_delays_nobody(logged):
    with web.listening(upload_stall_seconds=0.5) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 5000\r\n\r\n" + PART)
        begun = time.monotonic()
        assert post(place, IMAGE)[0] == 200  # meanwhile
        status, text, headers = said(wires)
        assert status == 408
        assert text == '{"detail":"the upload took too long"}'
        assert time.monotonic() - begun < 10
        assert headers["connection"] == "close"
        assert wires.recv(1) == b""
    assert not [record for record in logged.records if record.levelno >= logging.ERROR]


def test_slow_upload_is_cut_off():
    with (
        web.listening(upload_stall_seconds=0.5, image_upload_seconds=1.0, upload_bytes_per_second=1) as place,
        socket.create_connection(place, 20) as wires,
    ):
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


def test_number_of_uploads_is_limited():
    with web.listening(uploads=1) as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 5000\r\n\r\n" + PART)
        _, text, headers = wait(lambda: (got := post(place, IMAGE))[0] == 429 and got)
        assert "busy: the limit is 1 uploads" in text
        assert int(headers["retry-after"]) > 0
        assert http_get(place, "/health") == 200
        wires.close()
        wait(lambda: post(place, IMAGE)[0] == 200)  # the place is free again


def test_clients_that_leave_cause_no_traceback(logged):
    with web.listening() as place:
        for path in (b"/predict", b"/videos"):
            with socket.create_connection(place, 20) as wires:
                wires.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + FORM)
                wires.sendall(b"Content-Length: 5000\r\n\r\n\x00\x00\x00\x18ftypmp42" + bytes(1000))
                time.sleep(0.2)
        assert post(place, IMAGE)[0] == 200
        time.sleep(0.2)
    assert not [record for record in logged.records if record.levelno >= logging.ERROR]


def test_expecting_client_is_refused_at_once():
    with web.listening() as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
        assert said(wires)[0] == 413
