"""Trained networks as ONNX, LiteRT and SavedModel, or as a smaller .keras, each compared with the Keras model."""

import io
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.images import InputSpec, prepare
from fer.data import synthetic_faces
from fer.models import runtimes
from fer.models.classifier import Classifier

FORMATS = {"onnx": ".onnx", "litert": ".tflite", "keras": ".keras", "saved_model": ""}
PRECISIONS = {
    "onnx": ("float32", "float16", "int8"),
    "litert": ("float32", "float16", "int8", "int8-dynamic"),
    "keras": ("float32", "float16"),
    "saved_model": ("float32",),
}
CALIBRATION_BATCH = 32
TOLERANCE = 1e-3  # between the probabilities of two float32 runtimes


@dataclass(frozen=True)
class Agreement:
    """How an exported network compares with its Keras model.

    Attributes:
        pictures: how many both have seen.
        same: how many got the same label from both.
        difference: the largest one between two probabilities.
    """

    pictures: int
    same: int
    difference: float

    def __str__(self):
        labels = f"same label on {self.same} of {self.pictures} pictures"
        return f"{labels}, probabilities differ by {self.difference:.2g} at most"


def check(path: str | Path, format: str, precision: str = "float32", *, overwrite: bool = False) -> None:
    """Refuses what cannot be written, before anything is loaded.

    Raises:
        FerError: a name that does not fit the format, a precision that the format has not, a missing converter, or
            something that is there already.
    """
    path = Path(path)
    if path.suffix != FORMATS[format]:
        wanted = f"end in {FORMATS[format]}" if FORMATS[format] else "be a folder's, without a suffix"
        raise FerError(f"{path}: the name must {wanted} for --format {format}")
    if precision not in PRECISIONS[format]:
        raise FerError(f"{format} is written in {' or '.join(PRECISIONS[format])}, not in {precision}")
    if path.exists() and not overwrite:
        raise FerError(f"{path} exists: replace it with --overwrite, or choose another name")
    if path.exists() and path.is_dir() != (format == "saved_model"):
        raise FerError(f"{path} is a {'folder' if path.is_dir() else 'file'} and not replaced; choose another name")
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise FerError(f"{path} is a folder that holds no SavedModel, and not replaced; choose another name")


def export(
    classifier: Classifier,
    path: str | Path,
    *,
    format: str,
    pictures: np.ndarray,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
) -> Agreement:
    """Writes a trained network in another format, with labels, InputSpec and metadata inside; whole or not at all.

    Args:
        classifier: what to write; its model is a Keras model.
        path: the file, or for a SavedModel the folder; one that is there is replaced.
        format: a key of `FORMATS`.
        pictures: uint8 (n, size, size, channels) on which what was written is compared with the Keras model.
        precision: one of `PRECISIONS[format]`: "float16" halves the file, "int8" quarters it and computes in whole
            numbers, "int8-dynamic" does the same but takes the range of the activations from each picture. A .keras
            file in float16 is only stored so: read again, its network computes in float32 and can be trained on.
        calibration: uint8 (n, size, size, channels) for "int8": pictures whose activations set its ranges.

    Returns:
        How the two compare.

    Raises:
        FerError: a package is missing, "int8" without pictures to calibrate on, a network that cannot be converted or
            has weights too large for float16, or one in float32 that does not agree with its Keras model afterwards.
    """
    import keras  # takes seconds

    if precision == "int8" and calibration is None:
        raise FerError("int8 takes the ranges of its numbers from pictures: give some with --data")
    metadata = classifier.metadata | {"exported": {"format": format, "precision": precision}}
    if format != "keras" and (backend := keras.backend.backend()) != "tensorflow":
        raise FerError(f"exporting needs Keras' TensorFlow backend, not {backend}: unset KERAS_BACKEND")
    network = replace(classifier, model=_in_float32(classifier.model), metadata=metadata)
    exact = network.predict(pictures)  # before writing: Keras writes ONNX only of a model that has been called
    with _replacing_any(Path(path)) as temporary:
        try:
            _WRITERS[format](network, temporary, precision, calibration)
        except ImportError as error:
            raise FerError(f"{path}: {error}; pip install -r requirements-export.txt") from error
        found = predict(temporary, pictures)
        agreement = compare(classifier.predict(pictures), found)
        if precision == "float32" and not _agree(exact, found):
            raise FerError(f"{path}: not written, for it disagrees with the Keras model: {agreement}")
    return agreement


def predict(path: str | Path, pictures: np.ndarray) -> np.ndarray:
    """Probabilities float32 (n, k) from what `export` wrote, in whichever format."""
    if not Path(path).is_dir():
        return Classifier.load(path).predict(pictures)
    import tensorflow as tf

    network = tf.saved_model.load(str(path))  # kept while it works, or its variables go
    parts = [network.serve(pictures[i : i + 256].astype(np.float32)).numpy() for i in range(0, len(pictures), 256)]
    return np.concatenate(parts)


