"""Connections that never finish a request's head, or are too many."""

import http.client
import socket
import time

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import HEAD, encode, http_get, said, wait

pytestmark = pytest.mark.slow

IMAGE = encode(np.full((100, 100, 3), 90, np.uint8))


def test_endless_heads_are_cut_off():
    with web.listening(header_seconds=0.5) as place:
        silent, slow, second = (socket.create_connection(place, 20) for _ in range(3))
        slow.sendall(HEAD)
        second.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert said(second)[0] == 200
        second.sendall(HEAD)  # the next request on a connection that is kept
        assert http_get(place, "/health") == 200
        for wires in (silent, slow, second):
            assert wires.recv(100) == b""
            wires.close()


def test_slow_response_and_long_socket_stay_open():
    connect = pytest.importorskip("websockets.sync.client").connect
    with web.listening(header_seconds=0.3) as place, connect(f"ws://localhost:{place[1]}/live") as client:
        time.sleep(0.8)
        client.send(IMAGE)
        assert '"faces"' in client.recv()


def test_number_of_connections_is_limited():
    with web.listening(connections=5) as place:
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
