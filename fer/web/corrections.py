"""POST /corrections: faces that a person has labelled, kept as class folders for training.

Off unless the server is started with --collect. Each correction needs the person's consent, for that image alone.
"""

import hashlib
import logging
import threading
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Request, UploadFile
from pydantic import BaseModel

from fer.core import images
from fer.core.errors import FerError
from fer.core.files import replacing
from fer.inference.faces import shrink
from fer.inference.recognizer import CROPPED_LEAST
from fer.web.images import decode
from fer.web.problems import example, problem_responses, refuse
from fer.web.rate_limit import RateLimit
from fer.web.slots import client_of
from fer.web.state import State

logger = logging.getLogger(__name__)

LARGEST_RATIO = 2  # of the sides of a face's box: detectors give squares


class Kept(BaseModel):
    """How many faces the server has kept so far."""

    kept: int


def create_router(state: State, folder: Path) -> APIRouter:
    """The route for corrections.

    Args:
        state: of the server.
        folder: faces go to `folder`/LABEL/, for train.py --data `folder`.

    Raises:
        FerError: the folder cannot be made, or that of a label would lie elsewhere.
    """
    labels, limits, lock = state.classifier.labels, state.limits, threading.Lock()
    rate = RateLimit(limits.corrections_per_minute, "corrections")
    for label in labels:
        class_folder(folder, label)
    kept = sum(len(list((folder / label).glob("*.png"))) for label in labels)
    router = APIRouter(tags=["corrections"])

    @router.post(
        "/corrections",
        status_code=201,
        responses={201: example({"kept": 12}), **problem_responses(400, 408, 413, 415, 422, 507)},
        description="Keeps one face of an image with the label that a person has chosen. The rest of the image is not "
        "kept. A face that is there already under this label is not kept again.\n\n"
        f"Limits: {limits.image_bytes:,} bytes, {limits.image_pixels:,} pixels, "
        f"{limits.corrections_per_minute} corrections of a client per minute, {limits.corrections:,} in all.",
    )
    async def correct(
        request: Request,
        image: Annotated[UploadFile, File(description="the whole image, as it was labelled")],
        label: Annotated[
            str, Form(description="the right label, one of the model's", json_schema_extra={"enum": list(labels)})
        ],
        consent: Annotated[Literal["yes"], Form(description="the person agrees that this face is kept")],
        x: Annotated[int, Form(ge=0)],
        y: Annotated[int, Form(ge=0)],
        width: Annotated[int, Form(ge=CROPPED_LEAST)],
        height: Annotated[int, Form(ge=CROPPED_LEAST)],
    ) -> Kept:
        nonlocal kept
        if len(await request.form()) < len((await request.form()).multi_items()):
            refuse(422, "a field came twice")
        if label not in labels:
            refuse(422, f"the labels are {', '.join(labels)}")
        if max(width, height) > LARGEST_RATIO * min(width, height):
            refuse(422, "that box is no face: it is too narrow, or too low")
        if kept >= limits.corrections:
            refuse(507, f"the limit is {limits.corrections:,} corrections")
        client = client_of(request)
        rate.take(client)
        box = (x, y, width, height)
        kept += 1  # before it is kept: others ask meanwhile
        try:
            new = await state.run(state.image_pool, client, _keep, state, await image.read(), box, folder, label, lock)
        except BaseException:
            kept -= 1
            raise
        kept -= not new
        return Kept(kept=kept)

    return router


def class_folder(folder: Path, label: str) -> Path:
    """The folder of a label, made where it is missing.

    Raises:
        FerError: it cannot be made; or a symbolic link, or the label itself, leads to another place.
    """
    path = folder / label
    try:
        if path.parent != folder or path.resolve() != folder.resolve() / label:
            raise FerError(f"{path}: leads to another folder; faces are kept in {folder} only")
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a label with a zero byte
        raise FerError(f"{path}: cannot be made ({getattr(error, 'strerror', None) or error})") from error
    return path


def _keep(
    state: State, data: bytes, box: tuple[int, int, int, int], folder: Path, label: str, lock: threading.Lock
) -> bool:
    """Writes the pixels of a box as a PNG file without metadata, named by a hash of them; False if it is there already.

    The lock keeps the same correction from being written twice at once.
    """
    image = decode(data, state.limits, most_pixels=state.limits.image_pixels)
    x, y, width, height = box
    if x + width > image.shape[1] or y + height > image.shape[0]:
        refuse(422, "the box reaches beyond the image")
    crop = image[y : y + height, x : x + width]
    crop = shrink(crop, min(1.0, state.limits.correction_side / max(width, height)))
    try:
        path = class_folder(folder, label) / f"{hashlib.sha256(crop.tobytes()).hexdigest()[:16]}.png"
        with lock:
            if path.exists():
                return False
            with replacing(path) as temporary:
                temporary.write_bytes(images.encode(crop, ".png"))
        return True
    except (OSError, FerError):
        logger.exception("a correction could not be kept")
        refuse(507, "the server cannot keep this face")
