"""Facial expressions in an image: a detector finds the faces, a classifier labels them."""

import os
import queue
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self, Union, get_args

import cv2
import numpy as np

from fer.core import images
from fer.core.errors import FerError
from fer.inference.detectors import AUTO, WholeImage, create_detector
from fer.inference.faces import Box, Detector, Face, check_image, crop
from fer.models.classifier import Classifier

if TYPE_CHECKING:
    from PIL.Image import Image as PilImage

CROPPED_SIDE = 128  # pixels: a square image up to this size is taken as a cropped face ...
CROPPED_RATIO = 1.05  # ... square up to this ratio of its sides ...
CROPPED_LEAST = 16  # ... and no smaller than this

# Which images are taken as cropped faces: small square ones, all square ones, or none.
Cropped = Literal["auto", "square", "never"]
UNCERTAIN = "uncertain"  # shown in place of a label
DECIMALS = 4  # of a probability in JSON and tables

Source = Union[str, "os.PathLike[str]", np.ndarray, "PilImage"]


@dataclass(frozen=True)
class Prediction:
    """The expression of one face.

    Attributes:
        face: the face in its image.
        distribution: float32 (k,), probabilities that sum to 1; a tracker smooths them over time.
        labels: k names, in the order of the distribution.
        track: number of the face in a video; None in a single image.
        chosen: index of the label to show where it is not the most probable one (hysteresis); else None.
        uncertain_below: confidence below which "uncertain" is shown; None switches that off.
    """

    face: Face
    distribution: np.ndarray
    labels: tuple[str, ...]
    track: int | None = None
    chosen: int | None = None
    uncertain_below: float | None = None

    @property
    def box(self) -> Box:
        """Where the face is, in pixels."""
        return self.face.box

    @property
    def label(self) -> str:
        """The most probable label; in a video the one that is shown (hysteresis)."""
        return self.labels[self._index]

    @property
    def confidence(self) -> float:
        """Probability of `label`, 0 to 1."""
        return float(self.distribution[self._index])

    @property
    def probabilities(self) -> Mapping[str, float]:
        """Probability of each label."""
        return dict(zip(self.labels, self.distribution.tolist(), strict=True))

    @property
    def uncertain(self) -> bool:
        """True where the confidence is below `uncertain_below`."""
        return self.uncertain_below is not None and self.confidence < self.uncertain_below

    @property
    def shown(self) -> str:
        """The text to show: the label, or "uncertain"."""
        return UNCERTAIN if self.uncertain else self.label

    @property
    def _index(self) -> int:
        return int(self.distribution.argmax()) if self.chosen is None else self.chosen

    def to_dict(self) -> dict:
        """The prediction as JSON holds it; result tables and the web page write these values.

        Returns:
            `x`, `y`, `width`, `height` in pixels, `label`, `confidence`, `probabilities` by label; also `track` in a
            video, and `uncertain` where a threshold is set. Probabilities have four decimals.
        """
        box = self.box
        return {
            **{"x": box.x, "y": box.y, "width": box.width, "height": box.height},
            "label": self.label,
            "confidence": round(self.confidence, DECIMALS),
            "probabilities": {label: round(share, DECIMALS) for label, share in self.probabilities.items()},
            **({} if self.track is None else {"track": self.track}),
            **({} if self.uncertain_below is None else {"uncertain": self.uncertain}),
        }


@dataclass(frozen=True)
class Detection:
    """The faces of one image and their input for the network.

    Attributes:
        faces: the largest first.
        inputs: for each face uint8 (size, size, channels), see `images.prepare`.
        cropped: True if the whole image was taken as one face.
    """

    faces: Sequence[Face] = ()
    inputs: Sequence[np.ndarray] = ()
    cropped: bool = False


