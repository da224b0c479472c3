"""Training: batches, weights, losses, schedules, callbacks, and what a run leaves behind."""

import importlib.util
import json
from unittest import mock

import keras
import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight
from support import tiny

from fer import FerError
from fer.data.dataset import Dataset
from fer.models.classifier import Classifier
from fer.training import compile, fit
from fer.training.batches import Batches, class_weights

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
    expected = {"model.keras", "log.csv", "curves.png", "checkpoint.npz"} | ({"tensorboard"} if TENSORBOARD else set())
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


def test_float16_scales_the_loss_so_that_small_gradients_survive():
    optimizer = compile.optimizer(tiny.recipe(), steps=10, dtype="mixed_float16")
    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    assert not isinstance(compile.optimizer(tiny.recipe(), steps=10), keras.optimizers.LossScaleOptimizer)


def test_a_colour_network_with_two_labels_and_less_than_a_batch(tmp_path):
    labels = ("happy", "sad")
    pictures = [tiny.data(10, seed, labels=labels, size=16, channels=3) for seed in (0, 1)]
    run = tiny.fit(tmp_path, data_sets=pictures, size=16, channels=3, epochs=1)
    classifier = Classifier.load(tmp_path / "model.keras")
    assert classifier.spec.shape == (16, 16, 3)
    assert classifier.labels == labels
    assert len(run.history) == 1


def test_training_and_validation_must_share_labels(tmp_path):
    with pytest.raises(FerError, match=r"training labels .* and validation labels .* differ"):
        tiny.fit(tmp_path, data_sets=(tiny.data(), tiny.data(labels=("angry", "sad", "happy"))))


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
    shuffled = Dataset(shuffled.images, targets, shuffled.labels, shuffled.names)
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
        tiny.fit(folders[0], epochs=2, ema=0.8, optimizer="sgd", learning_rate=0.05, keep_best="val_accuracy")
    tiny.fit(folders[1], epochs=2, ema=0.0, optimizer="sgd", learning_rate=0.05)
    return folders, steps


def test_the_model_file_holds_the_running_average_of_the_weights(averaged):
    (folder, _), steps = averaged
    classifier = Classifier.load(folder / "model.keras")
    expected = steps[0]
    for weights in steps[1 : 4 * classifier.metadata["epoch"]]:
        expected = [0.8 * old + 0.2 * new for old, new in zip(expected, weights, strict=True)]
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
def test_statistics_of_averaged_weights_are_those_of_the_pictures_as_they_are(layer, norm, tmp_path):
    """Means over the batches, computed by hand: no augmentation reaches them, and no dropout the dense layer's."""
    tiny.fit(tmp_path, epochs=1, ema=0.8, brightness=0.3, dropout=(0.4,))
    model = Classifier.load(tmp_path / "model.keras").model
    norm = model.get_layer(norm)
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    before = keras.Model(model.input, model.get_layer(layer).output)
    for dropout in (found for found in model.layers if isinstance(found, keras.layers.Dropout)):
        dropout.rate = 0.0
    batches = Batches(tiny.data(64), tiny.recipe(), seed=7)
    found = [numpy(before(batches.images(i).astype(np.float32), training=True)) for i in range(len(batches))]
    rows = [array.reshape(-1, array.shape[-1]) for array in found]
    np.testing.assert_allclose(mean, np.mean([part.mean(axis=0) for part in rows], axis=0), rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([part.var(axis=0) for part in rows], axis=0), rtol=1e-3)


# --- batches


@pytest.fixture
def batches():
    return Batches(tiny.data(50), tiny.recipe(batch_size=16), seed=3)


def names_of(batches, epoch):
    """Which pictures an epoch gives, in its order; pictures are told apart by their pixels."""
    batches.start(epoch)
    known = {image.tobytes(): i for i, image in enumerate(batches.dataset.images)}
    return [known[image.tobytes()] for index in range(len(batches)) for image in batches[index][0]]


def test_the_order_follows_from_seed_and_epoch_alone(batches):
    first, second = names_of(batches, 0), names_of(batches, 1)
    assert first != second
    assert names_of(batches, 0) == first
    assert names_of(Batches(tiny.data(50), tiny.recipe(batch_size=16), seed=3), 1) == second
    assert names_of(Batches(tiny.data(50), tiny.recipe(batch_size=16), seed=4), 0) != first


def test_an_epoch_leaves_out_only_what_does_not_fill_a_batch_and_others_every_time(batches):
    left_out = []
    for epoch in range(20):
        names = names_of(batches, epoch)
        assert len(names) == len(set(names)) == 48
        left_out.append(frozenset(range(50)) - set(names))
    assert len(set(left_out)) > 15


