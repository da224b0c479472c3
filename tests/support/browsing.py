"""The page as a person meets it: Chromium without a window, and a check that no page breaks the rules."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import pytest

from support import serving

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NAMES = ("webcam", "camera", "image", "video")  # of the tabs
PATIENCE = 30.0  # seconds
FPS = 15  # of the video that the fixture page_video makes
REFUSED = "Failed to load resource: the server responded with a status of 4"  # what Chromium logs of a refused upload
# Hands a file to the page as a paste or a drop does; true if the page lets the browser open what was dropped.
HAND_OVER = """([how, data, name, type]) => {
  const traits = {bubbles: true, cancelable: true};
  const transfer = new DataTransfer();
  transfer.items.add(new File([Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0))], name, {type}));
  if (how === "paste")
    return document.dispatchEvent(new ClipboardEvent("paste", {clipboardData: transfer, ...traits}));
  const send = (kind) => document.querySelector("section:not([hidden]) .drop").dispatchEvent(
    new DragEvent(kind, {dataTransfer: transfer, ...traits}));
  send("dragenter");
  send("dragover");
  return send("drop");
}"""


@dataclass
class Site:
    """A server of the page and a browser.

    Attributes:
        address: such as http://127.0.0.1:40001.
        temporary: where the server's temporary files go.
        browser: Playwright's.
        model: the name that the page shows.
    """

    address: str
    temporary: Path
    browser: object
    model: str

    def files(self) -> list[str]:
        """What the server keeps on disk of its clients, as paths below its private folder."""
        return sorted(str(path.relative_to(self.temporary)) for path in self.temporary.glob("fer-*/*/**"))

    @contextmanager
    def visit(self, tab: str = "webcam", before: str = "", **options) -> Iterator:
        """A page at one of the tabs. Afterwards it must have kept to this server, without an error and without a trace.

        Args:
            tab: one of `NAMES`.
            before: JavaScript that runs before the page's own.
            options: of Playwright's context.
        """
        context = self.browser.new_context(**options)
        try:
            page = context.new_page()
            page.set_default_timeout(1000 * PATIENCE)
            page.add_init_script(before)
            troubles = self._watch(page)
            answer = page.goto(f"{self.address}/#/{tab}")
            assert "default-src 'self'" in answer.headers["content-security-policy"]
            page.locator("#model", has_text=self.model).wait_for()
            yield page
            page.goto("about:blank")
            eventually(lambda: not self.files(), f"left behind: {self.files()}")
            assert not troubles, troubles
        finally:
            context.close()

    def _watch(self, page):
        """Fills a list with errors on the console and requests that leave this server."""
        own = (self.address, f"ws{self.address.removeprefix('http')}", "blob:", "data:", "about:")
        troubles = []

        def heard(message):
            refused = message.text.startswith(REFUSED) and message.location["url"].split("?")[0].endswith(
                ("/predict", "/videos")
            )
            if message.type == "error" and not refused:
                troubles.append(message.text)

        def asked(thing):
            if not thing.url.startswith(own):
                troubles.append(f"asked {thing.url}")

        page.on("console", heard)
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", asked)
        page.on("websocket", asked)
        return troubles


@contextmanager
def site(folder: Path, model: Path, *flags: str, browser_flags: tuple[str, ...] = ()) -> Iterator[Site]:
    """Starts app.py with flags, and Chromium; without either the test is skipped.

    Args:
        folder: becomes the server's place for temporary files.
        model: its file.
    """
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives the browser")
    for package in ("fastapi", "fastapi_offline", "uvicorn", "websockets", "av"):
        pytest.importorskip(package, reason="requirements-app.txt is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", *browser_flags])
        try:
            with mock.patch.dict(os.environ, TMPDIR=str(folder)), serving.serving(model, *flags) as address:
                yield Site(address, folder, browser, model.stem)
        finally:
            browser.close()


def eventually(true: Callable[[], bool], otherwise: str) -> None:
    """Waits until something is true."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


def until(page, true: str) -> None:
    """Waits until a JavaScript expression is true. Playwright's own way to wait is against the page's policy."""
    eventually(lambda: page.evaluate(true), f"never: {true}")


def status(page, tab: str, text: str, *, problem: bool | None = None) -> str:
    """Waits until the status line of a tab contains a text; gives the line."""
    said, kind = "", ""

    def there():
        nonlocal said, kind
        said, kind = page.eval_on_selector(f"#{tab} .status", "(line) => [line.innerText, line.className]")
        return text in said

    eventually(there, f"never said: {text}")
    assert "\n" not in said
    assert problem is None or ("problem" in kind.split()) is problem
    return said


def drawn(page, selector: str, color: tuple[int, int, int] | None = None) -> tuple[float, float, float, float]:
    """Left, top, right and bottom, as shares of a canvas, of its pixels of a colour, or else of all that is drawn."""
    return page.evaluate(
        """([selector, color]) => {
          const canvas = document.querySelector(selector), {width, height} = canvas;
          const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
          let [left, top, right, bottom] = [1, 1, 0, 0];
          for (let i = 0; i < data.length; i += 4) {
            if (color ? color.some((value, k) => Math.abs(value - data[i + k]) > 3) : !data[i + 3]) continue;
            const x = (i / 4 % width) / width, y = Math.floor(i / 4 / width) / height;
            [left, top] = [Math.min(left, x), Math.min(top, y)];
            [right, bottom] = [Math.max(right, x), Math.max(bottom, y)];
          }
          return [left, top, right, bottom];
        }""",
        [selector, color],
    )


def bars(page, tab: str) -> list[dict]:
    """What the bars of each face show: {"title", "shares": {label: percent}, "widths": shares of the track}."""
    return page.eval_on_selector_all(
        f"#{tab} .face",
        """(faces) => faces.map((face) => ({
          title: face.querySelector("h2").textContent,
          shares: Object.fromEntries([...face.querySelectorAll("dt")].map((term, i) =>
            [term.textContent, parseInt(face.querySelectorAll(".share")[i].textContent)])),
          widths: [...face.querySelectorAll(".bar > div")].map((bar) => parseFloat(bar.style.width)),
        }))""",
    )


def upload(page, tab: str, data: bytes, name: str = "an image.jpg") -> None:
    """Chooses a file in a tab."""
    page.set_input_files(f"#{tab} input[type=file]", {"name": name, "mimeType": "", "buffer": data})


def downloaded(page, selector: str) -> tuple[str, bytes]:
    """Name and content of what a button saves, or a link leads to. A link gets its address after the line of status."""
    until(page, f"(({{tagName, href}}) => tagName != 'A' || href)(document.querySelector('{selector}'))")
    with page.expect_download() as caught:
        page.click(selector)
    return caught.value.suggested_filename, caught.value.path().read_bytes()
