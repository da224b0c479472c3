"""A checkpoint that is damaged or of another run is refused, and so is a model file that is not the run's own."""

import dataclasses
import io
import json
import shutil
import zipfile
from unittest import mock

import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.data.dataset import Dataset
from fer.models.classifier import Classifier
from fer.models.model_file import update_metadata
from fer.training import fit

pytestmark = pytest.mark.slow


def interrupted_at(epoch):
    """A context in which training is interrupted when that epoch begins."""

    def begin(reseed, now, logs=None):
        if now == epoch:
            raise KeyboardInterrupt
        original(reseed, now, logs)

    original = fit.Reseed.on_epoch_begin
    return mock.patch.object(fit.Reseed, "on_epoch_begin", begin)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    """A run of three epochs, stopped after the first."""
    folder = tmp_path_factory.mktemp("interrupted")
    with interrupted_at(1), pytest.raises(KeyboardInterrupt):
        tiny.fit(folder)
    assert len(tiny.state_of(folder / "checkpoint.npz")["history"]) == 1
    return folder


@pytest.fixture
def folder(interrupted, tmp_path):
    return shutil.copytree(interrupted, tmp_path / "run")


def test_a_new_start_forgets_the_old_checkpoint_at_once(folder):
    with interrupted_at(0), pytest.raises(KeyboardInterrupt):
        tiny.fit(folder)
    with pytest.raises(FerError, match=r"no checkpoint to resume from, .*; start again with --overwrite"):
        tiny.fit(folder, resume=True)


