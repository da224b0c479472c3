"""Connections that never finish a request, whose client reads nothing, or that are too many."""

import asyncio
import contextlib
import http.client
import socket
import time

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import HEAD, encode, http_get, said, wait
from uvicorn.server import ServerState

from fer.web import protocol, server
from fer.web.limits import Limits

pytestmark = pytest.mark.slow

IMAGE = encode(np.full((100, 100, 3), 90, np.uint8))
UPGRADE = (
    b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


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


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_rest_of_a_refused_body_has_to_come(method):
    """uvicorn's keep-alive timer ends with the first byte that follows the response."""
    with web.listening(header_seconds=9, keep_alive_seconds=9, image_upload_seconds=0.5) as place:
        with socket.create_connection(place, 20) as wires:
            wires.sendall(f"{method} /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n".encode())
            assert said(wires)[0] in (200, 405)
            begun = time.monotonic()
            wires.sendall(b"x")
            assert wires.recv(100) == b""
            assert time.monotonic() - begun < 5
        with socket.create_connection(place, 20) as wires:  # who sends it may ask again
            wires.sendall(b"POST /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n")
            assert said(wires)[0] == 405
            wires.sendall(b"12345GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert said(wires)[0] == 200


def narrow(place):
    """A connection whose client takes in little."""
    wires = socket.socket()
    wires.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    wires.connect(place)
    return wires


def test_unread_responses_end_the_connection():
    with web.listening(unread_seconds=0.5, header_seconds=60, keep_alive_seconds=60) as place:
        with narrow(place) as wires:
            for _ in range(400):  # 2 MB and more: beyond what the kernel holds
                wires.sendall(b"GET /docs-static/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n")
            time.sleep(2)
            received = 0
            with contextlib.suppress(ConnectionResetError):
                while chunk := wires.recv(2**20):
                    received += len(chunk)
            assert received < 400 * 2**20
        assert http_get(place, "/health") == 200


def test_pings_without_end_are_not_kept(monkeypatch):
    """A pong for each would wait in memory for a client that never reads."""
    most = 0
    write = protocol.LimitedSocket.handle_ping

    def noted(self):
        nonlocal most
        write(self)
        most = max(most, self.transport.get_write_buffer_size())

    monkeypatch.setattr(protocol.LimitedSocket, "handle_ping", noted)
    ping = bytes([0x89, 0x80 | 125]) + bytes(4) + b"p" * 125
    with web.listening() as place, narrow(place) as wires:
        wires.sendall(UPGRADE)
        assert wires.recv(12) == b"HTTP/1.1 101"
        for _ in range(80):
            wires.sendall(1000 * ping)  # 10 MB in all
        wait(lambda: most)
        assert most <= (protocol.MOST_PONGS + 1) * 2**18  # what asyncio reads at once


def test_messages_are_not_unpacked():
    """Two megabytes of zeros are two kilobytes when they are packed, and 256 kB arrive at once."""
    with web.listening() as place, socket.create_connection(place, 20) as wires:
        wires.sendall(UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += wires.recv(1000)
        assert head.startswith(b"HTTP/1.1 101")
        assert b"Extensions" not in head


def test_connections_of_one_ipv6_network_are_one_clients():
    class Transport:
        aborted = False

        def __init__(self, host):
            self.host = host

        def get_extra_info(self, name):
            return {"peername": (self.host, 1)}.get(name)

        def set_write_buffer_limits(self, high, low):
            pass

        def abort(self):
            self.aborted = True

        def close(self):
            pass

    async def connect(hosts):
        limits = Limits(connections_per_client=2)
        config = server.uvicorn_config(web.application(limits=limits), limits)
        config.load()
        state = ServerState()
        transports = [Transport(host) for host in hosts]
        for transport in transports:
            config.http_protocol_class(config=config, server_state=state, app_state={}).connection_made(transport)
        return [transport.aborted for transport in transports]

    hosts = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1"]
    assert asyncio.run(connect(hosts)) == [False, False, True, False]
