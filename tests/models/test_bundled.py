"""The bundled models: complete, within their sizes, found by name, and the scripts' defaults."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import tiny
from support.portrait import PLACE, astronaut

from fer.cli import app, evaluate, predict_folder, predict_webcam
from fer.core import labels
from fer.core.images import InputSpec, prepare
from fer.inference.faces import Face, crop
from fer.models import bundled, export
from fer.models.bundled import FOLDER, bundled_models, find_model
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

pytestmark = pytest.mark.slow

NAMES = sorted(bundled_models())
MEGABYTES = {"fer2013": 5.5, "fer2013-fast": 2.5, "ferplus": 2.5, "four-block": 15}


def test_all_four_are_there():
    assert set(NAMES) == set(MEGABYTES)


def test_all_together_stay_small():
    files = [path for name in NAMES for path in FOLDER.glob(f"{name}.*")]
    assert sum(path.stat().st_size for path in files) < 34 * 10**6


@pytest.mark.parametrize("name", NAMES)
def test_no_file_is_larger_than_promised(name):
    assert (FOLDER / f"{name}.keras").stat().st_size < MEGABYTES[name] * 10**6


# --- files


def test_checksums_are_those_of_the_files():
    listed = dict(line.split()[::-1] for line in (FOLDER / "SHA256SUMS").read_text(encoding="utf-8").splitlines())
    files = [*FOLDER.glob("*.keras"), *FOLDER.glob("*.tflite")]
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.stem in NAMES}
    assert listed == found


def test_seven_and_eight_emotions():
    seven = {*labels.FER2013}
    eight = seven | {"contempt"}
    assert {name: set(read_info(name).labels) for name in NAMES} == {
        "fer2013": seven, "fer2013-fast": seven, "ferplus": eight, "four-block": seven,
    }  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_smiling_astronaut_is_happy(name):
    model = Classifier.load(name)
    (probabilities,) = model.predict(prepare(crop(astronaut(), Face(PLACE, 1.0)), model.spec)[None])
    assert model.labels[probabilities.argmax()] == "happy"
    assert probabilities.max() > 0.5


@pytest.mark.parametrize("name", ["fer2013", "fer2013-fast", "ferplus"])
def test_the_int8_file_agrees_with_the_keras_file(name):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    faces = export.synthetic_images(InputSpec(48, 1), 64)
    one, other = Classifier.load(name), Classifier.load(f"{name}.tflite")
    assert one.labels == other.labels
    assert one.metadata["temperature"] == other.metadata["temperature"]
    assert one.metadata.get("uncertain_below") == other.metadata.get("uncertain_below")
    assert ("uncertain_below" in one.metadata) == name.startswith("fer2013")
    agreement = export.compare(one.predict(faces), other.predict(faces))
    assert agreement.same >= 58
    assert agreement.difference < 0.2
    assert (other.predict(faces) > 0).all()  # the softmax is float32: int8 would round small probabilities to 0


# --- found by name


def test_a_bare_name_is_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_model("fer2013") == FOLDER / "fer2013.keras"
    assert find_model("fer2013-fast.tflite") == FOLDER / "fer2013-fast.tflite"
    shutil.copy(FOLDER / "fer2013.tflite", tmp_path)
    with monkeypatch.context() as alone:
        alone.setattr("fer.models.bundled.FOLDER", tmp_path)
        assert find_model("fer2013").as_posix() == "fer2013"  # never the int8 file in its place
    assert find_model("models/fer2013").as_posix() == "models/fer2013"  # a path, not a name
    assert find_model("unknown").as_posix() == "unknown"


def test_a_file_in_the_current_folder_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fer2013.keras").touch()
    assert find_model("fer2013.keras").as_posix() == "fer2013.keras"


def test_an_installed_package_has_them_inside(tmp_path):
    """As `pip install .` lays them out: the package, and models/ as fer/_models."""
    shutil.copytree(tiny.ROOT / "fer", tmp_path / "fer", ignore=shutil.ignore_patterns("__pycache__", "_models"))
    (tmp_path / "fer" / "_models").mkdir()
    for name in ("fer2013-fast.keras", "fer2013-fast.md"):
        shutil.copy(FOLDER / name, tmp_path / "fer" / "_models")
    code = "from fer.models.model_file import read_info; print(*read_info('fer2013-fast').labels)"
    process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert process.stdout.split() == list(labels.FER2013)


def test_without_model_the_scripts_take_the_best(monkeypatch):
    monkeypatch.chdir(tiny.ROOT)
    (best,) = evaluate.parse_args(["--data", "demo"]).model
    assert best.replace("\\", "/") == "models/fer2013.keras"
    assert predict_folder.parse_args(["photos/"]).model == best
    assert Path(app.parse_args([]).model).stem == "fer2013"  # the int8 file where its runtime is installed


@pytest.mark.parametrize(("runtime", "name"), [(None, "fer2013-fast.keras"), (object(), "fer2013-fast.tflite")])
def test_live_video_takes_the_int8_network_where_its_runtime_is_installed(runtime, name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bundled, "find_spec", lambda module: runtime)
    assert predict_webcam.parse_args([]).model == str(FOLDER / name)
