"""Requests per minute, one client's share of the connections, and the client behind a trusted proxy."""

import ipaddress
import socket
from contextlib import ExitStack, suppress

import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

import httpx2
from fastapi import HTTPException
from starlette.testclient import WebSocketDenialResponse
from support import web
from support.web import connect, line, wait

from fer.web import rate_limit
from fer.web.rate_limit import RateLimit


def allowed(limit, client="a"):
    try:
        limit.take(client)
    except HTTPException:
        return False
    return True


def test_bucket_is_emptied_and_refilled():
    now = [0.0]
    limit = RateLimit(60, "requests", clock=lambda: now[0])
    assert sum(allowed(limit) for _ in range(100)) == 60
    assert allowed(limit, "b")
    with pytest.raises(HTTPException) as refusal:
        limit.take("a")
    assert refusal.value.status_code == 429
    assert refusal.value.headers == {"Retry-After": "1"}
    assert refusal.value.detail == "the limit is 60 requests per minute; try again later"
    now[0] += 3.0
    assert sum(allowed(limit) for _ in range(100)) == 3
    now[0] += 3600.0
    assert sum(allowed(limit) for _ in range(100)) == 60


def test_memory_for_clients_is_bounded(monkeypatch):
    monkeypatch.setattr(rate_limit, "MOST_CLIENTS", 100)
    now = [0.0]
    limit = RateLimit(60, "requests", clock=lambda: now[0])
    assert sum(allowed(limit, "busy") for _ in range(60)) == 60
    for number in range(1000):
        limit.take(str(number))
    assert len(limit.buckets) <= 101
    assert not allowed(limit, "busy")  # who has used most is not forgotten
    now[0] += 60.0
    for number in range(1000):
        limit.take(str(number))
        now[0] += 2.0
    assert len(limit.buckets) <= 101


def test_requests_beyond_the_limit_get_429():
    with connect(requests_per_minute=5) as client:
        answers = [client.get("/health") for _ in range(8)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 3
        assert "the limit is 5 requests per minute" in line(answers[-1])
        assert int(answers[-1].headers["retry-after"]) in range(1, 13)
        assert client.get("/static/main.js").status_code == 200
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect("ws://localhost/live").__enter__()
        assert denied.value.status_code == 429


def request(address, **headers):
    return httpx2.get(f"http://127.0.0.1:{address[1]}/health", headers=headers, timeout=20).status_code


def test_header_of_an_unknown_proxy_is_ignored():
    with web.listening(requests_per_minute=2) as place:
        codes = [request(place, **{"X-Forwarded-For": f"10.0.0.{number}"}) for number in range(3)]
    assert codes == [200, 200, 429]


def test_header_of_a_trusted_proxy_names_the_client():
    proxies = (ipaddress.ip_network("127.0.0.0/8"),)
    with web.listening(requests_per_minute=2, proxies=proxies) as place:
        assert [request(place, **{"X-Forwarded-For": f"10.0.0.{number}"}) for number in range(4)] == [200] * 4
        # What a client has put in front itself does not count: the proxy appends the address it sees.
        forged = [request(place, **{"X-Forwarded-For": f"192.0.2.{number}, 10.0.0.9"}) for number in range(3)]
    assert forged == [200, 200, 429]


def test_half_sent_heads_of_one_address_leave_room_for_others():
    with web.listening(connections=60, connections_per_client=30) as (_, port), ExitStack() as stack:
        for _ in range(80):
            half = stack.enter_context(socket.create_connection(("127.0.0.1", port), source_address=("127.0.0.2", 0)))
            with suppress(OSError):  # cut off already
                half.sendall(b"GET /health HTTP/1.1\r\n")
        assert wait(lambda: request(("127.0.0.1", port)) == 200)


def test_slow_upload_is_cut_off_by_its_rate():
    """A byte now and then never stalls, but is far below the lowest rate."""
    with (
        web.listening(upload_stall_seconds=0.5, upload_bytes_per_second=1000) as place,
        socket.create_connection(place, 20) as wires,
    ):
        wires.sendall(
            b"POST /videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n\x00\x00\x00\x18ftypmp42"
        )
        wires.settimeout(0.2)
        received = b""
        for _ in range(50):
            try:
                wires.sendall(b"x")
                received = wires.recv(100)
                break
            except TimeoutError:
                continue
        assert received.startswith(b"HTTP/1.1 408")


def test_slow_uploads_hold_no_places_of_videos():
    with web.listening(videos=1, video_uploads_per_client=4) as place, ExitStack() as stack:
        for _ in range(3):
            slow = stack.enter_context(socket.create_connection(place, 20))
            slow.sendall(b"POST /videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90000\r\n\r\n")
        upload = b"\x00\x00\x00\x18ftypmp42" + bytes(100)
        answer = httpx2.post(f"http://127.0.0.1:{place[1]}/videos", content=upload, timeout=20)
        assert answer.status_code == 202
        again = httpx2.post(f"http://127.0.0.1:{place[1]}/videos", content=upload, timeout=20)
        assert again.status_code == 429
