"""Export to ONNX, LiteRT, SavedModel and smaller .keras files, each compared with the Keras model."""

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
from fer.core.files import check_writable, replacing
from fer.core.images import InputSpec, prepare
from fer.data import synthetic_faces
from fer.data.image_array import Images
from fer.models import runtimes
from fer.models.classifier import BATCH_SIZE, Classifier

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
        n_images: number of images compared.
        same: number of images with the same label from both.
        difference: largest difference between two probabilities.
    """

    n_images: int
    same: int
    difference: float

    def __str__(self):
        labels = f"same label on {self.same} of {self.n_images} images"
        return f"{labels}, probabilities differ by at most {self.difference:.2g}"


def check_output(path: str | Path, format: str, precision: str = "float32", *, overwrite: bool = False) -> None:
    """Refuses an output that cannot be written, before anything is loaded.

    Raises:
        FerError: the name does not fit the format, the format does not have the precision, or the output exists.
    """
    path = Path(path)
    if path.suffix != FORMATS[format]:
        expected = f"end in {FORMATS[format]}" if FORMATS[format] else "be that of a folder, without a suffix,"
        raise FerError(f"{path}: the name must {expected} for --format {format}")
    if precision not in PRECISIONS[format]:
        raise FerError(f"{format} supports {', '.join(PRECISIONS[format])}, not {precision}")
    if path.exists() and not overwrite:
        raise FerError(f"{path} exists: replace it with --overwrite, or choose another name")
    if path.exists() and path.is_dir() != (format == "saved_model"):
        raise FerError(f"{path} is a {'folder' if path.is_dir() else 'file'} and is not replaced; choose another name")
    if path.is_dir() and not (path / "saved_model.pb").exists():
        raise FerError(f"{path} is a folder that holds no SavedModel and is not replaced; choose another name")
    check_writable(path if path.suffix else path.with_name(f"{path.name}.new"))


def export(
    classifier: Classifier,
    path: str | Path,
    *,
    format: str,
    images: np.ndarray,
    precision: str = "float32",
    calibration: np.ndarray | None = None,
) -> Agreement:
    """Writes a trained network in another format, with labels, InputSpec and metadata; whole or not at all.

    Args:
        classifier: a classifier with a Keras model.
        path: the file, or the folder of a SavedModel; an existing one is replaced.
        format: a key of `FORMATS`.
        images: uint8 (n, size, size, channels) on which the exported network is compared with the Keras model.
        precision: one of `PRECISIONS[format]`. "float16" halves the file. "int8" quarters it and computes in int8.
            "int8-dynamic" does the same with the range of the activations taken from each image. A float16 .keras file
            stores float16 weights only: when loaded, its network computes in float32 and can be trained.
        calibration: uint8 (n, size, size, channels) for "int8": images whose activations set the quantization ranges.

    Returns:
        How the two networks compare.

    Raises:
        FerError: a package is missing, "int8" without calibration images, a network that cannot be converted, weights
            too large for float16, or a float32 export that disagrees with its Keras model.
    """
    import keras  # takes seconds

    if precision == "int8" and calibration is None:
        raise FerError("int8 needs calibration images: give some with --data")
    metadata = classifier.metadata | {"exported": {"format": format, "precision": precision}}
    if format != "keras" and (backend := keras.backend.backend()) != "tensorflow":
        raise FerError(f"export needs the TensorFlow backend of Keras, not {backend}: unset KERAS_BACKEND")
    network = replace(classifier, model=_in_float32(classifier.model), metadata=metadata)
    exact = network.predict(images)  # before writing: Keras exports ONNX only from a model that has been called
    with _replacing_any(Path(path)) as temporary:
        try:
            _WRITERS[format](network, temporary, precision, calibration)
        except ImportError as error:
            raise FerError(f"{path}: {error}; pip install -r requirements-export.txt") from error
        found = predict(temporary, images)
        agreement = compare(classifier.predict(images), found)
        if precision == "float32" and not _agree(exact, found):
            raise FerError(f"{path}: not written, because it disagrees with the Keras model: {agreement}")
    return agreement


def predict(path: str | Path, images: Images) -> np.ndarray:
    """Probabilities float32 (n, k) from a file or folder that `export` wrote, for uint8 (n, size, size, channels)."""
    if not Path(path).is_dir():
        return Classifier.load(path).predict(images)
    import tensorflow as tf

    network = tf.saved_model.load(str(path))  # a reference is needed, or its variables are deleted
    batches = (images[i : i + BATCH_SIZE].astype(np.float32) for i in range(0, len(images), BATCH_SIZE))
    return np.concatenate([network.serve(batch).numpy() for batch in batches])


def synthetic_images(spec: InputSpec, n_images: int = 256) -> np.ndarray:
    """Synthetic faces to compare two networks on, uint8 (n_images, size, size, channels)."""
    return np.stack([prepare(face, spec) for face in synthetic_faces.faces(n_images, seed=0)[0]])


def compare(expected: np.ndarray, found: np.ndarray) -> Agreement:
    """Compares two arrays of probabilities (n, k) for the same images."""
    same = int((expected.argmax(axis=1) == found.argmax(axis=1)).sum())
    return Agreement(len(expected), same, float(np.abs(expected - found).max(initial=0)))


def _agree(expected, found):
    """True if the probabilities are equal up to rounding. The labels may differ where two are equally probable."""
    return bool(np.isfinite(found).all()) and compare(expected, found).difference <= TOLERANCE


def _in_float32(model):
    """The same network in float32: one trained with mixed precision computes partly in 16 bits."""
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
        prepared = Path(folder, "prepared.onnx")  # with batch normalization folded into the convolutions
        quant_pre_process(path, prepared, skip_symbolic_shape=True)
        # The softmax stays in float32: int8 probabilities would be multiples of 1/256.
        kinds = sorted({node.op_type for node in _nodes(prepared)} - {"Softmax"})
        quantization.quantize_static(prepared, path, Reader(), per_channel=True, op_types_to_quantize=kinds)


def _nodes(path):
    import onnx

    return onnx.load(path, load_external_data=False).graph.node


def _write_litert(classifier, path, precision, calibration):
    import tensorflow as tf

    if precision == "int8":
        _quantize_litert(classifier.model, path, calibration)
    else:
        options = {} if precision == "float32" else {"optimizations": [tf.lite.Optimize.DEFAULT]}
        if precision == "float16":
            options["target_spec"] = {"supported_types": [tf.float16]}
        classifier.model.export(path, format="litert", verbose=False, **options)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(runtimes.MEMBER, classifier.info.to_json())
        archive.writestr("labels.txt", "\n".join(classifier.labels) + "\n")  # where TFLite metadata has it


def _quantize_litert(model, path, calibration):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([batch] for batch in _batches(calibration, 1))
        # The converter itself cannot leave out an operation; its debugger can. The softmax stays out, as in ONNX.
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["SOFTMAX"])
        debugger = tf.lite.experimental.QuantizationDebugger(converter=converter, debug_options=options)
        Path(path).write_bytes(debugger.get_nondebug_quantized_model())


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
    """An HDF5 file, as bytes, with float32 arrays stored as float16; Keras reads them into float32 weights."""
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
                        limit = np.finfo(np.float16).max
                        raise FerError(f"weights beyond {limit:,.0f}, or not finite, cannot be stored as float16")
                new[name] = array
            else:
                new.require_group(name)
            new[name].attrs.update(item.attrs)

        old.visititems(copy)
    return written.getvalue()


def _write_saved_model(classifier, path, precision, calibration):
    classifier.model.export(path, format="tf_saved_model", verbose=False)
    extra = path / "assets.extra"  # for files that are not part of the graph
    extra.mkdir()
    (extra / runtimes.MEMBER).write_text(classifier.info.to_json(), encoding="utf-8")


_WRITERS = {"onnx": _write_onnx, "litert": _write_litert, "keras": _write_keras, "saved_model": _write_saved_model}


def _batches(images: np.ndarray, size: int) -> Iterator[np.ndarray]:
    for i in range(0, len(images), size):
        yield images[i : i + size].astype(np.float32)


@contextmanager
def _replacing_any(path: Path) -> Iterator[Path]:
    """`files.replacing`, for folders too."""
    if path.suffix:
        with replacing(path) as temporary:
            yield temporary
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as folder:
            yield Path(folder, path.name)
            if path.exists():
                shutil.rmtree(path)
            Path(folder, path.name).rename(path)
    except OSError as error:
        raise FerError(f"{path}: cannot be written: {error.strerror or error}") from error
