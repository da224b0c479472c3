"""Networks as older Keras saved them: the description repaired for Keras 3, the weights as they are, no code run."""

import inspect
import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from fer.core.errors import FerError

if TYPE_CHECKING:
    import keras

MODELS = ("Sequential", "Functional", "Model")
# Names of Keras 1 and of TensorFlow's first Keras, and today's.
LAYERS = {
    "Convolution2D": "Conv2D",
    "SeparableConvolution2D": "SeparableConv2D",
    "Deconvolution2D": "Conv2DTranspose",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
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
}
VALUES = {"tf": "channels_last", "th": "channels_first", "default": "channels_last", "softmax_v2": "softmax"}
# They shape training only, and the weights are there: nothing is lost, and no old name can fail.
TRAINING_ONLY = ("initializer", "regularizer", "constraint", "_init", "init", "dtype")
NEEDLESS = ("batch_input_shape", "nb_row", "nb_col", "mode", "fused", "input_dim", "function_type", "output_shape_type")
EMPTY: tuple = (None, False, 1, [], {}, "")  # values of an argument that may go without a word
_UNKNOWN = "is no layer of Keras: rebuild the network with Keras' own layers, copy the weights, save and import that"
_CODE = "holds code, which is not run: replace it by one of Keras' own layers, save again and import that"
_SAVED_MODEL = (
    "a SavedModel folder, which is not read: save it as .h5 where it was made, "
    "tf.keras.models.load_model(FOLDER).save('model.h5'), and import that file"
)
CODE = ("Lambda", "__lambda__", "TFSMLayer")  # layers that hold Python code or a TensorFlow graph


def load(path: str | Path, weights: str | Path | None = None) -> "tuple[keras.Model, list[str]]":
    """Reads a network of Keras 1, 2 or 3.

    Args:
        path: an .h5 or .hdf5 file, a .keras file, or a model.json with `weights`.
        weights: the .h5 file that belongs to a model.json.

    Returns:
        (the Keras model, arguments that Keras 3 does not take and that were left out, such as "conv1: renorm=True").

    Raises:
        FerError: a format that cannot be read, code in the file, a layer that Keras does not have, weights that do
            not fit.
    """
    path = Path(path)
    if not path.exists():
        raise FerError(f"{path}: there is no such file or folder")
    if weights is not None and path.suffix != ".json":
        raise FerError(f"--weights belong to a model.json, and {path} is none")
    try:
        if path.is_dir():
            saved_model = (path / "saved_model.pb").is_file()
            raise FerError(f"{path}: {_SAVED_MODEL}" if saved_model else f"{path}: a folder, not a model file")
        if path.suffix == ".json":
            return _load_json(path, weights)
        if path.read_bytes()[:8] == b"\x89HDF\r\n\x1a\n":
            return _load_hdf5(path)
        return _load_keras(path)
    except FerError:
        raise
    except Exception as error:  # Keras, h5py and json raise nearly anything at a file that is not as they wrote it
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise FerError(f"{path}: Keras cannot read it: {lines[0] if lines else type(error).__name__}") from error


def _load_keras(path):
    import keras

    if not zipfile.is_zipfile(path):
        raise FerError(f"{path}: neither an HDF5 file nor a .keras file, or cut short")
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    _refuse_code(config, path)
    for node in _nodes(config):
        if "class_name" in node and not str(node.get("module", "keras")).startswith(("keras", "builtins")):
            raise FerError(f"{path}: {node['class_name']} {_UNKNOWN}")
    return keras.saving.load_model(path, compile=False, safe_mode=True), []


def _load_hdf5(path):
    import h5py

    with h5py.File(path) as file:
        text = file.attrs.get("model_config")
    if text is None:
        raise FerError(f"{path}: weights without their network: give its model.json, with --weights {path.name}")
    network, left_out = _build(json.loads(text), path)
    _load_weights(network, path)
    return network, left_out


def _load_json(path, weights):
    if weights is None:
        raise FerError(f"{path}: a network without its weights: give them with --weights FILE.h5")
    if not Path(weights).is_file():
        raise FerError(f"{weights}: there is no such file")
    network, left_out = _build(json.loads(path.read_text(encoding="utf-8")), path)
    _load_weights(network, weights)
    return network, left_out


