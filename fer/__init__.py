"""Facial-expression recognition with Keras: train, evaluate and run small networks on FER2013, FER+ and class folders.

    import fer

    recognizer = fer.load("fer2013")
    for prediction in recognizer("photo.jpg"):
        print(prediction.label, prediction.confidence, prediction.box)

Importing the package loads nothing heavy: the names below are imported when they are first used (PEP 562).
"""

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING

if sys.version_info < (3, 11):  # noqa: UP036 - a checkout is not installed, and pip does not refuse it
    raise ImportError(f"fer needs Python 3.11 or later; this is {sys.version.split()[0]}")

from fer.core.errors import FerError
from fer.core.formats import MOST_PIXELS

# Keras asks for its backend once, when it is first imported. KERAS_BACKEND=jax or torch is respected.
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# TensorFlow's start-up notes hide our own lines; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# Read by OpenCV when it is first imported.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(MOST_PIXELS))
# Read once, when FFmpeg is first used: its lines about broken streams may hold a password.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

if TYPE_CHECKING:
    from fer.api import Recognizer, load, load_dataset
    from fer.cross_validation import CrossValidation, cross_validate
    from fer.data.dataset import Dataset
    from fer.evaluation.metrics import Report
    from fer.evaluation.predictions import evaluate
    from fer.inference.faces import Box
    from fer.inference.recognizer import Prediction
    from fer.models.classifier import Classifier
    from fer.training.recipe import Recipe
    from fer.training.recipes import RECIPES
    from fer.training.train import TrainingResult, train

__version__ = "1.0.0"
__all__ = [
    "RECIPES",
    "Box",
    "Classifier",
    "CrossValidation",
    "Dataset",
    "FerError",
    "Prediction",
    "Recipe",
    "Recognizer",
    "Report",
    "TrainingResult",
    "cross_validate",
    "evaluate",
    "load",
    "load_dataset",
    "train",
]

_HOMES = {
    "Box": "fer.inference.faces",
    "Classifier": "fer.models.classifier",
    "CrossValidation": "fer.cross_validation",
    "Dataset": "fer.data.dataset",
    "Prediction": "fer.inference.recognizer",
    "RECIPES": "fer.training.recipes",
    "Recipe": "fer.training.recipe",
    "Recognizer": "fer.api",
    "Report": "fer.evaluation.metrics",
    "TrainingResult": "fer.training.train",
    "cross_validate": "fer.cross_validation",
    "evaluate": "fer.evaluation.predictions",
    "load": "fer.api",
    "load_dataset": "fer.api",
    "train": "fer.training.train",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
