"""The routes under /videos: send a video, ask how far it is, fetch its results, delete it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import APIRouter, FastAPI, Request
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from fer.web.problems import example, problem_responses, refuse
from fer.web.slots import client_of
from fer.web.state import State
from fer.web.video_jobs import JobState, VideoJobs

EXAMPLE = {"state": "working", "frames": 120, "total": 900, "detail": "", "summary": ""}
RESULTS = {"annotated.mp4": "video/mp4", "timeline.png": "image/png", "rows.csv": "text/csv"}
BINARY_BODY = {
    "requestBody": {
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
        "required": True,
    }
}


class Created(BaseModel):
    """The name of a video. Whoever does not know it cannot reach the video."""

    id: str


class Progress(BaseModel):
    """How far a video is."""

    state: JobState
    frames: int
    total: int | None
    detail: str
    summary: str


class ResultFile(FileResponse):
    """A file, or a part of it; a Range that it does not have is refused in one line of JSON."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Of ASGI."""
        refused = False

        async def wrapped(message: Message) -> None:
            nonlocal refused
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refused = True
                place = Headers(raw=message["headers"]).get("content-range")
                detail = f"the range is not within the file, which has {int(self.headers['content-length']):,} bytes"
                headers = None if place is None else {"Content-Range": place}
                await JSONResponse({"detail": detail}, message["status"], headers)(scope, receive, send)
            elif not refused:
                await send(message)

        await super().__call__(scope, receive, wrapped)


def create_router(state: State) -> APIRouter:
    """The routes for videos."""
    limits = state.limits
    jobs = VideoJobs(lambda: state.new_session(thorough=True), limits)

    state.gauges["videos"] = "Videos kept, results included", jobs.slots.held.total
    state.gauges["videos_waiting"] = "Videos that wait or are being labelled", jobs.count_unfinished

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        jobs.open()
        cleaning = asyncio.create_task(jobs.clean_forever())
        yield
        cleaning.cancel()
        await asyncio.to_thread(jobs.close)

    router = APIRouter(prefix="/videos", tags=["videos"], lifespan=lifespan)

    @router.post(
        "",
        status_code=202,
        responses={202: example({"id": "pX1vJ0cN4r2bq7Yt"}), **problem_responses(408, 413, 415, 422)},
        openapi_extra=BINARY_BODY,
        description="Takes a video file as it stands (MP4, MOV, WebM, MKV, AVI, MPEG) and queues it.\n\n"
        f"Limits: {limits.video_bytes:,} bytes, {limits.video_seconds:g} seconds, {limits.video_pixels:,} pixels per "
        f"frame; {limits.videos} videos at once, {limits.videos_per_client} of a client. A video and its results are "
        f"deleted {limits.video_keep_seconds:g} seconds after the last request for them.",
    )
    async def send_video(request: Request) -> Created:
        id = await jobs.receive(request.stream(), client_of(request))
        if await request.is_disconnected():  # nobody will ever learn the name
            jobs.delete(id)
        return Created(id=id)

    @router.get("/{id}", responses={200: example(EXAMPLE), **problem_responses(404)})
    async def get_progress(id: str) -> Progress:
        """Says how far a video is."""
        job = jobs.find(id)
        return Progress(**{name: getattr(job, name) for name in Progress.model_fields})

    binary = {"schema": {"type": "string", "format": "binary"}}
    files: dict[int | str, dict] = {200: {"content": {kind: binary for kind in RESULTS.values()}}}

    @router.get("/{id}/{result}", response_class=Response, responses={**files, **problem_responses(400, 404, 409, 416)})
    async def get_result(
        id: str, result: Annotated[str, PathParameter(json_schema_extra={"enum": list(RESULTS)})]
    ) -> Response:
        """Gives annotated.mp4, timeline.png or rows.csv, once the video is done."""
        if result not in RESULTS:
            refuse(404, f"the results are {', '.join(RESULTS)}")
        path, stat = jobs.result(id, result)
        return ResultFile(path, stat_result=stat, media_type=RESULTS[result])

    @router.delete("/{id}", status_code=204, responses=problem_responses(404))
    async def delete_video(id: str) -> None:
        """Cancels the work and deletes the video with all its results."""
        jobs.find(id)
        jobs.delete(id)

    return router