@pytest.mark.parametrize(("n", "batch_size", "expected"), [(50, 16, 3), (48, 16, 3), (7, 16, 1), (1, 1, 1)])
def test_the_number_of_batches(n, batch_size, expected):
    batches = Batches(tiny.data(n), tiny.recipe(batch_size=batch_size), seed=0)
    assert len(batches) == expected
    assert len(batches[0][0]) == min(n, batch_size)


def test_pictures_keep_their_targets_and_types(batches):
    images, targets = batches[0]
    assert (images.dtype, targets.dtype) == (np.uint8, np.float32)
    known = {
        image.tobytes(): target for image, target in zip(batches.dataset.images, batches.dataset.targets, strict=True)
    }
    np.testing.assert_array_equal(targets, [known[image.tobytes()] for image in images])


def two_classes(counts, value=100):
    """Pictures of class 0 are black, of class 1 have `value`: a mixture shows in the pixels."""
    codes = np.repeat([0, 1], counts)
    images = np.broadcast_to((codes * value).astype(np.uint8)[:, None, None, None], (len(codes), 4, 4, 1))
    return Dataset(np.array(images), np.eye(2, dtype=np.float32)[codes], ("a", "b"), tuple(map(str, codes)))


def test_mixup_mixes_images_targets_and_weights_alike():
    batches = Batches(two_classes((60, 20)), tiny.recipe(batch_size=40, mixup=0.4, class_weights="balanced"), seed=1)
    shares = set()
    for epoch in range(3):
        batches.start(epoch)
        for index in range(len(batches)):
            images, targets, weights = batches[index]
            assert [array.dtype for array in (images, targets, weights)] == [np.uint8, np.float32, np.float32]
            np.testing.assert_allclose(targets.sum(axis=1), 1, rtol=1e-6)
            np.testing.assert_allclose(images[:, 0, 0, 0], 100 * targets[:, 1], atol=0.51)  # to the nearest grey level
            np.testing.assert_allclose(weights, targets @ [80 / 120, 80 / 40], rtol=1e-5)
            shares |= set(np.unique(targets[:, 1]).round(4))
    assert len(shares) > 8  # another share for every batch


def test_mixup_is_the_same_in_the_same_epoch():
    make = [Batches(tiny.data(32), tiny.recipe(mixup=0.2), seed=1) for _ in range(2)]
    for batches in make:
        batches.start(4)
    np.testing.assert_array_equal(make[0][1][0], make[1][1][0])
    make[1].start(5)
    assert (make[0][1][0] != make[1][1][0]).any()


def test_sample_weights_are_those_of_the_class():
    batches = Batches(two_classes((30, 10)), tiny.recipe(batch_size=40, class_weights="balanced"), seed=1)
    _, targets, weights = batches[0]
    np.testing.assert_allclose(weights, np.where(targets[:, 0] == 1, 40 / 60, 40 / 20), rtol=1e-6)
    assert weights.dtype == np.float32


# --- class weights


CODES = np.repeat([0, 1, 2, 3], [50, 5, 200, 12])


def test_balanced_weights_agree_with_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(4), y=CODES)
    np.testing.assert_allclose(class_weights(np.eye(4, dtype=np.float32)[CODES], "balanced"), expected, rtol=1e-5)


def test_sqrt_weights_are_the_root_of_the_balanced_ones():
    targets = np.eye(4, dtype=np.float32)[CODES]
    balanced, sqrt = class_weights(targets, "balanced"), class_weights(targets, "sqrt")
    np.testing.assert_allclose(sqrt / sqrt[0], np.sqrt(balanced / balanced[0]), rtol=1e-5)


@pytest.mark.parametrize("mode", ["balanced", "sqrt"])
def test_the_mean_weight_of_a_picture_is_one(mode):
    targets = np.random.default_rng(0).dirichlet([3, 0.2, 1], 500).astype(np.float32)  # shares of votes
    weights = class_weights(targets, mode)
    assert (targets @ weights).mean() == pytest.approx(1, rel=1e-4)
    assert weights.dtype == np.float32


def test_a_class_without_pictures_weighs_nothing_and_breaks_nothing():
    weights = class_weights(np.eye(3, dtype=np.float32)[[0, 0, 2]], "balanced")
    assert weights[1] == 0
    assert np.isfinite(weights).all()


def test_no_weights_where_none_are_asked_for():
    assert class_weights(np.eye(2, dtype=np.float32), "none") is None


# --- losses


