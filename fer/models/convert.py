"""Other people's networks made into a `Classifier`: scaling, colour order and softmax become layers."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from fer.core import labels
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data.dataset import Dataset
from fer.models.classifier import BATCH_SIZE, Classifier

RANGES = {"0,1": (0, 1), "-1,1": (-1, 1), "0,255": (0, 255)}  # what the network was trained on
COLOURS = ("rgb", "bgr")
# What may come out of a network, and what is said of how it becomes probabilities.
ENDINGS = {"softmax": "", "sigmoid": "; divided by their sum", "logits": "; softmax added"}
LEAST_MARGIN = 0.05  # of a guess: mean recall over that of the next label order
SAMPLE = 2000  # pictures on which it is made, at most
PROBED = 64  # random pictures that show what comes out of a network whose last layer does not say it


@dataclass(frozen=True)
class Guess:
    """A label order, input range and colour order, and how well they fit.

    Attributes:
        order: key of `labels.ORDERS`.
        range: key of `RANGES`.
        colours: one of `COLOURS`; None for a grey network.
        score: mean recall over the labels of the pictures.
    """

    order: str
    range: str
    colours: str | None
    score: float


def input_spec(network: keras.Model, path: str | Path, size: int | None = None) -> InputSpec:
    """What pictures a network takes.

    Args:
        network: any Keras model.
        path: its name, for the errors.
        size: side of the pictures, for a network that leaves it open.

    Raises:
        FerError: several inputs or outputs, an input that is no square picture, an output that is no vector.
    """
    for word, ends in (("input", network.inputs), ("output", network.outputs)):
        if len(ends) != 1:
            raise FerError(f"{path}: it has {len(ends)} {word}s; a classifier of pictures has one")
    if len(network.output_shape) != 2 or network.output_shape[1] is None:
        raise FerError(f"{path}: it gives {network.output_shape}, not one vector for each picture")
    shape = network.input_shape
    if len(shape) != 4 or shape[3] not in (1, 3):
        hint = "; its channels come first, as in Theano's time" if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise FerError(f"{path}: it takes {shape}, not pictures (None, side, side, 1 or 3){hint}")
    sides = {side for side in shape[1:3] if side is not None}
    if len(sides) == 2 or (size is not None and sides - {size}):
        wanted = "square ones" if size is None else f"pictures of {size} pixels"
        raise FerError(f"{path}: it takes pictures of {shape[1]}x{shape[2]} pixels, not {wanted}")
    if not sides and size is None:
        raise FerError(f"{path}: it takes pictures of any size: say with --size which it was trained on")
    return InputSpec(size or sides.pop(), shape[3])


def ending(network: keras.Model, spec: InputSpec) -> tuple[str, str]:
    """What comes out of a network: (key of `ENDINGS`, how that was found)."""
    layer = network.layers[-1]
    while hasattr(layer, "layers"):
        layer = layer.layers[-1]
    kind = type(layer).__name__
    name = "softmax" if kind == "Softmax" else getattr(getattr(layer, "activation", None), "__name__", None)
    known = {"softmax": "softmax", "sigmoid": "sigmoid", "linear": "logits", "log_softmax": "logits"}
    if name in known and (name != "linear" or kind == "Dense"):
        return known[name], f"its last layer, {layer.name}, is {name}"
    noise = np.random.default_rng(0).random((PROBED, *spec.shape), np.float32)
    output = network.predict_on_batch(noise)
    if output.min() < 0 or output.max() > 1:
        return "logits", "outputs below 0 or above 1 on random pictures"
    if np.allclose(output.sum(axis=1), 1, atol=1e-2):
        return "softmax", "outputs sum to 1 on random pictures"
    return "sigmoid", "outputs from 0 to 1 that do not sum to 1 on random pictures"


def classifier(
    network: keras.Model,
    names: tuple[str, ...],
    spec: InputSpec,
    *,
    range: str,
    ends_in: str,
    colours: str = "rgb",
    metadata: dict | None = None,
) -> Classifier:
    """A network with everything around it that its author did by hand.

    Args:
        network: from pixels in `range` to one vector of k numbers.
        names: k labels in the order of its outputs; made canonical.
        spec: see `input_spec`.
        range: key of `RANGES`: what it was trained on.
        ends_in: key of `ENDINGS`: logits get a softmax, sigmoids are divided by their sum.
        colours: one of `COLOURS`: the order of three channels it was trained on.
        metadata: where it is from.

    Raises:
        FerError: the number of labels is not that of the outputs, or a label stands twice.
    """
    names = tuple(map(labels.canonical, names))
    pixels = keras.Input(spec.shape, name="pixels", dtype="float32")
    x = pixels
    if spec.channels == 3 and colours == "rgb":  # pictures come as OpenCV gives them, BGR
        x = keras.ops.take(x, [2, 1, 0], axis=-1)
    low, high = RANGES[range]
    if (low, high) != (0, 255):
        x = keras.layers.Rescaling((high - low) / 255, low, name="scale")(x)
    x = network(x)
    if ends_in == "sigmoid":
        x = keras.ops.log(keras.ops.maximum(x, keras.config.epsilon()))  # whose softmax is x / sum(x)
    if ends_in != "softmax":
        x = keras.layers.Softmax(name="probabilities", dtype="float32")(x)
    return Classifier(keras.Model(pixels, x, name="imported"), names, spec, metadata or {})


def sample(data: Dataset) -> Dataset:
    """Pictures enough to tell label orders apart, drawn from all."""
    return data.select(np.random.default_rng(0).permutation(len(data))[:SAMPLE])


def guess(network: keras.Model, data: Dataset, *, range: str | None = None, colours: str | None = None) -> list[Guess]:
    """Scores every published label order with every input range and colour order on labelled pictures.

    Args:
        network: its k outputs decide which orders are possible.
        data: labelled pictures, prepared for it.
        range: the one of `RANGES` to try; None tries all.
        colours: the one of `COLOURS` to try, for a network of three channels; None tries both.

    Returns:
        All that are possible, the best first.

    Raises:
        FerError: no published order has k labels and knows those of the data.
    """
    k = network.output_shape[1]
    orders = {name: order for name, order in labels.ORDERS.items() if len(order) == k}
    orders = {name: order for name, order in orders.items() if set(data.labels) <= set(order)}
    if not orders:
        known = ", ".join(data.labels)
        raise FerError(f"no published order has {k} labels, and {known} among them: say them with --labels")
    true = data.targets.argmax(axis=1)
    guesses = []
    for colour in ([colours] if colours else COLOURS) if data.images.shape[3] == 3 else (None,):
        for tried in [range] if range else RANGES:
            chosen = _choices(network, data.images[..., ::-1] if colour == "rgb" else data.images, RANGES[tried])
            counts = np.zeros((len(data.labels), k))
            np.add.at(counts, (true, chosen), 1)
            present = counts.any(axis=1)
            recalls = counts[present] / counts[present].sum(axis=1, keepdims=True)
            names = [label for label, there in zip(data.labels, present, strict=True) if there]
            for name, order in orders.items():
                score = np.mean([row[order.index(label)] for row, label in zip(recalls, names, strict=True)])
                guesses.append(Guess(name, tried, colour, float(score)))
    return sorted(guesses, key=lambda guess: -guess.score)


def margin(guesses: list[Guess]) -> float:
    """By how much the best guess beats the best one with another label order; 1 where there is no other."""
    return min((guesses[0].score - other.score for other in guesses if other.order != guesses[0].order), default=1.0)


def settled(guesses: list[Guess], pictures: int) -> bool:
    """True if the margin is larger than chance may make it on so many pictures."""
    return margin(guesses) >= max(LEAST_MARGIN, 1 / np.sqrt(pictures))


def _choices(network, images, limits):
    low, high = limits
    parts = []
    for i in range(0, len(images), BATCH_SIZE):
        scaled = images[i : i + BATCH_SIZE].astype(np.float32) * ((high - low) / 255) + low
        parts.append(network.predict_on_batch(scaled).argmax(axis=1))
    return np.concatenate(parts)
