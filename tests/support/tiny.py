"""A network and images so small that a test trains in a second. As a program it is train.py with `--network tiny`."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext, redirect_stdout, suppress
from pathlib import Path
from unittest import mock

import cv2
import keras
import numpy as np

from fer.cli import terminal, train_arguments
from fer.cli import train as train_command
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.dataset import Dataset
from fer.data.entry import Entry
from fer.models import networks
from fer.training import fit as trainer
from fer.training.config import TrainingConfig
from fer.training.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("angry", "happy", "sad")
SIZE = 12
RECIPE = Recipe(
    "tiny",
    "for tests",
    network="tiny",
    size=SIZE,
    dropout=(0.1,),
    dense_dropout=(0.1,),
    epochs=3,
    batch_size=16,
    learning_rate=0.01,
)
NO_DROPOUT = {"dropout": (0.0,), "dense_dropout": (0.0,)}


def network(pixels, *, dropout=0.1, dense_dropout=0.1):
    """One convolution and one dense layer, both with batch normalization: all that matters, in 1,231 numbers."""
    x = keras.layers.Conv2D(4, 3, padding="same", name="block1_conv")(pixels)
    x = keras.layers.BatchNormalization(name="block1_norm", momentum=0.9)(x)
    x = keras.layers.ReLU(name="block1_relu")(x)
    x = keras.layers.MaxPooling2D(2, name="block1_pool")(x)
    x = keras.layers.Dropout(dropout[0], name="block1_dropout")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(8, name="dense1")(x)
    x = keras.layers.BatchNormalization(name="dense1_norm", momentum=0.9)(x)
    x = keras.layers.ReLU(name="dense1_relu")(x)
    return keras.layers.Dropout(dense_dropout[0], name="dense1_dropout")(x)


def known():
    """A context in which `tiny` is a network like the others."""
    return mock.patch.dict(networks.NETWORKS, tiny=network)


def recipe(**changes) -> Recipe:
    return dataclasses.replace(RECIPE, **changes)


def build(labels=LABELS, dtype="float32", **changes) -> keras.Model:
    with known():
        return trainer.build(recipe(**changes), labels, dtype)


def varied(labels=LABELS, seed=1, **changes) -> keras.Model:
    """The network with biases and statistics away from their initial values."""
    keras.utils.set_random_seed(seed)
    model = build(labels, **changes)
    rng = np.random.default_rng(seed)
    model.set_weights([array + (array.ndim == 1) * rng.uniform(0.1, 0.3, array.shape) for array in model.get_weights()])
    return model


def noise(n, seed=0, size=SIZE, channels=1) -> np.ndarray:
    """Random images, uint8 (n, size, size, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (n, size, size, channels), np.uint8)


