"""Grad-CAM: which part of an image a label comes from.

Selvaraju et al. 2017, "Grad-CAM: Visual explanations from deep networks via gradient-based localization": the last
feature maps are summed, each weighted with the mean gradient of the label's score; negative values are cut off.
"""

import threading
import weakref
from collections.abc import Callable
from functools import partial

import cv2
import keras
import numpy as np

from fer.core.errors import FerError
from fer.models.classifier import Classifier

BATCH_SIZE = 64  # images in one call of the gradient
OPACITY = 0.6  # of the heat map where it is 1

# Each new network on old layers leaves a node in every one of them: those of a model are made once.
_halves: "weakref.WeakKeyDictionary[keras.Model, tuple[keras.Model, keras.Model]]" = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def grad_cam(classifier: Classifier, images: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
    """Heat maps of a label's evidence.

    The score is the logit where the network ends in a softmax, else the logarithm of the probability. What a central
    crop cuts off has no heat.

    Args:
        classifier: from a .keras file.
        images: uint8 (n, size, size, channels).
        codes: int (n,), index of the label to explain in each image; None takes the predicted label.

    Returns:
        float32 (n, size, size), 0 to 1; each map's maximum is 1, or the map is 0 where nothing speaks for the label.

    Raises:
        FerError: an exported model, or a network without feature maps.
    """
    if not classifier.has_gradients:
        raise FerError("Grad-CAM needs gradients, which an exported model does not give: take its .keras file")
    if codes is None:
        codes = classifier.predict(images).argmax(axis=1)
    with _lock:
        if classifier.model not in _halves:
            _halves[classifier.model] = _split(classifier.model)
        features, scores = _halves[classifier.model]
    chosen = np.eye(len(classifier.labels), dtype=np.float32)[codes]
    maps = np.zeros(images.shape[:3], np.float32)
    for start in range(0, len(images), BATCH_SIZE):
        rows = slice(start, start + BATCH_SIZE)
        activations = features(images[rows].astype(np.float32), training=False)
        gradient = _gradient(partial(_chosen_score, scores, keras.ops.convert_to_tensor(chosen[rows])), activations)
        found, slopes = (np.asarray(keras.ops.convert_to_numpy(array), np.float32) for array in (activations, gradient))
        weights = slopes.mean(axis=(1, 2), keepdims=True)  # (n, 1, 1, filters)
        coarse = np.maximum((weights * found).sum(axis=-1), 0)  # (n, h, w)
        for seen, heat in zip(maps[rows][:, *_seen(classifier.model, images.shape[1:3])], coarse, strict=True):
            seen[:] = cv2.resize(heat, seen.shape[::-1], interpolation=cv2.INTER_LINEAR)
    largest = maps.max(axis=(1, 2), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


def overlay(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Draws a heat map over its image: blue, green, yellow for rising values, transparent at 0.

    Args:
        image: uint8 (H, W, 1 or 3), grey or BGR.
        heat: float32 (h, w), 0 to 1; resized to the image.

    Returns:
        uint8 (H, W, 3), BGR.
    """
    heat = cv2.resize(heat, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    colors = cv2.applyColorMap(np.rint(255 * heat).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
    base = np.broadcast_to(image, (*image.shape[:2], 3)).astype(np.float32)
    opacity = OPACITY * heat[:, :, None]
    return np.rint((1 - opacity) * base + opacity * colors).astype(np.uint8)


def _split(model: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Two networks: from pixels to the last feature maps, and from these to the scores of the labels.

    The last feature maps are those before the last pooling or dropout, so that their resolution is the highest.
    """
    shrinking = (keras.layers.MaxPooling2D, keras.layers.AveragePooling2D, keras.layers.Dropout)
    candidates = [layer for layer in model.layers if _is_spatial(layer) and not isinstance(layer, shrinking)]
    if not any(layer.weights for layer in candidates):
        if any(isinstance(layer, keras.Model) for layer in model.layers):
            raise FerError("Grad-CAM cannot reach the feature maps of an imported network: it is a single layer here")
        raise FerError("Grad-CAM needs a convolutional network; this one has no feature maps")
    pixels, features, last = model.inputs[0], candidates[-1].output, model.layers[-1]
    if isinstance(last, keras.layers.Softmax):
        scores = last.input
    elif isinstance(last, keras.layers.Dense) and last.activation is keras.activations.softmax:
        # Not the logarithm of its output, whose gradient vanishes where the network is sure.
        logits = keras.layers.Dense.from_config(last.get_config() | {"name": "logits", "activation": None})
        scores = logits(last.input)
        logits.set_weights(last.get_weights())
    else:
        scores = keras.ops.log(keras.ops.maximum(model.outputs[0], 1e-7))
    return keras.Model(pixels, features), keras.Model(features, scores)


def _seen(model: keras.Model, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of an image that reach the features: those of a central crop, or all."""
    crop = next((layer for layer in model.layers if isinstance(layer, keras.layers.CenterCrop)), None)
    if crop is None:
        return slice(None), slice(None)
    tops = [(whole - part) // 2 for whole, part in zip(size, (crop.height, crop.width), strict=True)]
    return slice(tops[0], tops[0] + crop.height), slice(tops[1], tops[1] + crop.width)


def _is_spatial(layer: keras.Layer) -> bool:
    shape: tuple = getattr(getattr(layer, "output", None), "shape", ())
    return len(shape) == 4 and shape[1] is not None and min(shape[1], shape[2]) > 1


def _chosen_score(scores: keras.Model, chosen, activations):
    """Sum over the images of the score that each is explained for; images do not influence each other's gradients."""
    return keras.ops.sum(keras.ops.multiply(scores(activations, training=False), chosen))


def _gradient(function: Callable, x):
    """Gradient of a scalar function of one tensor: the one step for which Keras 3 has no name of its own."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)
    if backend == "jax":
        import jax

        return jax.grad(function)(x)
    if backend == "torch":
        import torch

        x = x.detach().requires_grad_()
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad(function(x), x)
        return gradient
    raise FerError(f"Grad-CAM has no gradient on the Keras backend {backend!r}")
