"""The face detectors by name. `benchmarks/faces.py` measures what they find, how they frame it and what it costs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.inference.dnn_detectors import Mtcnn, YuNet
from fer.inference.faces import Box, Detector, Face, check_image
from fer.inference.haar import Haar


class WholeImage:
    """No search: the whole image is one face, as training images are taken."""

    name = "none"

    def find(self, image: np.ndarray) -> list[Face]:
        """One face with score 1 and the size of the image.

        Raises:
            FerError: the array is not uint8 (H, W, 3), or its size is extreme.
        """
        check_image(image)
        return [Face(Box(0, 0, image.shape[1], image.shape[0]), 1.0)]


# A detector that needs a model file takes its path.
DETECTORS: dict[str, Callable[..., Detector]] = {
    "haar": Haar,
    "mtcnn": Mtcnn,
    "yunet": YuNet,
    "none": WholeImage,
}
WITH_MODEL = frozenset(name for name, make in DETECTORS.items() if getattr(make, "takes_model", False))
AUTO = "auto"  # the default detector; small square images are taken as cropped faces
DEFAULT = "haar"
CHOICES = (AUTO, *DETECTORS)


def create_detector(name: str = AUTO, model: str | Path | None = None) -> Detector:
    """Creates a detector.

    Args:
        name: one of `CHOICES`.
        model: the ONNX file of "yunet", which is fetched by default; the others take none.

    Raises:
        FerError: an unknown name, a model file that is missing, cannot be fetched or is not taken, or a detector that
            is not installed.
    """
    if name not in CHOICES:
        raise FerError(f"the detector must be one of {', '.join(CHOICES)}, not {name!r}")
    name = DEFAULT if name == AUTO else name
    if name not in WITH_MODEL:
        if model is not None:
            raise FerError(f"--detector-model is for --detector {', '.join(WITH_MODEL)}; {name} takes no file")
        return DETECTORS[name]()
    return DETECTORS[name](model)
