"""How much memory does a training on many large images take? Its peak, and whether the weights are the same.

    python benchmarks/memory.py
    python benchmarks/memory.py --images 2000 --side 96 --json memory.json

Draws JPEG files into a temporary folder and trains two epochs on them with train.py, in a process of its own for each
way to keep the images: --cache memory, disk and none. A last training, of images on demand, is interrupted after its
first epoch and resumed. The network looks at every eighth pixel, so that the figure is that of the data: networks for
faces keep hundreds of megabytes of activations at 224 pixels. The peak is the largest resident set (VmHWM of
/proc/self/status): Python, Keras, the list of files, the network and all buffers.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments
from fer.core import labels

RUNS = ("memory", "disk", "none", "resumed")
EPOCHS = 2


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--images", type=int, default=20_000, help="a tenth of them for validation (20,000)")
    parser.add_argument("--side", type=int, default=224, metavar="PIXELS", help="of the colour images (224)")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=RUNS, help="(all)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args.side, *args.worker)
    with tempfile.TemporaryDirectory() as folder:
        draw(Path(folder, "faces"), args.images, args.side)
        figures = {name: run(args.side, name, Path(folder)) for name in args.runs}
    size = args.images * args.side**2 * 3
    print(f"{args.images:,} colour images of {args.side} pixels, {size / 1e9:.2f} GB, {EPOCHS} epochs")
    for name, row in figures.items():
        print(f"{name:8} peak {row['peak'] / 1e6:7,.0f} MB   weights {row['weights'][:12]}   {row['seconds']:5.0f} s")
    same = len({row["weights"] for row in figures.values()}) == 1
    if len(figures) > 1:
        print("all weights are the same, bit for bit" if same else "the weights differ")
    if args.json:
        Path(args.json).write_text(json.dumps({"bytes": size, "same_weights": same, "runs": figures}, indent=1))
    return 0 if same else 1


def draw(folder, n, side):
    """Smooth noise, brighter in a column that tells the class, as JPEG files in class folders."""
    rng = np.random.default_rng(0)
    for i in range(n):
        code = i % len(labels.FER2013)
        small = rng.integers(0, 160, (8, 7, 3), np.uint8)
        small[:, code] += 90
        path = folder / ("validation" if i % 10 == 9 else "train") / labels.FER2013[code] / f"{i:06}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(".jpg", cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC))[1])


def run(side, name, folder):
    """Trains in other processes; the figures of the last one."""
    cache, seconds = ("none" if name == "resumed" else name), 0.0
    for step in ("stopped", "resumed") if name == "resumed" else ("whole",):
        command = [sys.executable, __file__, "--side", str(side), "--worker", cache, step, str(folder), name]
        started = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"the training failed:\n{done.stderr[-3000:]}")
        seconds += time.perf_counter() - started
    return json.loads(done.stdout.splitlines()[-1]) | {"seconds": round(seconds, 1)}


def work(side, cache, step, folder, name):
    """One training; the last line that it prints is JSON."""
    from fer.cli import train
    from fer.models.classifier import Classifier
    from fer.models.networks import NETWORKS

    place = Path(folder, name)
    words = ["--resume", "--run-dir", place]
    if step != "resumed":
        words = ["--data", Path(folder, "faces"), "--cache", cache, "--run-dir", place, "--recipe", "five-conv"]
        words += ["--network", "strided", "--size", side, "--channels", 3, "--epochs", EPOCHS]
    with (
        mock.patch.dict(NETWORKS, strided=strided),
        mock.patch.dict(os.environ, FER_CACHE=str(Path(folder, "cache"))),
        stopping() if step == "stopped" else nullcontext(),
    ):
        train.main(train.parse_args(list(map(str, words))))
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    figures = {"peak": int(status["VmHWM"].split()[0]) * 1024}
    if step != "stopped":
        arrays = Classifier.load(place / "model.keras").model.get_weights()
        figures["weights"] = hashlib.sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()
    print(json.dumps(figures))
    return 0


def strided(pixels, *, dropout=0.1, dense_dropout=0.1):
    """A network without large activations."""
    import keras

    x = keras.layers.Conv2D(8, 3, strides=8, name="block1_conv")(pixels)
    x = keras.layers.BatchNormalization(name="block1_norm")(x)
    x = keras.layers.ReLU(name="block1_relu")(x)
    x = keras.layers.MaxPooling2D(4, name="block1_pool")(x)
    return keras.layers.Flatten(name="flatten")(x)


def stopping():
    """A context in which the second epoch does not begin, as after Ctrl-C."""
    from fer.training.callbacks import Reseed

    begin = Reseed.on_epoch_begin

    def stop(reseed, epoch, logs=None):
        if epoch:
            raise KeyboardInterrupt
        begin(reseed, epoch, logs)

    return mock.patch.object(Reseed, "on_epoch_begin", stop)


if __name__ == "__main__":
    sys.exit(main())
