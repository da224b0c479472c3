"""One uploaded picture: checked by its header, decoded in memory, labelled."""

import io
import re

import numpy as np
from fastapi import HTTPException
from PIL import Image
from pydantic import BaseModel, Field

from fer.core import images
from fer.core.errors import FerError
from fer.inference.recognizer import Prediction, Recognizer
from fer.web.limits import Limits

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
MOST_SCANS = 100  # of a progressive JPEG; usual are ten. Each is a walk over the whole picture and may take 60 bytes
_MARK = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # of a segment with a length, or of the end


class LabelledFace(BaseModel):
    """A face: its box in pixels of the upright picture, and what the network says of it."""

    x: int
    y: int
    width: int
    height: int
    label: str
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]


class Answer(BaseModel):
    """What `/predict` says of a picture."""

    emotion: str | None = Field(description="label of the largest face; null where no face is found")
    faces: list[LabelledFace] = Field(description="the largest first")
    width: int = Field(description="of the upright picture, pixels")
    height: int


def answer(predictions: list[Prediction], image: np.ndarray) -> dict:
    """Predictions in the shape of `Answer`, and the number of each face that is followed."""
    faces = [one.to_dict() for one in sorted(predictions, key=lambda one: -one.box.area)]
    height, width = image.shape[:2]
    return {"emotion": faces[0]["label"] if faces else None, "faces": faces, "width": width, "height": height}


def decode(data: bytes, most_pixels: int, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """Decodes a picture whose kind and size its header has shown to be acceptable.

    Args:
        data: a file's bytes.
        most_pixels: of the picture.
        formats: names of Pillow's.

    Returns:
        uint8 (H, W, 3) BGR, upright.

    Raises:
        HTTPException: 413 for too many pixels, 415 for another kind of file, 422 for a damaged one.
    """
    if not data:
        raise HTTPException(422, "the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as header:  # reads no pixels
            width, height = header.size
    except Image.DecompressionBombError:
        raise HTTPException(413, f"the picture has more than {most_pixels:,} pixels") from None
    except Exception:  # its readers of headers raise nearly anything at hostile ones
        raise HTTPException(415, f"not a picture of these kinds: {', '.join(formats)}") from None
    if width * height > most_pixels:
        raise HTTPException(413, f"the picture has {width:,} x {height:,} pixels; {most_pixels:,} are the most")
    if data.startswith(b"\xff\xd8") and _scans(data) > MOST_SCANS:
        raise HTTPException(422, f"the JPEG picture has more than {MOST_SCANS} scans; save it anew")
    try:
        return images.decode(data)
    except FerError as error:
        raise HTTPException(422, str(error)) from None


def _scans(data):
    """Scans of a JPEG, as far as a decoder reads it, up to one too many. Marks inside other segments do not count."""
    count, at = 0, 2
    while count <= MOST_SCANS and (mark := _MARK.search(data, at)):
        if mark[1] == b"\xd9":  # the end
            break
        count += mark[1] == b"\xda"
        at = mark.end() + int.from_bytes(data[mark.end() : mark.end() + 2], "big")
    return count


class Pictures:
    """Labels pictures, in as many threads at once as its recognizer has detectors.

    Args:
        recognizer: finds and labels the faces.
        limits: see `Limits`.
    """

    def __init__(self, recognizer: Recognizer, *, limits: Limits):
        self.recognizer, self.limits = recognizer, limits

    def label(self, data: bytes) -> dict:
        """The faces of a picture file, in the shape of `Answer`.

        Raises:
            HTTPException: see `decode`; 422 also for a shape that cannot be searched.
        """
        image = decode(data, self.limits.picture_pixels)
        try:
            return answer(self.recognizer(image), image)
        except FerError as error:
            raise HTTPException(422, str(error)) from None
