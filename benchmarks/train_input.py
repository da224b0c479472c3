"""Does training wait for its data? Input path, network and both together, in images per second, in one run.

    python benchmarks/train_input.py
    python benchmarks/train_input.py --recipe vgg --json train_input.json
    python benchmarks/train_input.py --cache none --side 224 --channels 3

Each part runs in turn for several rounds; the ratios are medians over the rounds, because on a shared machine only
figures of the same minute compare. "batches alone" is the processor's share of the work for a GPU, which augments by
itself: it gathers the images of a batch from as many as FER2013 has, and applies mixup if the recipe has it. The
networks train without averaged weights and without teachers. "Keras' batch norm" is the network alone without the fused
layers of `fer.training.batch_norm`, which TensorFlow gets. The baseline of the input path is Keras' old
ImageDataGenerator (rescale, shear, zoom, flip), which Keras 3 still ships under a legacy name.

A training step takes six floating-point operations for each multiplication of the forward pass: a product and a sum,
once forward and twice backward. --peak says how many the hardware can do, for the share that "together" reaches.
"""

import dataclasses
import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments, terminal
from fer.core import labels
from fer.data.dataset import Dataset
from fer.data.entry import Entry
from fer.data.image_array import decode_all
from fer.training.recipes import RECIPES

N_IMAGES = 28_709  # FER2013's training split: too many for a processor's caches
LARGEST = 1 << 28  # bytes of all images, where they are larger


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--recipe", choices=RECIPES, default="four-block")
    parser.add_argument("--precision", default="auto", help="as for train.py (auto)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement, about (8)")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    text = "images in memory, in a memory map, or JPEG files that are decoded for every batch (memory)"
    parser.add_argument("--cache", choices=("memory", "disk", "none"), default="memory", help=text)
    parser.add_argument("--side", type=int, metavar="PIXELS", help="side of the images (the recipe's)")
    parser.add_argument("--channels", type=int, choices=(1, 3), default=1, help="with --side: grey or colour (1)")
    text = "what the hardware can do at most at this precision, for example 989 (H100, bfloat16, dense)"
    parser.add_argument("--peak", type=float, metavar="TFLOPS", help=text)
    args = parser.parse_args()
    with terminal.quiet():
        from fer.models import device

        dtype, hardware = device.dtype_policy(args.precision), device.describe()
    recipe = RECIPES[args.recipe]
    if args.side:
        recipe = dataclasses.replace(recipe, size=args.side, channels=args.channels, progressive_sizes=(), crop=0)
    measures, macs = prepare(recipe, dtype, args.cache)
    for measure in measures.values():
        measure(0.5)  # compiles
    rounds = [{name: measure(args.seconds) for name, measure in measures.items()} for _ in range(args.rounds)]
    print(f"{hardware}, {dtype}, recipe {args.recipe}, cache {args.cache}: median of {args.rounds} rounds")
    for name in measures:
        values = [row[name] for row in rounds]
        print(f"{name:24} {np.median(values):10,.0f} images/s   ({min(values):,.0f} to {max(values):,.0f})")
    figures = {
        "share_of_network": median_ratio(rounds, "together", "network alone"),
        "times_image_data_generator": median_ratio(rounds, "input alone", "ImageDataGenerator"),
        "times_keras_batch_norm": median_ratio(rounds, "network alone", "Keras' batch norm"),
    }
    print(f"together / network alone        {figures['share_of_network']:.3f}")
    print(f"input alone / ImageDataGenerator {figures['times_image_data_generator']:.2f}")
    print(f"network alone / with Keras' batch norm {figures['times_keras_batch_norm']:.2f}")
    speed = 6 * macs * float(np.median([row["together"] for row in rounds])) / 1e12
    share = "" if args.peak is None else f", {speed / args.peak:.1%} of the peak"
    print(f"{macs / 1e6:.0f} million MACs per image: together {speed:.3g} TFLOP/s{share}")
    figures |= {"macs": macs, "tflops": speed, "peak_tflops": args.peak}
    if args.json:
        about = {"device": hardware, "dtype": dtype, "recipe": args.recipe, "cache": args.cache, "rounds": rounds}
        Path(args.json).write_text(json.dumps(figures | about, indent=1))


def stored(images, spec, cache):
    """The images as they would be after loading them from JPEG files with --cache."""
    if cache == "memory":
        return images
    smooth = (cv2.GaussianBlur(image, (0, 0), 3) for image in images)  # noise makes files of ten times the size
    files = [cv2.imencode(".jpg", image)[1].tobytes() for image in smooth]
    return decode_all(files, spec, cache=cache, progress=lambda items, total, text: items, text="")[0]


