"""Puts the page together: routes, their limits, and what runs while the server does."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import uvicorn
from fastapi import FastAPI, File, HTTPException, Request, UploadFile, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from pydantic import BaseModel
from starlette.formparsers import MultiPartParser

from fer.core.system import cores
from fer.inference.faces import Detector
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier
from fer.video.session import Session
from fer.web import videos
from fer.web.guard import LOOPBACK, Guard
from fer.web.limits import Limits, Slots, refuse
from fer.web.pictures import Answer, Pictures
from fer.web.streams import Camera, Ended, Webcams, converse
from fer.web.wire import Punctual

STATIC = Path(__file__).parent / "static"
ABOUT = (
    "Names the facial expressions that a network sees in pictures: what a face shows, not what a person feels. "
    "Pictures stay in this server's memory while they are labelled, and are not kept."
)
LIMITS_SHOWN = ("picture_bytes", "picture_pixels", "video_bytes", "video_seconds", "keep")


class Problem(BaseModel):
    """What is wrong, in one line."""

    detail: str


class Health(BaseModel):
    """What this server is."""

    status: str
    model: str
    labels: list[str]
    limits: dict[str, int]


class Cameras(BaseModel):
    """Names of the cameras that this server shows."""

    cameras: list[str]


def problems(*statuses: int) -> dict:
    return {status: {"model": Problem} for status in statuses}


def create(
    classifier: Classifier,
    name: str,
    new_detector: Callable[[], Detector],
    *,
    auto: bool = True,
    cameras: dict[str, str] | None = None,
    hosts: frozenset[str] = LOOPBACK,
    limits: Limits | None = None,
    notify: Callable[[str], None] = print,
) -> Guard:
    """The page as an ASGI application.

    Args:
        classifier: names the expressions; loaded once for everybody.
        name: of the model, as visitors see it.
        new_detector: makes a face detector; called for every thread, webcam and video.
        auto: take small square pictures as cropped faces.
        cameras: name -> address of cameras that visitors may watch; no other address is ever opened.
        hosts: names under which the server may be asked, beside addresses in digits.
        limits: see `Limits`.
        notify: gets lines for the person at the server.
    """
    limits = limits or Limits()
    MultiPartParser.spool_max_size = limits.picture_bytes + 1  # Starlette's would write pictures over 1 MB to disk

    def new_session(thorough=False):
        return Session(Recognizer(classifier, new_detector()), thorough=thorough)

    still, moving = (ThreadPoolExecutor(cores(), name) for name in ("pictures", "webcams"))

    async def work(pool, function, *arguments):
        """Runs in a thread, so that nobody else waits; gives up on it after a while."""
        task = asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        try:
            return await asyncio.wait_for(task, limits.work_time)
        except TimeoutError:
            refuse(503, "the server is too busy at the moment; try again", retry=5)

    detectors = [new_detector() for _ in range(cores())]
    recognizer = Recognizer(classifier, detectors, cropped="auto" if auto else "never")
    pictures = Pictures(recognizer, limits=limits)
    slots = Slots(limits.pictures, "pictures", each=limits.each)
    webcams = Webcams(new_session, partial(work, moving), limits)  # which large pictures must not hold up
    shown = {known: Camera(known, address, new_session, notify) for known, address in (cameras or {}).items()}
    viewers = Slots(limits.viewers, "pages that watch cameras")
    films = videos.Videos(lambda: new_session(thorough=True), limits, notify)

    @asynccontextmanager
    async def lifespan(_):
        films.open()
        tidying = asyncio.create_task(films.keep_tidy())
        yield
        tidying.cancel()
        for camera in shown.values():
            camera.closing.set()
        await asyncio.to_thread(films.close)
        for camera in shown.values():
            await asyncio.to_thread(camera.close)
        for pool in (still, moving):
            pool.shutdown(cancel_futures=True)

    app = FastAPIOffline(
        title="Facial expressions",
        version="1",
        description=ABOUT,
        redoc_url=None,
        lifespan=lifespan,
        static_url="/docs-static",
    )
    _say_problems_in_one_line(app)

    @app.get("/health")
    async def health() -> Health:
        """Says which model answers, with which labels."""
        allowed = {key: getattr(limits, key) for key in LIMITS_SHOWN}
        return Health(status="ok", model=name, labels=list(classifier.labels), limits=allowed)

    @app.post("/predict", responses=problems(400, 403, 408, 413, 415, 422, 429, 503))
    async def predict(
        request: Request, image: Annotated[UploadFile, File(description="JPEG, PNG, WebP or BMP")]
    ) -> Answer:
        """Labels the faces of a picture, the largest first."""
        with slots.one(request.client.host if request.client else ""):
            return await work(still, pictures.label, await image.read())

    @app.websocket("/live")
    async def live(socket: WebSocket):
        await webcams.serve(socket)

    @app.get("/cameras")
    async def list_cameras() -> Cameras:
        """Names the cameras of this server."""
        return Cameras(cameras=list(shown))

    @app.websocket("/cameras/{known}")
    async def watch(socket: WebSocket, known: str):
        async def talk():
            if known not in shown:
                raise Ended(1008, "there is no such camera")
            await shown[known].serve(socket)

        await converse(socket, viewers, talk)

    _add_videos(app, films)

    @app.api_route("/", methods=["GET", "HEAD"], include_in_schema=False)
    async def page():
        return FileResponse(STATIC / "index.html")

    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    return Guard(app, hosts=hosts, limits=limits, large=frozenset({"/videos"}))


def settings(app: Guard, certificate: str | None = None, key: str | None = None) -> uvicorn.Config:
    """How uvicorn serves the page: no debug mode, no access log, one process."""
    return uvicorn.Config(
        app,
        http=Punctual,  # on h11, which refuses headers beyond the size below
        h11_max_incomplete_event_size=2**16,
        ws_max_size=2 * 2**20,
        timeout_keep_alive=10,
        timeout_graceful_shutdown=3,
        server_header=False,
        access_log=False,
        log_level="warning",
        ssl_certfile=certificate,
        ssl_keyfile=key,
    )


def _add_videos(app: FastAPI, films: videos.Videos):
    binary = {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}

    @app.post(
        "/videos",
        status_code=202,
        responses=problems(403, 408, 413, 415, 422, 429),
        openapi_extra={"requestBody": binary | {"required": True}},
    )
    async def send_video(request: Request) -> videos.Created:
        """Takes a video file as it stands (MP4, MOV, WebM, MKV, AVI, MPEG) and puts it in line."""
        id = await films.receive(request.stream())
        if await request.is_disconnected():  # nobody will ever learn the name
            films.delete(id)
        return videos.Created(id=id)

    @app.get("/videos/{id}", responses=problems(404))
    async def ask_after_video(id: str) -> videos.Progress:
        """Says how far a video is."""
        job = films.find(id)
        return videos.Progress(**{key: getattr(job, key) for key in videos.Progress.model_fields})

    @app.get("/videos/{id}/{result}", response_class=Response, responses=problems(404, 409))
    async def fetch_result(id: str, result: str) -> Response:
        """Gives annotated.mp4, timeline.png or rows.csv, once the video is done."""
        if result not in videos.RESULTS:
            raise HTTPException(404, f"the results are {', '.join(videos.RESULTS)}")
        path, stat = films.result(id, result)
        return FileResponse(path, stat_result=stat, media_type=videos.RESULTS[result])

    @app.delete("/videos/{id}", status_code=204, responses=problems(403, 404))
    async def delete_video(id: str) -> None:
        """Cancels the work and deletes the video and all that came of it."""
        films.find(id)
        films.delete(id)


def _say_problems_in_one_line(app: FastAPI):
    @app.exception_handler(RequestValidationError)
    async def invalid(_, error):
        lines = (f"{'.'.join(str(part) for part in one['loc'][1:])}: {one['msg']}" for one in error.errors())
        return JSONResponse({"detail": "; ".join(lines)}, 422)

    @app.exception_handler(Exception)
    async def broken(_, error):  # Starlette logs it with its traceback, for the person at the server alone
        return JSONResponse({"detail": "the server failed at this request"}, 500)
