"""What wrote a table of results: a JSON file beside it, so that a run is resumed with the same model and detector only.

`results.csv` gets `results.meta.json`; a folder of Parquet parts holds it as `_results.meta.json`.
"""

import json
import logging
import platform
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import cv2

import fer
from fer.core.errors import FerError
from fer.core.files import file_sha256, write_text
from fer.inference.results import FORMATS

logger = logging.getLogger(__name__)

# Two runs that differ in one of these do not belong into one table.
DEFINING = ("model_sha256", "detector", "detector_model_sha256", "uncertain_below")


def metadata_path(output: str | Path) -> Path:
    """The file beside a table of results, or in a folder of them: results.csv -> results.meta.json."""
    path = Path(output)
    # Readers of Parquet folders leave out names that begin with an underscore.
    return path.with_suffix(".meta.json") if path.suffix.lower() in FORMATS else path / "_results.meta.json"


def describe_run(
    output: str | Path,
    model: str | Path,
    *,
    detector: str,
    detector_model: str | Path | None = None,
    uncertain_below: float | None = None,
) -> dict:
    """Describes a run as its metadata file does.

    Args:
        output: the table of results.
        model: the model file.
        detector: its name, see `detectors.CHOICES`.
        detector_model: the file of the detector's network.
        uncertain_below: see `Prediction`.
    """
    return {
        "results": Path(output).name,
        "model": str(model),
        "model_sha256": file_sha256(model),
        "detector": detector,
        "detector_model_sha256": None if detector_model is None else file_sha256(detector_model),
        "uncertain_below": uncertain_below,
        "versions": {"fer": fer.__version__, "opencv": cv2.__version__, "python": platform.python_version()},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def write_metadata(run: dict, output: str | Path) -> None:
    """Writes the metadata of a run beside its table; an older file is replaced."""
    write_text(metadata_path(output), json.dumps(run, indent=1, ensure_ascii=False))


def check_own(output: str | Path) -> None:
    """Refuses a table whose metadata would replace those of another one: results.csv and results.jsonl share a file.

    Raises:
        FerError: there is such a table.
    """
    with suppress(OSError, ValueError, AttributeError):  # no metadata, or none of a table
        named = json.loads(metadata_path(output).read_text(encoding="utf-8")).get("results")
        if named and named != Path(output).name and Path(output).with_name(named).exists():
            raise FerError(f"{output}: {metadata_path(output).name} belongs to {named}; choose another name")


def check_resumable(run: dict, output: str | Path) -> dict | None:
    """Compares a run with the one that wrote a table, before more rows are added to it.

    Args:
        run: of `describe_run`.
        output: the table or folder; nothing is checked where it does not exist or is empty.

    Returns:
        The metadata of the run that wrote the table; None where there is none.

    Raises:
        FerError: another model, detector or threshold wrote the table, or nothing says which.
    """
    output, path = Path(output), metadata_path(output)
    if not (any(output.iterdir()) if output.is_dir() else output.exists() and output.stat().st_size):
        return None
    begin = "start again with --overwrite, or choose another --output"
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        unknown = "cannot be read, so the model that wrote the table is unknown"
        raise FerError(f"{output}: {path.name} {unknown}; {begin}") from error
    if not isinstance(before, dict) or before.get("results") != output.name:
        raise FerError(f"{output}: {path.name} belongs to another table, so its model is unknown; {begin}")
    if changed := [name for name in DEFINING if before.get(name) != run[name]]:
        was = ", ".join(f"{name} {before.get(name)}, now {run[name]}" for name in changed)
        raise FerError(f"{output}: another model or detector wrote it ({was}); go on with those, or {begin}")
    if before.get("versions") != run["versions"]:
        logger.warning("%s: written with %s, resumed with %s", output, before.get("versions"), run["versions"])
    return before
