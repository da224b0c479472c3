"""Weights of Keras 1 and 2, from HDF5 files of either layout, for a network that `legacy_graph` has built.

An .h5 file holds a group for each layer of the model, by name. The weights of a model within the model lie in one list:
first those that were trained, then those of frozen layers and the statistics. A .keras file holds a tree of groups
whose names are made of the classes.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import h5py
import keras
import numpy as np

from fer.core.errors import FerError
from fer.models.legacy_layers import Part

CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # of Keras 2.14 and later, and of 2.13
# Columns of the weights that belong to gates, in units of the cell: of input, forget, cell and output; of update, reset
# and new state.
_GATES = {"LSTMCell": (1, 1, 0, 1), "ConvLSTMCell": (1, 1, 0, 1), "GRUCell": (1, 1, 0)}
_FLIPPED = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose")
_WAY_ON = "copy or download it again, or save it again where it was made"
# Names of weights that tell what they are; Keras 1 and Theano had others, which do not tell.
_NAMES = {"kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance", "recurrent_kernel", "pointwise_kernel"}


def load(root: Part, file: h5py.File) -> None:
    """Fills a network with the weights of a file.

    Args:
        root: as `legacy_graph.build` returned it.
        file: a whole .h5 model, a file of weights, or the weights of a .keras file.

    Raises:
        FerError: the weights do not fit the network.
    """
    file = file.get("model_weights", file)
    container = next((name for name in CONTAINERS if name in file), None)
    if container:
        _load_tree(root.parts, file[container])
    elif "layer_names" in file.attrs or "layer_names0" in file.attrs:
        _load_lists(root, file)
    else:
        raise FerError(f"it holds no weights that Keras wrote; {_WAY_ON}")
    backend = file.attrs.get("backend", b"")
    for part in _leaves(root):
        if part.layer is not None:
            _rescale_gates(part.layer)
            if backend in (b"theano", "theano"):
                _flip_kernels(part.name, part.layer)


def _leaves(part: Part) -> Iterator[Part]:
    if not part.parts:
        yield part
    for inner in part.parts:
        yield from _leaves(inner)


# --- .h5


def _load_lists(root: Part, file: h5py.Group) -> None:
    names = {name: _attribute(file[name], "weight_names") for name in _attribute(file, "layer_names")}
    groups = [name for name, weights in names.items() if weights]
    parts = [part for part in root.parts if _slots(part)]
    if len(parts) != len(groups):
        counts = f"{len(parts)} layers of the network have weights, but {len(groups)} of the file"
        raise FerError(f"{counts}; {_WAY_ON}")
    if {part.name for part in parts} == set(groups):
        groups = [part.name for part in parts]  # else renamed after the weights were saved: Keras goes by the order
    for part, group in zip(parts, groups, strict=True):
        slots, weights = _slots(part), names[group]
        if part.kind.startswith(("BatchNorm", "SyncBatchNorm")):
            weights = weights[: len(slots)]  # "renorm" has more statistics, for training only
        if len(weights) != len(slots):
            raise FerError(
                f"layer {part.name}: the file has {len(weights)} weights, the network {len(slots)}; {_WAY_ON}"
            )
        for name, variable in zip(weights, slots, strict=True):
            _check_name(part, name, variable)
            _assign(part, variable, file[group][name][()])
        for leaf in _leaves(part):
            _finalize(leaf.layer)


def _attribute(group: h5py.Group, name: str) -> list[str]:
    """A list of names in the attributes of a group. Keras splits a long one: layer_names0, layer_names1, ..."""
    keys = [name] if name in group.attrs else list(itertools.takewhile(group.attrs.__contains__, _numbered(name)))
    return [text.decode() if isinstance(text, bytes) else str(text) for key in keys for text in group.attrs[key]]


def _numbered(name: str) -> Iterator[str]:
    return (f"{name}{i}" for i in itertools.count())


def _slots(part: Part) -> list[keras.Variable]:
    """The variables of a layer or model in the order of the file."""
    leaves = list(_leaves(part))
    first = [variable for leaf in leaves if leaf.trainable for variable in _variables(leaf, trainable=True)]
    rest = []
    for leaf in leaves:
        if not leaf.trainable:
            rest += _variables(leaf, trainable=True)
        rest += _variables(leaf, trainable=False)
    return first + rest


def _variables(leaf: Part, *, trainable: bool) -> list[keras.Variable]:
    return [variable for variable in (leaf.layer.weights if leaf.layer else []) if variable.trainable == trainable]


def _check_name(part: Part, name: str, variable: keras.Variable) -> None:
    found = name.rpartition("/")[2].partition(":")[0]
    if found in _NAMES and variable.name in _NAMES and found != variable.name:
        raise FerError(f"layer {part.name}: the file has {found} where the network has {variable.name}; {_WAY_ON}")


# --- .keras


def _load_tree(parts: list[Part], group: h5py.Group) -> None:
    """A group for each layer, by the name of its class, numbered where it is not the first of it."""
    groups: dict[str, list[h5py.Group]] = defaultdict(list)
    for name in sorted(group, key=_number):
        if _holds_arrays(group[name]):
            groups[re.sub(r"_\d+$", "", name)].append(group[name])
    by_class: dict[str, list[Part]] = defaultdict(list)
    for part in parts:
        if _slots(part):
            by_class[_snake_case(part.kind)].append(part)
    for name in {*groups, *by_class}:
        if len(groups[name]) != len(by_class[name]):
            count, found = len(by_class[name]), len(groups[name])
            raise FerError(f"the network has {count} layers {name} with weights, the file {found}; {_WAY_ON}")
        for part, inner in zip(by_class[name], groups[name], strict=True):
            container = next((word for word in CONTAINERS if word in inner), None)
            if container:
                _load_tree(part.parts, inner[container])
            elif part.parts:  # a wrapper around a model
                _load_tree(
                    part.parts[0].parts, next(inner["layer"][word] for word in CONTAINERS if word in inner["layer"])
                )
            else:
                _load_layer(part, part.layer, inner)


def _load_layer(part: Part, layer: Any, group: h5py.Group) -> None:
    own = [*layer._trainable_variables, *layer._non_trainable_variables]  # those of `layer.load_own_variables`
    arrays = [group["vars"][name][()] for name in sorted(group.get("vars", ()), key=int)]
    if len(arrays) < len(own) or (len(arrays) > len(own) and not isinstance(layer, keras.layers.BatchNormalization)):
        raise FerError(f"layer {part.name}: the file has {len(arrays)} weights, the network {len(own)}; {_WAY_ON}")
    for variable, array in zip(own, arrays, strict=False):
        _assign(part, variable, array)
    _finalize(layer)
    for name, inner in group.items():
        if name == "vars" or not _holds_arrays(inner):
            continue
        held = getattr(layer, name, None)
        if isinstance(held, list):
            names = sorted(inner, key=_number)
            for one, key in zip(
                held, sorted(names, key=[_snake_case(type(x).__name__) for x in held].index), strict=True
            ):
                _load_layer(part, one, inner[key])
        elif held is None:
            raise FerError(f"layer {part.name}: {part.kind} of Keras 3 has no {name}; {_WAY_ON}")
        else:
            _load_layer(part, held, inner)


def _holds_arrays(group: h5py.Group) -> bool:
    if isinstance(group, h5py.Dataset):
        return True
    return any(map(_holds_arrays, group.values()))


def _number(name: str) -> tuple[str, int]:
    base, _, number = name.rpartition("_")
    return (base, int(number)) if base and number.isdecimal() else (name, 0)


def _snake_case(name: str) -> str:
    """The name of a class in the tree: GlobalAveragePooling2D -> global_average_pooling2d."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


