"""What test_backends.py runs as a program of its own, with KERAS_BACKEND set: one folder in, results as files out."""

import sys
from pathlib import Path

import keras
import numpy as np

from fer import FerError
from fer.core.images import InputSpec
from fer.models import networks
from fer.models.classifier import Classifier
from fer.training import weight_transfer
from fer.training.augmentation import Augmentation
from support import tiny

AMOUNTS = {"flip": True, "rotation": 20.0, "zoom": 0.2, "shift": 0.1, "shear": 10.0, "brightness": 0.2, "contrast": 0.2,
           "blur": 0.05, "darkness": 0.5, "noise": 0.05, "erasing": 0.5}  # fmt: skip
EVERYTHING = {"epochs": 3, "optimizer": "sgd", "learning_rate": 0.05, "schedule": "cosine", "ema": 0.8,
              "weight_decay": 1e-3, "keep_best": "val_accuracy", "mixup": 0.2, "class_weights": "sqrt",
              "label_smoothing": 0.1, "rotation": 3.0, "zoom": 0.05, "shift": 0.02, "brightness": 0.1, "contrast": 0.1,
              "blur": 0.02, "darkness": 0.2, "noise": 0.02, "erasing": 0.2}  # fmt: skip


def other_runs(folder: Path) -> None:
    """The run on images that are decoded on demand; interrupted after its first epoch and resumed; without averaged
    weights; and with another loss and self-distillation."""
    tiny.fit_from_files(folder / "on demand", folder / "faces", "none", **EVERYTHING)
    tiny.fit_from_files(folder / "resumed", folder / "faces", "none", interrupted=True, **EVERYTHING)
    tiny.fit_from_files(folder / "not averaged", folder / "faces", "memory", **EVERYTHING | {"ema": 0.0})
    options = {"schedule": "plateau", "patience": 2, "loss": "focal", "self_distillation": 0.5}
    tiny.fit(folder / "focal", epochs=2, self_distillation_every=1, **options)


def main(folder: Path) -> None:
    pictures = tiny.data(8, channels=3).images.astype(np.float32)

    # The same affine maps on every backend; random numbers of their own.
    maps = np.load(folder / "maps.npy")
    moved = keras.ops.image.affine_transform(pictures, maps, fill_mode="nearest")
    np.save(folder / "moved.npy", keras.ops.convert_to_numpy(moved))
    augmented = Augmentation(seed=1, **AMOUNTS)(pictures, training=True)
    np.save(folder / "augmented.npy", keras.ops.convert_to_numpy(augmented))

    tiny.folders(folder / "faces", train=64)
    tiny.fit_from_files(folder / "whole", folder / "faces", "memory", **EVERYTHING)
    if keras.backend.backend() != "tensorflow":  # on which other tests show the rest
        other_runs(folder)

    trained = Classifier.load(folder / "whole" / "model.keras")
    np.save(folder / "predicted.npy", trained.predict(tiny.data(24, seed=1).images, tta="ten-crop"))

    # Fine-tuning onto labels in another order.
    labels = ("sad", "contempt", "happy")
    network = tiny.build(labels)
    weight_transfer.transfer(trained, network, labels)
    np.savez(folder / "transferred.npz", old=trained.model.get_layer("logits").get_weights()[0],
             new=network.get_layer("logits").get_weights()[0])  # fmt: skip

    try:
        networks.build("four-block", labels, InputSpec(15))
    except FerError as error:
        print(f"refused: {error}")
    print(f"backend: {keras.backend.backend()}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
