"""What a model file says about itself: labels, input and metadata, read without loading the network.

A .keras file holds them as the zip member `fer.json`, a .tflite file as a zip appended to it, and an .onnx file as a
property.
"""

import json
import re
import shlex
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.images import InputSpec
from fer.models import runtimes
from fer.models.bundled import bundled_models, find_model
from fer.models.runtimes import MEMBER

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
MAX_RATIO = 100  # of the bytes of an unpacked model and those of its zip file
# Types of the metadata that the suite acts on; a file may come from anywhere.
KINDS: dict[str, Any] = {
    **dict.fromkeys(("recipe", "split", "exported", "uncertain_chosen_on"), dict | None),
    **dict.fromkeys(("data", "votes", "init", "device", "dtype", "date", "revision", "imported"), str | None),
    **dict.fromkeys(("teachers", "drop_labels"), list | None),
    **dict.fromkeys(("uncertain_below", "temperature", "training_seconds"), int | float | None),
}
# Metadata that a file gets after its training: a fitted threshold, what it was exported to, and how long it took.
AFTER_TRAINING = ("exported", "uncertain_below", "uncertain_chosen_on", "training_seconds")


@dataclass(frozen=True)
class ModelInfo:
    """Labels, input and metadata of a model.

    Attributes:
        labels: k names, in the order of the network's outputs.
        spec: the images that the network takes.
        metadata: data, recipe, scores, versions, date; anything that JSON can hold.
    """

    labels: tuple[str, ...]
    spec: InputSpec
    metadata: dict = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of `fer.json`. Its key for the metadata is "notes", as in every file written so far."""
        spec = {"size": self.spec.size, "channels": self.spec.channels}
        return json.dumps({"labels": self.labels, "spec": spec, "notes": self.metadata}, indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelInfo":
        """Reads what `to_json` wrote.

        Raises:
            FerError: not JSON, or a part is missing or of the wrong type.
        """
        try:
            content = json.loads(text)
        except ValueError as error:
            raise FerError(f"its {MEMBER} is not JSON ({error})") from error
        try:
            labels, metadata = content["labels"], content["notes"]
            spec = InputSpec(content["spec"]["size"], content["spec"].get("channels", 1))
        except FerError as error:
            raise FerError(f"its {MEMBER} lacks a usable spec: {error}") from error
        except (TypeError, KeyError, AttributeError) as error:
            raise FerError(f"its {MEMBER} lacks labels, spec or notes") from error
        if content["spec"].get("margin"):  # files of earlier versions say 0
            raise FerError(f"its {MEMBER} asks for a margin around the face, which is not supported")
        if not (isinstance(labels, list) and all(isinstance(label, str) for label in labels)):
            raise FerError(f"its {MEMBER} lacks labels, spec or notes")
        if any(CONTROL.search(label) for label in labels):  # of a terminal, or of the direction of writing
            raise FerError(f"its {MEMBER} has labels with control characters: {labels}")
        if not isinstance(metadata, dict):
            raise FerError(f"its {MEMBER} lacks labels, spec or notes")
        for name, kind in KINDS.items():
            if not isinstance(found := metadata.get(name), kind):
                raise FerError(f"its {MEMBER} has the wrong type for {name}: {found!r:.40}")
        if not 0 <= (metadata.get("uncertain_below") or 0) <= 1:
            raise FerError(f"its {MEMBER} has an uncertain_below that is no probability")
        return cls(tuple(labels), spec, metadata)


def read_info(path: str | Path) -> ModelInfo:
    """Reads labels, input and metadata of a model file without Keras.

    Args:
        path: a .keras, .onnx or .tflite file, or the name of a bundled model.

    Raises:
        FerError: the file is missing, damaged, of another kind, or holds no labels.
    """
    path = find_model(path)
    if not path.is_file():
        bare = len(path.parts) == 1 and not path.suffix
        raise FerError(f"{path}: there is no such model file" + bare * f"; bundled: {', '.join(bundled_models())}")
    text = _read_exported(path) if path.suffix in runtimes.SUFFIXES else _read_keras(path)
    try:
        return ModelInfo.from_json(text)
    except FerError as error:
        raise FerError(f"{path}: {error}") from error


def original(path: str | Path) -> Path | None:
    """The .keras file beside an exported model, of the same name, from which it was exported; None if there is none.

    Another file of that name is none, nor is one where either cannot be read.
    """
    path = find_model(path)
    beside = path.with_suffix(".keras")
    if path == beside or not beside.is_file():
        return None
    try:
        ours, theirs = read_info(path), read_info(beside)
    except FerError:
        return None
    for info in (ours, theirs):
        for name in AFTER_TRAINING:
            info.metadata.pop(name, None)
    return beside if ours == theirs else None


def update_metadata(path: str | Path, metadata: dict) -> None:
    """Adds metadata to a .keras or .tflite file, or replaces entries; every other byte stored in it stays the same.

    Raises:
        FerError: as `read_info`, or the file cannot be written.
    """
    path = find_model(path)
    info = read_info(path)
    info = ModelInfo(info.labels, info.spec, info.metadata | metadata)
    with replacing(path) as temporary, zipfile.ZipFile(path) as old:
        start = min(member.header_offset for member in old.infolist())  # behind the network of a .tflite file
        temporary.write_bytes(path.read_bytes()[:start])
        with zipfile.ZipFile(temporary, "a", zipfile.ZIP_DEFLATED) as new:
            for member in old.infolist():
                if member.filename != MEMBER:
                    new.writestr(member, old.read(member))
            new.writestr(MEMBER, info.to_json())


def update_exported(path: str | Path, metadata: dict) -> list[Path]:
    """Adds metadata to the .tflite file beside a .keras file that was exported from it.

    Returns:
        The exported files beside it that keep their metadata: ONNX files, and what cannot be read here.

    Raises:
        FerError: the file cannot be written.
    """
    left = []
    for beside in map(Path(path).with_suffix, runtimes.SUFFIXES):
        if not beside.exists():
            continue
        if beside.suffix == ".tflite" and original(beside):
            update_metadata(beside, metadata)
        else:
            left.append(beside)
    return left


def _read_keras(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                raise FerError(f"{path}: an HDF5 file of older Keras, which holds no labels. {_import_hint(path)}")
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
            if size > MAX_RATIO * path.stat().st_size:  # of a downloaded file
                raise FerError(f"{path}: unpacks to {size / 1e6:,.0f} MB, which no network compresses to")
            if damaged := archive.testzip():
                raise FerError(f"{path}: damaged inside ({damaged}); copy or download it again")
            if MEMBER not in archive.namelist():
                raise FerError(f"{path}: it holds no labels (not saved by this suite). {_import_hint(path)}")
            return runtimes.read_member(path, archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
        raise FerError(f"{path}: truncated, or not a Keras file ({error})") from error


def _read_exported(path: Path) -> str:
    if text := runtimes.read_info_text(path):
        return text
    command = f"python export_model.py MODEL.keras --output {shlex.quote(str(path))} --overwrite"
    raise FerError(f"{path}: it holds no labels (not exported by this suite). Export it again: {command}")


def _import_hint(path: Path) -> str:
    command = f"python import_model.py {shlex.quote(str(path))} --labels A,B,C --range 0,1 --output NEW.keras"
    return f"Import it with its labels in the order of its outputs: {command}"
