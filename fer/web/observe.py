"""What the person who runs the server sees of it: a structured access log, and metrics for Prometheus.

Neither holds images, file names, ids of videos, names of cameras or query strings: a request is named by its route.
"""

import json
import logging
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Protocol

import h11
from fastapi import APIRouter
from fastapi.responses import Response

from fer.core.errors import FerError
from fer.web.slots import LONGEST_NAME

logger = logging.getLogger(__name__)

OTHER = "other"  # the route of a request that no route answers, and a method that no route has
METHODS = ("GET", "HEAD", "POST", "DELETE")  # clients may send any word of 60 kB as a method
PRANKS = ("ASGI callable returned without completing", "Invalid UTF-8 sequence received")  # beginnings of lines
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # buckets of the latencies


class Observer(Protocol):
    """Is told of every response."""

    def __call__(self, scope: Mapping, status: int, seconds: float) -> None: ...


def route_of(scope: Mapping) -> str:
    """The template of the route that answered, such as "/videos/{id}"."""
    path = getattr(scope.get("route"), "path", None)
    if path:
        return path
    return "/static" if scope["path"].startswith("/static/") else OTHER


def method_of(scope: Mapping) -> str:
    """The method of HTTP, or `OTHER`."""
    return scope["method"] if scope["method"] in METHODS else OTHER


class _LogFile(WatchedFileHandler):
    """A file that goes on after a rotation of logs. Where it cannot be written, one line says so; requests go on."""

    told = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:  # of opening it again
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        if not self.told:
            logger.warning("the access log cannot be written: %s", sys.exc_info()[1])
        self.told = True


class AccessLog:
    """Appends a line of JSON for every response to a file.

    Args:
        path: the file.

    Raises:
        FerError: the file cannot be written.
    """

    def __init__(self, path: str | Path):
        try:
            handler = _LogFile(path, encoding="utf-8")
        except OSError as error:
            raise FerError(f"{path}: cannot be written ({error.strerror or error})") from error
        self.log = logging.Logger("access")
        self.log.addHandler(handler)

    def __call__(self, scope: Mapping, status: int, seconds: float) -> None:
        line = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "client": scope["client"][0][:LONGEST_NAME] if scope.get("client") else None,
            "method": method_of(scope),
            "route": route_of(scope),
            "status": status,
            "milliseconds": round(1000 * seconds, 1),
        }
        self.log.info(json.dumps(line))


def is_no_prank(record: logging.LogRecord) -> bool:
    """A filter for uvicorn's log: False for errors that clients cause as often as they like.

    They break the protocol, or ask for a WebSocket that is refused. Each would write a line, or a traceback of forty.
    """
    error = record.exc_info[1] if record.exc_info else None
    return not isinstance(error, h11.LocalProtocolError) and not record.getMessage().startswith(PRANKS)


class Metrics:
    """Counts for Prometheus, and the route /metrics that shows them.

    Args:
        gauges: name -> (help, function that gives the value now).

    Raises:
        FerError: prometheus-client is not installed.
    """

    def __init__(self, gauges: Mapping[str, tuple[str, Callable[[], float]]]):
        try:
            import prometheus_client as client
        except ModuleNotFoundError as error:
            raise FerError("--metrics needs prometheus-client: pip install prometheus-client") from error

        self.client, self.registry = client, client.CollectorRegistry()
        client.ProcessCollector(registry=self.registry)
        self.requests = client.Counter(
            "fer_requests", "Responses", ("method", "route", "status"), registry=self.registry
        )
        self.seconds = client.Histogram(
            "fer_request_seconds", "Time to a complete response", ("route",), buckets=SECONDS, registry=self.registry
        )
        self.faces = client.Counter("fer_faces", "Faces labelled in images", registry=self.registry)
        for name, (text, function) in gauges.items():
            client.Gauge(f"fer_{name}", text, registry=self.registry).set_function(function)

    def __call__(self, scope: Mapping, status: int, seconds: float) -> None:
        self.requests.labels(method_of(scope), route_of(scope), status).inc()
        self.seconds.labels(route_of(scope)).observe(seconds)

    def create_router(self) -> APIRouter:
        """The route /metrics."""
        router = APIRouter()

        @router.get("/metrics", include_in_schema=False)
        async def metrics() -> Response:
            return Response(self.client.generate_latest(self.registry), media_type=self.client.CONTENT_TYPE_LATEST)

        return router


def observed(scope: Mapping, send: Callable, observers: list[Observer]) -> Callable:
    """An ASGI `send` that tells the observers when the response is complete."""
    begun, status = time.perf_counter(), 0

    async def wrapped(message: dict) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = message["status"]
        await send(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            for observer in observers:
                observer(scope, status, time.perf_counter() - begun)

    return wrapped
