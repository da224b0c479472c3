"""Weights of a network as plain arrays."""

import keras
import numpy as np


def copies(layer: keras.Layer) -> list[np.ndarray]:
    """The weights as they are now: PyTorch's arrays would change with them, and JAX's cannot be written to."""
    return [array.copy() for array in layer.get_weights()]
