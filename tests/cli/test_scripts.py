"""train.py from end to end: what it prints, writes and refuses."""

import importlib
import json
import subprocess
import sys
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest
from support import tiny
from support.tiny import script

from fer.cli import COMMANDS, evaluate, train
from fer.core.images import InputSpec
from fer.models.classifier import Classifier
from fer.training import fit

PNG = b"\x89PNG"


# --- train.py as a program


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """One real run of train.py, and evaluate.py here, with the default network, narrow: (folder, both outputs)."""
    place = tmp_path_factory.mktemp("program")
    faces, model = tiny.folders(place / "faces", train=66, validation=30, size=16), place / "models" / "mine.keras"
    (faces / "train" / "happy" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    trained = tiny.run(
        *("--data", faces, "--size", "16", "--width", "16", "--epochs", "2", "--batch-size", "32", "--output", model),
        *("--run-dir", place / "run"),
        script="train.py",
    )
    return place, trained, tiny.printed(evaluate, "--model", model, "--data", faces, "--report", place / "r.json")


def test_train_says_what_it_read_where_it_runs_and_what_it_wrote(program):
    place, output, _ = program
    assert "train: 66 images (angry 22, happy 22, sad 22); 0 blank, 1 skipped" in output
    assert "  skipped train/happy/broken.jpg: " in output
    assert "validation: 30 images" in output
    assert "training four-block (recipe four-block) with grey images of " in output
    assert f"keras {keras.__version__}" in output
    assert "2 epochs, " in output
    assert "kept epoch" in output
    run = place / "run"
    assert f"model {place / 'models' / 'mine.keras'}, curves {run / 'curves.png'}, log {run / 'log.csv'}" in output
    assert "Traceback" not in output
    assert "cuda" not in output.lower()  # TensorFlow's start-up notes stay out of the way


def test_train_leaves_a_model_and_a_run_folder(program):
    place, _, _ = program
    files = {path.name for path in (place / "run").iterdir()}
    assert files == {"run.json", "log.csv", "curves.png", "examples.png", "checkpoint.npz"}
    for name in ("curves.png", "examples.png"):
        assert (place / "run" / name).read_bytes().startswith(PNG)
    notes = Classifier.load(place / "models" / "mine.keras").metadata
    assert notes["data"] == "faces"
    assert notes["n_images"] == {"train": 66, "validation": 30}
    assert notes["recipe"]["name"] == "four-block"
    assert notes["recipe"]["epochs"] == 2
    assert {
        "seed",
        "date",
        "versions",
        "revision",
        "device",
        "dtype",
        "epoch",
        "validation_while_training",
    } <= notes.keys()
    assert str(place) not in json.dumps(notes)


def test_evaluate_prints_what_train_printed_at_its_end(program):
    place, trained, evaluated = program

    def table(text):
        lines = text[text.index("emotion ") :].splitlines()
        return lines[: next(i for i, line in enumerate(lines) if line.startswith("weighted average")) + 1]

    assert table(evaluated) == table(trained)
    assert json.loads((place / "r.json").read_text())["images"] == 30


# --- train.py in this process


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return tiny.folders(tmp_path_factory.mktemp("data") / "faces", train=24, validation=12)


QUICK = (*tiny.FLAGS, "--epochs", "1")


def test_data_that_are_not_there_are_refused_before_keras_is_loaded(tmp_path):
    """Also: neither --help nor a wrong flag waits for Keras."""
    code = f"""
import sys, train, evaluate
from fer import FerError
evaluate.parse_args(["--model", "m.keras", "--data", "x"])
train.main(train.parse_args(["--list-recipes"]))
for run in (lambda: train.main(train.parse_args(["--data", {str(tmp_path / "none")!r}])),
            lambda: train.main(train.parse_args(["--epochs", "0"])),
            lambda: evaluate.main(evaluate.parse_args(["--model", "none.keras", "--data", "demo"]))):
    try:
        run()
    except FerError:
        pass
    else:
        sys.exit("not refused")
print("loaded:", *sorted({{"keras", "tensorflow", "torch", "jax"}} & set(sys.modules)))
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=tiny.ROOT, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stderr) == (0, "")
    assert process.stdout.endswith("loaded:\n")


def test_a_reader_that_has_seen_enough_is_no_error():
    command = f"{sys.executable} train.py --list-recipes | head -n 1"
    process = subprocess.run(command, shell=True, cwd=tiny.ROOT, capture_output=True, text=True, check=True)
    assert process.stdout.count("\n") == 1
    assert process.stderr == ""


def test_an_output_that_cannot_be_written_is_refused_before_the_first_epoch(faces, tmp_path, refuse):
    (tmp_path / "file").write_text("a file, not a folder")
    places = ["--output", tmp_path / "file" / "m.keras", "--run-dir", tmp_path / "run"]
    assert "m.keras: cannot be written" in refuse(train, "--data", faces, *QUICK, *places)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_parses_its_arguments(name):
    module = importlib.import_module(f"fer.cli.{name.replace('-', '_')}")
    with pytest.raises(SystemExit) as ended:
        module.parse_args(["--help"])
    assert ended.value.code == 0


def test_wrong_arguments_are_one_line(capsys):
    with pytest.raises(SystemExit) as ended:
        train.parse_args(["--epochs", "many"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: argument --epochs: ")


@pytest.mark.parametrize("name", ["train.py", "evaluate.py"])
def test_help_begins_with_the_purpose_and_two_commands(name):
    process = tiny.start("--help", script=name)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert output.count(f"    python {name} --") >= 2
    assert "--data" in output


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--network", "lenet"], "unknown network 'lenet'; there are: plain, four-block"),
        (["--network", "five-conv"], "an image of 12 pixels is too small for the network 'five-conv'"),
        (["--crop", "13"], "crop must lie between 1 and the image size 12, not 13"),
        (["--init", "none.keras"], "none.keras: there is no such model file"),
        (["--data", "nowhere"], "nowhere: there is no such file or folder"),
        (["--votes", "v.csv"], "votes belong to the rows of a fer2013.csv"),
        (["--output", "model.h5"], "--output must end in .keras"),
    ],
)
def test_a_training_that_cannot_start_leaves_nothing_behind(faces, tmp_path, monkeypatch, refuse, flags, message):
    monkeypatch.chdir(tmp_path)
    assert refuse(train, "--data", faces, *QUICK, "--run-dir", "run", *flags).startswith(message)
    assert not list(tmp_path.iterdir())


def test_a_training_that_diverges_ends_early_keeps_no_model_and_says_what_to_do(faces, tmp_path, refuse):
    flags = ("--optimizer", "sgd", "--learning-rate", "1e30", "--epochs", "4", "--keep-best", "val_accuracy")
    message = refuse(train, "--data", faces, *tiny.FLAGS, *flags, "--run-dir", tmp_path / "run")
    assert message == "no epoch gave finite validation scores; lower --learning-rate"
    assert not (tmp_path / "run" / "model.keras").exists()
    assert len(pd.read_csv(tmp_path / "run" / "log.csv")) < 4
    assert (tmp_path / "run" / "curves.png").read_bytes().startswith(PNG)


def test_init_fine_tunes_and_a_stranger_is_refused(faces, tmp_path, refuse, capsys):
    first, second = tmp_path / "first.keras", tmp_path / "second.keras"
    Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE)).save(first)
    still = ("--optimizer", "sgd", "--learning-rate", "1e-30")
    places = ("--output", second, "--run-dir", tmp_path / "2")
    assert script(train, "--data", faces, *QUICK, *still, *places, "--init", first) == 0
    old, new = (Classifier.load(path).model for path in (first, second))
    for layer in ("block1_conv", "dense1", "logits"):
        np.testing.assert_array_equal(old.get_layer(layer).get_weights()[0], new.get_layer(layer).get_weights()[0])
    assert json.loads((tmp_path / "2" / "run.json").read_text())["configuration"]["init"] == str(first)
    capsys.readouterr()
    pixels = keras.Input((12, 12, 1))
    stranger = keras.Model(pixels, keras.layers.Dense(3, name="logits")(keras.layers.Flatten()(pixels)), name="vgg")
    Classifier(stranger, tiny.LABELS, InputSpec(12)).save(tmp_path / "stranger.keras")
    message = refuse(train, "--data", faces, *QUICK, "--run-dir", tmp_path / "3", "--init", tmp_path / "stranger.keras")
    assert message.startswith("no layer of vgg fits the network tiny")


def test_a_run_that_is_there_is_not_touched_without_being_asked(faces, tmp_path, refuse):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.keras").write_bytes(b"precious")
    message = refuse(train, "--data", faces, *QUICK, "--run-dir", tmp_path / "run")
    assert message.endswith(
        "model.keras exists: go on with --resume, start again with --overwrite, or choose another place"
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["model.keras"]


def test_ctrl_c_in_the_first_epoch_promises_nothing(faces, tmp_path, capsys):
    (tmp_path / "old.keras").write_bytes(b"of another run")
    flags = ("--output", tmp_path / "old.keras", "--run-dir", tmp_path / "run", "--overwrite")
    with mock.patch.object(fit, "fit", side_effect=KeyboardInterrupt):
        assert script(train, "--data", faces, *QUICK, *flags) == 130
    output = capsys.readouterr().out
    assert "stopped within the first epoch" in output
    assert "best model so far" not in output


def test_an_idle_card_is_warned_of(faces, tmp_path, capsys):
    with (
        mock.patch("fer.models.device.nvidia_card", return_value="NVIDIA RTX 4090"),
        mock.patch("fer.models.device.has_gpu", return_value=False),
        mock.patch.object(fit, "fit", side_effect=KeyboardInterrupt),
    ):
        assert script(train, "--data", faces, *QUICK, "--run-dir", tmp_path / "run") == 130
    assert (
        "warning: this machine has an NVIDIA card (NVIDIA RTX 4090) that tensorflow cannot use"
        in capsys.readouterr().err
    )


def test_a_diagram_comes_with_a_text_and_needs_no_data(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(keras.utils, "plot_model", lambda model, to, **options: to.write_bytes(PNG))
    assert script(train, "--network", "tiny", "--size", "12", "--data", "nowhere", "--diagram", "d.png") == 0
    output = capsys.readouterr().out
    assert "block1_conv" in output
    assert "wrote d.png" in output
    assert [path.name for path in tmp_path.iterdir()] == ["d.png"]


def test_without_graphviz_the_text_is_there_and_a_hint(tmp_path, monkeypatch, capsys):
    def missing(*args, **options):
        raise ImportError("no pydot")

    monkeypatch.setattr(keras.utils, "plot_model", missing)
    assert script(train, "--network", "tiny", "--size", "12", "--diagram", tmp_path / "d.png") == 2
    output = capsys.readouterr()
    assert "block1_conv" in output.out
    assert output.err.startswith(f"error: {tmp_path / 'd.png'}: drawing needs Graphviz: pip install pydot")


def test_a_single_class_is_refused(tmp_path, refuse):
    faces = tiny.folders(tmp_path / "faces", labels=("happy",))
    assert "a single class (happy)" in refuse(train, "--data", faces, *QUICK, "--run-dir", tmp_path / "run")
