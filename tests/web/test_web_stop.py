"""The end of a server: running requests end, new ones get 503; decoders write nothing on the terminal."""

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import httpx2
import numpy as np
import pytest
from support import tiny

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support.web import encode, wait

from fer.cli import app
from fer.web import server
from fer.web.limits import Limits

SLOW_SERVER = """
import time
from pathlib import Path
from fer.cli import app, terminal
from fer.inference import haar

real = haar.Haar.find

def slow(self, image, *rest):
    print("searching", flush=True)
    while not Path(__file__).with_name("go on").exists():
        time.sleep(0.02)
    return real(self, image, *rest)

haar.Haar.find = slow
terminal.run(app.main, app.parse_args)
"""
pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="signals as Unix has them")]


def test_running_requests_end_and_new_ones_get_503(light_model, tmp_path):
    script = tmp_path / "slow.py"
    script.write_text(SLOW_SERVER)
    flags = ("--model", light_model, "--port", "0", "--shutdown-seconds", "60")
    process = tiny.start(*flags, script=script, PYTHONUNBUFFERED="1", PYTHONPATH=str(tiny.ROOT))
    address = next(line.strip().rstrip("/") for line in process.stdout if line.startswith("http"))
    image = encode(np.zeros((200, 300, 3), np.uint8))
    with ThreadPoolExecutor(1) as pool, httpx2.Client(base_url=address, timeout=20) as other:
        assert other.get("/health").status_code == 200
        running = pool.submit(httpx2.post, address + "/predict", files={"image": image}, timeout=20)
        assert "searching\n" in process.stdout
        process.send_signal(signal.SIGTERM)
        wait(lambda: other.get("/health").status_code == 503)
        refused = other.get("/health")
        assert refused.json() == {"detail": "the server is closing"}
        assert int(refused.headers["retry-after"]) > 0
        (tmp_path / "go on").touch()
        assert running.result().status_code == 200
    _, errors = process.communicate(timeout=20)
    assert "Traceback" not in errors


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_waits_for_no_request(sign):
    guarded = SimpleNamespace(stopping=False, running=1)
    page = server.PageServer(server.uvicorn_config(guarded, Limits()), guarded, Limits(shutdown_seconds=60))
    page.handle_exit(sign, None)
    assert guarded.stopping
    assert not page.should_exit
    page.handle_exit(sign, None)
    assert page.should_exit
    assert page.config.timeout_graceful_shutdown == 1  # for connections, not 60
    assert not page.force_exit  # uvicorn would leave out the end of the application, which deletes the private folder


def test_lines_of_decoders_stay_off_the_terminal(capfd):
    with app.decoders_silenced():
        os.write(2, b"libpng warning: from C\n")
        print("from Python", file=sys.stderr)
        thread = threading.Thread(target=lambda: print("from a thread", file=sys.stderr))
        thread.start()
        thread.join()
    os.write(2, b"afterwards\n")
    errors = capfd.readouterr().err
    assert "libpng" not in errors
    assert "from Python" in errors
    assert "from a thread" in errors
    assert "afterwards" in errors
