"""One token for everything but /health: a bearer header for programs, a login form and a cookie for people."""

import hashlib
import hmac
from collections.abc import Callable
from urllib.parse import parse_qs

from fastapi import HTTPException
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection, Request

from fer.core.errors import FerError
from fer.web.limits import Limits
from fer.web.rate_limit import RateLimit
from fer.web.slots import client_of

PUBLIC_PATHS = frozenset({"/health", "/static/style.css", "/static/icon.svg"})  # the login page needs the last two
COOKIE = "fer_session"
COOKIE_DAYS = 30
SHORTEST_TOKEN = 16  # characters
FORM_BYTES = 10_000
# Under "no-referrer", which other responses have, browsers send a form with "Origin: null".
FORM_HEADERS = {"Referrer-Policy": "same-origin"}
BUSY = 'id="busy" class="problem" role="alert" hidden'  # in login.html


class TokenMiddleware:
    """ASGI middleware that lets in only clients that know the token.

    The cookie holds a value that follows from the token, never the token itself; a new token ends all sessions. All
    comparisons take constant time. The right token always passes: who sends wrong ones must not lock out others of the
    same address. Wrong ones get 429 once there are too many of them.

    Args:
        app: the application.
        token: at least `SHORTEST_TOKEN` characters of ASCII.
        limits: see `Limits`.
        page: the HTML of the form.

    Raises:
        FerError: the token is too short, or not ASCII.
    """

    def __init__(self, app: Callable, token: str, limits: Limits, page: str):
        if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
            raise FerError(
                f"a token has at least {SHORTEST_TOKEN} characters of ASCII; "
                'make one with: python -c "import secrets; print(secrets.token_urlsafe())"'
            )
        self.app, self.page, self._token = app, page, token.encode()
        self._session = hmac.new(self._token, b"fer session", hashlib.sha256).hexdigest().encode()
        self.failures = RateLimit(limits.failed_logins_per_minute, "failed logins")

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] not in ("http", "websocket") or scope["path"] in PUBLIC_PATHS:
            await self.app(scope, receive, send)
            return
        if scope["path"] == "/logout" and scope["type"] == "http" and scope["method"] == "POST":
            response: Response = RedirectResponse("/login", 303)
            response.delete_cookie(COOKIE)
            await response(scope, receive, send)
            return
        client, headers = client_of(HTTPConnection(scope)), Headers(scope=scope)
        is_login = scope["path"] == "/login" and scope["type"] == "http"
        token = _bearer(headers)
        if not is_login and (self._knows_cookie(headers) or (token is not None and self._is_right(token))):
            await self.app(scope, receive, send)
            return
        try:
            if is_login:
                response = await self._login(Request(scope, receive), client)
            else:
                if token is not None:
                    self.failures.take(client)
                response = _ask_for_token(scope)
        except HTTPException as error:
            response = JSONResponse({"detail": error.detail}, error.status_code, error.headers)
        if scope["type"] == "websocket":
            await receive()
        await response(scope, receive, send)

    def _is_right(self, token: bytes) -> bool:
        return hmac.compare_digest(token, self._token)

    def _knows_cookie(self, headers: Headers) -> bool:
        # http.cookies takes a minute for 60 kB of backslashes (CVE-2024-7592, mended in Python 3.11.10).
        pairs = (pair.strip().partition("=") for pair in headers.get("cookie", "").split(";"))
        return any(hmac.compare_digest(value.encode(), self._session) for name, _, value in pairs if name == COOKIE)

    async def _login(self, request: Request, client: str) -> Response:
        if request.method in ("GET", "HEAD"):
            return HTMLResponse(self.page, headers=FORM_HEADERS)
        if request.method != "POST":
            return JSONResponse({"detail": "Method Not Allowed"}, 405, {"Allow": "GET, HEAD, POST"})
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > FORM_BYTES:
                return JSONResponse({"detail": "the form is too large"}, 413)
        (token,) = parse_qs(body.decode("latin-1")).get("token", [""])[:1]
        if not self._is_right(token.strip().encode()):
            try:
                self.failures.take(client)
            except HTTPException as error:  # a person sees a page
                page = self.page.replace(BUSY, BUSY.removesuffix(" hidden"))
                return HTMLResponse(page, 429, {**FORM_HEADERS, **(error.headers or {})})
            return RedirectResponse("/login#wrong", 303)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            COOKIE,
            self._session.decode(),
            max_age=COOKIE_DAYS * 24 * 3600,
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return response


def _bearer(headers: Headers) -> bytes | None:
    """The token that a program sends; None if it sends none."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip().encode() if scheme.lower() == "bearer" else None


def _ask_for_token(scope: dict) -> Response:
    is_page = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and scope["path"] in ("/", "/docs")
    if is_page:
        return RedirectResponse("/login", 303)
    detail = "this server asks for its token: Authorization: Bearer TOKEN, or log in at /login"
    return JSONResponse({"detail": detail}, 401, {"WWW-Authenticate": "Bearer"})