class Recognizer:
    """Finds the faces of an image and labels their expressions.

        recognizer = Recognizer(Classifier.load("models/fer2013.keras"), Haar())
        for prediction in recognizer("photo.jpg"):
            print(prediction.label, prediction.confidence, prediction.box)

    Threads may share a recognizer: each search takes a free detector and waits if there is none.

    Args:
        classifier: labels the faces.
        detector: finds them; several detectors search several images at once.
        cropped: "auto" takes small square images as cropped faces, see `is_cropped_face`; "square" takes all square
            images as such; "never" searches every image.
        uncertain_below: see `Prediction`.
    """

    def __init__(
        self,
        classifier: Classifier,
        detector: Detector | Sequence[Detector],
        *,
        cropped: Cropped = "auto",
        uncertain_below: float | None = None,
    ):
        if cropped not in get_args(Cropped):
            raise FerError(f"cropped must be one of {', '.join(get_args(Cropped))}, not {cropped!r}")
        self.classifier, self.cropped, self.uncertain_below = classifier, cropped, uncertain_below
        self.detectors = tuple(detector) if isinstance(detector, Sequence) else (detector,)
        self._create: Callable[[], Detector] = lambda: self.detectors[0]
        self._free: queue.SimpleQueue[Detector] = queue.SimpleQueue()
        for one in self.detectors:
            self._free.put(one)

    @classmethod
    def create(
        cls,
        classifier: Classifier,
        detector: str = AUTO,
        *,
        detector_model: str | Path | None = None,
        detectors: int = 1,
        uncertain_below: float | None = None,
    ) -> Self:
        """Creates a recognizer with detectors by name.

        Args:
            classifier: labels the faces.
            detector: one of `detectors.CHOICES`; "auto" also takes small square images as cropped faces.
            detector_model: see `detectors.create_detector`.
            detectors: how many images are searched at once.
            uncertain_below: see `Prediction`.

        Raises:
            FerError: as `detectors.create_detector`.
        """
        found = [create_detector(detector, detector_model) for _ in range(detectors)]
        cropped: Cropped = "auto" if detector == AUTO else "never"
        made = cls(classifier, found, cropped=cropped, uncertain_below=uncertain_below)
        made._create = partial(create_detector, detector, detector_model)
        return made

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.classifier!r}, {type(self.detectors[0]).__name__})"

    def new_detector(self) -> Detector:
        """A detector like its own, for a video; its first one where it was built from detector objects."""
        return self._create()

    def __call__(self, image: Source) -> list[Prediction]:
        """Labels the faces of one image.

        Args:
            image: a path, a PIL image, or an array uint8 (H, W, 3) in BGR order or (H, W) in grey.

        Returns:
            One prediction for each face, the largest face first.

        Raises:
            FerError: the image cannot be read or searched.
        """
        (predictions,) = self.classify([self.detect(load_image(image))])
        return predictions

    def detect(self, image: np.ndarray) -> Detection:
        """Finds the faces of one image, without labels.

        Args:
            image: uint8 (H, W, 3) BGR.

        Raises:
            FerError: the array is no such image, or OpenCV cannot search an image of its shape.
        """
        check_image(image)
        whole = {"auto": is_cropped_face, "square": is_square, "never": lambda image: False}[self.cropped]
        if whole(image):
            return replace(self.prepare(image, WholeImage().find(image)), cropped=True)
        detector = self._free.get()
        try:
            with opencv_errors():
                faces = detector.find(image)
        finally:
            self._free.put(detector)
        return self.prepare(image, faces)

    def prepare(self, image: np.ndarray, faces: Sequence[Face]) -> Detection:
        """Cuts known faces out of an image uint8 (H, W, 3) BGR and prepares them for the network."""
        spec = self.classifier.spec
        return Detection(faces, [images.prepare(crop(image, face), spec) for face in faces])

    def classify(self, detections: Sequence[Detection]) -> list[list[Prediction]]:
        """Labels the faces of any number of images in one call of the network.

        Returns:
            For each detection a list with one prediction for each of its faces, in the same order.
        """
        inputs = [one for detection in detections for one in detection.inputs]
        distributions = iter(self.classifier.predict(np.stack(inputs)) if inputs else ())
        labels, below = self.classifier.labels, self.uncertain_below
        return [
            [Prediction(face, next(distributions), labels, uncertain_below=below) for face in detection.faces]
            for detection in detections
        ]


def is_square(image: np.ndarray) -> bool:
    """True for an image (H, W, 3) whose sides differ by 5 % at most and have `CROPPED_LEAST` pixels at least."""
    short, long = sorted(image.shape[:2])
    return short >= CROPPED_LEAST and long <= CROPPED_RATIO * short


def is_cropped_face(image: np.ndarray) -> bool:
    """True for a square image (H, W, 3) of `CROPPED_SIDE` pixels at most, such as data sets of faces hold."""
    return is_square(image) and max(image.shape[:2]) <= CROPPED_SIDE


def load_image(source: Source) -> np.ndarray:
    """An image as the suite takes it, uint8 (H, W, 3) BGR, from a path, a PIL image, such an array or a grey one.

    Another array comes back unchecked: `Recognizer.detect` refuses another type or shape.

    Raises:
        FerError: the file cannot be read, or the source is nothing of that.
    """
    if isinstance(source, (str, os.PathLike)):
        return images.read(os.fspath(source))
    if isinstance(source, np.ndarray):
        grey = source.ndim == 2 or (source.ndim == 3 and source.shape[2] == 1)
        return cv2.cvtColor(source, cv2.COLOR_GRAY2BGR) if grey and source.dtype == np.uint8 else source
    from PIL import Image

    if isinstance(source, Image.Image):
        return images.from_pillow(source)
    raise FerError(f"an image is a path, a PIL image or an array uint8 (H, W, 3), not {type(source).__name__}")


@contextmanager
def opencv_errors() -> Iterator[None]:
    """Turns the errors of OpenCV's filters into `FerError`: they refuse images of extreme shapes.

    Raises:
        FerError: the block raised `cv2.error`.
    """
    try:
        yield
    except cv2.error as error:
        raise FerError(f"OpenCV cannot search this image for faces ({error.err})") from error
