"""POST /predict: one uploaded image, checked by its header, decoded in memory, labelled."""

import io
import re
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, HTTPException, Request, UploadFile
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from fer.core import images
from fer.core.errors import FerError
from fer.inference.faces import check_size
from fer.inference.recognizer import Prediction, Recognizer
from fer.web.limits import Limits
from fer.web.problems import Problem, problem_responses, refuse
from fer.web.slots import Slots, client_of
from fer.web.state import State

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow's names
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # of a segment with a length, or of the end


class LabelledFace(BaseModel):
    """A face: its box in pixels of the upright image, and the probability of each label."""

    model_config = ConfigDict(extra="allow")  # a further value of `Prediction.to_dict` passes

    x: int
    y: int
    width: int
    height: int
    label: str
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]
    uncertain: bool | None = Field(
        default=None, description="whether the confidence is below the model's threshold; absent where it has none"
    )


class LabelledImage(BaseModel):
    """The faces of an image."""

    emotion: str | None = Field(description="label of the largest face; null where no face is found")
    faces: list[LabelledFace] = Field(description="the largest first")
    width: int = Field(description="of the upright image, pixels")
    height: int


class LabelledImages(BaseModel):
    """The results of several images, in the order in which they were sent."""

    results: list[LabelledImage | Problem]


def create_router(state: State) -> APIRouter:
    """The routes for images."""
    router = APIRouter(tags=["images"])
    slots = Slots(state.limits.images, "images", per_client=state.limits.images_per_client)
    state.gauges["images"] = "Requests with images that are labelled or wait for it", slots.held.total

    @router.post(
        "/predict",
        response_model_exclude_unset=True,
        responses=problem_responses(400, 403, 408, 413, 415, 422, 429, 503),
    )
    async def predict(
        request: Request, image: Annotated[list[UploadFile], File(description="JPEG, PNG, WebP or BMP")]
    ) -> LabelledImage | LabelledImages:
        """Labels the faces of an image, the largest first.

        Several fields `image` give a list with a result for each, in order; a bad image does not spoil the others.
        """
        if len(image) > state.limits.images_per_request:
            refuse(413, f"the limit is {state.limits.images_per_request} images per request")
        client = client_of(request)
        with slots.hold(client):
            if len(image) == 1:
                return await label_upload(client, image[0])
            return LabelledImages(results=[await label_or_problem(client, one) for one in image])

    async def label_upload(client: str, upload: UploadFile) -> LabelledImage:
        data = await upload.read()
        result = await state.run(state.image_pool, client, label, state.recognizer, data, state.limits)
        if state.metrics:
            state.metrics.faces.inc(len(result["faces"]))
        return LabelledImage(**result)

    async def label_or_problem(client: str, upload: UploadFile) -> LabelledImage | Problem:
        try:
            return await label_upload(client, upload)
        except HTTPException as error:
            return Problem(detail=error.detail)

    return router


def label(recognizer: Recognizer, data: bytes, limits: Limits) -> dict:
    """The faces of an image file, in the shape of `LabelledImage`.

    Raises:
        HTTPException: see `decode`; 422 also for a shape that cannot be searched.
    """
    image = decode(data, limits, most_pixels=limits.image_pixels)
    try:
        return labelled(recognizer(image), image)
    except FerError as error:
        refuse(422, str(error))


def labelled(predictions: list[Prediction], image: np.ndarray) -> dict:
    """Predictions in the shape of `LabelledImage`, with the number of each face that is tracked."""
    faces = [one.to_dict() for one in sorted(predictions, key=lambda one: -one.box.area)]
    height, width = image.shape[:2]
    return {"emotion": faces[0]["label"] if faces else None, "faces": faces, "width": width, "height": height}


def decode(data: bytes, limits: Limits, *, most_pixels: int, formats: tuple[str, ...] = FORMATS) -> np.ndarray:
    """Decodes an image after its header has shown an allowed format and size.

    Args:
        data: the bytes of a file.
        limits: see `Limits`.
        most_pixels: of the image.
        formats: allowed ones, by Pillow's names.

    Returns:
        uint8 (H, W, 3) BGR, upright.

    Raises:
        HTTPException: 413 for too many pixels, 415 for another kind of file, 422 for a damaged file or a strip.
    """
    if not data:
        refuse(422, "the file is empty (0 bytes)")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as header:  # reads no pixels
            width, height = header.size
    except Image.DecompressionBombError:
        raise HTTPException(413, f"the image has more than {most_pixels:,} pixels") from None
    except Exception:  # Pillow's readers of headers raise nearly anything at hostile ones
        raise HTTPException(415, f"not an image in one of these formats: {', '.join(formats)}") from None
    if width * height > most_pixels:
        refuse(413, f"the image has {width:,} x {height:,} pixels; the limit is {most_pixels:,}")
    try:
        check_size(width, height)
    except FerError as error:
        raise HTTPException(422, str(error)) from None
    if data.startswith(b"\xff\xd8") and _count_scans(data, limits.image_scans) > limits.image_scans:
        refuse(422, f"the JPEG image has more than {limits.image_scans} scans; save it again")
    try:
        return images.decode(data)
    except FerError as error:
        raise HTTPException(422, str(error)) from None


def _count_scans(data: bytes, most: int) -> int:
    """Scans of a JPEG as a decoder reads it, up to one too many. Markers inside other segments do not count."""
    count, at = 0, 2
    while count <= most and (marker := _JPEG_MARKER.search(data, at)):
        if marker[1] == b"\xd9":  # end of image
            break
        count += marker[1] == b"\xda"  # start of scan
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
    return count