def refused(folder, match, **options):
    """Resuming must fail with this message and leave every file as it was."""
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(FerError, match=match) as caught:
        tiny.fit(folder, resume=True, **options)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def flip_a_byte(data):
    """In the largest array: a zip has bytes between its members that mean nothing."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        largest = max(archive.infolist(), key=lambda member: member.file_size)
    place = largest.header_offset + largest.file_size // 2
    return data[:place] + bytes([data[place] ^ 255]) + data[place + 1 :]


DAMAGES = {
    "empty": lambda data: b"",
    "one byte": lambda data: data[:1],
    "cut in the middle": lambda data: data[: len(data) // 2],
    "cut at the end": lambda data: data[:-10],
    "garbage": lambda data: bytes(range(256)) * 20,
    "text": lambda data: b"not a checkpoint\n",
    "a flipped byte": flip_a_byte,
    "a pickle": lambda data: b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07os.name\x94.",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused(folder, damage):
    path = folder / "checkpoint.npz"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    refused(folder, r"checkpoint.npz: the checkpoint is damaged \(.*\); start again with --overwrite")


@pytest.mark.parametrize("state", [None, "", "{}", "[]", "3", '{"identity": {}}', '{"identity": {"recipe": 3}}'])
def test_a_checkpoint_without_its_state_is_refused(folder, state):
    path = folder / "checkpoint.npz"
    np.savez(path, **tiny.weights(path), **({"state": state} if state is not None else {}))
    refused(folder, "checkpoint.npz: the checkpoint is (damaged|of another training)")


@pytest.mark.parametrize("change", ["without an array", "with an array of another shape"])
def test_a_checkpoint_of_another_network_is_refused(folder, change):
    path = folder / "checkpoint.npz"
    arrays = tiny.weights(path)
    state = json.dumps(tiny.state_of(path))
    if change == "without an array":
        del arrays["weights_3"]
    else:
        arrays["weights_3"] = np.zeros((2, 2), np.float32)
    np.savez(path, state=state, **arrays)
    refused(folder, "checkpoint.npz: the checkpoint is of another network")


def other_pixels(dataset):
    images = dataset.images.copy()
    images[5, 0, 0, 0] ^= 1
    return Dataset(images, dataset.targets, dataset.labels, dataset.entries)


def other_labels(dataset):
    return Dataset(dataset.images, dataset.targets, ("angry", "sad", "happy"), dataset.entries)


def other_targets(dataset):
    return Dataset(dataset.images, dataset.targets[::-1].copy(), dataset.labels, dataset.entries)


DATA_SETS = tiny.data(64), tiny.data(24, seed=1)


@pytest.mark.parametrize(
    ("options", "difference"),
    [
        ({"seed": 8}, "seed was 7, now 8"),
        ({"epochs": 4}, "epochs was 3, now 4"),
        ({"learning_rate": 0.5, "optimizer": "sgd"}, "optimizer was adam, now sgd; learning_rate was 0.01, now 0.5"),
        ({"flip": True}, "flip was False, now True"),
        ({"dropout": (0.3,)}, r"dropout was \[0.1\], now \[0.3\]"),
        ({"precision": "float16"}, "dtype was float32, now mixed_float16"),
        ({"data_sets": (other_pixels(DATA_SETS[0]), DATA_SETS[1])}, "the images, the labels or the split differ"),
        ({"data_sets": (DATA_SETS[0], other_pixels(DATA_SETS[1]))}, "the images, the labels or the split differ"),
        ({"data_sets": (other_targets(DATA_SETS[0]), DATA_SETS[1])}, "the images, the labels or the split differ"),
        ({"data_sets": tuple(map(other_labels, DATA_SETS))}, "labels was .*, now .*"),
        ({"teachers": [Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))]}, "the teachers differ"),
    ],
    ids=[
        *("seed", "epochs", "two numbers", "flip", "dropout", "precision", "pixels", "validation", "targets", "labels"),
        "a teacher",
    ],
)
def test_a_checkpoint_of_another_training_is_refused(folder, options, difference):
    refused(folder, f"checkpoint.npz: the checkpoint is of another training: {difference}$", **options)


def test_targets_that_another_processor_rounds_otherwise_are_the_same(folder):
    nearly = [np.where(part.targets > 0, part.targets - 5e-7, part.targets + 3e-7) for part in DATA_SETS]
    nearly = [dataclasses.replace(part, targets=own) for part, own in zip(DATA_SETS, nearly, strict=True)]
    assert len(tiny.fit(folder, resume=True, data_sets=tuple(nearly)).history) == 3


def test_a_checkpoint_of_an_earlier_version_is_refused(folder):
    with np.load(folder / "checkpoint.npz") as archive:
        arrays = dict(archive)
    state = json.loads(str(arrays["state"]))
    state["identity"]["data"] = "0123"
    np.savez(folder / "checkpoint.npz", **arrays | {"state": json.dumps(state)})
    refused(folder, "it is of an earlier version")


def test_a_run_without_its_best_model_is_refused(folder):
    (folder / "model.keras").unlink()
    refused(folder, r"model.keras: the best model so far is gone; start again with --overwrite")


def test_the_model_of_another_training_is_not_taken_for_that_of_the_run(folder):
    """Somebody has trained another model to the same --output meanwhile."""
    tiny.fit(folder.parent / "other", seed=8)
    shutil.copy(folder.parent / "other" / "model.keras", folder)
    refused(folder, r"model.keras: is not the model of this run any more; put it back, or start with --overwrite")


def test_metadata_that_came_to_the_model_meanwhile_are_kept(folder):
    """evaluate.py --fit-threshold writes into it."""
    update_metadata(folder / "model.keras", {"uncertain_below": 0.5})
    assert len(tiny.fit(folder, resume=True).history) == 3


def test_a_model_that_another_run_replaces_during_the_training_is_no_model_of_this_one(tmp_path):
    tiny.fit(tmp_path / "other", seed=8)
    original = fit.RunFolder.on_epoch_end

    def replaced(callback, epoch, logs=None):
        shutil.copy(tmp_path / "other" / "model.keras", tmp_path / "run")
        original(callback, epoch, logs)

    replacing = mock.patch.object(fit.RunFolder, "on_epoch_end", replaced)
    with replacing, interrupted_at(1), pytest.raises(KeyboardInterrupt):
        tiny.fit(tmp_path / "run")
    refused(tmp_path / "run", "is not the model of this run any more")


def test_a_model_that_is_an_epoch_ahead_of_the_checkpoint_is_kept(folder):
    """The process was killed after an epoch had been saved, and on this machine that epoch scores lower."""
    found = Classifier.load(folder / "model.keras")
    scores = {"val_accuracy": 2.0, "val_loss": -1.0}  # which no epoch reaches
    metadata = found.metadata | {"epoch": 2, "validation_while_training": scores}
    Classifier(found.model, found.labels, found.spec, metadata).save(folder / "model.keras")
    before = (folder / "model.keras").read_bytes()
    best = tiny.fit(folder, resume=True).best
    assert best.epoch == 2
    assert (folder / "model.keras").read_bytes() == before


def test_a_checkpoint_from_before_a_flag_existed_goes_on(folder):
    with np.load(folder / "checkpoint.npz") as archive:
        arrays = dict(archive)
    state = json.loads(str(arrays["state"]))
    del state["identity"]["recipe"]["teacher_flip"], state["identity"]["teachers"]
    np.savez(folder / "checkpoint.npz", **arrays | {"state": json.dumps(state)})
    assert len(tiny.fit(folder, resume=True).history) == 3
    refused(folder, "another training: teacher_flip was False, now True$", teacher_flip=True)


def test_the_words_that_describe_a_recipe_may_change(folder):
    with mock.patch.object(tiny, "RECIPE", tiny.recipe(summary="said better")):
        assert len(tiny.fit(folder, resume=True).history) == 3
