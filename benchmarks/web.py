"""The web page: `/predict` for one client and for eight, the live page in Chromium, and the server's memory.

    python benchmarks/web.py --model models/four-block.keras --json web.json
    python benchmarks/web.py --model models/fer2013.tflite --soak 20

One face (scikit-image's astronaut) at 640x480. Starts app.py itself; the clients share the machine with it, as the
browser does. The live page gets the moving astronaut from Chromium's fake camera; its figure counts the answers that
come over the page's own WebSocket. Playwright and Chromium may be missing: then that figure is left out.
"""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import scenes
import soak
from live import resident, video

from fer.cli import arguments

CLIENTS = 8
WARM_UP = 20  # requests
LIVE_WARM_UP = 5.0  # seconds
BOUNDARY = "image"
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--requests", type=int, default=200, help="for each number of clients")
    parser.add_argument("--memory-requests", type=int, default=1000)
    parser.add_argument("--live-seconds", type=float, default=20.0)
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="run soak.py instead: load, then hostile clients")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    from fer.cli import terminal
    from fer.models import device

    with terminal.quiet():
        hardware = device.describe()
    print(f"{hardware}, opencv {cv2.__version__}, {Path(args.model).name}, {scenes.WIDTH}x{scenes.HEIGHT}")
    jpeg = cv2.imencode(".jpg", scenes.scene(0.8, 150, 60)[0])[1].tobytes()
    with (
        tempfile.TemporaryDirectory() as temporary,
        # All clients of this program share one address.
        serving(args.model, temporary, "--requests-per-minute", "1000000") as (address, pid),
    ):
        if args.soak:
            figures = soak.soak(address, pid, Path(temporary), jpeg, args.soak)
        else:
            figures = measure(address, pid, form(jpeg), args)
    for name, value in figures.items():
        print(f"{name:18} {value:>10}")
    if args.json:
        about = {"requests": args.requests, "memory_requests": args.memory_requests, "device": hardware}
        Path(args.json).write_text(json.dumps(figures | about, indent=1))


def measure(address, pid, body, args):
    """Latencies of /predict, frames per second of the live page, growth of memory."""
    ask(address, body, WARM_UP)
    figures = percentiles("", ask(address, body, args.requests))
    figures |= percentiles(f"_{CLIENTS}", together(address, body, args.requests))
    figures |= live(address, args.live_seconds)
    before = resident(pid)
    together(address, body, args.memory_requests)
    return figures | {"memory_growth_mb": round(resident(pid) - before, 1)}


@contextmanager
def serving(model, temporary, *flags):
    """Starts app.py at a free port; gives its address and process number."""
    script = Path(__file__).parent.parent / "app.py"
    command = [sys.executable, script, "--model", model, "--port", "0", *flags]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": temporary}
    ) as process:
        try:
            address = next((line.strip() for line in process.stdout if line.startswith("http")), None)
            if address is None:
                sys.exit(f"error: app.py ended with code {process.wait()}")
            yield address.rstrip("/"), process.pid
        finally:
            process.terminate()


def form(image):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="image"; filename="scene.jpg"\r\n\r\n'
    return head.encode() + image + f"\r\n--{BOUNDARY}--\r\n".encode()


def ask(address, body, count):
    """Milliseconds of so many requests, one after the other over one connection."""
    times = []
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
    for _ in range(count):
        begun = time.perf_counter()
        connection.request("POST", "/predict", body, {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"})
        answer = connection.getresponse()
        said = json.load(answer)
        times.append(1000 * (time.perf_counter() - begun))
        if answer.status != 200 or len(said["faces"]) != 1:
            sys.exit(f"error: expected one face, the server said {answer.status} {said}")
    connection.close()
    return times


def together(address, body, count):
    """The same from clients that ask all at once."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        parts = pool.map(lambda _: ask(address, body, count // CLIENTS), range(CLIENTS))
        return [ms for part in parts for ms in part]


def percentiles(name, times):
    return {f"p{share}_ms{name}": round(float(np.percentile(times, share)), 1) for share in (50, 95)}


def live(address, seconds):
    """Labelled frames a second in the page, or nothing where no browser can be driven."""
    browser = next(filter(None, map(shutil.which, CHROMIUM)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        browser = None
    if browser is None:
        print("live_fps is left out: it needs Playwright and Chromium")
        return {}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        flags = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
        flags.append(f"--use-file-for-fake-video-capture={camera(Path(folder))}")
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", *flags])
        page = chromium.new_page()
        answers = []

        def heard(message):
            if '"faces":[{' in str(message).replace(" ", ""):
                answers.append(time.perf_counter())

        page.on("websocket", lambda socket: socket.on("framereceived", heard))
        page.goto(address)
        page.click("#webcam .start")
        page.wait_for_selector("#webcam .face", timeout=60_000)
        page.wait_for_timeout(1000 * LIVE_WARM_UP)
        answers.clear()
        begun = time.perf_counter()
        page.wait_for_timeout(1000 * seconds)
        fps = len(answers) / (time.perf_counter() - begun)
        print(f"the page says {page.inner_text('#webcam .rate')!r}")
        chromium.close()
    return {"live_fps": round(fps, 1)}


def camera(folder):
    """The moving astronaut as Motion JPEG, which Chromium plays over and over at 30 frames a second."""
    names, _ = video(folder, 150)
    path = folder / "camera.mjpeg"
    path.write_bytes(b"".join(cv2.imencode(".jpg", cv2.imread(name))[1].tobytes() for name in names))
    return path


if __name__ == "__main__":
    main()