def _load_weights(network, path):
    """Keras tells the two layouts of HDF5 by the name of the file, authors do not."""
    import h5py

    with h5py.File(path) as file:
        old = "layer_names" in file.attrs or "model_weights" in file
    with tempfile.TemporaryDirectory() as folder:
        named = shutil.copyfile(path, Path(folder, "model.h5" if old else "model.weights.h5"))
        network.load_weights(named)


def _build(config, path):
    """A network without its weights, from a description of any age."""
    import keras

    _refuse_code(config, path)
    left_out = []
    if "module" not in config or any("batch_input_shape" in node for node in _nodes(config)):
        config = _repair(config, path, left_out)
    return keras.models.model_from_json(json.dumps(config)), left_out


def _refuse_code(config, path):
    for node in _nodes(config):
        if node.get("class_name") in CODE:
            name = node.get("config", {}).get("name", "") if isinstance(node.get("config"), dict) else ""
            kind = f"{node['class_name'].strip('_')} {name}".strip()
            raise FerError(f"{path}: layer {kind} {_CODE}")


def _nodes(value):
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(child)


def _repair(node, path, left_out):
    """One layer or model of an old description, in today's words."""
    kind, config = node["class_name"], node["config"]
    if kind in MODELS:
        config = {"name": "sequential", "layers": config} if isinstance(config, list) else config
        config = {key: config[key] for key in ("name", "layers", "input_layers", "output_layers") if key in config}
        for ends in ("input_layers", "output_layers"):  # one tensor, not a list of one
            if len(config.get(ends, ())) == 1:
                (config[ends],) = config[ends]
        nodes = _with_input(config["layers"]) if kind == "Sequential" else config["layers"]
        config["layers"] = [_repair(inner, path, left_out) for inner in nodes]
        kind, module = "Sequential" if kind == "Sequential" else "Model", "keras"
    else:
        kind = MERGES.get(config.get("mode"), kind) if kind == "Merge" else LAYERS.get(kind, kind)
        config, module = _repair_layer(kind, config, path, left_out), "keras.layers"
    kept = {key: node[key] for key in ("name", "inbound_nodes") if key in node}
    return {"module": module, "class_name": kind, "config": config, "registered_name": None, **kept}


def _with_input(nodes):
    """An InputLayer before the first layer, in which Keras 1 and 2 hid the shape of the input."""
    shape = nodes[0]["config"].get("batch_input_shape") if isinstance(nodes[0]["config"], dict) else None
    if shape is None or nodes[0]["class_name"] == "InputLayer":
        return nodes
    return [{"class_name": "InputLayer", "config": {"batch_input_shape": shape}}, *nodes]


def _repair_layer(kind, old, path, left_out):
    """The arguments of one layer under today's names, without those that today's layer does not take."""
    import keras

    layer = getattr(keras.layers, kind, None)
    if layer is None:
        raise FerError(f"{path}: layer {old.get('name')}: {kind} {_UNKNOWN}")
    takes = {name for base in layer.__mro__ for name in inspect.signature(base.__init__).parameters}
    config = {"kernel_size": [old["nb_row"], old["nb_col"]]} if "nb_row" in old else {}
    for key, value in old.items():
        name, value = _rename(kind, key, value)
        if isinstance(value, dict) and name in ("layer", "backward_layer"):  # of a wrapper
            value = _repair(value, path, left_out)
        if name in takes and not name.endswith(TRAINING_ONLY):
            config[name] = value
        elif value not in EMPTY and not name.endswith(TRAINING_ONLY) and key not in NEEDLESS:
            left_out.append(f"{old.get('name', kind)}: {key}={value}")
    return config


def _rename(kind, key, value):
    name = "negative_slope" if (kind, key) == ("LeakyReLU", "alpha") else ARGUMENTS.get(key, key)
    if name == "batch_input_shape":
        name, value = "batch_shape", [None, *value[1:]]
    if name == "axis" and isinstance(value, list) and len(value) == 1:
        (value,) = value
    if name == "function" and isinstance(value, list):  # of a Lambda: code, default values, what it closes over
        value = {"class_name": "__lambda__", "config": dict(zip(("code", "defaults", "closure"), value, strict=True))}
    return name, VALUES.get(value, value) if isinstance(value, str) else value
