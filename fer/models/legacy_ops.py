"""Calls of TensorFlow within a functional model of Keras 2, as operations of Keras 3.

`x / 127.5 - 1` became two layers of the class TFOpLambda, `x[..., ::-1]` one of SlicingOpLambda. Only the operations of
the tables below are translated, so that nothing else in a file can run.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from keras import ops
from keras.layers import Rescaling

from fer.core.errors import FerError

_WAY_ON = "is not translated: use Keras' own layers in its place where it was made, save it and import that"


# A list of constants becomes a Rescaling layer: operations of Keras do not take lists, nor save arrays.


def _add(x, y):
    if isinstance(x, list) or isinstance(y, list):
        x, constants = (y, x) if isinstance(x, list) else (x, y)
        return Rescaling(1.0, offset=constants)(x)
    return ops.add(x, y)


def _subtract(x, y):
    if isinstance(x, list):
        return Rescaling(-1.0, offset=x)(y)
    return Rescaling(1.0, offset=np.negative(y).tolist())(x) if isinstance(y, list) else ops.subtract(x, y)


def _multiply(x, y):
    if isinstance(x, list) or isinstance(y, list):
        x, constants = (y, x) if isinstance(x, list) else (x, y)
        return Rescaling(constants)(x)
    return ops.multiply(x, y)


def _divide(x, y):
    return Rescaling((1.0 / np.array(y)).tolist())(x) if isinstance(y, list) else ops.true_divide(x, y)


def _axes(axis: Any) -> Any:
    return tuple(axis) if isinstance(axis, list) else axis


def _reduce(reduction: Callable) -> Callable:
    def apply(x, axis=None, keepdims=False, keep_dims=False):
        return reduction(x, axis=_axes(axis), keepdims=bool(keepdims or keep_dims))

    return apply


def _split(x, num_or_size_splits, axis=0):
    if isinstance(num_or_size_splits, list):
        num_or_size_splits = [sum(num_or_size_splits[: i + 1]) for i in range(len(num_or_size_splits) - 1)]
    return ops.split(x, num_or_size_splits, axis=axis)


def _matmul(a, b, transpose_a=False, transpose_b=False):
    a, b = (ops.swapaxes(x, -1, -2) if turn else x for x, turn in ((a, transpose_a), (b, transpose_b)))
    return ops.matmul(a, b)


def _l2_normalize(x, axis=None, epsilon=1e-12):
    return x * ops.rsqrt(ops.maximum(ops.sum(ops.square(x), axis=_axes(axis), keepdims=True), epsilon))


def _per_image_standardization(image):
    axes, count = (-3, -2, -1), image.shape[-3] * image.shape[-2] * image.shape[-1]
    deviation = ops.maximum(ops.std(image, axis=axes, keepdims=True), count**-0.5)
    return (image - ops.mean(image, axis=axes, keepdims=True)) / deviation


def _resize(images, size, method="bilinear", preserve_aspect_ratio=False, antialias=False):
    if preserve_aspect_ratio or method not in ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5"):
        raise FerError(f"the TensorFlow operation image.resize with {method} {_WAY_ON}")
    return ops.image.resize(images, tuple(size), interpolation=method, antialias=antialias)


def _pool(pooling: Callable) -> Callable:
    def apply(input, ksize, strides, padding, data_format="NHWC"):
        windows = [
            tuple(value[1:3]) if isinstance(value, list) and len(value) == 4 else value for value in (ksize, strides)
        ]
        windows = [tuple(value) if isinstance(value, list) else value for value in windows]
        return pooling(input, *windows, padding=padding.lower())

    return apply


def _pad(tensor, paddings, mode="CONSTANT", constant_values=0):
    if mode.upper() != "CONSTANT":
        return ops.pad(tensor, paddings, mode=mode.lower())
    return ops.pad(tensor, paddings, constant_values=constant_values)


# By the last part of the function's name in TensorFlow; parameters are called as there.
OPERATIONS: dict[str, Callable] = {
    "add": _add,
    "sub": _subtract,
    "subtract": _subtract,
    "mul": _multiply,
    "multiply": _multiply,
    "truediv": _divide,
    "divide": _divide,
    "realdiv": _divide,
    "pow": lambda x, y: ops.power(x, y),
    "maximum": lambda x, y: ops.maximum(x, y),
    "minimum": lambda x, y: ops.minimum(x, y),
    "squared_difference": lambda x, y: ops.square(ops.subtract(x, y)),
    "add_n": lambda inputs: functools.reduce(ops.add, inputs if isinstance(inputs, list) else [inputs]),
    "negative": lambda x: ops.negative(x),
    "neg": lambda x: ops.negative(x),
    "abs": lambda x: ops.abs(x),
    "square": lambda x: ops.square(x),
    "sqrt": lambda x: ops.sqrt(x),
    "rsqrt": lambda x: ops.rsqrt(x),
    "exp": lambda x: ops.exp(x),
    "log": lambda x: ops.log(x),
    "sigmoid": lambda x: ops.sigmoid(x),
    "tanh": lambda x: ops.tanh(x),
    "softplus": lambda features: ops.softplus(features),
    "softsign": lambda features: ops.softsign(features),
    "relu": lambda features: ops.relu(features),
    "relu6": lambda features: ops.relu6(features),
    "elu": lambda features: ops.elu(features),
    "selu": lambda features: ops.selu(features),
    "gelu": lambda features, approximate=False: ops.gelu(features, approximate=approximate),
    "swish": lambda features, beta=1.0: features * ops.sigmoid(features * beta),
    "silu": lambda features, beta=1.0: features * ops.sigmoid(features * beta),
    "leaky_relu": lambda features, alpha=0.2: ops.leaky_relu(features, negative_slope=alpha),
    "softmax": lambda logits, axis=-1: ops.softmax(logits, axis=axis),
    "log_softmax": lambda logits, axis=-1: ops.log_softmax(logits, axis=axis),
    "bias_add": lambda value, bias, data_format="NHWC": _add(value, bias),
    "clip_by_value": lambda t, clip_value_min, clip_value_max: ops.clip(t, clip_value_min, clip_value_max),
    "reduce_mean": _reduce(ops.mean),
    "reduce_sum": _reduce(ops.sum),
    "reduce_max": _reduce(ops.max),
    "reduce_min": _reduce(ops.min),
    "reduce_std": _reduce(ops.std),
    "reduce_variance": _reduce(ops.var),
    "concat": lambda values, axis: ops.concatenate(values if isinstance(values, list) else [values], axis=axis),
    "stack": lambda values, axis=0: ops.stack(values if isinstance(values, list) else [values], axis=axis),
    "unstack": lambda value, num=None, axis=0: ops.unstack(value, num=num, axis=axis),
    "split": _split,
    "reshape": lambda tensor, shape: ops.reshape(tensor, shape),
    "transpose": lambda a, perm=None, conjugate=False: ops.transpose(a, axes=perm),
    "expand_dims": lambda input, axis: ops.expand_dims(input, axis),
    "squeeze": lambda input, axis=None: ops.squeeze(input, axis=_axes(axis)),
    "tile": lambda input, multiples: ops.tile(input, multiples),
    "repeat": lambda input, repeats, axis=None: ops.repeat(input, repeats, axis=axis),
    "pad": _pad,
    "cast": lambda x, dtype: ops.cast(x, dtype),
    "identity": lambda input: input,
    "stop_gradient": lambda input: input,
    "matmul": _matmul,
    "l2_normalize": _l2_normalize,
    "resize": _resize,
    "rgb_to_grayscale": lambda images: ops.image.rgb_to_grayscale(images),
    "grayscale_to_rgb": lambda images: ops.repeat(images, 3, axis=-1),
    "flip_left_right": lambda image: ops.flip(image, axis=-2),
    "flip_up_down": lambda image: ops.flip(image, axis=-3),
    "per_image_standardization": _per_image_standardization,
    "max_pool2d": _pool(ops.max_pool),
    "avg_pool2d": _pool(ops.average_pool),
}
# The packages of TensorFlow whose functions are meant; "math.add" and "__operators__.add" are one.
PACKAGES = ("", "math", "nn", "linalg", "image", "__operators__", "compat.v1", "compat.v1.math", "compat.v1.nn")
GETITEM = "__operators__.getitem"


def operation(name: str, kind: str, config: dict) -> Callable[[Any, dict], Any]:
    """What an operation of TensorFlow does, as a function of its first argument and the others by name.

    Args:
        name: of the layer.
        kind: TFOpLambda, SlicingOpLambda or TensorFlowOpLayer.
        config: the layer's configuration.

    Raises:
        FerError: an operation that is not in the table.
    """
    if kind == "TensorFlowOpLayer":  # of TensorFlow 2.0 to 2.3
        return _op_layer(name, config)
    function = config.get("function", name)
    if function == GETITEM:
        return lambda x, options: x[tuple(map(_slice, options["slice_spec"]))]
    package, _, last = function.rpartition(".")
    if package not in PACKAGES or last not in OPERATIONS:
        raise FerError(f"layer {name}: the TensorFlow operation {function} {_WAY_ON}")
    return lambda x, options: _call(name, function, last, [x], options)


def _call(name: str, function: str, last: str, arguments: list, options: dict) -> Any:
    options = {key: value for key, value in options.items() if value is not None and key != "name"}
    try:
        return OPERATIONS[last](*arguments, **options)
    except (TypeError, ValueError) as error:
        given = ", ".join(options)
        raise FerError(f"layer {name}: the TensorFlow operation {function} with {given} {_WAY_ON}") from error


def _op_layer(name: str, config: dict) -> Callable[[Any, dict], Any]:
    kind = config["node_def"]["op"]
    last = {"addv2": "add", "biasadd": "bias_add"}.get(kind.lower(), kind.lower())
    constants = {int(place): value for place, value in (config.get("constants") or {}).items()}
    simple = {
        "add", "sub", "mul", "realdiv", "maximum", "minimum", "pow", "bias_add", "neg", "square", "sqrt", "rsqrt",
        "relu", "relu6", "sigmoid", "tanh", "exp", "log", "abs",
    }  # fmt: skip
    if last not in simple:
        raise FerError(f"layer {name}: the TensorFlow operation {kind} {_WAY_ON}")

    def apply(inputs, options):
        tensors = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        for place, value in sorted(constants.items()):
            tensors.insert(place, value)
        return _call(name, kind, last, tensors, {})

    return apply


def _slice(item: Any) -> Any:
    """A slice, index, ellipsis or new axis, as SlicingOpLambda writes it."""
    if isinstance(item, dict):
        return ... if item.get("class_name") == "__ellipsis__" else slice(item["start"], item["stop"], item["step"])
    return item