def prepare(recipe, dtype, cache):
    """Functions of a duration, each returning images per second; and the multiplications of the forward pass."""
    import keras
    from keras.src.legacy.preprocessing.image import ImageDataGenerator

    from fer.models.device import JIT_COMPILE, has_gpu
    from fer.training import compile, fit
    from fer.training.augmentation import Augmentation
    from fer.training.batch_norm import fused
    from fer.training.batches import Batches

    rng = np.random.default_rng(0)
    k = len(labels.FER2013)

    def batches_of(n):
        images = rng.integers(0, 256, (n, recipe.size, recipe.size, recipe.channels), np.uint8)
        images = stored(images, recipe.spec, cache)
        targets = np.eye(k, dtype=np.float32)[rng.integers(0, k, n)]
        entries = tuple(Entry(row=row) for row in range(n))
        return Batches(Dataset(images, targets, labels.FER2013, entries), recipe, seed=0)

    n_images = min(N_IMAGES, LARGEST // recipe.size**2 // recipe.channels)
    # A GPU has done with eight batches before Keras has begun the next round.
    batches, many = batches_of((100 if has_gpu() else 8) * recipe.batch_size), batches_of(n_images)
    images, targets = np.asarray(batches.dataset.images), batches.dataset.targets

    class Always(keras.layers.Layer):
        """The augmentation also where Keras says that nothing is being trained, as `predict_on_batch` does."""

        def __init__(self):
            super().__init__(dtype="float32")
            self.augmentation = Augmentation.from_recipe(recipe, seed=0)

        def call(self, pixels):
            return self.augmentation(pixels, training=True)

    augment = keras.Sequential([keras.Input(images.shape[1:]), Always()])
    augment.jit_compile = JIT_COMPILE
    assert recipe.augments != np.allclose(augment.predict_on_batch(batches[0][0]), batches[0][0])

    def trainable(augmented, unfused=False):
        network = fit.build(recipe, labels.FER2013, dtype)
        network = network if unfused else fused(network)
        layers = [Augmentation.from_recipe(recipe, seed=0), network] if augmented else [network]
        model = keras.Sequential([keras.Input(images.shape[1:]), *layers])
        steps = 10_000  # of the schedule; any number does
        # After a fit the weights are their averages, the same buffers, and under JAX a second fit would refuse them.
        optimizer = compile.optimizer(dataclasses.replace(recipe, ema=0.0), steps=steps)
        model.compile(optimizer, compile.loss(recipe), jit_compile=JIT_COMPILE)
        return model

    network, together = trainable(augmented=False), trainable(augmented=True)
    unfused = trainable(augmented=False, unfused=True)
    fixed = [np.ascontiguousarray(part) for part in batches[0]]

    class Fixed(keras.utils.PyDataset):
        """The same tensors again and again: a network that never waits."""

        def __len__(self):
            return len(batches)

        def __getitem__(self, index):
            return tuple(fixed)

    def fitting(model, data):
        images = len(data) * batches.batch_size
        return lambda seconds: repeat(lambda: model.fit(data, shuffle=False, verbose=0), images, seconds)

    def gathering():
        for i in range(len(many)):
            many[i]

    def augmenting():
        for i in range(len(batches)):
            augment.predict_on_batch(batches[i][0])

    flow = ImageDataGenerator(rescale=1 / 255, shear_range=0.2, zoom_range=0.2, horizontal_flip=True).flow(
        images, targets, batch_size=batches.batch_size, seed=0
    )

    def generating():
        for _ in range(8):
            next(flow)

    measures = {
        "ImageDataGenerator": lambda seconds: repeat(generating, 8 * batches.batch_size, seconds),
        "batches alone": lambda seconds: repeat(gathering, len(many) * many.batch_size, seconds),
        "input alone": lambda seconds: repeat(augmenting, len(batches) * batches.batch_size, seconds),
        "network alone": fitting(network, Fixed()),
        "Keras' batch norm": fitting(unfused, Fixed()),
        "together": fitting(together, batches),
    }
    return measures, multiplications(fit.build(recipe, labels.FER2013, dtype))


def multiplications(network):
    """Those of the convolutions and dense layers for one image; the rest is small beside them."""
    import keras

    total = 0
    for layer in network.layers:
        if isinstance(layer, keras.layers.Conv2D):
            total += int(np.prod(layer.kernel.shape) * np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, keras.layers.Dense):
            total += int(np.prod(layer.kernel.shape))
    return total


def repeat(run, n_images, seconds):
    """Images per second over at least `seconds`."""
    done, started = 0, time.perf_counter()
    while done == 0 or time.perf_counter() - started < seconds:
        run()
        done += n_images
    return done / (time.perf_counter() - started)


def median_ratio(rounds, part, whole):
    return round(float(np.median([row[part] / row[whole] for row in rounds])), 3)


if __name__ == "__main__":
    main()
