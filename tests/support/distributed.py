"""What test_distribute.py runs as a program, once per process: trainings through `fer.train`, their histories as JSON.

distributed.py FOLDER [--distribute] [--resume] SCENARIO ...
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from unittest import mock

import keras

import fer
from fer.core.images import InputSpec
from fer.models.classifier import Classifier
from fer.models.networks import NETWORKS
from support import tiny

EVERYTHING = tiny.recipe(
    network="pooled",
    epochs=4,
    optimizer="sgd",
    learning_rate=0.05,
    weight_decay=1e-3,
    schedule="cosine",
    ema=0.8,
    mixup=0.3,
    class_weights="sqrt",
    label_smoothing=0.1,
    self_distillation=0.3,
    self_distillation_every=1,
    progressive_sizes=(6,),
    keep_best="val_accuracy",
    calibrate=True,  # by the first process alone
    flip=True,
    rotation=10.0,
    brightness=0.1,
    blur=0.05,
    darkness=0.3,
    noise=0.05,
    erasing=0.3,
)
SLOW = ("rotation", "blur", "darkness", "noise", "erasing")
SCENARIOS = {
    "everything": EVERYTHING,
    # SGD: Adam would amplify the rounding of gradients that are zero in exact arithmetic (a bias before batch norm).
    "stops": tiny.recipe(
        epochs=30,
        optimizer="sgd",
        learning_rate=0.05,
        schedule="plateau",
        plateau_monitor="val_accuracy",
        plateau_patience=1,
        patience=3,
        monitor="val_accuracy",
    ),
    # Without what takes long to compile.
    "long": dataclasses.replace(EVERYTHING, epochs=25, progressive_sizes=(), **dict.fromkeys(SLOW, 0.0)),
}
TEACHER = {"everything"}  # scenarios with one


def pooled(pixels, *, dropout=0.1, dense_dropout=0.1):
    """As `tiny`, for images of any size."""
    x = keras.layers.Conv2D(6, 3, padding="same", name="block1_conv")(pixels)
    x = keras.layers.BatchNormalization(name="block1_norm", momentum=0.9)(x)
    x = keras.layers.ReLU(name="block1_relu")(x)
    x = keras.layers.Dropout(dropout[0], name="block1_dropout")(x)
    return keras.layers.GlobalAveragePooling2D(name="pool")(x)


def teacher(folder: Path) -> Path:
    """A model file that every process writes for itself, with the same weights."""
    path = folder / f"teacher-{os.environ.get('KERAS_DISTRIBUTION_PROCESS_ID', 0)}.keras"
    if not path.exists():
        Classifier(tiny.varied(), tiny.LABELS, InputSpec(tiny.SIZE)).save(path)
    return path


def main(folder: Path, *words: str) -> None:
    flags = {word.removeprefix("--"): True for word in words if word.startswith("--")}
    data = {"train": tiny.data(56), "validation": tiny.data(103, seed=1)}  # 103: the last batch has to be padded
    for name in (word for word in words if not word.startswith("--")):
        if flags.get("distribute"):
            from fer.training.distribute import initialize

            initialize()  # before the teacher is made
        result = fer.train(
            data,
            SCENARIOS[name],
            run_dir=folder / name,
            precision="float32",
            teacher=[teacher(folder)] if name in TEACHER else (),
            **flags,
        )
        index = os.environ.get("KERAS_DISTRIBUTION_PROCESS_ID", "0")
        (folder / f"{name}-{index}.json").write_text(json.dumps(result.history))


if __name__ == "__main__":
    with (
        mock.patch.dict(NETWORKS, tiny=tiny.network, pooled=pooled),
        mock.patch("fer.training.curves.learning_curves"),
    ):
        main(Path(sys.argv[1]), *sys.argv[2:])
