"""The door: who may ask, how large and how slow a request may be, and the headers of every answer."""

import asyncio
import ipaddress
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect

from fer.web.limits import Limits, Slots, megabytes

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})  # addresses that nobody else reaches, and their name
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
DRAINED = 8  # a body of up to so many times its limit is read to its end, or the client would not see the answer
_SELF = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'self'"
POLICY = f"{_SELF}; frame-ancestors 'none'; object-src 'none'"
DOCS_POLICY = f"{POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"  # Swagger UI's own page
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class Guard:
    """ASGI middleware around the whole application.

    Refuses names of this server that are not its own (a foreign page could otherwise reach it by DNS rebinding, for
    which an address in digits is of no use), pages of other origins that post or open sockets, and bodies that are too
    large or too slow.

    Args:
        app: the application.
        hosts: names under which the server may be asked, in small letters.
        limits: see `Limits`.
        large: paths whose bodies may be a video.
    """

    def __init__(self, app: Callable, *, hosts: frozenset[str], limits: Limits, large: frozenset[str]):
        self.app, self.hosts, self.limits, self.large = app, hosts, limits, large
        self.uploads = Slots(limits.uploads, "uploads")

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if refusal := self._refusal(scope, headers):
            await self._answer(scope, receive, send, JSONResponse({"detail": refusal}, 403))
            return
        if scope["type"] == "http":
            send = _with_headers(send, DOCS_POLICY if scope["path"].startswith("/docs") else POLICY)
            if scope["method"] not in SAFE:
                await self._upload(scope, headers, receive, send)
                return
        await self.app(scope, receive, send)

    def _refusal(self, scope, headers):
        host, origin = headers.get("host", ""), headers.get("origin")
        if (name := _name(f"//{host}")) not in self.hosts and not _is_address(name):
            return "this server is not to be asked by that name; whoever runs it can allow it with --name"
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE
        if changes and origin is not None and _place(origin) != host.lower():
            return "pages of other sites may not use this server"
        return None

    async def _answer(self, scope, receive, send, response):
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})  # before it is accepted: an HTTP 403
        else:
            await response(scope, receive, send)

    async def _upload(self, scope, headers, receive, send):
        body = Body(receive, self.limits, video=scope["path"] in self.large)
        length = headers.get("content-length", "0")
        try:
            with self.uploads.one():
                if length.isdecimal() and int(length) > body.most:
                    await body.refuse(int(length), waits="expect" in headers)
                await self.app(scope, body, send)
        except HTTPException as error:
            await JSONResponse({"detail": error.detail}, error.status_code, error.headers)(scope, receive, send)
        except ClientDisconnect:  # he has left: no bug, and nobody to answer
            pass


class Body:
    """An ASGI `receive` that counts and times what comes."""

    def __init__(self, receive: Callable, limits: Limits, *, video: bool):
        self.receive, self.stall = receive, limits.stall
        self.most = limits.video_bytes if video else limits.picture_bytes + 2**16  # and the words around the picture
        self.limit = limits.video_bytes if video else limits.picture_bytes
        self.end = time.monotonic() + (limits.video_time if video else limits.picture_time)
        self.count, self.whole = 0, False

    async def __call__(self):
        if self.whole:  # from here on it is only asked whether the client is still there
            return await self.receive()
        message = await self._next()
        if self.count > self.most:
            await self.refuse(self.count)
        return message

    async def _next(self):
        try:
            message = await asyncio.wait_for(self.receive(), max(0.0, min(self.stall, self.end - time.monotonic())))
        except TimeoutError:
            raise HTTPException(408, "the upload took too long", {"Connection": "close"}) from None
        self.count += len(message.get("body", b""))
        self.whole = not message.get("more_body", False)
        return message

    async def refuse(self, announced: int, *, waits: bool = False):
        """Reads what still comes, within reason, and refuses it. A client that waits for leave sends nothing."""
        while not (waits or self.whole) and max(self.count, announced) <= DRAINED * self.most:
            await self._next()
        raise HTTPException(413, f"the file is larger than {megabytes(self.limit)}", {"Connection": "close"})


def _name(address):
    try:
        return (urlsplit(address).hostname or "").lower()
    except ValueError:
        return ""


def _is_address(name):
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _place(origin):
    """Host and port as in a Host header, which leaves a scheme's own port out as an Origin does."""
    return origin.partition("://")[2].lower()


def _with_headers(send, policy):
    async def wrapped(message):
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", policy)
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return wrapped
