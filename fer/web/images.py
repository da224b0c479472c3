"""POST /predict: one uploaded image, checked by its header, decoded in memory, labelled."""

import base64
import io
import re
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, HTTPException, Query, Request, UploadFile
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from fer.core import images
from fer.core.errors import FerError
from fer.inference.faces import check_size
from fer.inference.recognizer import Prediction, Recognizer
from fer.web.limits import Limits
from fer.web.problems import Problem, example, problem_responses, refuse
from fer.web.rate_limit import RateLimit
from fer.web.slots import Slots, client_of
from fer.web.state import State

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Pillow's names
EXAMPLE = {
    "emotion": "happy",
    "faces": [
        {
            **{"x": 174, "y": 64, "width": 102, "height": 102, "label": "happy", "confidence": 0.9752},
            **{"probabilities": {"angry": 0.0008, "happy": 0.9752, "sad": 0.024}, "uncertain": False},
        }
    ],
    "width": 512,
    "height": 512,
}
SEVERAL = {"results": [EXAMPLE, {"detail": "the file is empty (0 bytes)"}]}
NOT_EXPLAINED = (
    "this server does not explain labels: its model is an exported one without the .keras file beside it that it was "
    "exported from (app.py --model fer2013.keras would help), or --explanations-per-minute is 0"
)
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)  # of a segment with a length, or of the end
_PNG = b"\x89PNG\r\n\x1a\n"


class Place(BaseModel):
    """A box in pixels of the upright image."""

    x: int
    y: int
    width: int
    height: int


class Expression(BaseModel):
    """What a model says of a face."""

    label: str
    confidence: float = Field(ge=0, le=1)
    probabilities: dict[str, float]
    uncertain: bool | None = Field(
        default=None, description="whether the confidence is below the model's threshold; absent where it has none"
    )


