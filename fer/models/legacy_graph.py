"""The network that a configuration of Keras 1 or 2 describes, rebuilt by calling its layers one after another."""

from collections.abc import Iterator
from typing import Any

import keras

from fer.core.errors import FerError, first_line
from fer.models import legacy_ops
from fer.models.legacy_layers import Part, make_layer, refuse_code

MODELS = ("Sequential", "Functional", "Model")
OPERATIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
WRAPPERS = ("TimeDistributed", "SpectralNormalization")


def build(config: dict) -> tuple[keras.Model, Part, list[str]]:
    """Builds a network without its weights.

    Args:
        config: {"class_name": "Sequential" or "Functional", "config": ...}, as the file holds it.

    Returns:
        (the model, its parts in the order of the file, arguments that were dropped although they have an effect).

    Raises:
        FerError: a layer or operation that Keras 3 does not have, or code.
    """
    dropped: list[str] = []
    if config["class_name"] not in MODELS:
        way_on = "rebuild it as one where it was made, copy the weights, save it and import that"
        raise FerError(f"its class {config['class_name']} is neither a Sequential nor a functional model: {way_on}")
    root = _part(config, dropped)
    return _model(root, config, dropped, None), root, dropped


def _part(node: dict, dropped: list[str]) -> Part:
    """A layer or model of a configuration; models are built when they are called, for their input may be unknown."""
    kind, config = node["class_name"], node["config"]
    if kind in MODELS:
        known = config if isinstance(config, dict) else {}
        part = Part(known.get("name") or node.get("name", "sequential"), kind)

        def call(*inputs, **options):
            if part.layer is None:
                part.layer = _model(part, node, dropped, inputs[0].shape if hasattr(inputs[0], "shape") else None)
            return part.layer(*inputs, **options)

        part.call = call
        return part
    name = config.get("name") or node.get("name", kind)
    part = Part(name, kind, trainable=config.get("trainable", True))
    if kind in OPERATIONS:
        part.call = legacy_ops.operation(name, kind, config)
    elif kind in WRAPPERS and config["layer"]["class_name"] in MODELS:
        part.parts = [_part(config["layer"], dropped)]
        part.call = _wrapped_model(part)
    elif kind != "InputLayer":
        part.layer, part.call = make_layer(kind, config | {"name": name}, dropped)
    return part


def _wrapped_model(part: Part):
    """A TimeDistributed model."""

    def call(inputs, **options):
        if part.layer is None:
            (inner,) = part.parts
            inner.call(keras.Input(inputs.shape[2:]))
            part.layer = keras.layers.TimeDistributed(inner.layer, name=part.name.replace("/", "_"))
        return part.layer(inputs, **options)

    return call


def _model(part: Part, node: dict, dropped: list[str], shape: tuple | None) -> keras.Model:
    config = node["config"]
    if part.kind == "Sequential":
        layers = config if isinstance(config, list) else config["layers"]
        inputs, outputs = _sequential(part, node, layers, dropped, shape)
    else:
        inputs, outputs = _functional(part, config, dropped)
    return keras.Model(inputs, outputs, name=part.name.replace("/", "_"))


def _sequential(part: Part, node: dict, layers: list[dict], dropped: list[str], shape: tuple | None):
    known = _input_shape(node) or shape
    if known is None:
        raise FerError(
            f"{part.name}: its input shape is not in the file: build the model, save it again and import that"
        )
    x = inputs = keras.Input(tuple(known)[1:])
    for layer in layers:
        part.parts.append(_part(layer, dropped))
        x = part.parts[-1].call(x)
    return inputs, x


def _input_shape(node: dict) -> list | None:
    """The shape of a Sequential's input, which its first layer holds, or the first layer of that."""
    config = node["config"]
    if isinstance(config, dict) and "layers" not in config:
        shape = config.get("batch_input_shape") or config.get("batch_shape")
        return shape.get("items", shape) if isinstance(shape, dict) else shape
    layers = config if isinstance(config, list) else config["layers"]
    found = _input_shape(layers[0]) if layers else None
    if found is None and isinstance(config, dict):
        found = config.get("build_input_shape") or node.get("build_config", {}).get("input_shape")
    return found


