"""Firefox without a window, driven over WebDriver BiDi (https://w3c.github.io/webdriver-bidi/), which it speaks itself.

Playwright drives only a Firefox of its own, which it downloads.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.browsing import eventually

FIREFOX = next(filter(None, map(shutil.which, ("firefox-esr", "firefox"))), None)
# Nothing leaves the machine by itself.
PREFERENCES = {
    "app.normandy.enabled": False,
    "app.update.auto": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "data:,",
    "toolkit.telemetry.server": "data:,",
}


class Page:
    """One tab.

    Attributes:
        troubles: errors of the page's scripts and of the console.
    """

    def __init__(self, socket):
        self.socket, self.number, self.troubles = socket, 0, []
        self.command("session.new", capabilities={})
        self.command("session.subscribe", events=["log.entryAdded"])
        self.tab = self.command("browsingContext.create", type="tab")["context"]

    def command(self, method: str, **parameters) -> dict:
        """Sends a command and waits for its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self.socket.recv(timeout=60))
            if answer.get("method") == "log.entryAdded" and answer["params"]["level"] == "error":
                self.troubles.append(answer["params"]["text"])
            if answer.get("id") == self.number:
                assert answer["type"] == "success", answer
                return answer["result"]

    def goto(self, address: str) -> None:
        self.command("browsingContext.navigate", context=self.tab, url=address, wait="complete")

    def evaluate(self, expression: str):
        """The value of a JavaScript expression that JSON can hold; of a promise, what it gives."""
        code = f"(async () => JSON.stringify((await ({expression})) ?? null))()"
        answer = self.command("script.evaluate", expression=code, target={"context": self.tab}, awaitPromise=True)
        assert answer["type"] == "success", answer
        return json.loads(answer["result"]["value"])

    def until(self, expression: str) -> None:
        """Waits until an expression is true."""
        eventually(lambda: self.evaluate(f"Boolean({expression})"), f"never: {expression}")

    def choose(self, selector: str, *paths: Path) -> None:
        """Chooses files in an <input>."""
        found = self.command(
            "browsingContext.locateNodes", context=self.tab, locator={"type": "css", "value": selector}
        )
        element = {"sharedId": found["nodes"][0]["sharedId"]}
        self.command("input.setFiles", context=self.tab, element=element, files=[str(path) for path in paths])


@contextmanager
def page(profile: Path) -> Iterator[Page]:
    """Starts Firefox with an empty profile in a folder; without it the test is skipped."""
    if FIREFOX is None:
        pytest.skip("there is no Firefox")
    connect = pytest.importorskip("websockets.sync.client", reason="requirements-app.txt is not installed").connect
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in PREFERENCES.items())
    (profile / "user.js").write_text("".join(lines), encoding="utf-8")
    command = [FIREFOX, "--headless", "--no-remote", "--remote-debugging-port", "0", "--profile", str(profile)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        found = (re.match(r"WebDriver BiDi listening on (ws://\S+)", line) for line in process.stderr)
        address = next(filter(None, found))[1]
        with connect(f"{address}/session", max_size=None) as socket:
            yield Page(socket)
    finally:
        process.terminate()
        process.communicate(timeout=30)