def drawn(spec: InputSpec, count: int = 256) -> np.ndarray:
    """Drawn faces to compare two networks on, uint8 (count, size, size, channels)."""
    return np.stack([prepare(face, spec) for face in synthetic_faces.faces(count, seed=0)[0]])


def compare(expected: np.ndarray, found: np.ndarray) -> Agreement:
    """Two arrays of probabilities (n, k) for the same pictures."""
    same = int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
    return Agreement(len(expected), same, float(np.abs(expected - found).max(initial=0)))


def _agree(expected, found):
    """True if all is the same to rounding; where two labels are as probable to rounding, either may win."""
    return bool(np.isfinite(found).all()) and compare(expected, found).difference <= TOLERANCE


def _in_float32(model):
    """The same network with float32 arithmetic: one trained with mixed precision computes in half of it."""
    if all(layer.compute_dtype in ("float32", None) for layer in model.layers):
        return model
    from fer.models import networks

    return networks.recast(model, "float32")


def _write_onnx(classifier, path, precision, calibration):
    import onnx

    classifier.model.export(path, format="onnx", verbose=False)
    if precision == "int8":
        _quantize_onnx(path, calibration)
    network = onnx.load(path)
    if precision == "float16":
        from onnxruntime.transformers.float16 import convert_float_to_float16

        network = convert_float_to_float16(network, keep_io_types=True)
    onnx.helper.set_model_props(network, {runtimes.MEMBER: classifier.info.to_json()})
    onnx.save(network, path)


def _quantize_onnx(path, calibration):
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):
        batches = ({"pixels": batch} for batch in _batches(calibration, CALIBRATION_BATCH))

        def get_next(self):
            return next(self.batches, None)

    with tempfile.TemporaryDirectory() as folder:
        prepared = Path(folder, "prepared.onnx")  # batch normalization folded into the convolutions
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        # The softmax stays in float32: it is small, and its result should be fine-grained.
        kinds = sorted({node.op_type for node in _nodes(prepared)} - {"Softmax"})
        quantization.quantize_static(prepared, path, Reader(), per_channel=True, op_types_to_quantize=kinds)


def _nodes(path):
    import onnx

    return onnx.load(path, load_external_data=False).graph.node


def _write_litert(classifier, path, precision, calibration):
    import tensorflow as tf

    options = {} if precision == "float32" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if precision == "float16":
        options["target_spec"] = {"supported_types": [tf.float16]}
    if precision == "int8":
        options["representative_dataset"] = lambda: ([batch] for batch in _batches(calibration, 1))
    classifier.model.export(path, format="litert", verbose=False, **options)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(runtimes.MEMBER, classifier.info.to_json())
        archive.writestr("labels.txt", "\n".join(classifier.labels) + "\n")  # as TFLite's own metadata has it


def _write_keras(classifier, path, precision, calibration):
    if precision == "float32":
        classifier.save(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole.keras")
        classifier.save(whole)
        with zipfile.ZipFile(whole) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name in old.namelist():
                new.writestr(name, _halved(old.read(name)) if name.endswith(".weights.h5") else old.read(name))


def _halved(content):
    """An HDF5 file, bytes, with float16 numbers in place of float32; Keras reads them into float32 weights."""
    import h5py

    written = io.BytesIO()
    with h5py.File(io.BytesIO(content)) as old, h5py.File(written, "w") as new:

        def copy(name, item):
            if isinstance(item, h5py.Dataset):
                array = item[()]
                if array.dtype == np.float32:
                    with np.errstate(over="ignore"):
                        array = array.astype(np.float16)
                    if not np.isfinite(array).all():
                        most = np.finfo(np.float16).max
                        raise FerError(f"weights beyond {most:,.0f}, or not finite, cannot be written as float16")
                new[name] = array
            else:
                new.require_group(name)
            new[name].attrs.update(item.attrs)

        old.visititems(copy)
    return written.getvalue()


def _write_saved_model(classifier, path, precision, calibration):
    classifier.model.export(path, format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"  # for what travels with a SavedModel and is not part of its graph
    extra.mkdir()
    (extra / runtimes.MEMBER).write_text(classifier.info.to_json(), encoding="utf-8")


_WRITERS = {"onnx": _write_onnx, "litert": _write_litert, "keras": _write_keras, "saved_model": _write_saved_model}


def _batches(pictures, size) -> Iterator[np.ndarray]:
    for i in range(0, len(pictures), size):
        yield pictures[i : i + size].astype(np.float32)


@contextmanager
def _replacing_any(path: Path) -> Iterator[Path]:
    """`files.replacing`, for a folder as well."""
    if path.suffix:
        with replacing(path) as temporary:
            yield temporary
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
        yield Path(folder, path.name)
        if path.exists():
            shutil.rmtree(path)
        Path(folder, path.name).rename(path)
