"""Models from the Hugging Face Hub and from Kaggle, through their real clients and servers on this machine."""

import base64
import importlib.util
import json
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import cv2
import pandas as pd
import pytest
from support import tiny

from fer import FerError
from fer.cli import export_model
from fer.core.images import InputSpec
from fer.evaluation.card import is_card
from fer.models import hub
from fer.models.bundled import find_model
from fer.models.classifier import Classifier

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hub(BaseHTTPRequestHandler):
    """The repositories of `server.files`, and whatever is committed to them; nothing else."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self._answer_file()

    def do_HEAD(self):
        self._answer_file()

    def _answer_file(self):
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            files = self.server.files.get("/".join(parts[2:4]))
            if files is None:
                return self._answer_json({"error": "Repository not found"}, 404)
            siblings = [{"rfilename": file} for file in files]
            return self._answer_json({"id": "/".join(parts[2:4]), "siblings": siblings, "sha": COMMIT})
        files, name = self.server.files.get("/".join(parts[:2]), {}), "/".join(parts[4:])
        if name not in files:
            return self._answer_json({"error": "Entry not found"}, 404)
        headers = {"ETag": f'"{hash(files[name]) & 0xFFFF:x}"', "X-Repo-Commit": COMMIT}
        return self._answer(files[name], "application/octet-stream", headers)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = urlsplit(self.path).path
        if path.endswith("/repos/create"):
            name = json.loads(body)
            repository = f"{name.get('organization', 'me')}/{name['name']}"
            if repository not in self.server.files:
                self.server.files[repository] = {}
                # since 2.0 and before
                self.server.private[repository] = name.get("visibility") == "private" or name.get("private", False)
            return self._answer_json({"url": f"https://huggingface.co/{repository}"})
        if "/preupload/" in path:
            paths = [file["path"] for file in json.loads(body)["files"]]
            return self._answer_json(
                {"files": [{"path": p, "uploadMode": "regular", "shouldIgnore": False} for p in paths]}
            )
        if "/commit/" in path:
            lines = [json.loads(line) for line in body.splitlines()]
            if lines[0]["value"].get("parentCommit") != COMMIT:
                return self._answer_json({"error": "Conflict"}, 412)
            repository = "/".join(path.split("/")[3:5])
            for line in lines:
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.server.files[repository][line["value"]["path"]] = content
            return self._answer_json(
                {"commitUrl": f"https://huggingface.co/{repository}/commit/{COMMIT}", "commitOid": COMMIT}
            )
        return self._answer_json({})  # validate-yaml

    def _answer_json(self, content, status=200):
        headers = {"X-Error-Code": "RepoNotFound"} if status == 404 else {}
        self._answer(json.dumps(content).encode(), "application/json", headers, status)

    def _answer(self, body, kind, headers=(), status=200):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **dict(headers)}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        server.files, server.private = {}, {}
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def client(server, tmp_path):
    """client(code): what a process prints that knows the Hub by this address, with an empty cache; or its error."""
    if importlib.util.find_spec("huggingface_hub") is None:
        pytest.skip("huggingface_hub is not installed")
    cache = tmp_path / "cache"

    def run(code):
        environment = {
            **{"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(cache), "HF_TOKEN": "hf_test"},
            **{"HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "no_proxy": "127.0.0.1"},
        }
        code = f"from fer import FerError\ntry:\n    {code}\nexcept FerError as error:\n    print('refused:', error)"
        command = [sys.executable, "-c", code]
        environment = {"PATH": "", "PYTHONPATH": str(tiny.ROOT), "HOME": str(tmp_path), **environment}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("hub") / "mine.keras"
    Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE), {"data": "tiny"}).save(path)
    return path


READ = "from fer.models.model_file import read_info; print(read_info({!r}).labels)"


@pytest.mark.parametrize("address", ["hf:me/faces", "hf:me/faces@main", "hf:me/faces/mine.keras"])
def test_model_of_the_hub_is_loaded(address, client, server, model):
    server.files["me/faces"] = {"README.md": b"# faces", "mine.keras": model.read_bytes(), "mine.tflite": b"x"}
    assert client(READ.format(address)) == str(tiny.LABELS)


def test_model_of_the_hub_is_what_a_program_and_a_command_label_with(client, server, model, tmp_path):
    server.files["me/faces"] = {"mine.keras": model.read_bytes()}
    known, image = Classifier.load(model), tiny.data(1).images[0]
    label = known.labels[known.predict(image[None]).argmax()]
    load = "import fer; print(fer.load('hf:me/faces', detector='none')({!r})[0].label)"
    (tmp_path / "photos").mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "face.png"), image)
    assert client(load.format(str(tmp_path / "photos" / "face.png"))) == label
    arguments = [tmp_path / "photos", "--model", "hf:me/faces", "--detector", "none", "--output", tmp_path / "rows.csv"]
    run = "from fer.cli import predict_folder as command; command.main(command.parse_args({!r}))"
    client(run.format([str(argument) for argument in arguments]))
    assert pd.read_csv(tmp_path / "rows.csv")["label"].tolist() == [label]


@pytest.mark.parametrize("revision", ["refs/pr/1", "refs/convert/parquet", "v1.0", COMMIT])
def test_revisions_may_be_those_of_pull_requests(revision):
    found = hub._HF.fullmatch(f"hf:me/faces@{revision}/mine.keras")
    assert (found["name"], found["revision"], found["file"]) == ("me/faces", revision, "mine.keras")


def test_model_of_the_hub_comes_from_the_cache_without_a_network(client, server, model):
    server.files["me/faces"] = {"mine.keras": model.read_bytes()}
    addresses = ["hf:me/faces", "hf:me/faces@main", "hf:me/faces/mine.keras"]
    read = (
        f"from fer.models.model_file import read_info; print(*[read_info(one).labels for one in {addresses}], sep='; ')"
    )
    everywhere = "; ".join([str(tiny.LABELS)] * 3)
    assert client(read) == everywhere
    server.shutdown()
    server.server_close()
    assert client(read) == everywhere
    said = client(READ.format("hf:me/others"))
    assert said.startswith("refused: hf:me/others: ")
    assert len(said.splitlines()) == 1


def test_a_repository_that_is_gone_is_not_replaced_by_the_cache(client, server, model):
    server.files["me/faces"] = {"mine.keras": model.read_bytes()}
    assert client(READ.format("hf:me/faces")) == str(tiny.LABELS)
    del server.files["me/faces"]
    assert client(READ.format("hf:me/faces")).startswith("refused: hf:me/faces: ")


@pytest.mark.parametrize(
    ("files", "address", "message"),
    [
        (
            {"a.keras": b"1", "b.keras": b"2"},
            "hf:me/faces",
            "several models, choose one: hf:me/faces/a.keras, hf:me/fac",
        ),
        ({"notes.txt": b"1"}, "hf:me/faces", "it has no model file (.keras, .tflite, .onnx)"),
        ({"a.keras": b"1"}, "hf:me/other", "hf:me/other: "),
        ({"a.keras": b"1"}, "hf:me/faces/b.keras", "hf:me/faces/b.keras: "),
        ({"a.keras": b"1"}, "hf:me/faces", "not a"),  # the file is no model
    ],
)
def test_unusable_repository_is_refused_in_one_line(files, address, message, client, server):
    server.files["me/faces"] = files
    said = client(READ.format(address))
    assert said.startswith("refused: ")
    assert message in said
    assert len(said.splitlines()) == 1


PUSH = "from fer.cli import export_model as command; command.main(command.parse_args({!r}))"


def test_push_uploads_the_export_and_its_card(client, server, model, tmp_path):
    source, output = tmp_path / "mine.keras", tmp_path / "out" / "small.keras"
    shutil.copy(model, source)
    output.parent.mkdir()
    arguments = [str(source), "--output", str(output), "--precision", "float16", "--push", "hf:me/new"]
    server.files["me/new"] = {"README.md": b"by hand"}
    source.with_suffix(".md").write_text("# Notes of the laboratory\n")  # no card: it stays here
    assert client(PUSH.format(arguments)).endswith(
        f"uploaded {output} with no card: http://127.0.0.1:{server.server_port}/me/new"
    )
    assert server.files["me/new"]["README.md"] == b"by hand"
    assert server.private == {}  # it was there before
    upload = "from fer.models import hub; print(hub.upload({!r}, 'hf:me/new', '# mine'))"
    taken = "refused: hf:me/new: it has small.keras and README.md; --overwrite replaces what is there"
    assert client(upload.format(str(output))) == taken
    for place in (source, output):  # that of the output counts more
        card = place.with_suffix(".md")
        body = "See [others](others.md) and [Keras](https://keras.io).\n\n![a sheet](why/happy.png)"
        headings = "\n\n".join(f"## {name}\n\nNone." for name in ("Intended use", "Results", "Limits"))
        card.write_text(f"# {place.stem}\n\n{body}\n\n{headings}\n")
        assert f"with the card {card}: " in client(PUSH.format([*arguments, "--overwrite"]))
        found = server.files["me/new"]
        assert found.keys() == {"small.keras", "README.md"}
        assert found["small.keras"] == output.read_bytes()
        _, metadata, text = found["README.md"].decode().split("---\n")
        assert "library_name: keras\nlicense: other\n" in metadata  # the card's last section says which
        assert text.startswith(f"\n# {place.stem}\n\nSee others and [Keras](https://keras.io).\n")
        assert "why/happy.png" not in text
        exported = "`small.keras` was exported from this model: keras, float16, same label on"
        assert (exported in text) == (place == source)
    server.shutdown()
    server.server_close()
    said = client(PUSH.format([*arguments, "--overwrite"]))
    assert said.splitlines()[-1].startswith("refused: hf:me/new: ")
    assert said.endswith(f"{output} is kept: try again with --overwrite")


def test_a_card_is_one_with_and_without_the_metadata_of_the_hub():
    headings = "\n\n".join(f"## {name}\n\nNone." for name in ("Intended use", "Results", "Limits"))
    card = f"# mine\n\n{headings}\n"
    assert is_card(card)
    assert is_card(f"---\nlicense: mit\n---\n\n{card}")
    assert not is_card("# Notes of the laboratory\n")


@pytest.mark.parametrize("public", [False, True])
def test_a_new_repository_is_private_unless_asked_otherwise(public, client, server, model, tmp_path):
    output = tmp_path / "small.keras"
    said = client(PUSH.format([str(model), "--output", str(output), "--push", "hf:me/new", *["--public"] * public]))
    assert f"a new repository is {'public' if public else 'private'}\n" in said
    assert server.private == {"me/new": not public}
    assert server.files["me/new"]["small.keras"] == output.read_bytes()


@pytest.mark.parametrize(("suffix", "expected"), [(".tflite", "\n- tflite\n"), (".onnx", "\n- onnx\n")])
def test_keras_is_not_told_to_load_other_files(suffix, expected):
    text = hub.as_readme("# a", suffix)
    assert expected in text
    assert "library_name" not in text


@pytest.mark.parametrize("address", ["hf:me/faces/file.keras", "kaggle:me/faces", "me/faces"])
def test_push_is_refused_before_the_export(address, model, tmp_path, refuse):
    output = tmp_path / "small.keras"
    assert "expected hf:OWNER/NAME" in refuse(export_model, model, "--output", output, "--push", address)
    said = refuse(export_model, model, "--output", tmp_path / "small", "--format", "saved_model", "--push", "hf:me/a")
    assert "--push uploads a single file" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("address", ["hf:faces", "hf:me/faces@", "kaggle:me/faces", "hf:me/a b"])
def test_malformed_address_is_refused(address):
    with pytest.raises(FerError, match="expected hf:OWNER/NAME"):
        hub.download(address)


def test_metadata_that_a_card_brings_is_kept():
    card = "---\nlicense: mit\n---\n# mine, ![a picture](https://example.org/a.png), [below](#results)\n"
    assert hub.as_readme(card) == card


def test_upload_needs_a_repository():
    with pytest.raises(FerError, match="expected hf:OWNER/NAME"):
        hub.upload("a.keras", "hf:me/faces/file.keras")


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(FerError, match="pip install huggingface_hub"):
        find_model("hf:me/faces")


class Kaggle(BaseHTTPRequestHandler):
    """The only model is `server.model`, version 3 of me/faces/keras/small; `server.asked` are the methods called."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        method = self.path.rpartition("/")[2]
        self.server.asked.append(method)
        model = (asked["ownerSlug"], asked["modelSlug"], asked["framework"], asked["instanceSlug"])
        known = model == ("me", "faces", "MODEL_FRAMEWORK_KERAS", "small") and asked.get("versionNumber", 3) == 3
        answers = {
            "GetModelInstance": json.dumps({"versionNumber": 3}).encode(),
            "ListModelInstanceVersionFiles": json.dumps({"files": [{"name": "mine.keras"}]}).encode(),
            "DownloadModelInstanceVersion": self.server.model.read_bytes(),
        }
        body = answers[method] if known else b"{}"
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/octet-stream" if "Download" in method else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def kaggle(model, tmp_path):
    """kaggle(address): the line that a process prints which reads the model, and what the server was asked."""
    if importlib.util.find_spec("kagglehub") is None:
        pytest.skip("kagglehub is not installed")
    with ThreadingHTTPServer(("127.0.0.1", 0), Kaggle) as server:
        server.model, server.asked = model, []
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

        def run(address):
            code = f"""
from kagglesdk import kaggle_env
kaggle_env._env_to_endpoint[kaggle_env.KaggleEnv.PROD] = "http://127.0.0.1:{server.server_port}"
from fer import FerError
from fer.models.model_file import read_info
try:
    print(read_info({address!r}).labels)
except FerError as error:
    print("refused:", error)
"""
            account = {"KAGGLE_USERNAME": "me", "KAGGLE_KEY": "x", "KAGGLEHUB_CACHE": str(tmp_path / "cache")}
            environment = {"PATH": "", "PYTHONPATH": str(tiny.ROOT), "HOME": str(tmp_path), "no_proxy": "127.0.0.1"}
            done = subprocess.run(
                [sys.executable, "-c", code],
                env=environment | account,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            assert done.returncode == 0, done.stderr
            return done.stdout.splitlines()[-1], server.asked

        yield run
        server.shutdown()


@pytest.mark.parametrize("address", ["kaggle:me/faces/keras/small", "kaggle:me/faces/keras/small/3/mine.keras"])
def test_model_of_kaggle_is_loaded_and_downloaded_once(address, kaggle):
    for _ in range(2):
        said, asked = kaggle(address)
        assert said == str(tiny.LABELS)
    assert asked.count("DownloadModelInstanceVersion") == 1
    assert ("GetModelInstance" in asked) == (not address.endswith("mine.keras"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("kaggle:me/faces/keras/small/3/other.keras", "it has no such file, only mine.keras"),
        ("kaggle:me/faces/keras/large", "refused: kaggle:me/faces/keras/large: "),
        ("kaggle:me/faces/keras/small/4", "refused: kaggle:me/faces/keras/small/4: "),
    ],
)
def test_unusable_model_of_kaggle_is_refused_in_one_line(address, message, kaggle):
    said, _ = kaggle(address)
    assert said.startswith("refused: ")
    assert message in said
