"""Detectors: Haar cascades (the default), MTCNN, YuNet, and none at all for pictures that are faces already.

`benchmarks/faces.py` measures what they find, how they frame it and what it costs.
"""

from pathlib import Path

import numpy as np

from fer.core.errors import FerError
from fer.inference.dnn_detectors import Mtcnn, YuNet
from fer.inference.faces import Box, Detector, Face, check_image
from fer.inference.haar import Haar

NAMES = ("haar", "mtcnn", "yunet", "none")


def detector(name: str, model: str | Path | None = None) -> Detector:
    """The detector of that name.

    Args:
        name: one of `NAMES`.
        model: the ONNX file of "yunet"; the others need none.

    Raises:
        FerError: an unknown name, "yunet" without its file, or a detector that is not installed.
    """
    if name not in NAMES:
        raise FerError(f"the detector must be one of {', '.join(NAMES)}, not {name!r}")
    if name == "yunet":
        if model is None:
            raise FerError("the detector yunet needs its network: --detector-model FILE.onnx")
        return YuNet(model)
    return {"haar": Haar, "mtcnn": Mtcnn, "none": WholeImage}[name]()


class WholeImage:
    """No search: the whole picture is one face, and its crop the picture itself, as training pictures are taken."""

    name = "none"

    def find(self, image: np.ndarray) -> list[Face]:
        """One face with score 1, the size of the picture.

        Raises:
            FerError: the array is not uint8 (H, W, 3).
        """
        check_image(image)
        return [Face(Box(0, 0, image.shape[1], image.shape[0]), 1.0)]
