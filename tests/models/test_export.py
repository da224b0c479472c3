"""Exported files say what they are, and give what the Keras model gives."""

import dataclasses
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support import tiny

from fer import FerError
from fer.cli import evaluate, export_model, predict_folder, terminal
from fer.core.images import InputSpec, prepare
from fer.models import ensemble, export, runtimes
from fer.models.classifier import Classifier
from fer.models.model_file import original, read_info, update_exported, update_metadata
from fer.training import weight_transfer

pytestmark = pytest.mark.slow

SUFFIXES = {"onnx": ".onnx", "litert": ".tflite", "keras": ".keras", "saved_model": ""}
NEEDED = {"onnx": ("onnx", "tf2onnx", "onnxruntime"), "litert": ("ai_edge_litert",), "keras": (), "saved_model": ()}
SPEC = InputSpec(tiny.SIZE)


def need(format):
    for module in NEEDED[format]:
        pytest.importorskip(module, reason=f"{module} is not installed (requirements-export.txt)")


def script(module, *arguments):
    with pytest.raises(SystemExit) as ended:
        terminal.run(module.main, lambda: module.parse_args(list(map(str, arguments))))
    return ended.value.code


def images(n=300, channels=1):
    return tiny.data(n, seed=4, channels=channels).images


@pytest.fixture(scope="module")
def trained(learnt, tmp_path_factory):
    """A tiny classifier that has learnt: its probabilities differ from image to image. (classifier, its file)."""
    known = dataclasses.replace(Classifier.load(learnt), spec=SPEC)
    path = tmp_path_factory.mktemp("trained") / "model.keras"
    known.save(path)
    return known, path


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """exported(format, precision): (the file, how it compares); each written once."""
    made = {}

    def make(format, precision="float32"):
        need(format)
        if (format, precision) not in made:
            path = tmp_path_factory.mktemp("exported") / f"model{SUFFIXES[format]}"
            options = {"precision": precision, "calibration": images(64)}
            made[format, precision] = (
                path,
                export.export(trained[0], path, format=format, images=images(256), **options),
            )
        return made[format, precision]

    return make


CASES = [(format, precision) for format, names in export.PRECISIONS.items() for precision in names]
RUNNING = [case for case in CASES if case[0] != "saved_model"]


@pytest.mark.parametrize(("format", "precision"), CASES)
def test_what_is_written_gives_what_keras_gives(trained, exported, format, precision):
    path, agreement = exported(format, precision)
    expected, found = trained[0].predict(images()), export.predict(path, images())
    assert np.ptp(expected, axis=0).min() > 0.5
    off = {"float32": 1e-5, "float16": 0.01, "int8": 0.1, "int8-dynamic": 0.1}[precision]
    np.testing.assert_allclose(found, expected, atol=off)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    assert agreement.n_images == 256
    assert agreement.same >= 250
    first = np.abs(trained[0].predict(images(256)) - export.predict(path, images(256)))
    assert agreement.difference == pytest.approx(first.max(), abs=1e-6)
    if precision != "float32":
        assert agreement.difference > 0
    if precision == "float16":  # so small a network does not get smaller in int8: every number says its range
        assert path.stat().st_size < exported(format)[0].stat().st_size


@pytest.mark.parametrize(("format", "precision"), RUNNING)
def test_a_file_says_what_it_is(exported, trained, format, precision):
    path, _ = exported(format, precision)
    info = read_info(path)
    assert (info.labels, info.spec) == (tiny.LABELS, SPEC)
    assert info.metadata == trained[0].metadata | {"exported": {"format": format, "precision": precision}}
    assert Classifier.load(path).info == info


def test_the_metadata_stand_where_other_tools_look(exported):
    onnx = pytest.importorskip("onnx")
    properties = {entry.key: entry.value for entry in onnx.load(exported("onnx")[0]).metadata_props}
    assert json.loads(properties["fer.json"])["labels"] == list(tiny.LABELS)
    with zipfile.ZipFile(exported("litert")[0]) as archive:
        assert archive.read("labels.txt").decode().split() == list(tiny.LABELS)
    extra = exported("saved_model")[0] / "assets.extra" / "fer.json"
    assert json.loads(extra.read_text())["spec"] == {"size": tiny.SIZE, "channels": 1}


