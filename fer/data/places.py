"""Where data lie: a path, "demo" for synthetic faces, or a data set on Kaggle or on the Hugging Face Hub."""

import os
import re
import zipfile
from pathlib import Path

from fer.core.errors import FerError

DEMO = "demo"
IN_MEMORY = "in memory"  # stands for data sets that their caller has loaded
KAGGLE, HUGGING_FACE = "kaggle:", "hf:"
PLACES = f"PATH|{DEMO}|{KAGGLE}OWNER/NAME|{HUGGING_FACE}OWNER/NAME"  # for help texts


def is_path(source: str | Path) -> bool:
    """False for what is drawn, downloaded or loaded already."""
    return str(source) not in (DEMO, IN_MEMORY) and not is_address(source)


def is_address(source: str | Path) -> bool:
    """True for a data set that is downloaded."""
    return str(source).startswith((KAGGLE, HUGGING_FACE))


def name_of(source: str | Path) -> str:
    """What a model file calls its data: the last part of the path, or the whole address."""
    return Path(os.path.abspath(source)).name if is_path(source) else str(source)


def same(one: str | Path, other: str | Path) -> bool:
    """Whether two sources are one place, however they are written."""
    if is_path(one) and is_path(other):
        return os.path.realpath(one) == os.path.realpath(other)
    return str(one) == str(other)


def exists(source: str | Path) -> bool:
    """False for a folder or a file that is not there; what is drawn or downloaded exists."""
    return not is_path(source) or Path(source).exists()


def local(source: str | Path) -> str:
    """The source itself, or the folder to which Kaggle's data were downloaded.

    Raises:
        FerError: they cannot be downloaded.
    """
    source = str(source)
    return str(_download(source.removeprefix(KAGGLE))) if source.startswith(KAGGLE) else source


def _download(handle: str) -> Path:
    if not re.fullmatch(r"[\w-]+/[\w-]+(/versions/\d+)?", handle):
        raise FerError(f"kaggle:{handle}: expected kaggle:OWNER/NAME, as in the address of the data set's page")
    try:
        import kagglehub
    except ImportError as error:
        raise FerError("data from Kaggle need kagglehub: pip install kagglehub") from error
    try:
        return Path(kagglehub.dataset_download(handle))
    except (ValueError, OSError, zipfile.BadZipFile, kagglehub.exceptions.DataCorruptionError) as error:
        raise FerError(f"kaggle:{handle}: {' '.join(str(error).split())}") from error  # requests' errors are OSErrors
