"""Hostile requests to app.py in a process of its own; after each of them it still labels an image."""

import io
import os
import socket
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import pytest
from support import portrait

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

import httpx2
from support.hostile import one_colour_png
from support.serving import get, serving
from support.web import encode, line
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

pytestmark = pytest.mark.slow
MEGABYTE = 2**20


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    return tmp_path_factory.mktemp("private")


@pytest.fixture(scope="module")
def address(private, light_four_block):
    before = os.environ.get("TMPDIR")
    os.environ["TMPDIR"] = str(private)
    try:
        with serving(light_four_block) as address:
            yield address
    finally:
        os.environ.pop("TMPDIR")
        if before is not None:
            os.environ["TMPDIR"] = before
    assert not list(private.iterdir())  # nothing stays when the server has ended


@pytest.fixture(scope="module")
def image_file():
    return encode(cv2.resize(portrait.astronaut(), (256, 256)))


@pytest.fixture
def client(address, image_file):
    """A client; after the test another one must be served as before."""
    with httpx2.Client(base_url=address, timeout=60) as client:
        yield client
    answer = httpx2.post(address + "/predict", files={"image": image_file}, timeout=60)
    assert answer.status_code == 200
    assert len(answer.json()["faces"]) == 1
    assert get(address + "/health")["status"] == "ok"


@pytest.fixture
def place(address):
    parts = urlsplit(address)
    return parts.hostname, parts.port


