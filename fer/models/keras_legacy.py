"""Reads model files of Keras 1 to 3. No code in a file runs: layers that hold code are refused.

Keras 3 reads its own files. For older ones, `legacy_graph` rebuilds the network and `legacy_weights` fills it.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fer.core.errors import FerError, first_line

if TYPE_CHECKING:
    import keras

MAX_CONFIG = 1 << 26  # bytes of a network's description; zipped, a few kilobytes may stand for gigabytes
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SAVED_MODEL = (
    "a SavedModel folder, which is not read: save it as .h5 where it was made, or with the package tf_keras: "
    "tf_keras.models.load_model(FOLDER).save('model.h5'), and import that file"
)


def load(path: str | Path, weights: str | Path | None = None) -> "tuple[keras.Model, list[str]]":
    """Reads a network of Keras 1, 2 or 3, or of tf_keras.

    Args:
        path: an .h5 or .hdf5 file, a .keras file, or a model.json with `weights`.
        weights: the .h5 file that belongs to a model.json.

    Returns:
        (the Keras model, arguments that Keras 3 does not support and that were dropped, such as
        "norm: virtual_batch_size=8").

    Raises:
        FerError: a format that cannot be read, code in the file, a layer or operation that Keras 3 does not have,
            weights that do not fit.
    """
    path = Path(path)
    if not path.exists():
        raise FerError(f"{path}: there is no such file or folder")
    if weights is not None and path.suffix != ".json":
        raise FerError(f"--weights belongs to a model.json, not to {path}")
    try:
        if path.is_dir():
            saved_model = (path / "saved_model.pb").is_file()
            raise FerError(_SAVED_MODEL if saved_model else "a folder, not a model file")
        if path.suffix == ".json":
            return _load_json(path, weights)
        with path.open("rb") as file:
            is_hdf5 = file.read(len(_HDF5)) == _HDF5
        return _load_hdf5(path) if is_hdf5 else _load_keras(path)
    except FerError as error:
        raise FerError(f"{path}: {error}") from error
    except Exception as error:  # Keras, h5py and json raise many exception types for a malformed file
        raise FerError(f"{path}: Keras cannot read it: {first_line(error)}") from error


def _load_keras(path: Path) -> "tuple[keras.Model, list[str]]":
    import h5py
    import keras

    if not zipfile.is_zipfile(path):
        raise FerError(_other_kind(path) or "neither an HDF5 file nor a .keras file, or truncated")
    with zipfile.ZipFile(path) as archive:
        if "config.json" not in archive.namelist():
            if any(name.endswith("data.pkl") for name in archive.namelist()):
                raise FerError("a PyTorch file, not one of Keras")
            raise FerError("a zip, but no .keras file: unpack it first")
        if archive.getinfo("config.json").file_size > MAX_CONFIG:
            raise FerError(f"its config.json has more than {MAX_CONFIG:,} bytes")
        config = json.loads(archive.read("config.json"))
        metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else {}
        if _is_legacy(config, metadata.get("keras_version")):
            with archive.open("model.weights.h5") as file, h5py.File(file) as weights:
                _refuse_other_files(weights)
                return _rebuild(config, weights)
    _refuse_custom_layers(config)
    return keras.saving.load_model(path, compile=False, safe_mode=True), []


def _other_kind(path: Path) -> str | None:
    """What a file is that people take for a Keras model."""
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself: fetch it with git lfs pull"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html")):
        return "a web page, not a model: download the file itself"
    if head[4:8] == b"TFL3":
        return "a LiteRT (TFLite) file: import the Keras file that it was made from"
    return None


def _load_hdf5(path: Path) -> "tuple[keras.Model, list[str]]":
    import h5py
    import keras

    with h5py.File(path) as file:
        _refuse_other_files(file)
        text = file.attrs.get("model_config")
        if text is None:
            raise FerError(f"weights without their network: give its model.json, with --weights {path.name}")
        config = json.loads(text)
        if _is_legacy(config, file.attrs.get("keras_version")):
            return _rebuild(config, file)
    _refuse_custom_layers(config)
    with _named(path, "model.h5") as copy:
        return keras.saving.load_model(copy, compile=False, safe_mode=True), []


def _load_json(path: Path, weights: str | Path | None) -> "tuple[keras.Model, list[str]]":
    import h5py
    import keras

    config = json.loads(path.read_text(encoding="utf-8"))
    if "modelTopology" in config:
        command = "tensorflowjs_converter --input_format=tfjs_layers_model --output_format=keras model.json model.h5"
        raise FerError(f"a model of TensorFlow.js: convert it with {command}, and import that")
    if weights is None:
        raise FerError("a network without its weights: give them with --weights FILE.h5")
    if not Path(weights).is_file():
        raise FerError(f"there is no file {weights}")
    with h5py.File(weights) as file:
        _refuse_other_files(file)
        if _is_legacy(config, config.get("keras_version")):
            return _rebuild(config, file)
        named_layers = "layer_names" in file.attrs or "model_weights" in file
    _refuse_custom_layers(config)
    network = keras.models.model_from_json(json.dumps(config))
    with _named(Path(weights), "model.h5" if named_layers else "model.weights.h5") as copy:
        network.load_weights(copy)
    return network, []


@contextmanager
def _named(path: Path, name: str) -> Iterator[Path]:
    """A copy under another name: Keras tells the layouts of HDF5 files apart by their names."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(shutil.copyfile(path, Path(folder, name)))


def _rebuild(config: dict, weights: Any) -> "tuple[keras.Model, list[str]]":
    from fer.models import legacy_graph, legacy_weights

    network, root, dropped = legacy_graph.build(config)
    legacy_weights.load(root, weights)
    return network, dropped


def _refuse_other_files(file: Any) -> None:
    """Refuses an HDF5 file whose arrays lie in other files: anything on this disk would be read as weights."""
    import h5py

    def elsewhere(name: str, item: Any) -> str | None:
        apart = isinstance(item, h5py.Dataset) and (item.external or item.is_virtual)
        return name if apart or isinstance(item, h5py.ExternalLink) else None

    # Whichever name comes first; h5py cannot pass an error on.
    if name := file.visititems_links(elsewhere) or file.visititems(elsewhere):
        raise FerError(f"its {name} lies in another file, which is not read")


def _is_legacy(config: dict, version: str | bytes | None) -> bool:
    """True for a file of Keras 1 or 2, or of tf_keras; by its configuration where it does not name the version."""
    nodes = list(_nodes(config))
    if any("batch_input_shape" in node or str(node.get("module")).startswith("tf_keras") for node in nodes):
        return True
    if version is not None:
        version = version.decode() if isinstance(version, bytes) else str(version)
        return not version.startswith("3")
    return "module" not in config


def _refuse_custom_layers(config: dict) -> None:
    from fer.models.legacy_layers import refuse_code, unknown_layer

    for node in _nodes(config):
        refuse_code(node)
        if "class_name" in node and not str(node.get("module", "keras")).startswith(("keras", "builtins")):
            raise unknown_layer(node["class_name"])


def _nodes(value: Any) -> Iterator[dict]:
    """All dicts in a configuration."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _nodes(child)
