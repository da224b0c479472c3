"""A run that was stopped goes on as if it had not been."""

import json
import shutil
import signal
import time
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from support import tiny

from fer import FerError
from fer.cli import train
from fer.models.classifier import Classifier
from fer.training import fit

pytestmark = pytest.mark.slow

EPOCHS = 6
RECIPES = {
    "adam, plateau, early stopping": (
        *("--optimizer", "adam", "--learning-rate", "0.02", "--schedule", "plateau", "--plateau-patience", "1"),
        *("--plateau-factor", "0.5", "--patience", "4", "--monitor", "val_accuracy", "--dropout", "0"),
    ),
    "sgd, cosine, averaged weights, mixup, dropout, augmentation, self-distillation": (
        *("--optimizer", "sgd", "--learning-rate", "0.05", "--schedule", "cosine", "--ema", "0.9", "--mixup", "0.3"),
        *("--dropout", "0.2", "--flip", "--rotation", "15", "--brightness", "0.2", "--erasing", "0.5"),
        *("--darkness", "0.3", "--noise", "0.1"),
        *("--class-weights", "sqrt", "--keep-best", "val_accuracy", "--late-share", "0.7", "--label-smoothing", "0.1"),
        *("--self-distillation", "0.5", "--self-distillation-every", "2"),
    ),
}
STOPS = dict(zip(RECIPES, (signal.SIGKILL, signal.SIGINT), strict=True))


