"""Imported networks as a `Classifier`: scaling, colour order and softmax become layers of the network."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from fer.core import labels
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data.dataset import Dataset
from fer.models.classifier import BATCH_SIZE, Classifier

RANGES = ("0,1", "-1,1", "0,255")  # pixel ranges that most networks are trained on
# Modes of `preprocess_input` of `keras.applications`: factors and shifts of the channels, and their order.
MODES = {
    "caffe": ((1.0, 1.0, 1.0), (-103.939, -116.779, -123.68), "bgr"),
    "torch": ((1 / 58.395, 1 / 57.12, 1 / 57.375), (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225), "rgb"),
}
COLOURS = ("rgb", "bgr")
# What a network can return, and how it becomes probabilities.
OUTPUTS = {"softmax": "", "sigmoid": "; divided by their sum", "logits": "; softmax added"}
_FUNCTIONS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "LogSoftmax": "log_softmax"}  # by the class in `keras.ops`
MIN_LEAD = 0.05  # mean recall by which the best label order must lead the next one
SAMPLE = 2000  # images on which label orders are compared, at most
# Of images of 0 to 255: factors and shifts that only they need, and a factor that makes them of images of 0 to 1.
SMALL_FACTOR, LARGE_SHIFT, LARGE_FACTOR = 0.05, 50.0, 100.0
N_RANDOM = 64  # random images that show the kind of output of a network whose last layer does not


@dataclass(frozen=True)
class Candidate:
    """A label order, pixel range and colour order, and their score.

    Attributes:
        order: key of `labels.ORDERS`.
        range: see `scaling`.
        colours: one of `COLOURS`; None for a grey network.
        score: mean recall over the labels of the images, 0 to 1.
    """

    order: str
    range: str
    colours: str | None
    score: float


def input_spec(network: keras.Model, path: str | Path, size: int | None = None) -> InputSpec:
    """The images that a network takes.

    Args:
        network: any Keras model.
        path: its name, for the errors.
        size: side of the images in pixels, for a network that does not define it.

    Raises:
        FerError: several inputs or outputs, an input that is not a square image, an output that is not a vector.
    """
    for word, tensors in (("input", network.inputs), ("output", network.outputs)):
        if len(tensors) != 1:
            raise FerError(f"{path}: it has {len(tensors)} {word}s; an image classifier has one")
    if len(network.output_shape) != 2 or network.output_shape[1] is None:
        raise FerError(f"{path}: its output shape is {network.output_shape}, not one vector for each image")
    shape = network.input_shape
    if len(shape) != 4 or shape[3] not in (1, 3):
        hint = "; channels-first networks are not supported" if len(shape) == 4 and shape[1] in (1, 3) else ""
        raise FerError(f"{path}: its input shape is {shape}, not images (None, side, side, 1 or 3){hint}")
    sides = {side for side in shape[1:3] if side is not None}
    if len(sides) == 2 or (size is not None and sides - {size}):
        expected = "square images" if size is None else f"images of {size} pixels"
        raise FerError(f"{path}: it takes images of {shape[1]}x{shape[2]} pixels, not {expected}")
    if not sides and size is None:
        raise FerError(f"{path}: it takes images of any size: give the size of its training images with --size")
    return InputSpec(size or sides.pop(), shape[3])


def output_kind(network: keras.Model, spec: InputSpec) -> tuple[str, str]:
    """The kind of numbers that a network returns: (key of `OUTPUTS`, how that was found)."""
    layer = _last_operation(network)
    kind = type(layer).__name__
    name = _FUNCTIONS.get(kind) or getattr(getattr(layer, "activation", None), "__name__", None)
    known = {"softmax": "softmax", "sigmoid": "sigmoid", "linear": "logits", "log_softmax": "logits"}
    if name in known and (name != "linear" or kind == "Dense"):
        return known[name], f"its last layer, {layer.name}, is {name}"
    noise = np.random.default_rng(0).random((N_RANDOM, *spec.shape), np.float32)
    output = network.predict_on_batch(noise)
    if output.min() < 0 or output.max() > 1:
        return "logits", "outputs below 0 or above 1 on random images"
    if np.allclose(output.sum(axis=1), 1, atol=1e-2):
        return "softmax", "outputs sum to 1 on random images"
    return "sigmoid", "outputs from 0 to 1 that do not sum to 1 on random images"


def noise(spec: InputSpec) -> np.ndarray:
    """Random images uint8 (8, size, size, channels)."""
    return np.random.default_rng(0).integers(0, 256, (8, *spec.shape), np.uint8)


def _last_operation(network: keras.Model) -> keras.Operation:
    """The layer or function that gives the output. `Model.layers` leaves functions out, such as a final softmax."""
    history = network.outputs[0]._keras_history
    while isinstance(history.operation, keras.Model):
        history = history.operation.outputs[history.tensor_index]._keras_history
    return history.operation


def own_scaling(network: keras.Model) -> str | None:
    """The name of a layer or operation by which a network scales pixels of 0 to 255 itself; None where it has none."""
    steps = [(operation.name, *step) for operation in _operations(network) if (step := _scaling_step(operation))]
    if any(factor >= LARGE_FACTOR for _, factor, _ in steps):  # from 0 to 1, and back again
        return None
    return next((name for name, factor, shift in steps if factor <= SMALL_FACTOR or shift >= LARGE_SHIFT), None)


def _operations(network: keras.Model) -> Iterator[keras.Operation]:
    """The layers and functions of a network, those of inner models included."""
    for operation in getattr(network, "_functional", network).operations:
        if isinstance(operation, keras.Model):
            yield from _operations(operation)
        else:
            yield operation


def _scaling_step(operation: keras.Operation) -> tuple[float, float] | None:
    """The factor and the shift, without signs, of an operation on images; None for any other."""
    node = operation._inbound_nodes[0]
    shapes = [tensor.shape for tensor in node.output_tensors]
    if not shapes or len(shapes[0]) != 4 or shapes[0][3] not in (1, 3):
        return None
    if isinstance(operation, keras.layers.Rescaling):
        return float(np.max(np.abs(operation.scale))), float(np.max(np.abs(operation.offset)))
    if isinstance(operation, keras.layers.Normalization):
        return float(1 / np.sqrt(np.max(np.array(operation.variance)))), 0.0
    numbers = [abs(float(one)) for one in node.arguments.args if isinstance(one, int | float) and one]
    kind = type(operation).__name__
    if not numbers or kind not in ("Add", "Subtract", "Multiply", "Divide", "TrueDivide"):
        return None
    factor = numbers[0] if kind == "Multiply" else 1 / numbers[0] if "Divide" in kind else 1.0
    return factor, numbers[0] if kind in ("Add", "Subtract") else 0.0


def scaling(range: str, channels: int) -> tuple[float | tuple[float, ...], float | tuple[float, ...]]:
    """The factors and shifts that turn pixels of 0 to 255 into what a network was trained on.

    Args:
        range: key of `MODES`, or the values of black and white: "-0.5,0.5".
        channels: of the network's input.

    Raises:
        FerError: another text, or a mode with means of three channels for a grey network.
    """
    if range in MODES:
        if channels != 3:
            raise FerError(f"--range {range} has a mean for each of three channels; the network takes {channels}")
        return MODES[range][:2]
    try:
        low, high = map(float, range.split(","))
    except ValueError:
        known = ", ".join((*RANGES, *MODES))
        raise FerError(f"--range is one of {known}, or the values of black and white: LOW,HIGH; not {range}") from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise FerError(f"--range {range}: the value of black must be below that of white")
    return (high - low) / 255, low


def to_classifier(
    network: keras.Model,
    names: tuple[str, ...],
    spec: InputSpec,
    *,
    range: str,
    outputs: str,
    colours: str = "rgb",
    metadata: dict | None = None,
) -> Classifier:
    """Wraps a network in the preprocessing that it was trained with.

    Args:
        network: from pixels in `range` to one vector of k numbers.
        names: k labels in the order of its outputs; synonyms become canonical names.
        spec: see `input_spec`.
        range: see `scaling`: the pixel range of its training.
        outputs: key of `OUTPUTS`: logits get a softmax, sigmoids are divided by their sum. A single output is the
            probability, or logit, of the second of two labels.
        colours: one of `COLOURS`: the channel order of its training, for three channels.
        metadata: where it comes from.

    Raises:
        FerError: the number of labels is not that of the outputs, or a label is repeated.
    """
    names = tuple(map(labels.canonical, names))
    single = network.output_shape[1] == 1
    if single and (len(names) != 2 or outputs == "softmax"):
        if outputs == "softmax":
            raise FerError("it has a single output with a softmax, which is always 1: it tells no labels apart")
        given = ", ".join(names)
        raise FerError(f"it has a single output: give two labels, that of outputs near 0 and that near 1, not {given}")
    pixels = keras.Input(spec.shape, name="pixels", dtype="float32")
    x = pixels
    if spec.channels == 3 and colours == "rgb":  # images are BGR, as OpenCV reads them
        x = keras.ops.take(x, [2, 1, 0], axis=-1)
    factors, shifts = scaling(range, spec.channels)
    if (factors, shifts) != (1, 0):
        x = keras.layers.Rescaling(factors, shifts, name="scale")(x)
    x = network(x)
    if single:
        x = keras.ops.sigmoid(x) if outputs == "logits" else x
        x, outputs = keras.ops.concatenate([1 - x, x], axis=-1), "softmax"
    if outputs == "sigmoid":
        x = keras.ops.log(keras.ops.maximum(x, keras.config.epsilon()))  # softmax(log(x)) is x / sum(x)
    if outputs != "softmax":
        x = keras.layers.Softmax(name="probabilities", dtype="float32")(x)
    return Classifier(keras.Model(pixels, x, name="imported"), names, spec, metadata or {})


def draw_sample(data: Dataset) -> Dataset:
    """At most `SAMPLE` images, drawn at random: enough to tell label orders apart."""
    return data.select(np.random.default_rng(0).permutation(len(data))[:SAMPLE])


def rank_candidates(
    network: keras.Model, data: Dataset, *, range: str | None = None, colours: str | None = None
) -> list[Candidate]:
    """Scores each published label order with each pixel range and colour order on labelled images.

    Args:
        network: its k outputs limit the possible orders.
        data: labelled images, prepared for it.
        range: the one to try, see `scaling`; None tries all `RANGES`.
        colours: the one of `COLOURS` to try, for a network of three channels; None tries both.

    Returns:
        All candidates, the best first.

    Raises:
        FerError: no published order has k labels and includes those of the data.
    """
    k = network.output_shape[1]
    orders = {name: order for name, order in labels.ORDERS.items() if len(order) == k}
    orders = {name: order for name, order in orders.items() if set(data.labels) <= set(order)}
    if not orders:
        known = ", ".join(data.labels)
        raise FerError(f"no published order has {k} labels that include {known}: give the labels with --labels")
    y_true = data.targets.argmax(axis=1)
    candidates = []
    pixels = np.asarray(data.images)
    for colour in ([colours] if colours else COLOURS) if data.images.shape[3] == 3 else (None,):
        for tried in [range] if range else RANGES:
            images = pixels[..., ::-1] if colour == "rgb" else pixels
            y_pred = _predict(network, images, *scaling(tried, images.shape[3]))
            counts = np.zeros((len(data.labels), k))
            np.add.at(counts, (y_true, y_pred), 1)
            present = np.flatnonzero(counts.any(axis=1))
            recalls = counts[present] / counts[present].sum(axis=1, keepdims=True)
            names = [data.labels[i] for i in present]
            for name, order in orders.items():
                score = np.mean([row[order.index(label)] for row, label in zip(recalls, names, strict=True)])
                candidates.append(Candidate(name, tried, colour, float(score)))
    return sorted(candidates, key=lambda candidate: -candidate.score)


def lead(candidates: list[Candidate]) -> float:
    """Mean recall by which the best candidate leads the best one with another label order; 1 without another."""
    best = candidates[0]
    return min((best.score - other.score for other in candidates if other.order != best.order), default=1.0)


def is_clear(candidates: list[Candidate], n_images: int) -> bool:
    """True if the lead is larger than chance would explain on so many images."""
    return lead(candidates) >= max(MIN_LEAD, 1 / np.sqrt(n_images))


def _predict(network: keras.Model, images: np.ndarray, factors, shifts) -> np.ndarray:
    factors, shifts = np.asarray(factors, np.float32), np.asarray(shifts, np.float32)
    parts = []
    for i in range(0, len(images), BATCH_SIZE):
        scaled = images[i : i + BATCH_SIZE].astype(np.float32) * factors + shifts
        parts.append(network.predict_on_batch(scaled).argmax(axis=1))
    return np.concatenate(parts)