@pytest.mark.parametrize("format", ["onnx", "litert"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 9, 257])
def test_the_number_of_images_changes_no_row(exported, format, n):
    loaded = Classifier.load(exported(format)[0])
    everything = loaded.predict(images())
    found = loaded.predict(images()[:n])
    assert (found.dtype, found.shape) == (np.float32, (n, 3))
    np.testing.assert_allclose(found, everything[:n], atol=1e-6)


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_threads_do_not_mix_their_images(exported, format):
    loaded = Classifier.load(exported(format)[0])
    parts = np.array_split(images(), 30)
    with ThreadPoolExecutor(4) as pool:
        found = np.concatenate(list(pool.map(loaded.predict, parts)))
    np.testing.assert_allclose(found, loaded.predict(images()), atol=1e-6)


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_three_channels_and_mixed_precision(tmp_path, format):
    """A network trained in bfloat16 is written in float32, and compared with what it is then."""
    need(format)
    network = tiny.build(channels=3, dtype="mixed_bfloat16")
    known = Classifier(network, tiny.LABELS, InputSpec(tiny.SIZE, 3))
    path = tmp_path / f"colour{SUFFIXES[format]}"
    agreement = export.export(known, path, format=format, images=images(20, channels=3))
    assert agreement.difference < 0.05
    exact = tiny.build(channels=3)
    exact.set_weights(network.get_weights())
    expected = exact.predict_on_batch(images(20, channels=3))
    np.testing.assert_allclose(Classifier.load(path).predict(images(20, channels=3)), expected, atol=1e-5)


# --- the scripts take them


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return tiny.folders(tmp_path_factory.mktemp("faces") / "faces", train=60, validation=24)


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_scripts_label_with_it_as_with_keras(trained, exported, faces, tmp_path, capsys, format):
    results = {}
    for model in (trained[1], exported(format)[0]):
        report, rows = tmp_path / f"{model.suffix}.json", tmp_path / f"{model.suffix}.csv"
        assert script(evaluate, "--model", model, "--data", faces, "--tta", "flip", "--report", report) == 0
        assert script(predict_folder, faces, "--model", model, "--detector", "none", "--output", rows) == 0
        figures = json.loads(report.read_text())
        results[model] = figures["confusion"], figures["accuracy"], pd.read_csv(rows)
    keras_s, its = results.values()
    assert its[:2] == keras_s[:2]
    pd.testing.assert_frame_equal(its[2].sort_values("source"), keras_s[2].sort_values("source"), atol=2e-4)


