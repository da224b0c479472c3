"""The access log and /metrics: what they hold, and what they must not."""

import json
import logging
import socket
from contextlib import suppress

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import connect, encode, listening

from fer import FerError
from fer.web.observe import AccessLog

IMAGE = encode(np.zeros((200, 300, 3), np.uint8))


def use(client):
    client.get("/health")
    client.post("/predict", files={"image": ("my holiday.jpg", IMAGE)})
    client.post("/predict", files={"image": ("secret.jpg", b"no image")})
    client.get("/videos/secret-id")
    client.get("/nothing?token=secret")
    client.get("/static/main.js")
    client.get("/health", headers={"Host": "evil.example"})
    client.request("BREW", "/health")


def test_access_log_names_routes_and_no_secrets(tmp_path):
    path = tmp_path / "access.jsonl"
    with connect(access_log=path, cameras={"door": "rtsp://user:secret@10.0.0.7/live"}) as client:
        use(client)
        client.get("/cameras")
    text = path.read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert [(line["route"], line["status"]) for line in lines] == [
        ("/health", 200),
        ("/predict", 200),
        ("/predict", 415),
        ("/videos/{id}", 404),
        ("other", 404),
        ("/static", 200),
        ("other", 403),
        ("/health", 405),
        ("/cameras", 200),
    ]
    for line in lines:
        assert set(line) == {"time", "client", "method", "route", "status", "milliseconds"}
        assert line["milliseconds"] >= 0
    assert "secret" not in text
    assert "holiday" not in text


def test_access_log_that_cannot_be_written(tmp_path):
    with pytest.raises(FerError, match="cannot be written"):
        AccessLog(tmp_path / "missing" / "access.jsonl")


def test_lines_of_the_log_are_short(tmp_path):
    path = tmp_path / "access.jsonl"
    with connect(access_log=path) as client:
        client.request("A" * 50_000, "/health")
    AccessLog(path)({"client": ("B" * 50_000, 1), "method": "GET", "path": "/"}, 200, 0.1)  # by X-Forwarded-For
    lines = path.read_text().splitlines()
    assert [json.loads(line)["method"] for line in lines] == ["other", "GET"]
    assert max(map(len, lines)) < 300


def test_log_that_is_taken_away_stops_no_request(tmp_path, caplog):
    path = tmp_path / "logs" / "access.jsonl"
    path.parent.mkdir()
    with connect(access_log=path) as client:
        path.unlink()
        path.parent.rmdir()
        assert [client.get("/health").status_code for _ in range(3)] == [200] * 3
        (told,) = caplog.records
        assert "access log cannot be written" in told.message
        path.parent.mkdir()
        client.get("/health")
    assert len(path.read_text().splitlines()) == 1


def test_metrics_are_off_by_default():
    with connect() as client:
        assert client.get("/metrics").status_code == 404


def test_metrics():
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    with connect(metrics=True) as client:
        use(client)
        text = client.get("/metrics").text
        with client.websocket_connect("ws://localhost/live") as socket:
            socket.send_bytes(IMAGE)
            socket.receive_json()
            assert "fer_webcams 1.0" in client.get("/metrics").text
    assert 'fer_requests_total{method="POST",route="/predict",status="200"} 1.0' in text
    assert 'fer_requests_total{method="other",route="/health",status="405"} 1.0' in text
    assert 'fer_request_seconds_count{route="/predict"} 2.0' in text
    for name in (
        "fer_images",
        "fer_webcams",
        "fer_viewers",
        "fer_videos",
        "fer_faces_total",
        "process_resident_memory_bytes",
    ):
        assert f"\n{name} " in text
    assert "secret" not in text


def test_metrics_without_the_package(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "prometheus_client", None)
    with pytest.raises(FerError, match="pip install prometheus-client"):
        connect(metrics=True)


@pytest.mark.parametrize(
    "data",
    [
        b"GET /live HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\nUpgrade: websocket\r\n"
        b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + b"a" * 200_000,
    ],
    ids=["refused-websocket", "chunk"],
)
def test_hostile_requests_write_no_log(caplog, data):
    log = logging.getLogger("uvicorn.error")
    with listening() as place, socket.create_connection(place, 20) as wires:
        log.addHandler(caplog.handler)
        try:
            wires.sendall(data)
            with suppress(ConnectionResetError):
                while wires.recv(1000):
                    pass
            assert web.http_get(place, "/health") == 200  # by now the other one would have been logged
            assert not caplog.records
            log.error("Exception in ASGI application")  # a bug
            assert len(caplog.records) == 1
        finally:
            log.removeHandler(caplog.handler)