TARGETS = np.array([[1, 0, 0], [0, 0, 1], [0.2, 0.5, 0.3]], np.float32)
PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.3, 0.3, 0.4], [0.1, 0.8, 0.1]], np.float32)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("name", "gamma"), [("crossentropy", None), ("focal", 2.0), ("focal", 0.5), ("focal", 0.0)])
def test_losses_follow_their_formulas(name, gamma, smoothing):
    recipe = tiny.recipe(loss=name, label_smoothing=smoothing, **({"focal_gamma": gamma} if gamma is not None else {}))
    smooth = TARGETS * (1 - smoothing) + smoothing / 3
    terms = -smooth * np.log(PROBABILITIES) * (1 - PROBABILITIES) ** (gamma or 0)
    assert float(compile.loss(recipe)(TARGETS, PROBABILITIES)) == pytest.approx(terms.sum(axis=1).mean(), rel=1e-4)


# --- optimizers and schedules


def rate_at(recipe, step, steps=1000):
    rate = compile.optimizer(recipe, steps=steps)._learning_rate
    return float(rate(step)) if callable(rate) else float(rate.numpy())


@pytest.mark.parametrize(
    ("schedule", "warmup", "step", "expected"),
    [
        ("constant", 0.05, 0, 0.1),
        ("constant", 0.05, 1000, 0.1),
        ("plateau", 0.05, 500, 0.1),
        ("cosine", 0.05, 0, 0.0),
        ("cosine", 0.05, 25, 0.05),
        ("cosine", 0.05, 50, 0.1),
        ("cosine", 0.05, 525, 0.05),
        ("cosine", 0.05, 1000, 0.0),
        ("cosine", 0.0, 0, 0.1),
        ("cosine", 0.0, 500, 0.05),
        ("cosine", 0.0, 1000, 0.0),
        ("one-cycle", 0.05, 0, 0.1 / 25),
        ("one-cycle", 0.05, 150, (0.1 / 25 + 0.1) / 2),
        ("one-cycle", 0.05, 300, 0.1),
        ("one-cycle", 0.05, 650, 0.05),
        ("one-cycle", 0.05, 1000, 0.0),
    ],
)
def test_schedules_start_climb_and_end_where_they_should(schedule, warmup, step, expected):
    recipe = tiny.recipe(schedule=schedule, warmup=warmup, learning_rate=0.1)
    assert rate_at(recipe, step) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("schedule", ["cosine", "one-cycle"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_schedules_survive_very_short_trainings(schedule, steps):
    rates = [rate_at(tiny.recipe(schedule=schedule, learning_rate=0.1), step, steps) for step in range(steps + 1)]
    assert np.isfinite(rates).all()
    assert rates[-1] == pytest.approx(0, abs=1e-6)
    assert max(rates) <= 0.1 + 1e-6


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


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_weight_decay_shrinks_kernels_only(name, decay):
    model = tiny.build()
    model.set_weights([np.ones_like(array) for array in model.get_weights()])
    optimizer = compile.optimizer(tiny.recipe(optimizer=name, weight_decay=decay, learning_rate=0.5), steps=10)
    variables = model.trainable_variables
    optimizer.build(variables)
    optimizer.apply([keras.ops.zeros_like(variable) for variable in variables])
    found = {variable.path: float(np.unique(variable.numpy()).item()) for variable in variables}
    assert {path.split("/")[-1] for path in found} == {"kernel", "bias", "gamma", "beta"}
    assert found == {path: pytest.approx(1 - 0.5 * decay if "kernel" in path else 1) for path in found}


def test_sgd_has_nesterov_momentum():
    optimizer = compile.optimizer(tiny.recipe(optimizer="sgd"), steps=1)
    assert (optimizer.momentum, optimizer.nesterov) == (0.9, True)


# --- the checkpoint knows what it belongs to


def test_the_checkpoint_names_its_training(trained):
    with np.load(trained[0] / "checkpoint.npz", allow_pickle=False) as archive:
        state = json.loads(str(archive["state"]))
    assert state["identity"]["recipe"]["network"] == "tiny"
    assert state["identity"]["labels"] == list(tiny.LABELS)
    assert state["finished"] is True
    assert len(state["history"]) == 8


def test_progressive_resizing_recompiles_the_step(tmp_path):
    sides = []

    def look(callback, epoch, logs=None):
        original(callback, epoch, logs)
        sides.append((callback.augmentation.side, callback.recipe.side(epoch)))

    def pooled(pixels, *, width=4, dropout, dense_dropout):
        return keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(width, 3, padding="same")(pixels))

    original = fit.ProgressiveResizing.on_epoch_begin
    with (
        mock.patch.dict("fer.models.networks.NETWORKS", pooled=pooled),
        mock.patch.object(fit.ProgressiveResizing, "on_epoch_begin", look),
    ):
        run = tiny.fit(tmp_path, network="pooled", progressive_sizes=(6, 9), epochs=4, flip=True)
    assert sides == [(6, 6), (9, 9), (12, 12), (12, 12)]
    assert len(run.history) == 4
    assert Classifier.load(tmp_path / "model.keras").spec.size == tiny.SIZE
