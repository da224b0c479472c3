"""WebSocket /live: frames of a client's own webcam in, predictions out."""

import asyncio
import time

from fastapi import APIRouter, WebSocket

from fer.core.errors import FerError
from fer.video.frames import Frame
from fer.video.session import Session
from fer.web.images import decode, labelled
from fer.web.live import POLICY_VIOLATION, TOO_BIG, Closed, converse, process, receive
from fer.web.slots import Slots, client_of
from fer.web.state import State


def create_router(state: State) -> APIRouter:
    """The route for webcams. Each client has a session of its own, which no other client reaches."""
    router = APIRouter()
    limits = state.limits
    slots = Slots(limits.webcams, "webcams", per_client=limits.webcams_per_client)

    state.gauges["webcams"] = "Webcams at once", slots.held.total

    @router.websocket("/live")
    async def live(socket: WebSocket) -> None:
        async def talk() -> None:
            client = client_of(socket)
            session = await state.run(state.live_pool, client, state.new_session)
            start, index = time.monotonic(), 0
            while True:
                data = await receive(socket, "bytes", limits.idle_seconds)
                seconds = time.monotonic() - start
                result = await state.run(state.live_pool, client, _label, state, session, data, index, seconds)
                await asyncio.wait_for(socket.send_json(result), limits.idle_seconds)
                index += 1

        await converse(socket, slots, talk)

    return router


def _label(state: State, session: Session, data: bytes, index: int, seconds: float) -> dict:
    limits = state.limits
    if len(data) > limits.frame_bytes:
        raise Closed(TOO_BIG, "the image is too large")
    image = decode(data, limits, most_pixels=limits.frame_pixels, formats=("JPEG",))
    try:
        predictions = process(session, Frame(image, "webcam", index, seconds), limits.history_frames)
    except FerError as error:  # a shape that cannot be searched
        raise Closed(POLICY_VIOLATION, str(error)) from None
    return labelled(predictions, image)
