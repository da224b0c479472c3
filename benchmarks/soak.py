"""A long run of the page under load: honest clients measured, first among themselves, then with hostile ones.

`web.py --soak MINUTES` runs it. A quarter of the time is quiet: one client of /predict, four webcams, and a client that
sends videos. Then ten hostile clients of another address join: heads that never end, uploads that drip or are too
large, strips, huge images, broken WebSockets, clients that leave before the answer.
"""

import json
import os
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import httpx2
import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

HONEST, HOSTILE = "127.0.0.1", "127.0.0.2"
WEBCAMS, ATTACKERS = 4, 10
WARM_UP = 20.0  # seconds before the first measurement of memory
SETTLE = 20.0  # seconds after the last client before files are counted
QUIET = 0.25  # share of the time


def soak(address: str, pid: int, temporary: Path, jpeg: bytes, minutes: float) -> dict:
    """Runs all clients against a server.

    Args:
        address: of the page.
        pid: of its process.
        temporary: the folder in which the server makes its own.
        jpeg: an image with a face.
        minutes: in all, without warm-up.

    Returns:
        Percentiles of /predict in ms, quiet and under attack; growth of memory in MB, of open files and of temporary
        files; numbers of requests.
    """
    stop, attack, times = threading.Event(), threading.Event(), {"quiet": [], "attacked": []}
    counts = {"videos": 0, "frames": 0, "attacks": 0, "refused": 0}
    video = _video()
    honest = [
        lambda: _predict(address, jpeg, times["attacked" if attack.is_set() else "quiet"], counts),
        lambda: _send_video(address, video, counts, stop),
        *[lambda: _webcam(address, jpeg, counts, stop)] * WEBCAMS,
    ]
    threads = [threading.Thread(target=_repeat, args=(work, stop)) for work in honest]
    threads += [
        threading.Thread(target=_repeat, args=(_attacker(address, counts), stop, attack)) for _ in range(ATTACKERS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(WARM_UP)
    times["quiet"].clear()
    before = _usage(pid)
    time.sleep(60 * minutes * QUIET)
    attack.set()
    time.sleep(60 * minutes * (1 - QUIET))
    stop.set()
    for thread in threads:
        thread.join()
    time.sleep(SETTLE)
    after = _usage(pid)
    figures = {
        f"p{share}_ms_{name}": round(float(np.percentile(values, share)), 1)
        for name, values in times.items()
        for share in (50, 95)
    }
    left = [path for path in temporary.rglob("*") if path.is_file() and path.name != "lock"]
    return {
        **figures,
        "memory_growth_mb": round(after[0] - before[0], 1),
        "open_files_growth": after[1] - before[1],
        "temporary_files": len(left),
        "predictions": len(times["quiet"]) + len(times["attacked"]),
        **counts,
    }


def _repeat(work: Callable, stop: threading.Event, after: threading.Event | None = None) -> None:
    while not stop.is_set():
        if after is not None and not after.wait(0.2):
            continue
        with suppress(OSError, httpx2.HTTPError, WebSocketException, TimeoutError):
            work()


def _usage(pid: int) -> tuple[float, int]:
    """Megabytes that a process holds, and its open files."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20, len(os.listdir(f"/proc/{pid}/fd"))


# Honest clients


def _predict(address, jpeg, times, counts):
    begun = time.perf_counter()
    answer = httpx2.post(f"{address}/predict", files={"image": jpeg}, timeout=60)
    if answer.status_code == 200:
        times.append(1000 * (time.perf_counter() - begun))
    else:
        counts["refused"] += 1
    time.sleep(0.3)


def _send_video(address, video, counts, stop):
    answer = httpx2.post(f"{address}/videos", content=video, timeout=60)
    if answer.status_code != 202:
        counts["refused"] += 1
        time.sleep(1)
        return
    place = f"{address}/videos/{answer.json()['id']}"
    while httpx2.get(place, timeout=60).json().get("state") in ("waiting", "working") and not stop.is_set():
        time.sleep(0.5)
    httpx2.get(f"{place}/annotated.mp4", timeout=60)
    httpx2.delete(place, timeout=60)
    counts["videos"] += 1


def _webcam(address, jpeg, counts, stop):
    with connect(f"{address.replace('http', 'ws', 1)}/live", max_size=None) as wires:
        for _ in range(100):
            if stop.is_set():
                return
            wires.send(jpeg)
            if "error" in json.loads(wires.recv(timeout=60)):
                return
            counts["frames"] += 1
            time.sleep(0.4)


def _video() -> bytes:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".avi") as file:
        writer = cv2.VideoWriter(file.name, cv2.VideoWriter.fourcc(*"MJPG"), 10.0, (160, 120))
        for i in range(40):
            writer.write(np.full((120, 160, 3), 5 * i, np.uint8))
        writer.release()
        return Path(file.name).read_bytes()


# Hostile clients


def _attacker(address, counts):
    host, port = address.removeprefix("http://").split(":")
    head = f"POST /predict HTTP/1.1\r\nHost: {host}:{port}\r\n".encode()
    form = b"Content-Type: multipart/form-data; boundary=x\r\n"
    part = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'

    def wires():
        return socket.create_connection((host, int(port)), 10, source_address=(HOSTILE, 0))

    def send(*parts, pause=0.0, answer=True):
        with wires() as line:
            for data in parts:
                line.sendall(data)
                time.sleep(pause)
            if answer:
                while line.recv(65536):
                    pass

    def image(data):
        body = part + data + b"\r\n--x--\r\n"
        return head + form + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    attacks = (
        lambda: [send(head, answer=False) for _ in range(50)],
        lambda: send(head, pause=15),
        lambda: send(head + form + b"Content-Length: 90000\r\n\r\n", *[b"x"] * 20, pause=1),
        lambda: send(head + form + b"Content-Length: 90000000\r\n\r\n" + bytes(2**20), answer=False),
        lambda: send(image(_strip(100_000, 250))),
        lambda: send(image(_strip(19_000, 1000))),
        lambda: send(image(_strip(5000, 5000))),
        lambda: send(image(os.urandom(50_000))),
        lambda: send(image(_strip(4000, 3000)), answer=False),
        lambda: send(b"\x16\x03\x01\x02\x00" + os.urandom(500)),
        lambda: send(
            head.replace(b"/predict", b"/videos") + b"Content-Length: 9000\r\n\r\n\0\0\0\x18ftypmp42" + bytes(9000)
        ),
        lambda: _bad_socket(host, port, wires),
    )

    def attack():
        counts["attacks"] += 1
        random.choice(attacks)()

    return attack


def _bad_socket(host, port, wires):
    with connect(f"ws://{host}:{port}/live", sock=wires(), max_size=None) as line:
        line.send(random.choice((b"", b"garbage", bytes(3 * 2**20), "text")))
        line.recv(timeout=20)


def _strip(width, height):
    """A PNG of one colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes((1 + width) * height))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
