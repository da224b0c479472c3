"""Callbacks: Ctrl-C between the steps; seeds, the size of the images and averaged weights between the epochs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
import numpy as np

from fer.models.device import JIT_COMPILE
from fer.models.weights import copies
from fer.training.augmentation import Augmentation
from fer.training.batches import Batches
from fer.training.recipe import AUGMENTATION, DEGRADATIONS, Recipe

REFRESH_BATCHES = 40  # training batches from which batch-norm statistics are estimated anew for averaged weights


class Interrupt(keras.callbacks.Callback):
    """Ends `fit` with a KeyboardInterrupt before the step after the one in which Ctrl-C came.

    Raised where the signal arrives, inside TensorFlow or NumPy, it may become a SystemError. For a callback at the end
    of a step Keras would fetch the scores, and JAX would wait for the GPU.

    Args:
        asked: whether Ctrl-C has come, see `fer.core.signals.stoppable`.
    """

    def __init__(self, asked: Callable[[], bool]):
        super().__init__()
        self.asked = asked

    def on_train_batch_begin(self, batch, logs=None):
        if self.asked():
            raise KeyboardInterrupt

    on_test_batch_begin = on_train_batch_begin


class Reseed(keras.callbacks.Callback):
    """Ties every random number of an epoch to the seed and the epoch, so that a resumed run draws the same ones."""

    def __init__(self, batches: Batches, network: keras.Model, augmentation: Augmentation, seed: int):
        super().__init__()
        self.batches, self.seed = batches, seed
        layers = [augmentation, *network.layers]
        self.generators = [layer.seed_generator for layer in layers if getattr(layer, "seed_generator", None)]

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start(epoch)
        if keras.backend.backend() == "torch":  # its dropout draws from the global generator, not from the layer's
            keras.utils.set_random_seed(int(np.random.default_rng([self.seed, epoch]).integers(2**32)))
        for i, generator in enumerate(self.generators):
            reseed(generator, [self.seed, epoch, i])


def reseed(generator: keras.random.SeedGenerator, numbers: list[int]) -> None:
    """Starts a generator of a layer anew, from these numbers."""
    state = np.random.default_rng(numbers).integers(0, 2**31, size=2)
    generator.state.assign(state.astype(np.dtype(keras.backend.standardize_dtype(generator.state.dtype))))


class Phases(keras.callbacks.Callback):
    """Changes the training step between epochs: smaller images at first, the late phase at the end.

    With smaller images a step costs less (Howard 2018, the DAWNBench training of ImageNet). In the late phase the
    network meets images that are closer to those it is judged on; `Batches` then smooths no labels and mixes no images.
    """

    def __init__(self, augmentation: Augmentation, recipe: Recipe):
        super().__init__()
        self.augmentation, self.recipe = augmentation, recipe
        self.now: tuple[int | None, bool] = (None, False)  # side of the images, and whether the phase is late

    def on_epoch_begin(self, epoch, logs=None):
        recipe = self.recipe
        wanted = (recipe.side(epoch) if recipe.progressive_sizes else None, recipe.is_late(epoch))
        if wanted == self.now:
            return
        self.augmentation.side, late = self.now = wanted
        for name in AUGMENTATION.keys() - {"flip", *DEGRADATIONS}:
            setattr(self.augmentation, name, getattr(recipe, name) * (recipe.late_augmentation if late else 1))
        self.model.make_train_function(force=True)  # the compiled step holds the old settings


class InTraining(keras.layers.Layer):
    """An augmentation and a network as they are in training, also in a step of prediction."""

    def __init__(self, augmentation: Augmentation, network: keras.Model):
        super().__init__(dtype="float32")
        self.augmentation, self.network = augmentation, network

    def call(self, pixels):
        return self.network(self.augmentation(pixels, training=True), training=True)


class AveragedWeights(keras.callbacks.SwapEMAWeights):
    """Validates (and so saves) the moving average of the weights, with batch-norm statistics that fit it.

    Keras swaps the average in and out; the optimizer computes it inside the compiled step. The average fits no layer's
    batch-norm statistics, so these are estimated anew (Izmailov et al. 2018), from training images without augmentation
    and without dropout, which is how the network meets images later. Augmented ones have other means and variances:
    without them the NLL was lower for all four networks measured (docs/experiments.md), and the accuracy up to a point
    higher. Blur, darkness and noise are the exception: with them, a fine-tuned network was 0.8 points more accurate.
    """

    def __init__(self, network: keras.Model, batches: Batches):
        super().__init__(swap_on_epoch=False)
        self.network, self.batches = network, batches
        self.norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        self.dropouts = [layer for layer in network.layers if isinstance(layer, keras.layers.Dropout)]
        self.statistics: list[list[np.ndarray]] = []
        self.degradation = Augmentation(**{name: getattr(batches.recipe, name) for name in DEGRADATIONS})
        # Compiled, which a call of the network is not: its many small operations may outlast an epoch on a GPU.
        shape = batches.dataset.images.shape[1:]
        self.measuring = keras.Sequential([keras.Input(shape), InTraining(self.degradation, network)])
        self.measuring.jit_compile = JIT_COMPILE

    def on_test_begin(self, logs=None):
        self.statistics = [copies(layer)[-2:] for layer in self.norms]
        super().on_test_begin(logs)
        if not self.norms:
            return
        # The same random numbers in every epoch, resumed or not.
        reseed(self.degradation.seed_generator, [self.batches.seed])
        n = min(REFRESH_BATCHES, len(self.batches))
        sums = [[np.zeros_like(array) for array in statistics] for statistics in self.statistics]
        with _changed("rate", self.dropouts, 0.0), _changed("momentum", self.norms, 0.0):
            for i in range(n):
                self.measuring.predict_on_batch(self.batches.images(i).astype(np.float32))
                for layer, arrays in zip(self.norms, sums, strict=True):  # without momentum, those of this batch alone
                    for array, found in zip(arrays, copies(layer)[-2:], strict=True):
                        array += found / n
        self._set_statistics(sums)

    def on_test_end(self, logs=None):
        super().on_test_end(logs)
        self._set_statistics(self.statistics)

    def _set_statistics(self, statistics: list[list[np.ndarray]]) -> None:
        for layer, arrays in zip(self.norms, statistics, strict=True):
            layer.set_weights(copies(layer)[:-2] + arrays)


@contextmanager
def _changed(name: str, layers: list[keras.Layer], value: float) -> Iterator[None]:
    """An attribute of layers with another value for a while."""
    before = [getattr(layer, name) for layer in layers]
    try:
        for layer in layers:
            setattr(layer, name, value)
        yield
    finally:
        for layer, old in zip(layers, before, strict=True):
            setattr(layer, name, old)
