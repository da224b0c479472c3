"""Weights of a network as arrays."""

import keras
import numpy as np


def copies(layer: keras.Layer) -> list[np.ndarray]:
    """The current weights, copied: arrays of PyTorch would change with them, and those of JAX are read-only."""
    return [array.copy() for array in layer.get_weights()]