def memory(address):
    """Most megabytes that the server has ever held; it is a child of this process."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes()
            state = dict(text.split(":", 1) for text in (folder / "status").read_text().splitlines())
        except OSError:
            continue
        if b"app.py" in words and int(state["PPid"]) == os.getpid():
            return int(state["VmHWM"].split()[0]) / 1024
    pytest.skip("this system has no /proc")
    return None


def post(client, data, name="a.jpg"):
    return client.post("/predict", files={"image": (name, data)})


def packed():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.jpg", bytes(20 * MEGABYTE))
    return file.getvalue()


def gif():
    image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    image.new("P", (80, 80)).save(
        file, "GIF", save_all=True, append_images=[image.new("P", (80, 80), i) for i in range(9)]
    )
    return file.getvalue()


SVG = b"""<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>
<svg xmlns="http://www.w3.org/2000/svg"><image href="http://127.0.0.1:1/a.png"/><text>&x;</text></svg>"""


@pytest.mark.parametrize(
    ("data", "status"),
    [(b"", 422), (b"<html><script>alert(1)</script></html>", 415), (gif, 415), (SVG, 415), (packed, 415)],
    ids=["nothing", "html", "animated-gif", "svg", "zip"],
)
def test_other_files_are_refused(client, data, status):
    answer = post(client, data() if callable(data) else data)
    assert answer.status_code == status
    line(answer)


def test_truncated_jpeg(client, image_file):
    answer = post(client, image_file[: len(image_file) // 2])
    assert answer.status_code == 422
    assert "cut short" in line(answer)


def test_decompression_bomb(client, address):
    before = memory(address)
    bomb = one_colour_png(30_000, 30_000)
    assert len(bomb) < MEGABYTE
    begun = time.monotonic()
    answer = post(client, bomb, "a.png")
    assert time.monotonic() - begun < 5
    assert answer.status_code == 413
    assert "pixels" in line(answer)
    assert memory(address) - before < 100


def test_large_body(client, address):
    before = memory(address)
    answer = client.post("/predict", files={"image": bytes(50 * MEGABYTE)})
    assert answer.status_code == 413
    assert line(answer) == "the file is larger than 10 MB"
    assert memory(address) - before < 50


def test_wrong_fields_and_methods(client):
    for answer, status in (
        (client.post("/predict"), 422),
        (client.post("/predict", files={"photo": b"x"}), 422),
        (client.post("/predict", json={"image": "http://127.0.0.1:1/"}), 422),
        (client.get("/predict"), 405),
        (client.put("/predict", content=b"x"), 405),
        (client.request("BREW", "/predict"), 405),
        (client.post("/health"), 405),
    ):
        assert answer.status_code == status
        line(answer)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("../../../../tmp/evil.jpg", 200),
        ("/etc/passwd", 200),
        ("a\\..\\b.jpg", 200),
        ("\x00.jpg", 200),
        ("a" * 5000, 400),
        ("http://127.0.0.1:1/", 200),
    ],
    ids=["up", "absolute", "backslashes", "zero", "long", "address"],
)
def test_file_names_are_ignored(client, image_file, private, name, status):
    before = sorted(private.rglob("*"))
    assert post(client, image_file, name).status_code == status
    assert sorted(private.rglob("*")) == before


def raw(place, *parts, wait=20.0):
    """Sends bytes and gives what comes back until the server closes, by a reset too, or has said all. One that does
    neither fails."""
    received = b""
    with socket.create_connection(place, wait) as wires:
        try:
            for part in parts:
                wires.sendall(part)
            while chunk := wires.recv(65536):
                received += chunk
                wires.settimeout(0.5)
        except TimeoutError:
            assert received, "the server neither answers nor closes"
        except ConnectionError:
            pass
    return received


def test_flood_of_headers(client, place, address):
    before = memory(address)
    start = b"GET /health HTTP/1.1\r\nHost: localhost\r\n"
    many = b"".join(b"X-%d: %s\r\n" % (i, b"a" * 100) for i in range(20_000))
    long = b"X: " + b"a" * 2 * MEGABYTE
    for flood in (many, long):
        received = raw(place, start, flood, b"\r\n\r\n")
        assert not received or received.startswith(b"HTTP/1.1 4")
    assert memory(address) - before < 50


@pytest.mark.parametrize(
    "request_line",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"nonsense\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"POST /predict HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ],
    ids=[
        "tls",
        "words",
        "minus",
        "digits",
        "two-lengths",
        "chunk",
        "two-hosts",
        "no-host",
        "proxy",
        "bytes",
    ],
)
def test_malformed_http(client, place, request_line):
    received = raw(place, request_line, wait=15.0)  # a head without end is cut off after 10 s
    assert not received or received.startswith(b"HTTP/1.1 4"), received[:200]
    assert b"Traceback" not in received


def test_twenty_clients_at_once(client, address, image_file):
    def ask(_):
        return httpx2.post(address + "/predict", files={"image": image_file}, timeout=60)

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(ask, range(60)))
    assert {answer.status_code for answer in answers} <= {200, 429}
    assert sum(answer.status_code == 200 for answer in answers) >= 8
    for answer in answers:
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
            assert "busy" in line(answer)
        else:
            assert len(answer.json()["faces"]) == 1


def test_hanging_clients(address, place, image_file):
    """Twenty stop in the middle of an upload, and twenty before the end of their headers. Others are served meanwhile;
    how they are cut off in the end is shown with shorter limits in test_web_protocol.py and test_web_uploads.py."""
    hanging = [socket.create_connection(place, 20) for _ in range(40)]
    for number, wires in enumerate(hanging):
        wires.sendall(b"POST /predict HTTP/1.1\r\nHost: localhost\r\n")
        if number % 2:
            wires.sendall(b"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 99999\r\n\r\n--x\r\n")
    begun = time.monotonic()
    answer = httpx2.post(address + "/predict", files={"image": image_file}, timeout=60)
    assert answer.status_code == 200
    assert time.monotonic() - begun < 5
    for wires in hanging:
        wires.close()


def ended(wires, frame):
    """The code with which the server closes, after one line where the frame has reached the page."""
    try:
        wires.send(frame)
        assert '"error"' in wires.recv(timeout=20)
        wires.recv(timeout=20)
    except ConnectionClosed as end:
        return end.rcvd.code if end.rcvd else None
    return pytest.fail("the server goes on")


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("text", 1008),
        (b"garbage", 1008),
        (b"", 1008),
        (bytes(MEGABYTE + 1), 1009),
        (bytes(5 * MEGABYTE), 1009),
        ('{"url": "http://127.0.0.1:1/"}', 1008),
    ],
    ids=["text", "garbage", "nothing", "large", "oversized", "json"],
)
def test_malformed_messages(client, place, frame, code):
    with connect(f"ws://localhost:{place[1]}/live", max_size=None) as wires:
        assert ended(wires, frame) == code


def test_malformed_websocket(client, place):
    head = b"GET /live HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    key = b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    assert raw(place, head + key, b"\xff" * 5000, wait=2.0).startswith(b"HTTP/1.1 101")
    assert raw(place, head + b"\r\n", wait=2.0).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}],
    ids=["origin", "null", "host"],
)
def test_cross_origin_requests(client, place, image_file, headers):
    answer = client.post("/predict", files={"image": image_file}, headers=headers)
    assert answer.status_code == 403
    line(answer)
    received = raw(
        place,
        b"GET /live HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        b"".join(f"{name}: {value}\r\n".encode() for name, value in ({"Host": "localhost"} | headers).items()),
        b"\r\n",
        wait=3.0,
    )
    assert received.startswith(b"HTTP/1.1 403")
