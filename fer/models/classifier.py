"""A trained network with its labels, its input and its history, in one file."""

import dataclasses
import json
import shlex
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.images import InputSpec
from fer.models import runtimes
from fer.models.tta import view_count, views

MEMBER = runtimes.MEMBER  # inside the .keras zip; keras.models.load_model does not look at it
BATCH = 256  # pictures a call of the network at most


@dataclass(frozen=True)
class Classifier:
    """A network that knows its labels.

    Attributes:
        model: Keras model from uint8-valued pixels (n, size, size, channels) to probabilities float32 (n, k), or an
            exported one in its runtime.
        labels: k names, in the order of the outputs.
        spec: what the network takes.
        notes: where it comes from: data, recipe, scores, versions, date; anything that JSON holds.
    """

    model: "keras.Model"  # noqa: F821 -- keras takes seconds to import, and only `load` needs it
    labels: tuple[str, ...]
    spec: InputSpec
    notes: dict = field(default_factory=dict)

    def __post_init__(self):
        if len(set(self.labels)) != len(self.labels):
            raise FerError(f"a label stands twice among {', '.join(self.labels)}")
        outputs = self.model.output_shape
        if outputs != (None, len(self.labels)):
            given = f"{len(self.labels)} labels: {', '.join(self.labels)}"
            raise FerError(f"the network gives {outputs}, but there are {given}")
        if self.model.input_shape[1:] != self.spec.shape:
            raise FerError(f"the network takes {self.model.input_shape[1:]}, but its InputSpec says {self.spec.shape}")

    def predict(self, images: np.ndarray, *, tta: str = "none") -> np.ndarray:
        """Probabilities for prepared pictures: the one path of evaluation, folders, live video and the page.

        Args:
            images: uint8 (n, size, size, channels) from `images.prepare`; n may be 0.
            tta: "none", or test-time augmentation: the mean over the views "flip" (2) or "ten-crop" (10).

        Returns:
            float32 (n, k), rows sum to 1.

        Raises:
            FerError: pictures of another shape or type than the network takes.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self.spec.shape:
            wanted = f"uint8 (n, {', '.join(map(str, self.spec.shape))})"
            raise FerError(f"the network takes pictures {wanted}, received {images.dtype} {images.shape}")
        batches = [self._predict_batch(images[i : i + BATCH], tta) for i in range(0, len(images), BATCH)]
        return np.concatenate(batches) if batches else np.zeros((0, len(self.labels)), np.float32)

    def _predict_batch(self, images, tta):
        # One compiled call. Padding to a power of two leaves a handful of shapes to compile, however many faces come.
        n = len(images)
        padded = np.zeros((1 << (n - 1).bit_length(), *images.shape[1:]), images.dtype)
        padded[:n] = images
        total = sum(self.model.predict_on_batch(view)[:n] for view in views(padded, tta))
        return (total / view_count(tta)).astype(np.float32)

    def save(self, path: str | Path) -> None:
        """Writes one .keras file that also holds the labels, the InputSpec and the notes; whole or not at all.

        Raises:
            FerError: the name does not end in .keras.
        """
        path = Path(path)
        if path.suffix != ".keras":
            raise FerError(f"{path}: a model file must end in .keras")
        with replacing(path) as temporary:
            self.model.save(temporary)
            with zipfile.ZipFile(temporary, "a") as archive:
                archive.writestr(MEMBER, self.about())

    def about(self) -> str:
        """What a model file says of itself, as JSON: labels, spec and notes."""
        return _written({"labels": self.labels, "spec": dataclasses.asdict(self.spec), "notes": self.notes})

    @classmethod
    def load(cls, path: str | Path) -> "Classifier":
        """Reads a file written by `save` or by `exporting.export`. Keras' safe mode stays on; nothing is unpickled.

        Raises:
            FerError: missing, cut short, not a Keras file, without labels, labels that do not fit the network, or an
                exported file whose runtime is not installed.
        """
        about = describe(path)
        model = runtimes.load(path) if Path(path).suffix in runtimes.RUNTIMES else _load_keras(path)
        try:
            return cls(model, tuple(about["labels"]), InputSpec(**about["spec"]), about["notes"])
        except FerError as error:
            raise FerError(f"{path}: {error}") from error


def _load_keras(path):
    import keras

    from fer.models.device import JIT_COMPILE

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras and h5py raise nearly anything at a file that is not as they wrote it
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise FerError(f"{path}: Keras {keras.__version__} cannot load it: {reason}") from error
    model.jit_compile = JIT_COMPILE
    return model


def describe(path: str | Path) -> dict:
    """Reads only what a model file says of itself, without Keras: {"labels", "spec", "notes"}.

    Raises:
        FerError: as `Classifier.load`, as far as it shows without loading the network.
    """
    path = Path(path)
    if not path.is_file():
        raise FerError(f"{path}: there is no such model file")
    try:
        about = json.loads(_about_exported(path) if path.suffix in runtimes.RUNTIMES else _about_keras(path))
    except ValueError as error:
        raise FerError(f"{path}: its {MEMBER} is not JSON ({error})") from error
    if not _complete(about):
        raise FerError(f"{path}: its {MEMBER} lacks labels, spec or notes")
    return about


def _about_keras(path):
    try:
        with path.open("rb") as file:
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                raise FerError(f"{path}: an HDF5 file of older Keras; it does not say its labels. {_repair(path)}")
        with zipfile.ZipFile(path) as archive:
            if damaged := archive.testzip():
                raise FerError(f"{path}: damaged inside ({damaged}); copy or download it again")
            if MEMBER not in archive.namelist():
                raise FerError(f"{path}: it does not say its labels (not saved by this suite). {_repair(path)}")
            return archive.read(MEMBER)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise FerError(f"{path}: cut short, or not a Keras file ({error})") from error


def annotate(path: str | Path, notes: dict) -> None:
    """Adds notes to a .keras file, or replaces them; all else in it stays as it is, byte by byte.

    Raises:
        FerError: as `describe`, or the file cannot be written.
    """
    about = describe(path)
    about["notes"] |= notes
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(path) as old,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for member in old.infolist():
            if member.filename != MEMBER:
                new.writestr(member, old.read(member))
        new.writestr(MEMBER, _written(about))


def _written(about: dict) -> str:
    return json.dumps(about, indent=1, ensure_ascii=False)


def _about_exported(path):
    if text := runtimes.about(path):
        return text
    repair = f"python export_model.py MODEL.keras --output {shlex.quote(str(path))} --overwrite"
    raise FerError(f"{path}: it does not say its labels (not exported by this suite). Export it again: {repair}")


def _complete(about) -> bool:
    try:
        InputSpec(**about["spec"])
        labels, notes = about["labels"], about["notes"]
    except (TypeError, KeyError, FerError):
        return False
    return isinstance(labels, list) and all(isinstance(label, str) for label in labels) and isinstance(notes, dict)


def _repair(path):
    command = f"python import_model.py {shlex.quote(str(path))} --labels A,B,C --range 0,1 --output NEW.keras"
    return f"Say them once, in the order of its outputs: {command}"
