"""Bodies of requests: how large and how slow they may be, and which parsers of theirs see them."""

import asyncio
import time
from collections.abc import Callable

from fastapi import HTTPException

from fer.web.limits import Limits, megabytes

FORM_BYTES = 2**16  # the parts of a form beside the image
CLOSE = {"Connection": "close"}


class LimitedBody:
    """An ASGI `receive` that counts and times what arrives.

    Args:
        receive: the server's.
        limits: see `Limits`.
        video: whether the body is a video, or a form with an image.

    Raises, when it is called:
        HTTPException: 408 for a body that stalls or is too slow, 413 for one that is too large.
    """

    def __init__(self, receive: Callable, limits: Limits, *, video: bool):
        self.receive, self.limits = receive, limits
        self.file_bytes = limits.video_bytes if video else limits.image_bytes
        self.most = self.file_bytes if video else self.file_bytes + FORM_BYTES
        self.start = time.monotonic()
        self.end = self.start + (limits.video_upload_seconds if video else limits.image_upload_seconds)
        self.count, self.complete = 0, False

    async def __call__(self) -> dict:
        if self.complete:  # from here on the application asks only whether the client is still there
            return await self.receive()
        message = await self._next()
        if self.count > self.most:
            await self.refuse(self.count)
        return message

    async def _next(self) -> dict:
        stall = self.limits.upload_stall_seconds
        too_slow = self.start + max(stall, self.count / self.limits.upload_bytes_per_second)
        patience = min(stall, min(self.end, too_slow) - time.monotonic())
        try:
            message = await asyncio.wait_for(self.receive(), max(0.0, patience))
        except TimeoutError:
            raise HTTPException(408, "the upload took too long", CLOSE) from None
        self.count += len(message.get("body", b""))
        self.complete = not message.get("more_body", False)
        return message

    async def refuse(self, announced: int, *, expects: bool = False) -> None:
        """Refuses the body as too large, after reading what still arrives, within reason.

        Args:
            announced: its size in bytes, as far as it is known.
            expects: whether the client waits for "100 Continue": then it sends nothing.
        """
        while not (expects or self.complete) and max(self.count, announced) <= self.limits.drain_factor * self.most:
            await self._next()
        raise HTTPException(413, f"the file is larger than {megabytes(self.file_bytes)}", CLOSE)


def without_traps(app: Callable) -> Callable:
    """The application without headers that it does not need, and that parsers behind it are slow or wasteful with.

    Cookies: FastAPI parses them for every route, with the slow parser of `TokenMiddleware._knows_cookie`. Types of
    bodies: Python keeps the name of every unknown `charset` for ever, and a form that is not multipart holds no file.
    """

    async def wrapped(scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] in ("http", "websocket"):
            kept = ((name, _form_type(value) if name == b"content-type" else value) for name, value in scope["headers"])
            scope["headers"] = [(name, value) for name, value in kept if name != b"cookie"]
        await app(scope, receive, send)

    return wrapped


def _form_type(value: bytes) -> bytes:
    """A Content-Type with nothing but the boundary of a multipart form."""
    kind, *rest = value.split(b";")
    if kind.strip().lower() != b"multipart/form-data":
        return b"application/octet-stream"
    return b";".join([kind, *(one for one in rest if one.strip().lower().startswith(b"boundary="))])
