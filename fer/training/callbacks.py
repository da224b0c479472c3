"""What happens between the epochs: seeds, the size of the pictures, averaged weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
import numpy as np

from fer.models.weights import copies
from fer.training.augmentation import Augmentation
from fer.training.recipes import Recipe

REFRESH_BATCHES = 40  # training batches from which batch-norm statistics are estimated anew for averaged weights


class Reseed(keras.callbacks.Callback):
    """Ties every random number of an epoch to the seed and the epoch, so that a resumed run draws the same ones."""

    def __init__(self, batches, network: keras.Model, augmentation: Augmentation, seed: int):
        super().__init__()
        self.batches, self.seed = batches, seed
        layers = [augmentation, *network.layers]
        self.generators = [layer.seed_generator for layer in layers if getattr(layer, "seed_generator", None)]

    def on_epoch_begin(self, epoch, logs=None):
        self.batches.start(epoch)
        if keras.backend.backend() == "torch":  # its dropout draws from the global generator, not from the layer's
            keras.utils.set_random_seed(int(np.random.default_rng([self.seed, epoch]).integers(2**32)))
        for i, generator in enumerate(self.generators):
            state = np.random.default_rng([self.seed, epoch, i]).integers(0, 2**31, size=2)
            generator.state.assign(state.astype(np.dtype(keras.backend.standardize_dtype(generator.state.dtype))))


class Growth(keras.callbacks.Callback):
    """Begins with smaller pictures, where a step costs less (Howard 2018, the DAWNBench training of ImageNet)."""

    def __init__(self, augmentation: Augmentation, recipe: Recipe):
        super().__init__()
        self.augmentation, self.recipe = augmentation, recipe

    def on_epoch_begin(self, epoch, logs=None):
        side = self.recipe.side(epoch)
        if side != self.augmentation.side:
            self.augmentation.side = side
            self.model.make_train_function(force=True)  # the compiled step holds the old side


class AveragedWeights(keras.callbacks.Callback):
    """Validates (and so saves) the running average of the weights, then puts the trained ones back.

    The average fits no layer's batch-norm statistics, so these are estimated anew (Izmailov et al. 2018): from training
    pictures as they are and without dropout, which is how the network will meet pictures. Augmented ones have other
    means and variances: without them the NLL was smaller for all four networks measured (docs/experiments.md), and the
    accuracy up to a point higher. The optimizer keeps the average itself, inside the compiled step.
    """

    def __init__(self, network: keras.Model, batches):
        super().__init__()
        self.network, self.batches = network, batches
        self.trained = None

    def on_test_begin(self, logs=None):
        self.trained = copies(self.network)
        self.model.optimizer.finalize_variable_values(self.model.trainable_variables)
        self.network.set_weights(copies(self.network))  # JAX: the average's own arrays would be consumed
        norms = [layer for layer in self.network.layers if isinstance(layer, keras.layers.BatchNormalization)]
        if not norms:
            return
        with _changed("rate", [layer for layer in self.network.layers if isinstance(layer, keras.layers.Dropout)], 0.0):
            for i in range(min(REFRESH_BATCHES, len(self.batches))):
                with _changed("momentum", norms, i / (i + 1)):  # makes the moving average a plain mean
                    self.network(self.batches.pictures(i).astype(np.float32), training=True)

    def on_test_end(self, logs=None):
        self.network.set_weights(self.trained)


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
