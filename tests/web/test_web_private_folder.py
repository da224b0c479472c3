"""Clients' files are removed with the server, however it ends."""

import os
import signal
import subprocess
import sys

import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

import httpx2
from support import tiny, web

from fer.web.private_folder import PREFIX, PrivateFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="locks and signals as Unix has them"),
]


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path


def test_folder_is_private_and_removed(temporary):
    folder = PrivateFolder()
    assert folder.path.stat().st_mode & 0o777 == 0o700
    (folder.path / "upload").write_bytes(b"x")
    folder.close()
    assert not list(temporary.iterdir())


def test_abandoned_folders_are_removed_and_held_ones_stay(temporary):
    code = "import os; from fer.web.private_folder import PrivateFolder; folder = PrivateFolder(); os._exit(9)"
    places = {"TMPDIR": str(temporary), "PYTHONPATH": str(tiny.ROOT)}
    subprocess.run([sys.executable, "-c", code], env=os.environ | places, check=False)
    (left,) = temporary.glob(f"{PREFIX}*")
    (temporary / f"{PREFIX}of-somebody-else").mkdir()  # without a lock: not ours to remove
    first, second = PrivateFolder(), PrivateFolder()
    assert not left.exists()
    assert first.path.exists()
    assert (temporary / f"{PREFIX}of-somebody-else").exists()
    first.close()
    second.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_stopped_server_leaves_nothing(temporary, light_model, number):
    flags = ("--model", light_model, "--port", "0")
    process = tiny.start(*flags, script="app.py", PYTHONUNBUFFERED="1", TMPDIR=str(temporary))
    assert any(line.startswith("http") for line in process.stdout)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode in (0, 128 + signal.SIGTERM)
    assert "Traceback" not in errors
    assert not list(temporary.glob(f"{PREFIX}*"))


def test_killed_server_leaves_nothing_after_the_next_start(temporary, light_model):
    """SIGKILL while videos are received, labelled and kept."""

    def start():
        flags = ("--model", light_model, "--port", "0")
        process = tiny.start(*flags, script="app.py", PYTHONUNBUFFERED="1", TMPDIR=str(temporary))
        return process, next(line.strip().rstrip("/") for line in process.stdout if line.startswith("http"))

    def folders():
        return set(temporary.glob(f"{PREFIX}*"))

    process, address = start()
    video = web.encode_video(temporary / "a.avi", web.plain_frames(300))
    for _ in range(2):
        httpx2.post(f"{address}/videos", content=video, timeout=30).raise_for_status()
    (left,) = folders()
    web.wait(lambda: len([path for path in left.rglob("*") if path.is_file()]) > 2)  # the lock, and the videos
    process.kill()
    process.communicate(timeout=30)
    assert folders() == {left}
    process, _ = start()
    try:
        web.wait(lambda: folders() and left not in folders())
        assert not [path for path in temporary.rglob("*.*") if path.is_file() and path.name != "a.avi"]
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert not folders()


def test_signal_during_an_import_is_not_lost(temporary, light_model):
    """Python drops what a signal's handler raises within the callback of a weak reference; imports make such calls."""
    code = """
import signal, uvicorn, weakref
from fer.cli import app
from fer.cli import terminal

class Gone:
    pass

factory = uvicorn.Config.get_loop_factory

def loading(settings):
    gone = Gone()
    watch = weakref.ref(gone, lambda _: signal.raise_signal(signal.SIGTERM))
    del gone
    return factory(settings)

uvicorn.Config.get_loop_factory = loading
terminal.run(app.main, app.parse_args)
"""
    command = (sys.executable, "-c", code, "--model", str(light_model), "--port", "0")
    places = {"TMPDIR": str(temporary), "PYTHONPATH": str(tiny.ROOT)}
    done = subprocess.run(command, env=os.environ | places, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in done.stderr
    assert not list(temporary.glob(f"{PREFIX}*"))
