"""kaggle:OWNER/NAME through the real kagglehub, against a server on this machine that answers as Kaggle does."""

import base64
import hashlib
import io
import json
import socket
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import pytest

from fer import FerError
from fer.core.images import InputSpec
from fer.data.loading import load

SPEC = InputSpec(16, 1)


class Kaggle(BaseHTTPRequestHandler):
    """Version 3 of every archive that the server holds; a set that wants consent; nothing else."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call, name = self.path.rsplit("/", 1)[-1], f"{asked['ownerSlug']}/{asked['datasetSlug']}"
        self.server.calls.append((call, name, dict(self.headers)))
        if name == "somebody/private":
            self._answer_json({"code": 403, "message": "Permission denied"}, 403)
        elif name not in self.server.archives:
            self._answer_json({"code": 404, "message": "Dataset not found"}, 404)
        elif call == "GetDataset":
            self._answer_json({"ref": name, "currentVersionNumber": 3})
        else:
            assert call == "DownloadDataset"
            body = self.server.archives[name]
            checksum = b"0" * 16 if name.endswith("damaged") else hashlib.md5(body).digest()
            self._answer(body, "application/zip", {"x-goog-hash": "md5=" + base64.b64encode(checksum).decode()})

    def _answer_json(self, content, status=200):
        self._answer(json.dumps(content).encode(), "application/json", status=status)

    def _answer(self, body, kind, headers=(), status=200):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


@pytest.fixture
def faces(draw):
    """The zip file of a set of class folders."""
    folders = [f"images/{split}/{label}" for split in ("train", "test") for label in ("happy", "sad")]
    names = [f"{folder}/{i}.png" for folder in folders for i in range(3)]
    return zipped({name: cv2.imencode(".png", draw(i))[1].tobytes() for i, name in enumerate(names)})


@pytest.fixture
def kaggle(monkeypatch, tmp_path, faces, write_csv):
    """The server; kagglehub is led there, with a cache of its own, a home without keys, and no way out."""
    kaggle_env = pytest.importorskip("kagglesdk.kaggle_env")
    pytest.importorskip("kagglehub")
    table = write_csv([(i % 7, i, "Training") for i in range(70)]).read_bytes()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Kaggle)
    server.calls = []
    server.archives = {"somebody/faces": faces, "somebody/damaged": faces, "somebody/no-zip": b"hello"}
    server.archives["somebody/bad-crc"] = faces.replace(b"IDAT", b"DATA", 1)
    server.archives["somebody/table"] = zipped({"fer2013/fer2013.csv": table, "fer2013/README": b"rows"})
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()

    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, endpoint)
    for name in ("API_ENVIRONMENT", "API_TOKEN", "USERNAME", "KEY", "KERNEL_RUN_TYPE"):
        monkeypatch.delenv(f"KAGGLE_{name}", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "USERPROFILE", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "cache"))

    connect, server.outside = socket.socket.connect, []

    def connect_here(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            server.outside.append(address)
            raise ConnectionRefusedError(f"the tests stay on this machine: {address}")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_here)
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    assert server.outside == []


def test_class_folders_are_downloaded_and_read(kaggle, tmp_path):
    data = load("kaggle:somebody/faces", SPEC, splits=("train", "test"))
    assert {split: part.counts for split, part in data.items()} == {
        "train": {"happy": 2, "sad": 2},  # one of three of each is for validation
        "test": {"happy": 3, "sad": 3},
    }
    assert data["test"].root.startswith(str(tmp_path / "cache"))


def test_a_table_in_a_wrapping_folder(kaggle):
    data = load("kaggle:somebody/table", SPEC)
    assert [len(part) for part in data.values()] == [63, 7]


def test_no_key_is_sent(kaggle):
    load("kaggle:somebody/faces", SPEC)
    assert [call for call, _, _ in kaggle.calls] == ["GetDataset", "DownloadDataset"]
    assert not any("authorization" in map(str.lower, headers) for _, _, headers in kaggle.calls)


def test_the_second_time_it_comes_from_the_cache(kaggle):
    first = load("kaggle:somebody/faces", SPEC)
    again = load("kaggle:somebody/faces", SPEC)
    assert first["train"].names == again["train"].names
    assert [call for call, _, _ in kaggle.calls].count("DownloadDataset") == 1


def test_a_version_may_be_named(kaggle):
    load("kaggle:somebody/faces/versions/2", SPEC)
    assert [call for call, _, _ in kaggle.calls] == ["DownloadDataset"]


@pytest.mark.parametrize(
    ("handle", "said"),
    [
        ("nobody/nothing", "404.*specified the correct resource"),
        ("somebody/private", "403.*don't have permission"),
        ("somebody/no-zip", "Unsupported archive type"),
        ("somebody/damaged", "MD5 checksum"),
        ("somebody/bad-crc", "Bad CRC-32"),
    ],
)
def test_errors_of_the_server_are_one_line(kaggle, handle, said):
    with pytest.raises(FerError, match=said) as error:
        load(f"kaggle:{handle}", SPEC)
    assert str(error.value).startswith(f"kaggle:{handle}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("handle", ["", "faces", "a/", "/b", "a/b/c", "a/b/versions/x", "../../etc", "a b/c"])
def test_malformed_handles_are_refused_without_a_request(kaggle, handle):
    with pytest.raises(FerError, match="expected kaggle:OWNER/NAME"):
        load(f"kaggle:{handle}", SPEC)
    assert kaggle.calls == []


def test_a_server_that_does_not_answer(kaggle, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, but not listening: connections are refused
        from kagglesdk import kaggle_env

        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, endpoint)
        with pytest.raises(FerError, match=r"^kaggle:somebody/faces: .*refused"):
            load("kaggle:somebody/faces", SPEC)


def test_without_kagglehub_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(FerError, match="pip install kagglehub"):
        load("kaggle:somebody/faces", SPEC)