def test_a_model_of_keras_and_an_exported_one_are_averaged(trained, exported):
    known, other = trained[0], Classifier.load(exported("onnx")[0])
    found = ensemble.average([known, other], [images(), images()])
    np.testing.assert_allclose(found, known.predict(images()), atol=1e-5)


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_its_original_is_the_keras_file_beside_it(trained, exported, tmp_path, format):
    path, beside = tmp_path / f"model{SUFFIXES[format]}", tmp_path / "model.keras"
    shutil.copy(exported(format)[0], path)
    assert original(path) is None
    shutil.copy(trained[1], beside)
    assert original(path) == beside
    assert original(beside) is None
    update_metadata(beside, {"uncertain_below": 0.6})  # which `evaluate.py --fit-threshold` adds later
    assert original(path) == beside
    left = update_exported(beside, {"uncertain_below": 0.7})
    assert left == ([path] if format == "onnx" else [])
    network = path.read_bytes()
    if format == "litert":
        assert read_info(path).metadata["uncertain_below"] == 0.7
        assert network.startswith(exported(format)[0].read_bytes()[: len(network) // 2])
        np.testing.assert_array_equal(export.predict(path, images()), export.predict(exported(format)[0], images()))
    update_metadata(beside, {"epoch": 99})  # another training
    assert original(path) is None
    assert update_exported(beside, {"uncertain_below": 0.8}) == [path]
    assert path.read_bytes() == network
    beside.write_bytes(b"damaged")
    assert original(path) is None
    shutil.copy(trained[1], beside)
    path.write_bytes(b"foreign")
    assert original(path) is None


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_live_labelling_with_it_does_not_load_tensorflow(exported, format):
    """Which is most of the start-up time."""
    code = f"""
import sys, numpy as np
from fer.video import session
from fer.video.frames import Frame
from fer.models.classifier import Classifier
from fer.models.model_file import read_info, update_metadata
from fer.inference.detectors import WholeImage
from fer.inference.recognizer import Recognizer
live = session.Session(Recognizer(Classifier.load({str(exported(format)[0])!r}), WholeImage()))
(found,) = live.process(Frame(np.zeros((50, 50, 3), np.uint8), "x", 0, 0.0))
print(found.label in {tiny.LABELS}, {{"keras", "tensorflow", "onnx"}} & set(sys.modules))
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=tiny.ROOT, capture_output=True, text=True, check=False)
    assert process.stdout == "True set()\n", process.stderr


def test_export_says_what_it_wrote_and_how_good_it_is(trained, faces, tmp_path, capsys):
    need("litert")
    path = tmp_path / "new.tflite"
    assert script(export_model, trained[1], "--precision", "int8", "--data", faces, "--output", path) == 0
    first, second, third = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}: litert, int8, ")
    assert second.startswith(f"compared with {trained[1]}: same label on ")
    data = tiny.data(24, seed=1)
    right = [np.mean(known.predict(data.images).argmax(axis=1) == data.targets.argmax(axis=1))
             for known in (trained[0], Classifier.load(path))]  # fmt: skip
    assert third == f"accuracy on faces validation, 24 images: {right[0]:.2%} before, {right[1]:.2%} after"


@pytest.mark.parametrize(("same", "warned"), [(95, False), (80, True)])
def test_an_export_that_labels_otherwise_is_warned_about(trained, tmp_path, capsys, monkeypatch, same, warned):
    def pretend(classifier, path, **options):
        Path(path).write_bytes(b"network")
        return export.Agreement(100, same, 0.9)

    monkeypatch.setattr(export, "export", pretend)
    assert script(export_model, trained[1], "--output", tmp_path / "x.onnx") == 0
    assert ("warning: it gives many images another label" in capsys.readouterr().err) == warned


# --- refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "x.h5"], "x.h5: the name must end in .onnx, .tflite or .keras, or be that of a folder"),
        (["--output", "x.tflite", "--format", "onnx"], "x.tflite: the name must end in .onnx for --format onnx"),
        (["--output", "x.onnx", "--format", "saved_model"], "the name must be that of a folder, without a suffix"),
        (["--output", "x", "--precision", "float16"], "saved_model supports float32, not float16"),
        (
            ["--output", "x.onnx", "--precision", "int8-dynamic"],
            "onnx supports float32, float16, int8, not int8-dynamic",
        ),
        (["--output", "x.tflite", "--precision", "int8"], "int8 needs calibration images: give some with --data"),
        (["--output", "there.onnx"], "there.onnx exists: replace it with --overwrite"),
        (["--output", "folder", "--overwrite"], "folder is a folder that holds no SavedModel and is not replaced"),
        (["--output", "file", "--overwrite"], "file is a file and is not replaced; choose another name"),
    ],
)
def test_what_cannot_be_written_is_refused_at_once(trained, tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_text("precious")
    (tmp_path / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    assert script(export_model, trained[1], *arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert {path.name for path in tmp_path.iterdir()} == {"there.onnx", "file", "folder"}
    assert (tmp_path / "file").read_text() == (tmp_path / "there.onnx").read_text() == "precious"


def test_only_a_keras_file_is_exported(exported, tmp_path, capsys):
    assert script(export_model, exported("litert")[0], "--output", tmp_path / "x.onnx") == 2
    assert "only a .keras file can be exported" in capsys.readouterr().err


def test_an_exported_model_is_not_trained_on(exported):
    with pytest.raises(FerError, match=r"an exported model cannot be trained on: give the .keras file"):
        weight_transfer.transfer(Classifier.load(exported("litert")[0]), tiny.build(), tiny.LABELS)


def test_a_keras_file_in_float16_can_be_trained_on(trained, exported):
    halved = Classifier.load(exported("keras", "float16")[0])
    network = tiny.build()
    weight_transfer.transfer(halved, network, tiny.LABELS)
    for found, exact in zip(network.get_weights(), trained[0].model.get_weights(), strict=True):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, exact.astype(np.float16))


def test_metadata_is_added_to_a_keras_file_in_float16_without_touching_its_weights(exported, tmp_path):
    path = shutil.copy(exported("keras", "float16")[0], tmp_path / "m.keras")
    before, size = read_info(path), path.stat().st_size
    update_metadata(path, {"uncertain_below": 0.5})
    assert read_info(path) == dataclasses.replace(before, metadata=before.metadata | {"uncertain_below": 0.5})
    assert path.stat().st_size < size + 100
    assert Classifier.load(path).metadata["uncertain_below"] == 0.5


def test_weights_too_large_for_float16_are_refused(trained, tmp_path):
    network = tiny.build()
    network.set_weights([np.full_like(array, 1e5) for array in network.get_weights()])
    with pytest.raises(FerError, match="weights beyond 65,504, or not finite, cannot be stored as float16"):
        export.export(
            dataclasses.replace(trained[0], model=network), tmp_path / "x.keras", format="keras",
            images=images(4), precision="float16",
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_a_saved_model_replaces_another(trained, exported, tmp_path):
    saved = shutil.copytree(exported("saved_model")[0], tmp_path / "saved")
    (saved / "old").write_text("of the other")
    export.check_output(saved, "saved_model", overwrite=True)
    export.export(trained[0], saved, format="saved_model", images=images(5))
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
    assert (saved / "saved_model.pb").exists()
    assert not (saved / "old").exists()


def test_a_file_that_disagrees_is_not_kept(trained, tmp_path, monkeypatch):
    need("litert")
    monkeypatch.setattr(export, "predict", lambda path, images: np.full((len(images), 3), 1 / 3, np.float32))
    with pytest.raises(FerError, match=r"new.tflite: not written, because it disagrees with the Keras model"):
        export.export(trained[0], tmp_path / "new.tflite", format="litert", images=images(5))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("format", "module"), [("onnx", "onnxruntime"), ("litert", "ai_edge_litert.interpreter")])
def test_without_its_runtime_a_file_is_refused_with_what_to_install(exported, monkeypatch, format, module):
    path, _ = exported(format)
    monkeypatch.setitem(sys.modules, module, None)
    package = module.partition(".")[0].replace("_", "-")
    with pytest.raises(FerError) as caught:
        Classifier.load(path)
    assert str(caught.value) == f"{path}: running it needs {package}: pip install {package}"


def test_without_the_converter_it_is_named(trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(FerError, match=r"pip install -r requirements-export.txt"):
        export.export(trained[0], tmp_path / "x.onnx", format="onnx", images=images(2))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_a_file_of_somebody_else_is_refused_with_the_command(trained, tmp_path, format):
    need(format)
    path = tmp_path / f"other{SUFFIXES[format]}"
    trained[0].predict(images(1))
    trained[0].model.export(path, format=format, verbose=False)
    with pytest.raises(FerError) as caught:
        read_info(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: it holds no labels (not exported by this suite). Export it again: ")
    words = shlex.split(message.partition("python export_model.py ")[2].replace("MODEL.keras", str(trained[1])))
    assert script(export_model, *words) == 0
    assert read_info(path).labels == tiny.LABELS


@pytest.mark.parametrize("format", ["onnx", "litert"])
@pytest.mark.parametrize("damage", ["half", "text", "empty"])
def test_a_damaged_file_is_one_line(exported, tmp_path, format, damage):
    whole = exported(format)[0].read_bytes()
    path = tmp_path / f"bad{SUFFIXES[format]}"
    path.write_bytes({"half": whole[: len(whole) // 2], "text": b"hello", "empty": b""}[damage])
    with pytest.raises(FerError) as caught:
        Classifier.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_network_that_litert_cannot_read_is_one_line(exported, tmp_path):
    """Labels inside, but no network before them."""
    need("litert")
    path = tmp_path / "bad.tflite"
    with zipfile.ZipFile(path, "w") as archive, zipfile.ZipFile(exported("litert")[0]) as good:
        archive.writestr(runtimes.MEMBER, good.read(runtimes.MEMBER))
    with pytest.raises(FerError, match="LiteRT cannot load it: "):
        Classifier.load(path)


def test_drawn_faces_are_what_the_network_takes():
    found = export.synthetic_images(InputSpec(20, 3), 4)
    assert (found.dtype, found.shape) == (np.uint8, (4, 20, 20, 3))
    assert len(np.unique(found.reshape(4, -1), axis=0)) == 4
    assert prepare(found[0], InputSpec(20, 3)).tobytes() == found[0].tobytes()