def wait_for_epochs(process, folder, epochs, seconds=200):
    """Until the checkpoint holds that many epochs; the process must still be running then."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if (folder / "checkpoint.npz").exists() and len(tiny.state_of(folder / "checkpoint.npz")["history"]) >= epochs:
            return
        time.sleep(0.02)
    process.kill()
    pytest.fail(f"no {epochs} epochs within {seconds} s:\n" + "".join(process.communicate()))


# --- SIGKILL and Ctrl-C


@pytest.fixture(scope="module", params=RECIPES)
def runs(request, tmp_path_factory):
    """The same training uninterrupted, and stopped in another process in its third epoch and resumed: (folder, folder,
    last output, (exit code, output, copy of the folder) after the stop)."""
    place, recipe = tmp_path_factory.mktemp("stopped"), RECIPES[request.param]
    flags = ("--data", tiny.folders(place / "faces"), *tiny.FLAGS, *recipe, "--epochs", EPOCHS, "--seed", "3")
    whole, stopped, copy = (place / name for name in ("whole", "run", "copy"))
    process = tiny.start(*flags, "--run-dir", stopped)
    wait_for_epochs(process, stopped, 2)
    process.send_signal(STOPS[request.param])
    output = "".join(process.communicate(timeout=100))
    left = process.returncode, output, shutil.copytree(stopped, copy)
    before = tiny.state_of(stopped / "checkpoint.npz")
    with mock.patch("fer.training.curves.learning_curves"):  # which takes longer than the training
        tiny.printed(train, *flags, "--run-dir", whole)
        said = tiny.printed(train, "--resume", "--run-dir", stopped)
    assert 2 <= len(before["history"]) < len(tiny.state_of(whole / "checkpoint.npz")["history"])
    assert not before["finished"]
    return whole, stopped, said, left


def test_a_stopped_and_resumed_run_ends_with_the_same_weights_and_optimizer(runs):
    whole, stopped = (tiny.weights(folder / "checkpoint.npz") for folder in runs[:2])
    assert whole.keys() == stopped.keys()
    assert sum(name.startswith("optimizer") for name in whole) > 10
    for name, array in whole.items():
        np.testing.assert_allclose(stopped[name], array, rtol=1e-4, atol=1e-5, err_msg=name)


def test_its_log_is_complete_and_without_repetition(runs):
    whole, stopped = (pd.read_csv(folder / "log.csv").drop(columns="seconds") for folder in runs[:2])
    assert whole["epoch"].tolist() == list(range(1, len(whole) + 1))
    pd.testing.assert_frame_equal(stopped, whole, rtol=1e-4, atol=1e-5)


def test_its_best_model_is_the_same(runs):
    whole, stopped = (Classifier.load(folder / "model.keras") for folder in runs[:2])
    assert stopped.metadata["epoch"] == whole.metadata["epoch"]
    pixels = tiny.data(24, seed=1).images
    np.testing.assert_allclose(stopped.predict(pixels), whole.predict(pixels), atol=1e-4)


def test_its_callbacks_stand_where_they_would(runs):
    whole, stopped = (tiny.state_of(folder / "checkpoint.npz") for folder in runs[:2])
    assert whole["finished"]
    assert stopped["finished"]
    assert stopped["best"][0] == whole["best"][0]
    for there, here in zip(whole["callbacks"], stopped["callbacks"], strict=True):
        assert here == pytest.approx(there, rel=1e-4)


def test_it_ends_with_the_table_of_the_whole_run(runs):
    _, stopped, output, _ = runs
    epochs = len(pd.read_csv(stopped / "log.csv"))
    assert f"{epochs} epochs, " in output
    assert "balanced accuracy" in output


def test_it_keeps_the_settings_of_the_first_start(runs):
    whole, stopped = (json.loads((folder / "run.json").read_text()) for folder in runs[:2])
    assert "--resume" not in stopped["command"]
    assert stopped["configuration"]["recipe"] == whole["configuration"]["recipe"]


def test_resuming_a_finished_run_only_reports(runs, capsys):
    whole, *_ = runs
    before = (
        (whole / "checkpoint.npz").read_bytes(),
        (whole / "log.csv").read_bytes(),
        (whole / "model.keras").read_bytes(),
    )
    with tiny.known():
        assert train.main(train.parse_args(["--resume", "--run-dir", str(whole)])) == 0
    output = capsys.readouterr().out
    assert f"kept epoch {tiny.state_of(whole / 'checkpoint.npz')['best'][0]}" in output
    assert before == (
        (whole / "checkpoint.npz").read_bytes(),
        (whole / "log.csv").read_bytes(),
        (whole / "model.keras").read_bytes(),
    )


def test_ctrl_c_leaves_a_model_and_says_where_and_how_to_go_on(runs):
    _, folder, _, (code, output, copy) = runs
    if code == -signal.SIGKILL:
        return  # nothing could be said
    assert code == 130, output
    words = f"best model so far: {folder / 'model.keras'}; go on with: python train.py --resume --run-dir {folder}"
    assert f"stopped; {words}" in output
    assert "Traceback" not in output
    assert Classifier.load(copy / "model.keras").labels == tiny.LABELS
    assert not [path for path in copy.iterdir() if path.name.startswith(".")]
    ahead = len(pd.read_csv(copy / "log.csv")) - len(tiny.state_of(copy / "checkpoint.npz")["history"])
    assert ahead in (0, 1)  # the log is written first


@pytest.mark.parametrize("place", ["on_epoch_begin", "on_test_begin"])
def test_ctrl_c_ends_training_between_two_steps_not_where_it_arrives(place, tmp_path):
    """An exception inside TensorFlow or NumPy may become another one: SystemError, in a run of these tests."""
    survived = []

    def interrupt(callback, *args):
        signal.raise_signal(signal.SIGINT)
        survived.append(args)

    with mock.patch.object(fit.BestModel, place, interrupt), pytest.raises(KeyboardInterrupt):
        tiny.fit(tmp_path)
    assert len(survived) == 1  # neither of the two would have come a second time
    assert not (tmp_path / "checkpoint.npz").exists()


# --- in another precision


def test_a_run_goes_on_in_another_precision_and_says_so(tmp_path):
    place = ("--data", tiny.folders(tmp_path / "faces"), "--run-dir", tmp_path / "run")
    flags = (*place, *tiny.FLAGS, "--keep-best", "last")
    with mock.patch("fer.training.curves.learning_curves"):
        tiny.printed(train, *flags, "--epochs", "3", "--precision", "float32")
        unfinish(tmp_path / "run", epochs=5)
        resume = ("--resume", "--run-dir", tmp_path / "run")
        tiny.printed(train, *resume, "--precision", "bfloat16")
        assert json.loads((tmp_path / "run" / "run.json").read_text())["configuration"]["precision"] == "bfloat16"
        tiny.printed(train, *resume)  # finished, and in the precision that it went on in
    state = tiny.state_of(tmp_path / "run" / "checkpoint.npz")
    assert (len(state["history"]), state["identity"]["dtype"]) == (5, "mixed_bfloat16")
    model = Classifier.load(tmp_path / "run" / "model.keras")
    assert model.metadata["dtype"] == state["dtype"] == "float32 up to epoch 3, then mixed_bfloat16"
    assert model.metadata["epoch"] == 5
    before = (tmp_path / "run" / "run.json").read_bytes()
    tiny.printed(train, *resume, "--precision", "float32")  # finished: no epoch follows
    assert (tmp_path / "run" / "run.json").read_bytes() == before
    with pytest.raises(FerError, match=r"--precision float16 contradicts the run in .*, which has bfloat16"):
        train.main(train.parse_args([*map(str, resume), "--precision", "float16"]))


def unfinish(folder, epochs):
    """Makes a finished run one that has been stopped after its last epoch: it was to have more."""
    path = folder / "run.json"
    content = json.loads(path.read_text())
    content["configuration"]["recipe"]["epochs"] = epochs
    path.write_text(json.dumps(content))
    with np.load(folder / "checkpoint.npz", allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "state"}
    # None: its model got the time of the training since
    state = tiny.state_of(folder / "checkpoint.npz") | {"finished": False, "model": None}
    state["identity"]["recipe"]["epochs"] = epochs
    np.savez(folder / "checkpoint.npz", state=json.dumps(state), **arrays)
