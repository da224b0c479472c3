"""The verbs of `import fer` that no single package can offer: they combine several."""

from collections.abc import Iterator
from pathlib import Path

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.dataset import Dataset
from fer.inference import recognizer
from fer.inference.detectors import AUTO
from fer.inference.recognizer import Prediction
from fer.models.bundled import BEST
from fer.models.classifier import Classifier
from fer.video import session
from fer.video.frames import Frame


class Recognizer(recognizer.Recognizer):
    """Finds the faces of an image or a video and labels their expressions.

        recognizer = fer.load("fer2013")
        for prediction in recognizer("photo.jpg"):
            print(prediction.label, prediction.confidence, prediction.box)

    `fer.load` builds it; see the base class for the arguments.
    """

    def track(
        self, source: str | Path | int, *, smoothing: float = session.SMOOTHING, skip: int = 1
    ) -> Iterator[tuple[Frame, list[Prediction]]]:
        """Labels the faces of a video frame by frame and follows each of them. Leaving the loop closes the video.

        Args:
            source: a video file, the number of a webcam, or the address of a network camera.
            smoothing: time constant in seconds over which the probabilities of a face are averaged; 0 switches it off.
            skip: label every Nth frame; the frames between repeat its faces.

        Yields:
            The frame, with `image` uint8 (H, W, 3) BGR, `index` and `seconds`, and its faces. `Prediction.track` is the
            number of the face.

        Raises:
            FerError: the video cannot be opened, or `skip` is below 1.
        """
        return session.track(self, str(source), smoothing=smoothing, skip=skip)


def load(
    model: str | Path = BEST,
    *,
    detector: str = AUTO,
    detector_model: str | Path | None = None,
    uncertain: bool = False,
) -> Recognizer:
    """Loads a model together with a face detector.

        recognizer = fer.load("fer2013")
        predictions = recognizer("photo.jpg")

    Args:
        model: the name of a bundled model ("fer2013", "fer2013-fast", "ferplus"), the path of a .keras, .onnx or
            .tflite file, or an address: "hf:OWNER/NAME" or "kaggle:OWNER/MODEL/FRAMEWORK/VARIATION".
        detector: "auto" takes small square images as cropped faces and searches the others with YuNet if it was
            fetched before, and with Haar cascades; "haar", "mtcnn" and "yunet" search every image; "none" takes every
            image as one face.
        detector_model: the ONNX file of YuNet, which "yunet" fetches once by default.
        uncertain: mark predictions below the confidence threshold that the model file holds; see `Prediction.shown`.

    Returns:
        A recognizer: call it with a path, a PIL image or an array uint8 (H, W, 3) in BGR order.

    Raises:
        FerError: the model or the detector cannot be loaded, or the model has no threshold for `uncertain`.
    """
    classifier = Classifier.load(model)
    below = classifier.metadata.get("uncertain_below") if uncertain else None
    if uncertain and below is None:
        raise FerError(f"{model}: it has no confidence threshold; fit one with evaluate.py --fit-threshold")
    return Recognizer.create(classifier, detector, detector_model=detector_model, uncertain_below=below)


def load_dataset(source: str | Path, *, size: int = 48, channels: int = 1, **options) -> dict[str, Dataset]:
    """Loads labelled images: into memory where they fit, else they are decoded when they are needed.

        data = fer.load_dataset("fer2013/")
        print(data["train"].counts)

    Args:
        source: a folder or a table (docs/data.md lists the forms), "demo" for synthetic faces, "kaggle:OWNER/NAME" or
            "hf:OWNER/NAME".
        size, channels: side in pixels and 1 (grey) or 3 (colour), as the network takes them.
        options: more arguments of `fer.data.loading.load`, such as `splits`, `labels`, `votes` and `cache`.

    Returns:
        A data set for each split, by default "train" and "validation".

    Raises:
        FerError: the source cannot be used, or lacks a split.
    """
    return loading.load(source, InputSpec(size, channels), **options)