def data(n=64, seed=0, *, labels=LABELS, size=SIZE, channels=1, noise=60) -> Dataset:
    """Noise with one bright column a label: any network that learns at all tells them apart."""
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % len(labels)
    images = rng.integers(0, noise, (n, size, size, channels))
    for image, code in zip(images, codes, strict=True):
        image[:, code * size // len(labels)] += 150
    targets = np.eye(len(labels), dtype=np.float32)[codes]
    return Dataset(images.astype(np.uint8), targets, labels, tuple(Entry(f"{seed}-{i}") for i in range(n)))


def config(folder, *, seed=7, precision="float32", **changes) -> TrainingConfig:
    return TrainingConfig(recipe(**changes), data="tiny", seed=seed, precision=precision, run_dir=str(folder))


def fit(
    folder,
    *,
    data_sets=None,
    resume=False,
    init=None,
    teachers=(),
    seed=7,
    precision="float32",
    tensorboard=False,
    curves=False,
    **changes,
):
    """Trains in this process; `changes` are fields of the recipe. Returns the run folder.

    Drawing the curves would take longer than the training: they are left out unless asked for.
    """
    train, validation = data_sets or (data(64), data(24, seed=1))
    asked = config(folder, seed=seed, precision=precision, **changes)
    options = {"init": init, "teachers": teachers, "resume": resume, "overwrite": True, "tensorboard": tensorboard}
    with known(), nullcontext() if curves else mock.patch("fer.training.curves.learning_curves"):
        return trainer.fit(train, validation, asked, **options, verbose=0)


def folders(root: Path, *, train=48, validation=24, labels=LABELS, size=SIZE, channels=1) -> Path:
    """The same images as class folders of PNG files."""
    for split, n, seed in (("train", train, 0), ("validation", validation, 1)):
        part = data(n, seed, labels=labels, size=size, channels=channels)
        for i, (image, target) in enumerate(zip(part.images, part.targets, strict=True)):
            path = root / split / labels[target.argmax()] / f"{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return root


def fit_one_epoch(folder, **options) -> None:
    """`fit`, interrupted after its first epoch."""
    begin = trainer.Reseed.on_epoch_begin

    def stop(reseed, epoch, logs=None):
        if epoch == 1:
            raise KeyboardInterrupt
        begin(reseed, epoch, logs)

    with mock.patch.object(trainer.Reseed, "on_epoch_begin", stop), suppress(KeyboardInterrupt):
        fit(folder, **options)


def fit_from_files(folder, root: Path, cache: str, *, interrupted: bool = False, **changes) -> dict[str, np.ndarray]:
    """Trains on the images of class folders, kept as --cache says; the arrays of the last checkpoint.

    Args:
        interrupted: stop after the first epoch and resume on images that are loaded again.
    """

    def data_sets():
        parts = loading.load(root, InputSpec(SIZE), cache=cache)
        return parts["train"], parts["validation"]

    options = {"epochs": 2} | changes
    if interrupted:
        fit_one_epoch(folder, data_sets=data_sets(), **options)
    fit(folder, data_sets=data_sets(), resume=interrupted, **options)
    return weights(folder / "checkpoint.npz")


def state_of(path) -> dict:
    """What a checkpoint holds beside its arrays."""
    with np.load(path, allow_pickle=False) as archive:
        return json.loads(str(archive["state"]))


def weights(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint."""
    with np.load(path) as archive:
        return {name: archive[name] for name in archive.files if name != "state"}


def configure(*flags: str) -> TrainingConfig:
    """The configuration of flags of train.py."""
    return train_arguments.resolve(train_command.parse_args(list(flags)))


FLAGS = ("--network", "tiny", "--size", str(SIZE), "--batch-size", "16", "--precision", "float32")


_HIDDEN = ROOT / "tests" / "support" / "without_tensorflow"  # Keras would import it, for seconds, only to seed it
# For programs on JAX that train for a moment.
JAX = {
    "KERAS_BACKEND": "jax",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests", _HIDDEN))),
}


def start(*arguments, script="tests/support/tiny.py", **environment) -> subprocess.Popen:
    """Starts this file, or another script of the checkout, as a program; `environment` is added to ours."""
    command = [sys.executable, str(ROOT / script), *map(str, arguments)]
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    environment = os.environ | {"PYTHONPATH": paths} | environment
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments, code=0, **options) -> str:
    """Runs to the end and returns stdout and stderr as one text; the exit code must be `code`."""
    process = start(*arguments, **options)
    output = "".join(process.communicate(timeout=300))
    assert process.returncode == code, output
    return output


def script(module, *arguments) -> int:
    """Runs a script of the checkout in this process as if from the command line; returns its exit code."""
    try:
        with known():
            terminal.run(module.main, lambda: module.parse_args(list(map(str, arguments))))
    except SystemExit as ended:
        return ended.code
    raise AssertionError("a script ends with an exit code")


def printed(module, *arguments) -> str:
    """What a script of the checkout prints that runs in this process, to its good end."""
    words, text = list(map(str, arguments)), io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
    with mock.patch.object(sys, "argv", [f"{module.__name__}.py", *words]), redirect_stdout(text):
        assert script(module, *words) == 0
    return text.buffer.getvalue().decode()


if __name__ == "__main__":
    import train

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that runs tests in the background has it ignored
    with known():
        terminal.run(train.main, train.parse_args)
