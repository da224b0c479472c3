"""The application: routers, static files, and how uvicorn serves them."""

import logging
import mimetypes
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, Security
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPBearer
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel, Field
from starlette.formparsers import MultiPartParser

from fer.inference.recognizer import Recognizer
from fer.inference.results import COLUMNS
from fer.models.classifier import Classifier
from fer.web import cameras as camera_routes
from fer.web import corrections, images, problems, videos, webcam
from fer.web.auth import TokenMiddleware
from fer.web.limits import Limits
from fer.web.observe import AccessLog, Metrics, Observer, is_no_prank
from fer.web.protocol import LOOP, Network, limited_protocols
from fer.web.security import LOOPBACK, SecurityMiddleware
from fer.web.state import State
from fer.web.strings import STATIC, Strings, fill, read_strings
from fer.web.uploads import without_traps

DESCRIPTION = (
    "Names the facial expressions that a network sees in images: what a face shows, not what a person feels. "
    "Images stay in this server's memory while they are labelled, and are not kept."
)


EXAMPLE = {
    **{"model": "fer2013", "labels": ["angry", "happy", "sad"], "uncertain_below": 0.42, "status": "ok"},
    **{"columns": list(COLUMNS), "collects": False, "explains": True, "protected": False},
    "compared": {"model": "ferplus", "labels": ["angry", "contempt", "happy"], "uncertain_below": 0.51},
    "limits": Limits().shown(),
}


class Model(BaseModel):
    """A model of this server."""

    model: str
    labels: list[str]
    uncertain_below: float | None


class Health(Model):
    """The model behind this server, and the limits shown to clients."""

    status: str
    compared: Model | None
    columns: list[str]
    collects: bool
    explains: bool
    protected: bool = Field(description="whether the server asks for a token")
    limits: dict[str, float]


def create_app(
    new_recognizer: Callable[[int], Recognizer],
    model_name: str,
    *,
    compared: tuple[str, Recognizer] | None = None,
    load_explainer: Callable[[], Classifier] | None = None,
    cameras: dict[str, str] | None = None,
    hosts: frozenset[str] = LOOPBACK,
    limits: Limits | None = None,
    token: str | None = None,
    collect: Path | None = None,
    metrics: bool = False,
    access_log: Path | None = None,
    strings: Path | None = None,
) -> SecurityMiddleware:
    """The page and its API as an ASGI application.

    Args:
        new_recognizer: makes a recognizer that searches this many images at once, see `State`.
        model_name: as clients see it.
        compared: name and recognizer of a second model for images, see `State`.
        load_explainer: loads a model that explains labels, see `State`.
        cameras: name -> address of cameras that clients may watch; no other address is ever opened.
        hosts: host names of this server, beside addresses in digits.
        limits: see `Limits`.
        token: asked of every client; None lets everybody in.
        collect: folder for faces that clients correct, see `corrections`; None keeps none.
        metrics: serve /metrics for Prometheus.
        access_log: file for a line of JSON for every response.
        strings: a translation of the page's words, see `strings`.

    Raises:
        FerError: a token that is too short, a folder or file that cannot be written, or a missing package.
    """
    limits, words = limits or Limits(), read_strings(strings)
    state = State(new_recognizer, model_name, limits, compared, load_explainer)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # as often as a client likes, too
    MultiPartParser.spool_max_size = limits.image_bytes + 1  # Starlette would write images over 1 MB to disk

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        state.close()

    app = FastAPIOffline(
        title="Facial expressions",
        version="1",
        description=DESCRIPTION,
        redoc_url=None,
        lifespan=lifespan,
        static_url="/docs-static",
        responses=problems.problem_responses(*problems.ANYWHERE),
    )
    problems.add_handlers(app)
    problems.add_document(app)
    routers = [
        create_router(state, words, collects=collect is not None, protected=token is not None),
        images.create_router(state),
        webcam.create_router(state),
        camera_routes.create_router(state, cameras or {}),
        videos.create_router(state),
    ]
    observers: list[Observer] = [] if access_log is None else [AccessLog(access_log)]
    if collect is not None:
        routers.append(corrections.create_router(state, collect))
    if metrics:
        state.metrics = Metrics(state.gauges)
        observers.append(state.metrics)
        routers.append(state.metrics.create_router())
    bearer = HTTPBearer(auto_error=False, description="the token of --token-file")  # TokenMiddleware checks it
    secured: dict[str, Any] = {"dependencies": [Security(bearer)], "responses": problems.problem_responses(401)}
    for number, router in enumerate(routers):  # the first one holds /health, which is open
        app.include_router(router, **(secured if token and number else {}))
    for suffix, kind in (("js", "text/javascript"), ("css", "text/css"), ("svg", "image/svg+xml")):
        mimetypes.add_type(kind, f".{suffix}")  # Windows' registry may say otherwise: browsers then refuse the page
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    bare = without_traps(app)
    protected = bare if token is None else TokenMiddleware(bare, token, limits, fill(STATIC / "login.html", words))
    return SecurityMiddleware(protected, hosts=hosts, limits=limits, observers=observers)