class LabelledFace(Expression, Place):
    """A face: where it is, and what the model says of it."""

    model_config = ConfigDict(extra="allow")  # a further value of `Prediction.to_dict` passes

    compared: Expression | None = Field(
        default=None, description="what the second model says; absent where the server has one model"
    )
    heat_map: str | None = Field(
        default=None,
        description="with explain=true: Grad-CAM of the label as a grey PNG in base64, stretched over the box; 255 is "
        "the strongest evidence. Absent beyond the limit of explained faces",
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
    limits = state.limits
    slots = Slots(limits.images, "images", per_client=limits.images_per_client)
    explanations = RateLimit(limits.explanations_per_minute, "explained images")
    state.gauges["images"] = "Requests with images that are labelled or wait for it", slots.held.total

    @router.post(
        "/predict",
        response_model_exclude_unset=True,
        responses={200: example(EXAMPLE, several=SEVERAL), **problem_responses(400, 408, 413, 415, 422)},
        description="Labels the faces of an image, the largest first. Several fields `image` give a list with a result "
        "for each, in order; a bad image does not spoil the others.\n\n"
        f"Limits: {limits.image_bytes:,} bytes in all, {limits.image_pixels:,} pixels per image, "
        f"{limits.images_per_request} images; {limits.images_per_client} requests of a client at once, "
        f"{limits.requests_per_minute:,} per minute; {limits.explanations_per_minute} explained images per minute, "
        f"with {limits.explained_faces} faces each.",
    )
    async def predict(
        request: Request,
        image: Annotated[
            list[UploadFile],
            File(
                description="JPEG, PNG, WebP or BMP",
                json_schema_extra={"minItems": 1, "maxItems": limits.images_per_request},
            ),
        ],
        explain: Annotated[bool, Query(description="give each face a heat map of the evidence for its label")] = False,
    ) -> LabelledImage | LabelledImages:
        if len(image) > limits.images_per_request:
            refuse(413, f"the limit is {limits.images_per_request} images per request")
        if explain and not state.explains:
            refuse(422, NOT_EXPLAINED)
        client = client_of(request)
        with slots.hold(client):
            if len(image) == 1:
                return await label_upload(client, image[0], explain)
            return LabelledImages(results=[await label_or_problem(client, one, explain) for one in image])

    async def label_upload(client: str, upload: UploadFile, explain: bool) -> LabelledImage:
        if explain:
            explanations.take(client)
        result = await state.run(state.image_pool, client, label, state, await upload.read(), explain)
        if state.metrics:
            state.metrics.faces.inc(len(result["faces"]))
        return LabelledImage(**result)

    async def label_or_problem(client: str, upload: UploadFile, explain: bool) -> LabelledImage | Problem:
        try:
            return await label_upload(client, upload, explain)
        except HTTPException as error:
            return Problem(detail=error.detail)

    return router


def label(state: State, data: bytes, explain: bool = False) -> dict:
    """The faces of an image file, in the shape of `LabelledImage`.

    Raises:
        HTTPException: see `decode`; 422 also for a shape that cannot be searched, 503 where the model that explains
            cannot be loaded.
    """
    limits = state.limits
    image = decode(data, limits, most_pixels=limits.image_pixels)
    try:
        predictions = state.recognizer(image)
        result = labelled(predictions, image)
        if state.compared is not None:
            for face, second in zip(
                result["faces"], second_opinions(state.compared[1], image, predictions), strict=True
            ):
                face["compared"] = second
        if explain and predictions:
            from fer.inference.explain import heat_maps  # imports Keras, which an exported model does without

            maps = heat_maps(state.recognizer, image, predictions[: limits.explained_faces], state.explainer())
            for face, heat in zip(result["faces"], maps, strict=False):  # the rest are beyond the limit
                face["heat_map"] = _png_text(heat)
    except FerError as error:
        refuse(422, str(error))
    return result


def second_opinions(second: Recognizer, image: np.ndarray, predictions: list[Prediction]) -> list[dict]:
    """What another model says of the same faces, each in the shape of `Expression`."""
    (others,) = second.classify([second.prepare(image, [prediction.face for prediction in predictions])])
    return [{k: v for k, v in other.to_dict().items() if k in Expression.model_fields} for other in others]


def labelled(predictions: list[Prediction], image: np.ndarray) -> dict:
    """Predictions in the shape of `LabelledImage`: the largest face first, with its number where faces are tracked."""
    faces = [one.to_dict() for one in predictions]
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
        HTTPException: 413 for too many pixels, 415 for another kind of file, 422 for a damaged file, a strip, or one of
            too many parts.
    """
    if not data:
        refuse(422, "the file is empty (0 bytes)")
    if data.startswith(b"\xff\xd8"):
        _check_jpeg(data, limits)
    elif data.startswith(_PNG):
        _check_png(data, limits)
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
    try:
        return images.decode(data)
    except FerError as error:
        raise HTTPException(422, str(error)) from None


def _png_text(heat: np.ndarray) -> str:
    return base64.b64encode(images.encode(np.rint(255 * heat).astype(np.uint8), ".png")).decode()


def _check_jpeg(data: bytes, limits: Limits) -> None:
    """Refuses a JPEG of too many scans, or of too many parts for readers in Python, which take a step for each.

    It is walked over as a decoder reads it: markers inside other segments do not count.
    """
    scans, parts, at = 0, 0, 2
    while marker := _JPEG_MARKER.search(data, at):
        if marker[1] == b"\xd9":  # end of image
            break
        parts += 1 if scans else 1 + marker.start() - at  # what lies between segments is skipped byte by byte
        scans += marker[1] == b"\xda"  # start of scan
        at = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        if scans > limits.image_scans:
            refuse(422, f"the JPEG image has more than {limits.image_scans} scans; save it again")
        if parts > limits.image_parts:
            refuse(422, f"the JPEG image has more than {limits.image_parts:,} segments; save it again")


def _check_png(data: bytes, limits: Limits) -> None:
    """The same for a PNG of too many chunks."""
    at = len(_PNG)
    for _ in range(limits.image_parts):
        if at >= len(data):
            return
        at += 12 + int.from_bytes(data[at : at + 4], "big")  # length, name and checksum beside the content
    refuse(422, f"the PNG image has more than {limits.image_parts:,} chunks; save it again")