def _functional(part: Part, config: dict, dropped: list[str]):
    nodes = {node.get("name") or node["config"]["name"]: node for node in config["layers"]}
    for node in nodes.values():
        refuse_code(node)
    parts = {name: _part(node, dropped) for name, node in nodes.items()}
    part.parts = list(parts.values())
    first = {name: _first_call(name, nodes, config) if parts[name].kind in MODELS else 0 for name in nodes}
    outputs: dict[tuple[str, int], Any] = {}
    for name, node in nodes.items():
        if parts[name].kind == "InputLayer":
            outputs[name, 0] = keras.Input(tuple(_input_shape(node) or ())[1:], name=name.replace("/", "_"))
    waiting = [(name, i, call) for name, node in nodes.items() for i, call in enumerate(node.get("inbound_nodes", ()))]
    while waiting:
        ready = [one for one in waiting if all(key[:2] in outputs for key in _references(one[2], nodes))]
        if not ready:
            raise FerError(f"{part.name}: the inputs of layer {waiting[0][0]} are not in the file")
        for name, i, call in ready:
            inputs, options = _resolve_call(call, outputs, nodes)
            outputs[name, i + first[name]] = _apply(parts[name], inputs, options)
        waiting = [one for one in waiting if one not in ready]
    ends = [
        [_output(key, outputs) for key in _references(config[side], nodes)]
        for side in ("input_layers", "output_layers")
    ]
    inputs, results = (end[0] if len(end) == 1 else end for end in ends)
    return inputs, results


def _apply(part: Part, inputs: Any, options: dict) -> Any:
    if part.kind in OPERATIONS:
        return part.call(inputs, options)
    # Outside of training these are as the layer has them by default.
    options = {
        key: value for key, value in options.items() if value is not None and not (key == "training" and not value)
    }
    try:
        return part.call(inputs, **options)
    except (TypeError, ValueError) as error:
        reason = first_line(error)
        raise FerError(
            f"layer {part.name}: {part.kind} of Keras 3 cannot be called as in the file: {reason}"
        ) from error


def _first_call(name: str, nodes: dict, config: dict) -> int:
    """The number under which a configuration knows the first call of a model within it.

    Keras 2 counts the call by which a functional model was made, and does not write it: the first one in the file is 1.
    """
    used = [nodes[other].get("inbound_nodes", ()) for other in nodes]
    numbers = [index for other, index, _ in _references([*used, config["output_layers"]], nodes) if other == name]
    return 1 if max(numbers, default=0) >= len(nodes[name].get("inbound_nodes", ())) else 0


def _references(value: Any, nodes: dict) -> Iterator[tuple[str, int, int]]:
    """The tensors that a call or a list of outputs names: (layer, number of its call, number of its output)."""
    if _is_reference(value, nodes):
        yield tuple(value[:3])
        value = value[3:]
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _references(child, nodes)


def _is_reference(value: Any, nodes: dict) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and value[0] in nodes
        and all(isinstance(number, int) for number in value[1:3])
    )


def _output(key: tuple[str, int, int], outputs: dict) -> Any:
    found = outputs[key[:2]]
    return found[key[2]] if isinstance(found, list | tuple) else found


def _resolve_call(call: Any, outputs: dict, nodes: dict) -> tuple[Any, dict]:
    """The inputs and options of one call: [layer, call, output, options], or a list of such entries."""
    if isinstance(call[0], str):
        return _resolve(call, outputs, nodes), _resolve(call[3] if len(call) > 3 else {}, outputs, nodes)
    inputs = [_resolve(entry, outputs, nodes) for entry in call]
    options = _resolve(call[0][3] if len(call[0]) > 3 else {}, outputs, nodes)
    return inputs[0] if len(inputs) == 1 else inputs, options


def _resolve(value: Any, outputs: dict, nodes: dict) -> Any:
    if isinstance(value, list) and value and value[0] == "_CONSTANT_VALUE":
        return value[2]
    if _is_reference(value, nodes):
        return _output(tuple(value[:3]), outputs)
    if isinstance(value, list):
        return [_resolve(child, outputs, nodes) for child in value]
    if isinstance(value, dict):
        return {key: _resolve(child, outputs, nodes) for key, child in value.items()}
    return value
