"""Exported networks, run by onnxruntime and LiteRT.

`Onnx` and `LiteRt` offer the three members of a Keras model that `Classifier` uses: `input_shape`, `output_shape` and
`predict_on_batch`.
"""

import importlib
import threading
import zipfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fer.core.errors import FerError, first_line
from fer.core.system import cores

MEMBER = "fer.json"  # labels, input and metadata: a member of the .tflite's zip, a property of the ONNX file
MAX_MEMBER = 1 << 20  # bytes of it
ONNX = ("onnxruntime", "onnxruntime")  # module, package
LITERT = ("ai_edge_litert.interpreter", "ai-edge-litert")
CHUNK = 8  # images per LiteRT call: larger batches are no faster, and each batch size costs a copy of the weights


class Onnx:
    """A network in an .onnx file, run by onnxruntime on the CPU."""

    def __init__(self, path: str | Path):
        self._session = _onnx_session(path)
        (pixels,), (output,) = self._session.get_inputs(), self._session.get_outputs()
        self._pixels = pixels.name
        self.input_shape, self.output_shape = (None, *pixels.shape[1:]), (None, *output.shape[1:])

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, channels) -> float32 (n, k)."""
        return _normalized(self._session.run(None, {self._pixels: images.astype(np.float32)})[0])


class LiteRt:
    """A network in a .tflite file, run by ai-edge-litert on the CPU."""

    def __init__(self, path: str | Path):
        self._path, self._lock = path, threading.Lock()
        self._interpreters: dict[int, tuple] = {}  # by batch size
        pixels, output = self._interpreter(1)[1:]
        self.input_shape = (None, *pixels["shape"][1:].tolist())
        self.output_shape = (None, *output["shape"][1:].tolist())

    def predict_on_batch(self, images: np.ndarray) -> np.ndarray:
        """uint8 (n, size, size, channels) -> float32 (n, k)."""
        with self._lock:  # an interpreter's tensors belong to one call
            parts = [self._run(images[i : i + CHUNK]) for i in range(0, len(images), CHUNK)]
        return _normalized(np.concatenate(parts))

    def _run(self, images):
        interpreter, pixels, output = self._interpreter(len(images))
        interpreter.set_tensor(pixels["index"], images.astype(np.float32))
        interpreter.invoke()
        return interpreter.get_tensor(output["index"])

    def _interpreter(self, n):
        # Resizing allocates all tensors again, so each batch size keeps its interpreter; there are few (powers of two).
        if n not in self._interpreters:
            library = _library(*LITERT, self._path)
            try:
                interpreter = library.Interpreter(str(self._path), num_threads=cores())
                (pixels,), (output,) = interpreter.get_input_details(), interpreter.get_output_details()
                interpreter.resize_tensor_input(pixels["index"], (n, *pixels["shape"][1:]))
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise FerError(f"{self._path}: LiteRT cannot load it: {first_line(error)}") from error
            self._interpreters[n] = interpreter, pixels, output
        return self._interpreters[n]


SUFFIXES = (".onnx", ".tflite")


def is_installed(path: str | Path) -> bool:
    """Whether the package is installed that runs the file, by its suffix."""
    module, _ = ONNX if Path(path).suffix == ".onnx" else LITERT
    return find_spec(module.partition(".")[0]) is not None


def load(path: str | Path) -> Onnx | LiteRt:
    """Opens an exported network by its suffix.

    Raises:
        FerError: the runtime is not installed, or it cannot read the file.
    """
    return Onnx(path) if Path(path).suffix == ".onnx" else LiteRt(path)


def read_info_text(path: str | Path) -> str | None:
    """The text of `fer.json` in an exported file; None if it has none.

    Raises:
        FerError: the runtime is not installed, or an ONNX file that cannot be read.
    """
    if Path(path).suffix == ".onnx":
        return _onnx_session(path, optimize=False).get_modelmeta().custom_metadata_map.get(MEMBER)
    _library(*LITERT, path)
    try:
        with zipfile.ZipFile(path) as archive:  # appended to the network, where TFLite metadata keeps label files
            return read_member(path, archive).decode()
    except (zipfile.BadZipFile, KeyError):
        return None


def read_member(path: str | Path, archive: zipfile.ZipFile) -> bytes:
    """`fer.json` of a model file.

    Raises:
        FerError: it is too large to be one.
        KeyError: there is none.
    """
    if archive.getinfo(MEMBER).file_size > MAX_MEMBER:
        raise FerError(f"{path}: its {MEMBER} has more than {MAX_MEMBER:,} bytes")
    return archive.read(MEMBER)


def _normalized(probabilities):
    """Rows scaled to sum to 1: int8 outputs of other exporters are multiples of 1/256, whose sum may be 0.99."""
    return probabilities / probabilities.sum(axis=1, keepdims=True)


def _onnx_session(path, *, optimize=True):
    runtime = _library(*ONNX, path)
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors
    if not optimize:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a different class for each kind of bad file
        raise FerError(f"{path}: onnxruntime cannot load it: {first_line(error)}") from error


def _library(module, package, path):
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise FerError(f"{path}: running it needs {package}: pip install {package}") from error
