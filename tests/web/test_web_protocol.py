"""Connections that never finish a request, whose client reads nothing, or that are too many."""

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import HEAD, encode, http_get, said, wait

from fer.web import protocol
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


@pytest.mark.parametrize(
    "head", [UPGRADE.replace(b"\r\n\r\n", more + b"\r\n\r\n") for more in (b"\r\nContent-Length: 5", b"\r\nX: y" * 200)]
)
def test_websockets_that_cannot_be_read_are_refused(head):
    with web.listening() as place, socket.create_connection(place, 20) as wires:
        wires.sendall(head)
        assert wires.recv(1000).startswith(b"HTTP/1.1 400")
        assert wires.recv(1000) == b""


def test_messages_are_not_unpacked():
    """Two megabytes of zeros are two kilobytes when they are packed, and 256 kB arrive at once."""
    with web.listening() as place, socket.create_connection(place, 20) as wires:
        wires.sendall(UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"))
        head = b""
        while b"\r\n\r\n" not in head:
            head += wires.recv(1000)
        assert head.startswith(b"HTTP/1.1 101")
        assert b"Extensions" not in head


def test_connections_of_one_ipv6_network_are_one_clients(monkeypatch):
    ends = [socket.socketpair() for _ in range(6)]
    hosts = iter(["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "2001:db8::4", "2001:db8::5"])
    coming = iter(ends)
    monkeypatch.setattr(socket.socket, "accept", lambda _: (next(coming)[0], (next(hosts), 1, 0, 0)))

    def accepted():
        try:
            return listener.accept()[0]
        except ConnectionAbortedError:
            return None

    with socket.socket() as place, protocol.Listener(place, Limits(connections_per_client=2)) as listener:
        first, second, third, other = (accepted() for _ in range(4))
        assert (first, second, third, other) == (ends[0][0], ends[1][0], None, ends[3][0])
        assert accepted() is None
        first.close()
        assert accepted() is ends[5][0]
    for pair in ends:
        for end in pair:
            end.close()


def test_connections_before_the_handshake_of_tls_count(tmp_path):
    """uvicorn does not know them; a thousand took all of a server's files, for as long as a client liked."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl makes the certificate")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    make = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    subprocess.run([*make, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with web.listening(connections_per_client=4, certificate=str(certificate), key=str(key)) as place:
        silent = [socket.create_connection(place, 20) for _ in range(4)]
        with socket.create_connection(place, 20) as fifth:
            assert fifth.recv(1) == b""
        for wires in silent:
            wires.close()
        context = ssl.create_default_context(cafile=str(certificate))

        def get():
            connection = http.client.HTTPSConnection("localhost", place[1], timeout=20, context=context)
            try:
                connection.request("GET", "/docs-static/swagger-ui-bundle.js")
                return len(connection.getresponse().read())
            except OSError:
                return 0
            finally:
                connection.close()

        assert wait(get) > 10**6
