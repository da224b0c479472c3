"""Whole runs: files, stops, averaged weights, progressive resizing."""

import importlib.util
import json
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.dataset import Dataset
from fer.models.classifier import Classifier
from fer.training import fit
from fer.training.augmentation import Augmentation
from fer.training.batches import Batches
from fer.training.callbacks import reseed

pytestmark = pytest.mark.slow

numpy = keras.ops.convert_to_numpy
TENSORBOARD = importlib.util.find_spec("tensorboard") is not None


def log_of(folder):
    return pd.read_csv(folder / "log.csv")


# --- a whole run


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Eight epochs with everything on that a recipe can ask for beside averaged weights."""
    folder = tmp_path_factory.mktemp("trained")
    seen = []

    def watch(reseed, epoch, logs=None):
        rows = len(log_of(folder)) if (folder / "log.csv").exists() else 0
        seen.append((rows, (folder / "curves.png").exists(), (folder / "checkpoint.npz").exists()))
        reset(reseed, epoch, logs)

    reset = fit.Reseed.on_epoch_begin
    with mock.patch.object(fit.Reseed, "on_epoch_begin", watch):
        run = tiny.fit(folder, epochs=8, keep_best="val_accuracy", class_weights="sqrt", label_smoothing=0.05,
                       flip=False, rotation=5.0, brightness=0.1, tensorboard=TENSORBOARD, curves=True)  # fmt: skip
    return folder, run, seen


def test_an_easy_problem_is_learned(trained):
    _, run, _ = trained
    assert run.best.value > 0.9
    assert run.history[-1]["loss"] < run.history[0]["loss"]


def test_log_curves_and_checkpoint_are_there_after_every_epoch(trained):
    _, _, seen = trained
    assert seen == [(0, False, False)] + [(epoch, True, True) for epoch in range(1, 8)]


def test_the_log_tells_every_epoch(trained):
    folder, run, _ = trained
    log = log_of(folder)
    assert log["epoch"].tolist() == list(range(1, 9))
    assert list(log) == ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "learning_rate", "seconds"]
    assert [row["val_loss"] for row in run.history] == pytest.approx(log["val_loss"].tolist())
    assert log["learning_rate"].tolist() == pytest.approx([0.01] * 8)


def test_a_run_leaves_whole_files_only(trained):
    folder, _, _ = trained
    expected = {"model.keras", "log.csv", "curves.png", "checkpoint.npz", "run.json"}
    expected |= {"tensorboard"} if TENSORBOARD else set()
    assert {path.name for path in folder.iterdir()} == expected
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(not TENSORBOARD, reason="tensorboard is not installed")
def test_the_tensorboard_flag_writes_event_files(trained):
    folder, _, _ = trained
    events = list((folder / "tensorboard").rglob("events.out.tfevents.*"))
    assert {path.parent.name for path in events} == {"train", "validation"}
    assert all(path.stat().st_size > 100 for path in events)


def test_the_model_file_is_the_best_epoch_and_says_so(trained):
    folder, run, _ = trained
    classifier, validation = Classifier.load(folder / "model.keras"), tiny.data(24, seed=1)
    log = log_of(folder)
    best = log["val_accuracy"].idxmax()  # the first one, where several are as good
    assert (run.best.epoch, classifier.metadata["epoch"]) == (best + 1, best + 1)
    assert classifier.metadata["validation_while_training"] == pytest.approx(
        {"val_accuracy": log["val_accuracy"][best], "val_loss": log["val_loss"][best]}
    )
    right = classifier.predict(validation.images).argmax(axis=1) == validation.targets.argmax(axis=1)
    assert right.mean() == pytest.approx(log["val_accuracy"][best])
    assert classifier.metadata["data"] == "tiny"
    assert classifier.labels == tiny.LABELS


def test_the_model_file_holds_the_network_alone_in_float32(trained):
    folder, _, _ = trained
    model = Classifier.load(folder / "model.keras").model
    assert [layer.name for layer in model.layers] == [layer.name for layer in tiny.build().layers]
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_saves_float32(tmp_path, precision):
    run = tiny.fit(tmp_path, precision=precision, epochs=4, optimizer="sgd", learning_rate=0.05, ema=0.5)
    assert run.history[-1]["loss"] < run.history[0]["loss"]
    model = Classifier.load(tmp_path / "model.keras").model
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    weights = [array.astype(np.float16).astype(np.float32) for array in model.get_weights()]
    assert any((rounded != array).any() for rounded, array in zip(weights, model.get_weights(), strict=True))


def test_a_colour_network_with_two_labels_and_less_than_a_batch(tmp_path):
    labels = ("happy", "sad")
    data_sets = [tiny.data(10, seed, labels=labels, size=16, channels=3) for seed in (0, 1)]
    run = tiny.fit(tmp_path, data_sets=data_sets, size=16, channels=3, epochs=1)
    classifier = Classifier.load(tmp_path / "model.keras")
    assert classifier.spec.shape == (16, 16, 3)
    assert classifier.labels == labels
    assert len(run.history) == 1


def test_training_and_validation_must_share_labels(tmp_path):
    with pytest.raises(FerError, match=r"training labels .* and validation labels .* differ"):
        tiny.fit(tmp_path, data_sets=(tiny.data(), tiny.data(labels=("angry", "sad", "happy"))))


def test_teachers_of_other_channels_are_refused_before_the_run_begins(tmp_path):
    data_sets = [tiny.data(10, seed, size=16, channels=3) for seed in (0, 1)]
    teacher = Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))
    with pytest.raises(FerError, match="the teachers take 1 channels, the recipe 3"):
        tiny.fit(tmp_path / "run", data_sets=data_sets, size=16, channels=3, epochs=1, teachers=[teacher])
    assert not (tmp_path / "run").exists()


def test_images_that_the_network_pools_away_are_refused_before_the_run_begins(tmp_path):
    data_sets = [tiny.data(10, seed, size=16) for seed in (0, 1)]
    options = {"network": "vgg", "width": 4, "size": 16, "progressive_sizes": (11,), "epochs": 2}
    with pytest.raises(FerError, match="an image of 11 pixels is too small for the network 'vgg'"):
        tiny.fit(tmp_path / "run", data_sets=data_sets, **options)
    assert not (tmp_path / "run").exists()


# --- stop and plateau: what should have happened follows from the logged values


def improvements(values):
    """For each epoch, how many epochs the best value has been standing."""
    best, waits = np.inf, []
    for value in values:
        waits.append(0 if value < best else waits[-1] + 1)
        best = min(best, value)
    return waits


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Random labels: the validation loss soon rises."""
    folder = tmp_path_factory.mktemp("stopped")
    shuffled = tiny.data(64)
    targets = np.random.default_rng(0).permutation(shuffled.targets)
    shuffled = Dataset(shuffled.images, targets, shuffled.labels, shuffled.entries)
    run = tiny.fit(folder, data_sets=(shuffled, tiny.data(24, seed=1)), epochs=40, patience=4, schedule="plateau",
                   plateau_factor=0.5, plateau_patience=2, min_learning_rate=0.004, learning_rate=0.01,
                   keep_best="val_loss")  # fmt: skip
    return run, log_of(folder)


