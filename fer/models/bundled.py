"""The trained models that come with the package, by name."""

from importlib.util import find_spec
from pathlib import Path

from fer.models import hub

BEST, FAST = "fer2013", "fer2013-fast"

_PACKAGE = Path(__file__).resolve().parents[1]
# `pip install` copies models/ into the package (package-dir in pyproject.toml); a checkout has it beside the package.
FOLDER = _PACKAGE / "_models" if (_PACKAGE / "_models").is_dir() else _PACKAGE.parent / "models"


def bundled_models() -> dict[str, Path]:
    """The bundled models, sorted by name: {"fer2013": .../fer2013.keras, ...}. Each has a card beside it."""
    found = {path.stem: path for path in FOLDER.glob("*.keras") if path.with_suffix(".md").exists()}
    return dict(sorted(found.items()))


def checksums() -> dict[str, str]:
    """The SHA-256 of each file as it was shipped, by its name; empty where the list is missing."""
    path = FOLDER / "SHA256SUMS"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return {name: digest for digest, name in map(str.split, lines)}


def find_model(model: str | Path) -> Path:
    """The file of a model that is named by its path or, for a bundled one, by its name.

    Args:
        model: a path; or "fer2013", "fer2013.tflite" and the like, without a suffix the .keras file; or
            "hf:OWNER/NAME" or "kaggle:...", which is downloaded (`hub.download`). A file in the current folder comes
            first.

    Returns:
        The path of the bundled model if there is one of that name; otherwise `model`, whether or not it exists.

    Raises:
        FerError: a model that cannot be downloaded.
    """
    if hub.is_address(model):
        return hub.download(str(model))
    path = Path(model)
    if path.name != str(model) or path.is_file():
        return path
    shipped = FOLDER / (path.name if path.suffix in hub.SUFFIXES else f"{path.name}.keras")
    return shipped if shipped.is_file() else path


def live_model() -> str:
    """The name of the bundled model for live video: the int8 one if LiteRT is installed (benchmarks/live.py)."""
    return f"{FAST}.tflite" if find_spec("ai_edge_litert") else FAST