def create_router(state: State, words: Strings, *, collects: bool, protected: bool) -> APIRouter:
    """The page itself, its words, and /health."""
    router, index = APIRouter(), fill(STATIC / "index.html", words)

    @router.get("/health", tags=["server"], responses={200: problems.example(EXAMPLE)})
    async def health() -> Health:
        """Says which model answers, with which labels and limits."""
        return Health(
            status="ok",
            **_describe(state.model_name, state.recognizer),
            compared=None if state.compared is None else Model(**_describe(*state.compared)),
            columns=list(COLUMNS),
            collects=collects,
            explains=state.explains,
            protected=protected,
            limits=state.limits.shown(),
        )

    @router.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page() -> HTMLResponse:
        return HTMLResponse(index)

    @router.get("/static/strings.json", include_in_schema=False)
    async def strings() -> JSONResponse:
        return JSONResponse(words)

    return router


def _describe(name: str, recognizer: Recognizer) -> dict[str, Any]:
    """The fields of `Model`."""
    labels = list(recognizer.classifier.labels)
    return {"model": name, "labels": labels, "uncertain_below": recognizer.uncertain_below}


def uvicorn_config(
    app: SecurityMiddleware,
    limits: Limits | None = None,
    *,
    certificate: str | None = None,
    key: str | None = None,
    proxies: tuple[Network, ...] = (),
) -> uvicorn.Config:
    """How uvicorn serves the page: in one process, without debug mode or access log.

    Args:
        app: of `create_app`.
        limits: those of the application.
        certificate, key: PEM files for https.
        proxies: networks of trusted proxies, whose X-Forwarded-For and X-Forwarded-Proto are read.
    """
    limits = limits or Limits()
    http, socket = limited_protocols(limits)
    logging.getLogger("uvicorn.error").addFilter(is_no_prank)
    return uvicorn.Config(
        app,
        loop=LOOP,
        http=http,  # on h11, which refuses headers beyond the size below
        ws=socket,
        ws_per_message_deflate=False,  # which turns 2 kB into 2 MB, and saves nothing with JPEG
        h11_max_incomplete_event_size=limits.header_bytes,
        ws_max_size=limits.message_bytes,
        timeout_keep_alive=limits.keep_alive_seconds,
        timeout_graceful_shutdown=1,  # `PageServer` has waited by then, or a second signal wants the end
        proxy_headers=bool(proxies),
        forwarded_allow_ips=[str(network) for network in proxies],
        server_header=False,
        access_log=False,
        log_level="error",  # each malformed request would write a warning, as often as a client likes
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


class PageServer(uvicorn.Server):
    """uvicorn's server with a graceful end: at the first signal new requests get 503 until those that run have ended,
    for `Limits.shutdown_seconds` at most; a second signal ends at once."""

    def __init__(self, config: uvicorn.Config, app: SecurityMiddleware, limits: Limits):
        super().__init__(config)
        self.app, self.limits = app, limits
        self._end = 0.0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if not self.app.stopping:
            self.should_exit = False  # until `on_tick` finds nothing running
            self.app.stopping = True
            self._end = time.monotonic() + self.limits.shutdown_seconds

    async def on_tick(self, counter: int) -> bool:
        if self.app.stopping and (not self.app.running or time.monotonic() > self._end):
            self.should_exit = True
        return await super().on_tick(counter)
