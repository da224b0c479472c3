"""Conversations over WebSockets, which webcams and named cameras share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from fer.inference.recognizer import Prediction
from fer.video.frames import Frame
from fer.video.session import History, Session
from fer.web.slots import Slots, client_of

POLICY_VIOLATION, TOO_BIG, TRY_AGAIN_LATER = 1008, 1009, 1013  # close codes of RFC 6455
CLOSE_CODES = {413: TOO_BIG, 429: TRY_AGAIN_LATER, 503: TRY_AGAIN_LATER}  # by status of HTTP


class Closed(Exception):
    """Ends a conversation with one line for the client."""

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code, self.reason = code, reason


async def converse(socket: WebSocket, slots: Slots, talk: Callable[[], Awaitable[None]]) -> None:
    """Accepts a WebSocket and runs `talk` in one of the slots. What ends it is sent as {"error": one line}.

    Args:
        socket: not accepted yet.
        slots: for how many at once.
        talk: raises `Closed`, or HTTPException as a request does, to end.
    """
    await socket.accept()
    try:
        with slots.hold(client_of(socket)):
            await talk()
    except WebSocketDisconnect:
        pass
    except Closed as end:
        await _close(socket, end.code, end.reason)
    except TimeoutError:
        await _close(socket, POLICY_VIOLATION, "no message came for a while; start again")
    except HTTPException as error:
        await _close(socket, CLOSE_CODES.get(error.status_code, POLICY_VIOLATION), error.detail)


async def _close(socket: WebSocket, code: int, reason: str) -> None:
    try:
        await socket.send_json({"error": reason})
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):  # the client has left
        pass


async def receive(socket: WebSocket, kind: Literal["bytes", "text"], timeout: float | None) -> bytes:
    """The next message, which must be of a kind; text is encoded as UTF-8.

    Args:
        socket: accepted.
        kind: "bytes" or "text".
        timeout: seconds; None waits for ever.
    """
    message = await asyncio.wait_for(socket.receive(), timeout)
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1000)
    content = message.get(kind)
    if content is None:
        raise Closed(POLICY_VIOLATION, f"expected a message of {kind}")
    return content if isinstance(content, bytes) else content.encode()


def process(session: Session, frame: Frame, history_frames: int) -> list[Prediction]:
    """The predictions of a frame; now and then the session forgets its history, which nobody reads here."""
    if frame.index % history_frames == history_frames - 1:
        session.history = History(session.history.labels)
    return session.process(frame)
