"""Weights of a trained network for another one: the same, one with other labels, or a narrower one."""

import logging
from typing import Any

import keras
import numpy as np

from fer.core.errors import FerError
from fer.models.classifier import Classifier
from fer.models.weights import copies

logger = logging.getLogger(__name__)

Weights = dict[str, list[np.ndarray]]  # by the name of the layer


def transfer(source: Classifier, network: keras.Model, labels: tuple[str, ...]) -> None:
    """Copies weights by layer name where the shapes fit, and logs the layers that do not; the outputs by label name.

    A network that is narrower than the source gets, with a log message, the strongest channels of each layer: `pruned`.

    Raises:
        FerError: not one layer with weights fits, or an exported model, whose layers are gone.
    """
    model: Any = source.model
    if not hasattr(model, "get_layer"):
        raise FerError("an exported model cannot be trained on: give the .keras file that it was made from")
    given = pruned(model, network)
    if given is None:
        given = {layer.name: copies(layer) for layer in model.layers}
    else:
        logger.warning("%s is pruned to its strongest channels: --width is narrower", model.name)
    copied, fresh = 0, []
    for layer in (layer for layer in network.layers if layer.weights):
        old, new = given.get(layer.name, []), copies(layer)
        if layer.name == "logits" and old and old[0].shape[0] == new[0].shape[0]:
            for i, label in enumerate(labels):
                if label in source.labels:
                    for to, of in zip(new, old, strict=True):
                        to[..., i] = of[..., source.labels.index(label)]
        elif [array.shape for array in old] == [array.shape for array in new]:
            new = old
        else:
            fresh.append(layer.name)
            continue
        layer.set_weights(new)
        copied += 1
    if not copied:
        same = "choose the same --network and --width (a vgg may be narrower)"
        raise FerError(f"no layer of {model.name} fits the network {network.name}; {same}")
    if fresh:
        logger.warning("layers that do not fit %s start fresh: %s", model.name, ", ".join(fresh))


def pruned(wide: keras.Model, network: keras.Model) -> Weights | None:
    """The weights of a chain of convolutions, pruned to the channels of a narrower network of the same kind.

    Each convolution keeps the kernels with the largest sum of absolute weights (Li et al. 2017), and the layers behind
    it keep what belongs to them. Statistics of batch normalization are those of the wide network: they fit again
    after some training.

    Returns:
        The arrays by layer name; None where `network` is not narrower, or is no plain chain of convolutions and
        batch normalizations that ends in global pooling and the layer "logits".
    """
    layers = [layer for layer in wide.layers if layer.weights]
    if [layer.name for layer in layers] != [layer.name for layer in network.layers if layer.weights]:
        return None
    kinds = {type(layer) for layer in wide.layers}
    if keras.layers.GlobalAveragePooling2D not in kinds or kinds & {keras.layers.Add, keras.layers.Multiply}:
        return None
    kept: slice | np.ndarray = slice(None)
    arrays: Weights = {}
    cut = False
    for layer in layers:
        old, new = copies(layer), copies(network.get_layer(layer.name))
        if isinstance(layer, keras.layers.Conv2D):
            kernel, *bias = old
            kernel, channels = kernel[:, :, kept], new[0].shape[-1]
            strength = np.abs(kernel).sum(axis=(0, 1, 2))
            if channels > len(strength) or kernel.shape[:2] != new[0].shape[:2]:
                return None
            kept = np.sort(np.argsort(-strength, kind="stable")[:channels])
            cut |= channels < len(strength)
            old = [array[..., kept] for array in (kernel, *bias)]
        elif isinstance(layer, keras.layers.BatchNormalization):
            old = [array[kept] for array in old]
        elif layer.name == "logits":
            old[0] = old[0][kept]
        else:
            return None
        arrays[layer.name] = old
    return arrays if cut else None
