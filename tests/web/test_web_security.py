"""Host names and origins that may use the page, and the headers of every response."""

import re
import socket

import numpy as np
import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from support import web
from support.web import FORM, HEAD, connect, encode, line, said

from fer.web import security
from fer.web.limits import Limits

IMAGE = encode(np.full((100, 100, 3), 90, np.uint8))


@pytest.fixture(scope="module")
def client():
    with connect() as client:
        yield client


@pytest.mark.parametrize("host", ["localhost", "localhost:7860", "127.0.0.1", "[::1]:7860", "LOCALHOST"])
def test_own_host_names(client, host):
    assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "localhost.evil.example", "127.0.0.1.nip.io:7860", "", "[::1", "10.0.0.7.example"),
        *("user@localhost", "evil.example@127.0.0.1", "localhost:x", "localhost:7860:1", "localhost/", "local host"),
    ],
)
def test_other_host_names_are_refused(client, host):
    for answer in (client.get("/health", headers={"Host": host}), client.get("/", headers={"Host": host})):
        assert answer.status_code == 403
        line(answer)
    with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)):
        client.websocket_connect("ws://localhost/live", headers={"Host": host}).__enter__()


@pytest.mark.parametrize("host", ["10.0.0.7:7860", "[fe80::1]:7860", "Faces.example", "faces.example:443"])
def test_addresses_in_digits_and_allowed_hosts(host):
    with connect(hosts=security.LOOPBACK | {"faces.example"}) as client:
        assert client.get("/health", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin",
    [
        *("http://evil.example", "null", "http://localhost:1", "http://localhost.evil.example", "file://", ""),
        *("https://localhost", "http://localhost:443", "http://user@localhost", "http://[::1", "localhost"),
    ],
)
def test_cross_origin_requests_are_refused(client, origin):
    headers = {"Origin": origin}
    for answer in (
        client.post("/predict", files={"image": IMAGE}, headers=headers),
        client.post("/videos", content=IMAGE, headers=headers),
        client.delete("/videos/x", headers=headers),
    ):
        assert answer.status_code == 403
        assert line(answer) == "cross-origin requests are not allowed"
    for place in ("ws://localhost/live", "ws://localhost/cameras/door"):
        with pytest.raises((WebSocketDisconnect, WebSocketDenialResponse)):
            client.websocket_connect(place, headers=headers).__enter__()


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_cross_origin_requests_without_an_origin_are_refused(client, site):
    """Browsers say what they know in Sec-Fetch-Site; "same-site" is another origin too, of another port or name."""
    headers = {"Sec-Fetch-Site": site}
    assert client.post("/predict", files={"image": IMAGE}, headers=headers).status_code == 403
    assert client.get("/", headers=headers).status_code == 200  # a link
    for own in ("same-origin", "none"):
        answer = client.post("/predict", files={"image": IMAGE}, headers={"Sec-Fetch-Site": own})
        assert answer.status_code == 200


def test_same_origin_is_allowed(client):
    assert client.post("/predict", files={"image": IMAGE}, headers={"Origin": "http://localhost"}).status_code == 200
    with client.websocket_connect("ws://localhost/live", headers={"Origin": "http://localhost"}) as socket:
        socket.send_bytes(IMAGE)
        assert socket.receive_json()["faces"] is not None


@pytest.mark.parametrize("origin", ["http://localhost:80", "HTTP://LOCALHOST"])
def test_port_of_the_scheme_may_be_named(client, origin):
    assert client.post("/predict", files={"image": IMAGE}, headers={"Origin": origin}).status_code == 200


def test_two_lengths_of_a_body_end_the_connection():
    """RFC 9112, section 6.1: a request with both headers may be an attempt at request smuggling."""
    with web.listening() as place, socket.create_connection(place, 20) as wires:
        wires.sendall(HEAD + FORM + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
        status, _, headers = said(wires)
        assert status == 422
        assert headers["connection"] == "close"
        assert wires.recv(1) == b""


def test_trusted_host_middleware_knows_no_addresses():
    """Why `SecurityMiddleware` checks the Host header itself."""
    theirs = TestClient(TrustedHostMiddleware(web.application(limits=Limits()), ["localhost"]))
    answer = theirs.get("/health", headers={"Host": "10.0.0.7:7860"})
    assert (answer.status_code, answer.text) == (400, "Invalid host header")


def test_headers_of_every_response(client):
    for answer in (client.get("/health"), client.get("/nothing"), client.post("/predict"), client.get("/docs")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "access-control-allow-origin" not in answer.headers
    assert "unsafe" not in client.get("/health").headers["content-security-policy"]


def test_docs_load_nothing_from_elsewhere(client):
    said = client.get("/health").json()
    assert (said["status"], said["model"], tuple(said["labels"])) == ("ok", "tiny", web.classifier().labels)
    assert said["limits"]["image_bytes"] == 10 * 2**20
    assert client.get("/cameras").json() == {"cameras": []}
    docs = client.get("/docs").text
    addresses = re.findall(r"""(?:src|href)=["']([^"']+)""", docs) + re.findall(r"url: '([^']+)", docs)
    assert len(addresses) >= 3
    for address in addresses:
        assert address.startswith("/")
        assert client.get(address).status_code == 200


def test_unknown_paths_and_methods(client):
    for answer, status in (
        (client.get("/nothing"), 404),
        (client.put("/predict"), 405),
        (client.patch("/health"), 405),
    ):
        assert answer.status_code == status
        line(answer)
    for path in ("/static/..%2fserver.py", "/static/%2e%2e/server.py", "/static/../server.py", "/static//etc/passwd"):
        assert client.get(path).status_code == 404
