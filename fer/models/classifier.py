"""A trained network with its labels, its input and its metadata, in one file."""

import math
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fer.core.errors import FerError, first_line
from fer.core.files import replacing
from fer.core.images import InputSpec
from fer.data.image_array import Images
from fer.models import runtimes
from fer.models.bundled import find_model
from fer.models.model_file import ModelInfo, read_info
from fer.models.tta import view_count, views

if TYPE_CHECKING:  # importing Keras takes seconds, and only `load` needs it
    import keras

BATCH_SIZE = 256  # images in one call of the network, at most
BATCH_BYTES = 1 << 24  # of their pixels; the network's own copies take many times as much


@dataclass(frozen=True)
class Classifier:
    """A network that knows its labels.

    Attributes:
        model: Keras model from uint8-valued pixels (n, size, size, channels) to probabilities float32 (n, k), or an
            exported network in its runtime.
        labels: k names, in the order of the outputs.
        spec: the images that the network takes.
        metadata: data, recipe, scores, versions, date; anything that JSON can hold.
    """

    model: "keras.Model | runtimes.Onnx | runtimes.LiteRt"
    labels: tuple[str, ...]
    spec: InputSpec
    metadata: dict = field(default_factory=dict)

    def __post_init__(self):
        if len(set(self.labels)) != len(self.labels):
            raise FerError(f"duplicate label in {', '.join(self.labels)}")
        outputs = self.model.output_shape
        if outputs != (None, len(self.labels)):
            given = f"{len(self.labels)} labels: {', '.join(self.labels)}"
            raise FerError(f"the network's output shape is {outputs}, but there are {given}")
        if self.model.input_shape[1:] != self.spec.shape:
            raise FerError(
                f"the network's input shape is {self.model.input_shape[1:]}, but its InputSpec says {self.spec.shape}"
            )

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.spec.shape))
        return f"Classifier({shape}, {len(self.labels)} labels: {', '.join(self.labels)})"

    @property
    def info(self) -> ModelInfo:
        """What its file says about it."""
        return ModelInfo(self.labels, self.spec, self.metadata)

    @property
    def has_gradients(self) -> bool:
        """Whether it is a Keras model; exported networks give no gradients."""
        return not isinstance(self.model, runtimes.Onnx | runtimes.LiteRt)

    def predict(self, images: Images, *, tta: str = "none") -> np.ndarray:
        """Probabilities for prepared images. Evaluation, folders, live video and the web page all use this method.

        Args:
            images: uint8 (n, size, size, channels) from `images.prepare`; n may be 0.
            tta: "none", or test-time augmentation: the mean over the 2 views of "flip" or the 10 of "ten-crop".

        Returns:
            float32 (n, k); each row sums to 1.

        Raises:
            FerError: images of another shape or type than the network takes, or outputs that are NaN.
        """
        expected = f"uint8 (n, {', '.join(map(str, self.spec.shape))})"
        if not hasattr(images, "dtype"):
            raise FerError(f"the network takes images {expected}, received {type(images).__name__}")
        if images.dtype != np.uint8 or images.shape[1:] != self.spec.shape:
            raise FerError(f"the network takes images {expected}, received {images.dtype} {images.shape}")
        fitting = max(1, BATCH_BYTES // math.prod(self.spec.shape))
        size = min(BATCH_SIZE, 1 << (fitting.bit_length() - 1))
        starts = range(0, len(images), size)
        batches = [self._predict_batch(images[start : start + size], tta) for start in starts]
        return np.concatenate(batches) if batches else np.zeros((0, len(self.labels)), np.float32)

    def _predict_batch(self, images: np.ndarray, tta: str) -> np.ndarray:
        # Padding to a power of two leaves few shapes to compile, whatever the number of faces.
        n = len(images)
        padded = np.zeros((1 << (n - 1).bit_length(), *images.shape[1:]), images.dtype)
        padded[:n] = images
        total = np.zeros((n, len(self.labels)), np.float32)
        for view in views(padded, tta):
            total += self.model.predict_on_batch(view)[:n]
        if not np.isfinite(total).all():  # argmax would take the first NaN for the label
            raise FerError("the network's outputs are NaN: its training diverged, or its file is damaged")
        return total / view_count(tta)

    def save(self, path: str | Path) -> None:
        """Writes one .keras file that also holds the labels, the InputSpec and the metadata; whole or not at all.

        Raises:
            FerError: the name does not end in .keras, the network is an exported one, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ".keras":
            raise FerError(f"{path}: a model file must end in .keras")
        if isinstance(self.model, runtimes.Onnx | runtimes.LiteRt):
            raise FerError(f"{path}: an exported network cannot be saved as .keras")
        with replacing(path) as temporary:
            self.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(runtimes.MEMBER, self.info.to_json())

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Loads a .keras, .onnx or .tflite file of this suite. No code inside the file runs: Keras' safe mode is on.

        Args:
            path: the file, the name of a bundled model such as "fer2013", or an address: see `bundled.find_model`.

        Raises:
            FerError: the file is missing, truncated, not a Keras file, without labels, or with labels that do not fit
                the network; or the runtime of an exported file is not installed.
        """
        path = find_model(path)
        info = read_info(path)
        model = runtimes.load(path) if path.suffix in runtimes.SUFFIXES else _load_keras(path)
        try:
            return cls(model, info.labels, info.spec, info.metadata)
        except FerError as error:
            raise FerError(f"{path}: {error}") from error


def _load_keras(path: Path) -> "keras.Model":
    import keras

    from fer.models.device import JIT_COMPILE

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise many exception types for a malformed file
        raise FerError(f"{path}: Keras {keras.__version__} cannot load it: {first_line(error)}") from error
    model.jit_compile = JIT_COMPILE
    return model
