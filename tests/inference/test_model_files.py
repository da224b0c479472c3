"""Networks of detectors are fetched once and checked, against a server on loopback."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fer import FerError
from fer.core import files
from fer.inference.detectors import create_detector
from fer.inference.dnn_detectors import YUNET
from fer.inference.model_files import ModelFile, cached, fetch

CONTENT = b"a network" * 1000


@pytest.fixture
def server():
    """Serves `CONTENT`; `requests` lists what was asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            server.requests.append(self.path)
            if self.path == "/garbage":
                self.wfile.write(b"no answer of HTTP\r\n\r\n")
                return
            self.send_response(404 if self.path == "/none" else 200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT[:99] if self.path == "/cut" else CONTENT)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.requests = []
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def file(server, path="/model.onnx", content=CONTENT):
    url = f"http://127.0.0.1:{server.server_port}{path}"
    return ModelFile("model.onnx", url, hashlib.sha256(content).hexdigest(), "MIT")


def test_a_file_is_fetched_once(server, cache, log_lines):
    assert cached(file(server)) is None
    assert fetch(file(server)).read_bytes() == CONTENT
    assert fetch(file(server)) == cached(file(server)) == cache / "model.onnx"
    assert server.requests == ["/model.onnx"]
    assert len(log_lines) == 1


def test_other_bytes_are_refused_and_not_kept(server, cache):
    with pytest.raises(FerError, match=r"another file than expected .SHA-256"):
        fetch(file(server, content=b"other"))
    assert not list(cache.glob("*"))


def test_a_damaged_file_in_the_cache_is_fetched_again(server, cache):
    cache.mkdir()
    (cache / "model.onnx").write_bytes(CONTENT[:-1])
    assert fetch(file(server)).read_bytes() == CONTENT


def test_what_cannot_be_fetched_names_the_way_on(server, monkeypatch):
    with pytest.raises(FerError, match=r"cannot be fetched .* --detector-model"):
        fetch(file(server, "/none"))
    with pytest.raises(FerError, match=r"cut short after 99 of 9,000 bytes; try again, or .* --detector-model"):
        fetch(file(server, "/cut"))
    with pytest.raises(FerError, match=r"cannot be fetched .* --detector-model"):
        fetch(file(server, "/garbage"))
    server.shutdown()
    server.server_close()
    with pytest.raises(FerError, match=r"cannot be fetched .* --detector-model"):
        fetch(file(server))


def test_yunet_without_a_file_is_fetched(server, monkeypatch):
    monkeypatch.setattr("fer.inference.dnn_detectors.YUNET", file(server))
    with pytest.raises(FerError, match="cannot load it as YuNet"):  # it is no network, but it was fetched
        create_detector("yunet")
    assert server.requests == ["/model.onnx"]


def test_the_folder_is_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.delenv("FER_CACHE")
    monkeypatch.setattr(files.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert files.cache_folder() == tmp_path / "fer"
    assert YUNET.sha256 == "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4"
