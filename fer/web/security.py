"""Middleware around the application: host names, cross-origin requests, uploads, and headers of every response."""

import ipaddress
import re
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from fastapi import HTTPException
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, HTTPConnection

from fer.web.limits import Limits
from fer.web.observe import Observer, observed
from fer.web.problems import refuse
from fer.web.rate_limit import RateLimit
from fer.web.slots import Slots, client_of
from fer.web.uploads import LimitedBody

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})  # addresses that nobody else reaches, and their name
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
VIDEO_PATHS = frozenset({"/videos"})  # whose bodies may be as large as a video
_HOST = re.compile(r"(?:\[(?P<ipv6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")
_SELF = "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; base-uri 'none'; form-action 'self'"
CONTENT_POLICY = f"{_SELF}; frame-ancestors 'none'; object-src 'none'"
# Swagger UI's page has an inline script and inline styles.
DOCS_POLICY = f"{CONTENT_POLICY}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'"
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
}


class SecurityMiddleware:
    """ASGI middleware that refuses requests for other hosts, cross-origin requests, and bodies beyond the limits.

    The check of the Host header stops DNS rebinding, with which a page of another site could reach this server under
    its own name. Starlette's `TrustedHostMiddleware` does not do the job: it does not accept IP addresses, which are
    safe from rebinding and unknown in advance behind port forwarding, and its refusal is plain text without a hint.

    Args:
        app: the application.
        hosts: host names of this server, in small letters; addresses in digits need no entry.
        limits: see `Limits`.
        observers: are told of every response.

    Attributes:
        running: number of requests, WebSockets not counted.
        stopping: refuse new requests with 503; set when the server is told to end.
    """

    def __init__(self, app: Callable, *, hosts: frozenset[str], limits: Limits, observers: Sequence[Observer] = ()):
        self.observers = list(observers)
        self.app, self.hosts, self.limits = app, hosts, limits
        self.uploads = Slots(limits.uploads, "uploads", per_client=limits.uploads_per_client)
        self.rate = RateLimit(limits.requests_per_minute, "requests")
        self.running, self.stopping = 0, False

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        is_socket = scope["type"] == "websocket"
        if not is_socket:
            send = _with_headers(scope, headers, send)
            if self.observers:
                send = observed(scope, send, self.observers)
        try:
            self._check(scope, headers)
        except HTTPException as error:
            if is_socket:
                await receive()
            await _response(error)(scope, receive, send)
            return
        if is_socket:
            await self.app(scope, receive, send)
            return
        self.running += 1
        try:
            if scope["method"] in SAFE_METHODS:
                await self.app(scope, receive, send)
            else:
                await self._upload(scope, headers, receive, send)
        finally:
            self.running -= 1

    def _check(self, scope: dict, headers: Headers) -> None:
        """Raises the HTTPException with which a request is refused."""
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        if not self._is_own(host):
            refuse(403, "this server does not answer to that host name; whoever runs it can allow it: --allowed-host")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        foreign = headers.get("sec-fetch-site") in ("cross-site", "same-site")  # which a page cannot set itself
        if changes and (foreign if origin is None else not _is_same_origin(origin, scope["scheme"], host)):
            refuse(403, "cross-origin requests are not allowed")
        if self.stopping:
            refuse(503, "the server is closing", retry=10)
        # A page has many files; but whoever guesses tokens or cookies can do so at a file too.
        guesses = "authorization" in headers or "cookie" in headers
        if guesses or not scope["path"].startswith("/static/"):
            self.rate.take(client_of(HTTPConnection(scope)))

    def _is_own(self, host: str) -> bool:
        match = _HOST.fullmatch(host)  # refuses user@host as well
        if match is None:
            return False
        name = match["ipv6"] or match["name"]
        return name in self.hosts or _is_address(name)

    async def _upload(self, scope: dict, headers: Headers, receive: Callable, send: Callable) -> None:
        body = LimitedBody(receive, self.limits, video=scope["path"] in VIDEO_PATHS)
        length = headers.get("content-length", "0")
        try:
            with self.uploads.hold(client_of(HTTPConnection(scope))):
                if length.isdecimal() and int(length) > body.most:
                    await body.refuse(int(length), expects="expect" in headers)
                await self.app(scope, body, send)
        except HTTPException as error:
            await _response(error)(scope, receive, send)
        except ClientDisconnect:  # no bug, and there is nobody to answer
            pass


def _response(error: HTTPException) -> JSONResponse:
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_same_origin(origin: str, scheme: str, host: str) -> bool:
    """Scheme, host and port agree; a WebSocket has the scheme of its page."""
    secure = scheme in ("https", "wss")
    try:
        parts = urlsplit(origin.lower())
        return parts.scheme == ("https" if secure else "http") and _with_port(parts.netloc, secure) == _with_port(
            host, secure
        )
    except ValueError:
        return False


def _with_port(netloc: str, secure: bool) -> str:
    return netloc if re.search(r":[0-9]+$", netloc) else f"{netloc}:{443 if secure else 80}"


def _with_headers(scope: dict, request: Headers, send: Callable) -> Callable:
    async def wrapped(message: dict) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault(
                "Content-Security-Policy", DOCS_POLICY if scope["path"].startswith("/docs") else CONTENT_POLICY
            )
            headers.setdefault("Cache-Control", "no-store")
            if "content-length" in request and "transfer-encoding" in request:
                headers["Connection"] = "close"  # RFC 9112, 6.1: this may be request smuggling
        await send(message)

    return wrapped