def test_early_stopping_ends_the_run_when_patience_is_over(stopped):
    run, log = stopped
    waits = improvements(log["val_loss"])
    assert len(log) < 40
    assert waits[-1] == 4
    assert max(waits[:-1]) < 4
    assert run.finished


def test_the_lowest_loss_is_kept_where_the_loss_is_asked_for(stopped):
    run, log = stopped
    assert run.best.epoch == 1 + log["val_loss"].idxmin() == len(log) - 4
    assert run.best.value == pytest.approx(log["val_loss"].min())


def test_the_rate_falls_on_a_plateau_and_not_below_the_minimum(stopped):
    _, log = stopped
    rate, wait, best, expected = 0.01, 0, np.inf, []
    for loss in log["val_loss"]:
        expected.append(rate)
        wait = 0 if loss < best else wait + 1
        best = min(best, loss)
        if wait >= 2:
            rate, wait = max(rate * 0.5, 0.004), 0
    assert log["learning_rate"].tolist() == pytest.approx(expected)
    assert min(expected) < 0.01


# --- averaged weights


@pytest.fixture(scope="module")
def averaged(tmp_path_factory):
    """Two epochs with and without averaging, and the trained weights after every step of the first of them."""
    steps = []

    def record(reseed, batch, logs=None):
        steps.append([variable.numpy() for variable in reseed.model.trainable_variables])

    folders = [tmp_path_factory.mktemp(name) for name in ("with", "without")]
    with mock.patch.object(fit.Reseed, "on_train_batch_end", record):
        tiny.fit(folders[0], epochs=2, ema=0.5, optimizer="sgd", learning_rate=0.05, keep_best="val_accuracy")
    tiny.fit(folders[1], epochs=2, ema=0.0, optimizer="sgd", learning_rate=0.05)
    return folders, steps


