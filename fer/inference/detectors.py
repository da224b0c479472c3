"""The face detectors by name. `benchmarks/faces.py` measures what they find, how they frame it and what it costs."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.inference import model_files
from fer.inference.dnn_detectors import YUNET, Mtcnn, YuNet
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


class YuNetThenHaar:
    """YuNet, and Haar's passes in an image where it finds nothing; YuNet must see what Haar found, see `YuNet.sees`.

    Of 300 faces of FER2013 this finds 283 with 8 false positives, another draw 290 with 3; Haar alone finds 263 with 10
    and 263 with 9, in four times the time (benchmarks/faces.py). A video is searched by Haar, whose local search takes
    2 ms for a face, and YuNet must see each new face once.

    Args:
        model: see `YuNet`.

    Attributes:
        in_video: the detector for the frames of a video.
    """

    name = "auto"

    def __init__(self, model: str | Path):
        self.in_video, self._yunet = Haar(), YuNet(model)

    def find(self, image: np.ndarray) -> list[Face]:
        """Faces in an image uint8 (H, W, 3) BGR, the largest first."""
        return self._yunet.find(image) or [face for face in self.in_video.find(image) if self.confirms(image, face)]

    def confirms(self, image: np.ndarray, face: Face) -> bool:
        """Whether YuNet sees this face, too, in the image uint8 (H, W, 3) BGR."""
        return self._yunet.sees(image, face)


# A detector that needs a model file takes its path.
DETECTORS: dict[str, Callable[..., Detector]] = {
    "haar": Haar,
    "mtcnn": Mtcnn,
    "yunet": YuNet,
    "none": WholeImage,
}
WITH_MODEL = frozenset(name for name, make in DETECTORS.items() if getattr(make, "takes_model", False))
AUTO = "auto"  # the default detector; small square images are taken as cropped faces
CHOICES = (AUTO, *DETECTORS)


def automatic_model(name: str, model: str | Path | None) -> str | Path | None:
    """The model file that a detector of that name takes: for "auto" YuNet's if it was fetched before, else none.

    Nothing is fetched for "auto": only who names "yunet" asks for that.
    """
    return model_files.cached(YUNET) if name == AUTO and model is None else model


def create_detector(name: str = AUTO, model: str | Path | None = None) -> Detector:
    """Creates a detector.

    Args:
        name: one of `CHOICES`. "auto" is `YuNetThenHaar` where YuNet's file is named or was fetched before, else
            "haar".
        model: the ONNX file of YuNet, which "yunet" fetches by default; the others take none.

    Raises:
        FerError: an unknown name, a model file that is missing, cannot be fetched or is not taken, or a detector that
            is not installed.
    """
    if name not in CHOICES:
        raise FerError(f"the detector must be one of {', '.join(CHOICES)}, not {name!r}")
    if name == AUTO:
        found = automatic_model(name, model)
        return Haar() if found is None else YuNetThenHaar(found)
    if name not in WITH_MODEL:
        if model is not None:
            raise FerError(f"--detector-model is for --detector {AUTO} and {', '.join(WITH_MODEL)}; {name} takes none")
        return DETECTORS[name]()
    return DETECTORS[name](model)
