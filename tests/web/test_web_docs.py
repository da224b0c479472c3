"""docs/web.md: its example runs, and the flags it names exist."""

import re
import subprocess
import sys

import cv2
import pytest
from support import portrait, tiny

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web

from fer.cli import app, train

PAGES = [tiny.ROOT / "docs" / name for name in ("web.md", "deployment.md")]


def test_example_of_the_websocket(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", PAGES[0].read_text(encoding="utf-8"), re.DOTALL)
    assert len(example.splitlines()) <= 20
    image = tmp_path / "face.jpg"
    cv2.imwrite(str(image), cv2.resize(portrait.astronaut(), (320, 320)))
    with web.listening() as (host, port):
        command = [sys.executable, "-c", example, f"ws://{host}:{port}/live", str(image), str(image)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        path, track, label, confidence = line.rsplit(maxsplit=3)
        assert (path, track) == (str(image), "1")
        assert label in web.classifier().labels
        assert 0 < float(confidence) <= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_flags_exist(page, capsys):
    for command in (app, train):
        with pytest.raises(SystemExit):
            command.parse_args(["--help"])
    known = set(re.findall(r"--[a-z][a-z-]+", capsys.readouterr().out))
    text = re.sub(r"docker .*|.*evaluate\.py.*|.*corrections\.py.*", "", page.read_text(encoding="utf-8"))
    used = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - {"--help"}
    assert len(used) > 5
    assert used <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
