"""Layers of Keras 1 and 2 as layers of Keras 3: today's names, and only the arguments that today's layer takes."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from fer.core.errors import FerError, first_line

# Names of Keras 1 and of TensorFlow's first Keras, and today's.
CLASSES = {
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "LSTMV2": "LSTM",
    "GRUV2": "GRU",
}
MERGES = {"sum": "Add", "concat": "Concatenate", "mul": "Multiply", "ave": "Average", "max": "Maximum"}
ARGUMENTS = {
    "nb_filter": "filters",
    "output_dim": "units",
    "p": "rate",
    "sigma": "stddev",
    "border_mode": "padding",
    "subsample": "strides",
    "dim_ordering": "data_format",
    "bias": "use_bias",
    "concat_axis": "axis",
    "inner_activation": "recurrent_activation",
}
VALUES = {"tf": "channels_last", "th": "channels_first", "default": "channels_last", "softmax_v2": "softmax"}
# Layers that do nothing outside of training. Some are no layers of Keras 3; FixedDropout is that of PyPI efficientnet.
TRAINING_ONLY = {
    "ActivityRegularization", "FixedDropout", "RandomBrightness", "RandomContrast", "RandomFlip", "RandomHeight",
    "RandomRotation", "RandomTranslation", "RandomWidth", "RandomZoom",
}  # fmt: skip
# Arguments for training only, which may hold names that Keras 3 does not know; the weights are in the file.
TRAINING_ARGUMENTS = ("initializer", "regularizer", "constraint", "_init", "init", "dtype", "trainable")
# Arguments without an effect on the outputs, or implied by the weights and the shape of the input.
NEEDLESS = {
    "batch_input_shape", "nb_row", "nb_col", "mode", "fused", "input_dim", "function_type", "output_shape_type",
    "sparse", "ragged", "implementation", "consume_less", "query_shape", "key_shape", "value_shape", "time_major",
    "input_length",
}  # fmt: skip
EMPTY: tuple = (None, False, 1, [], {}, "")  # values that are dropped without a message
CODE = {"Lambda", "__lambda__", "TFSMLayer"}  # layers that hold Python code or a TensorFlow graph
NESTED = ("layer", "backward_layer", "cell", "cells")  # arguments that are layers
RECURRENT = {
    "LSTM",
    "GRU",
    "SimpleRNN",
    "LSTMCell",
    "GRUCell",
    "SimpleRNNCell",
    "ConvLSTM1D",
    "ConvLSTM2D",
    "ConvLSTM3D",
}
_WAY_ON = "rebuild the network with Keras' own layers where it was made, copy the weights, save it and import that"


def _identity(x: Any) -> Any:
    return x


@dataclass
class Part:
    """A layer or model of the file.

    Attributes:
        name: its name in the file.
        kind: its class in the file.
        call: applies it to tensors; for an InputLayer, which is never called, what returns them.
        layer: the Keras layer that holds its weights; None where it has none.
        trainable: False for a layer that was frozen, whose weights then have another order in the file.
        parts: the layers of a model, or the model that a wrapper holds.
    """

    name: str
    kind: str
    call: Callable = _identity
    layer: keras.Layer | None = None
    trainable: bool = True
    parts: list["Part"] = field(default_factory=list)


def unknown_layer(kind: str, name: str | None = None) -> FerError:
    """The refusal of a layer that Keras 3 does not have."""
    return FerError(f"{f'layer {name}: ' if name else ''}{kind} is not a Keras 3 layer: {_WAY_ON}")


def refuse_code(node: dict) -> None:
    """Refuses a node of a configuration that holds code.

    Raises:
        FerError: it does.
    """
    if node.get("class_name") in CODE:
        config = node.get("config")
        name = config.get("name", "unnamed") if isinstance(config, dict) else "unnamed"
        raise FerError(f"layer {name}: {node['class_name'].strip('_')} holds code, which is not run: {_WAY_ON}")


def make_layer(kind: str, config: dict, dropped: list[str]) -> tuple[keras.Layer | None, Callable]:
    """A layer of Keras 3 without its weights.

    Args:
        kind: class name in the file.
        config: its arguments in the file.
        dropped: gets a line for each argument that is dropped although it has an effect.

    Returns:
        (the layer, what applies it to tensors); no layer where it has no weights and an operation does the same.

    Raises:
        FerError: code, or a layer or argument that Keras 3 does not have.
    """
    name = config.get("name", kind)
    refuse_code({"class_name": kind, "config": config})
    kind = MERGES.get(config.get("mode", ""), kind) if kind == "Merge" else CLASSES.get(kind, kind)
    if kind in TRAINING_ONLY:
        return None, _identity
    if kind == "BatchNormalization" and config.get("mode"):  # 1 and 2 of Keras 1 use no statistics of the training
        raise FerError(f"layer {name}: Keras 3 has no BatchNormalization with mode={config['mode']}: {_WAY_ON}")
    if kind == "RandomCrop":  # what it does outside of training in Keras 2
        return None, keras.layers.Resizing(config["height"], config["width"], crop_to_aspect_ratio=True)
    if kind == "ThresholdedReLU":
        theta = float(config.get("theta", 1.0))
        return None, lambda x: x * keras.ops.cast(x > theta, "float32")
    if kind == "Activation" and (apply := _operation(config["activation"], name)):
        return None, apply
    arguments, after = _arguments(kind, config, dropped)
    try:
        layer = getattr(keras.layers, kind).from_config(arguments)
    except (TypeError, ValueError) as error:
        reason = first_line(error)
        raise FerError(f"layer {name}: Keras 3 has no such {kind}: {reason}") from error
    if kind == "EinsumDense" and "..." not in layer.equation:
        after = functools.partial(_with_shape, arguments["equation"], after or (lambda y: y))
        return layer, lambda x: after(x, layer(x))
    return layer, (lambda *inputs, **options: after(layer(*inputs, **options))) if after else layer


def _with_shape(equation: str, after: Callable, x: Any, y: Any) -> Any:
    """The output of an EinsumDense with the sides of its input, which Keras 3 leaves open where the file does."""
    labels, result = equation.partition(",")[0], equation.partition("->")[2]
    sides = [
        x.shape[labels.index(label)] if label in labels else side for label, side in zip(result, y.shape, strict=True)
    ]
    return after(keras.ops.reshape(y, (-1, *sides[1:])) if None in y.shape[1:] and None not in sides[1:] else y)


def _arguments(kind: str, old: dict, dropped: list[str]) -> tuple[dict, Callable | None]:
    """The arguments of a layer under today's names, and an operation to apply to its output."""
    name = old.get("name", kind)
    cls = getattr(keras.layers, kind, None)
    if cls is None:
        raise unknown_layer(kind, name)
    accepted = _accepted(cls)
    after: Callable | None = None
    arguments: dict[str, Any] = {"kernel_size": [old["nb_row"], old["nb_col"]]} if "nb_row" in old else {}
    if kind in ("GRU", "GRUCell"):  # before there was a choice; later files name it
        arguments["reset_after"] = False
    for old_key, old_value in old.items():
        key, value = _rename(kind, old_key, old_value)
        if (key, value) == ("data_format", "channels_first"):
            way_on = "rebuild it channels last where it was made, transpose the kernels, save it and import that"
            raise FerError(f"layer {name}: channels-first networks are not supported: {way_on}")
        if key in NESTED:
            value, after = _nested(kind, value, dropped)
        elif key in ("activation", "recurrent_activation"):
            operation = _operation(value, name)
            if operation and kind in RECURRENT:
                # Gates are rescaled with the weights (see legacy_weights); an activation is applied inside the cell.
                if key == "activation" or value != "hard_sigmoid":
                    raise FerError(f"layer {name}: Keras 3 has no {kind} with this {key}: {_WAY_ON}")
            elif operation:
                value, after = "linear", operation
        if key in accepted and not key.endswith(TRAINING_ARGUMENTS):
            arguments[key] = value
        elif (value is True or value not in EMPTY) and not key.endswith(TRAINING_ARGUMENTS) and old_key not in NEEDLESS:
            dropped.append(f"{name}: {old_key}={old_value}")
    if "name" in arguments:
        arguments["name"] = str(arguments["name"]).replace("/", "_")  # not allowed in Keras 3
    return arguments, after