def test_the_model_file_holds_the_running_average_of_the_weights(averaged):
    (folder, _), steps = averaged
    classifier = Classifier.load(folder / "model.keras")
    expected = steps[0]
    for weights in steps[1 : 4 * classifier.metadata["epoch"]]:
        expected = [0.5 * old + 0.5 * new for old, new in zip(expected, weights, strict=True)]
    found = [variable.numpy() for variable in classifier.model.trainable_variables]
    for array, average in zip(found, expected, strict=True):
        np.testing.assert_allclose(array, average, atol=1e-5)
    assert any((np.abs(array - last) > 1e-3).any() for array, last in zip(found, steps[-1], strict=True))


def test_averaging_leaves_the_training_itself_alone(averaged):
    folders, _ = averaged
    with_average, without = (tiny.weights(folder / "checkpoint.npz") for folder in folders)
    names = [name for name in without if name.startswith("weights")]
    assert len(names) == 14
    for name in names:
        np.testing.assert_allclose(with_average[name], without[name], atol=1e-6)


@pytest.mark.parametrize(("layer", "norm"), [("block1_conv", "block1_norm"), ("dense1", "dense1_norm")])
@pytest.mark.parametrize("corruptions", [{}, {"darkness": 0.9, "noise": 0.1}], ids=["plain", "corrupted"])
def test_statistics_of_averaged_weights_are_those_of_images_to_classify(layer, norm, corruptions, tmp_path):
    """Means over the batches, computed by hand: no augmentation reaches them but darkness and noise, which the network
    is to withstand, and no dropout the dense layer's."""
    tiny.fit(tmp_path, epochs=1, ema=0.8, brightness=0.3, dropout=(0.4,), **corruptions)
    model = Classifier.load(tmp_path / "model.keras").model
    norm = model.get_layer(norm)
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    before = keras.Model(model.input, model.get_layer(layer).output)
    for dropout in (found for found in model.layers if isinstance(found, keras.layers.Dropout)):
        dropout.rate = 0.0
    batches = Batches(tiny.data(64), tiny.recipe(), seed=7)
    corrupt = Augmentation(**corruptions)
    reseed(corrupt.seed_generator, [7])
    images = [corrupt(batches.images(i), training=True) for i in range(len(batches))]
    found = [numpy(before(part, training=True)) for part in images]
    rows = [array.reshape(-1, array.shape[-1]) for array in found]
    np.testing.assert_allclose(mean, np.mean([part.mean(axis=0) for part in rows], axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([part.var(axis=0) for part in rows], axis=0), rtol=1e-3)


# --- the schedule over a whole run


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """Four epochs with a rate that is far too high, of which the last is kept."""
    return tiny.fit(tmp_path_factory.mktemp("wild"), epochs=4, schedule="cosine", warmup=0.25, learning_rate=1.0,
                    keep_best="last")  # fmt: skip


def test_the_schedule_spans_the_whole_training(wild):
    rates = [row["learning_rate"] for row in wild.history]  # at the end of an epoch: 4, 8, 12 and 16 of 16 steps
    assert rates == pytest.approx([1, 0.75, 0.25, 0], abs=1e-5)


def test_the_last_epoch_is_kept_where_nothing_may_choose(wild):
    assert (wild.best.epoch, wild.best.value) == (4, wild.history[-1]["val_accuracy"])


def test_a_loss_that_is_not_finite_ends_the_run_and_is_said(tmp_path, caplog):
    class Wild(fit.Reseed):
        def on_epoch_begin(self, epoch, logs=None):
            super().on_epoch_begin(epoch, logs)
            if epoch == 1:
                self.model.optimizer.learning_rate = 1e30

    options = {"epochs": 6, "optimizer": "sgd", "schedule": "constant", "learning_rate": 0.01, "keep_best": "last"}
    with mock.patch.object(fit, "Reseed", Wild):
        run = tiny.fit(tmp_path, **options)
    assert run.finished
    assert 1 < len(run.history) < 6
    said = f"the loss of epoch {len(run.history)} is not finite, so training ends there; lower --learning-rate"
    assert caplog.text.count(said) == 1
    caplog.clear()
    assert tiny.fit(tmp_path, resume=True, **options).finished
    assert said in caplog.text  # it is not taken for a training that is done


# --- the checkpoint knows what it belongs to


def test_the_checkpoint_names_its_training(trained):
    with np.load(trained[0] / "checkpoint.npz", allow_pickle=False) as archive:
        state = json.loads(str(archive["state"]))
    assert state["identity"]["recipe"]["network"] == "tiny"
    assert state["identity"]["labels"] == list(tiny.LABELS)
    assert state["finished"] is True
    assert len(state["history"]) == 8


def test_the_late_phase_has_less_augmentation_and_no_label_smoothing(tmp_path):
    seen = []

    def look(callback, epoch, logs=None):
        original(callback, epoch, logs)
        augmentation = callback.augmentation
        seen.append((augmentation.rotation, augmentation.erasing, augmentation.flip, augmentation.noise))

    original = fit.Phases.on_epoch_begin
    changes = {"late_share": 0.5, "late_augmentation": 0.25, "label_smoothing": 0.5, "epochs": 4}
    with mock.patch.object(fit.Phases, "on_epoch_begin", look):
        run = tiny.fit(tmp_path, flip=True, rotation=8.0, erasing=0.4, noise=0.01, **changes)
    assert seen == [(8.0, 0.4, True, 0.01)] * 2 + [(2.0, 0.1, True, 0.01)] * 2
    # Half a target spread evenly over three labels costs at least its entropy of 0.87 nats.
    losses = [row["loss"] for row in run.history]
    assert min(losses[:2]) > 0.86 > losses[-1]


def test_progressive_resizing_recompiles_the_step(tmp_path):
    sides = []

    def look(callback, epoch, logs=None):
        original(callback, epoch, logs)
        sides.append((callback.augmentation.side, callback.recipe.side(epoch)))

    def pooled(pixels, *, width=4, dropout, dense_dropout):
        return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(width, 3, padding="same")(pixels))

    original = fit.Phases.on_epoch_begin
    with (
        mock.patch.dict("fer.models.networks.NETWORKS", pooled=pooled),
        mock.patch.object(fit.Phases, "on_epoch_begin", look),
    ):
        run = tiny.fit(tmp_path, network="pooled", progressive_sizes=(6, 9), epochs=4, flip=True)
    assert sides == [(6, 6), (9, 9), (12, 12), (12, 12)]
    assert len(run.history) == 4
    assert Classifier.load(tmp_path / "model.keras").spec.size == tiny.SIZE


@pytest.mark.parametrize("split", ["train", "validation"])
def test_an_image_that_has_gone_meanwhile_is_named(split, tmp_path):
    """TensorFlow turns what a generator raises into an error of its own, with a traceback in its text."""
    root = tiny.folders(tmp_path / "faces")
    parts = loading.load(root, InputSpec(tiny.SIZE), cache="none")
    begin = fit.Reseed.on_epoch_begin

    def lose(reseed, epoch, logs=None):
        begin(reseed, epoch, logs)
        for path in (root / split).rglob("*.png") if epoch == 1 else ():
            path.unlink()

    with mock.patch.object(fit.Reseed, "on_epoch_begin", lose), pytest.raises(FerError) as error:
        tiny.fit(tmp_path / "run", data_sets=(parts["train"], parts["validation"]))
    assert str(root / split) in str(error.value)
    assert "cannot be opened" in str(error.value)
    assert "\n" not in str(error.value)