# --- both


def _assign(part: Part, variable: keras.Variable, array: np.ndarray) -> None:
    if tuple(variable.shape) != array.shape:
        shapes = f"{array.shape} in the file, {tuple(variable.shape)} in the network"
        raise FerError(f"layer {part.name}: {variable.name} is {shapes}; {_WAY_ON}")
    variable.assign(array)


def _finalize(layer: Any) -> None:
    if isinstance(layer, keras.layers.Normalization) and layer.input_mean is None:
        layer.finalize_state()


def _rescale_gates(layer: keras.Layer) -> None:
    """Keeps the gates of recurrent cells: the hard sigmoid of x in Keras 2 is that of 1.2 x in Keras 3."""
    for cell in layer._flatten_layers():
        gates = _GATES.get(type(cell).__name__)
        if gates and cell.recurrent_activation is keras.activations.hard_sigmoid:
            factors = np.where(gates, 1.2, 1.0)
            for variable in cell.weights:
                variable.assign(np.array(variable) * np.repeat(factors, variable.shape[-1] // len(gates)))


def _flip_kernels(name: str, outer: keras.Layer) -> None:
    """Theano flips kernels before it applies them; TensorFlow, JAX and PyTorch do not.

    Raises:
        FerError: a layer for which Keras 2 did not convert the kernels either.
    """
    for layer in outer._flatten_layers():
        kind = type(layer).__name__
        if kind in _FLIPPED:
            kernel = np.array(layer.kernel)
            layer.kernel.assign(np.flip(kernel, tuple(range(kernel.ndim - 2))))
        elif "Conv" in kind:
            way_on = "load the model with Keras 2.2 on TensorFlow, save it again and import that"
            raise FerError(f"layer {name}: kernels of a {kind} that Theano trained are not converted; {way_on}")