def _accepted(cls: type) -> set[str]:
    """The arguments that a layer's constructor takes, those of its bases included where it passes them on."""
    names: set[str] = set()
    for base in cls.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(vars(base)["__init__"]).parameters.values()
        names |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names


def _nested(kind: str, value: Any, dropped: list[str]) -> tuple[Any, Callable | None]:
    """A layer, or a list of them, that is an argument of another layer."""
    if isinstance(value, list):
        return [_nested(kind, item, dropped)[0] for item in value], None
    if not isinstance(value, dict) or "class_name" not in value:
        return value, None
    inner = str(CLASSES.get(value["class_name"], value["class_name"]))
    refuse_code(value)
    arguments, after = _arguments(inner, value["config"], dropped)
    if after and kind != "TimeDistributed":
        raise FerError(f"layer {value['config'].get('name')}: Keras 3 has no {inner} with this activation: {_WAY_ON}")
    return {"module": "keras.layers", "class_name": inner, "config": arguments, "registered_name": None}, after


def _operation(activation: Any, name: str) -> Callable | None:
    """The operation that does what an activation did, where no name of Keras 3 means the same."""
    if activation == "hard_sigmoid":  # Keras 2: clip(0.2 x + 0.5, 0, 1); Keras 3: clip(x / 6 + 0.5, 0, 1)
        return lambda x: keras.ops.hard_sigmoid(x * 1.2)
    if not isinstance(activation, dict):
        try:
            keras.activations.get(VALUES.get(activation, activation))
        except ValueError as error:
            raise FerError(f"layer {name}: {activation} is not a Keras 3 activation: {_WAY_ON}") from error
        return None
    kind, config = str(activation["class_name"]), activation["config"]
    if not isinstance(config, dict) or not hasattr(keras.layers, CLASSES.get(kind, kind)):
        raise FerError(f"layer {name}: its activation {config if isinstance(config, str) else kind} is code: {_WAY_ON}")
    layer, apply = make_layer(kind, config, [])
    if isinstance(layer, keras.layers.PReLU):
        raise FerError(f"layer {name}: its activation {kind} has weights: {_WAY_ON}")
    return apply


def _rename(kind: str, key: str, value: Any) -> tuple[str, Any]:
    if (kind, key) == ("LeakyReLU", "alpha"):
        key = "negative_slope"
    elif kind != "Embedding":  # its output_dim is still called so
        key = ARGUMENTS.get(key, key)
    if key == "axis" and isinstance(value, list) and len(value) == 1:
        (value,) = value
    if isinstance(value, dict) and value.get("class_name") in ("__tuple__", "TensorShape"):
        value = value["items"]
    if isinstance(value, dict) and set(value) == {"type", "value"}:  # a NumPy number, as Keras 2.0 wrote it
        value = value["value"]
    return key, VALUES.get(value, value) if isinstance(value, str) else value
