"""Uploaded videos: received into a private folder, labelled one after the other, fetched, deleted."""

import asyncio
import os
import secrets
import shutil
import time
import traceback
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from fastapi import HTTPException
from pydantic import BaseModel

from fer.core.errors import FerError
from fer.inference import drawing, results
from fer.video import sources, timeline
from fer.video.session import Session
from fer.web.decoder import Decoder
from fer.web.limits import Limits, megabytes, refuse
from fer.web.private import PrivateFolder

RESULTS = {"annotated.mp4": "video/mp4", "timeline.png": "image/png", "rows.csv": "text/csv"}
WIDEST = 1280  # pixels: an annotated video is no wider
SNIFFED = 16  # bytes from which a video's kind shows

State = Literal["waiting", "working", "done", "failed", "cancelled"]


class Created(BaseModel):
    """The name under which a video is asked after. Whoever does not know it cannot reach the video."""

    id: str


class Progress(BaseModel):
    """How far a video is."""

    state: State
    frames: int
    total: int | None
    detail: str
    summary: str


@dataclass
class Job:
    """One video in its own folder.

    Attributes:
        folder: holds the upload and the results; nothing else of it is kept.
        state, frames, total, detail, summary: see `Progress`.
        cancelled: the visitor has had enough.
        touched: when it was last asked after.
    """

    folder: Path
    state: State = "waiting"
    frames: int = 0
    total: int | None = None
    detail: str = ""
    summary: str = ""
    cancelled: bool = False
    touched: float = field(default_factory=time.monotonic)

    @property
    def upload(self) -> Path:
        return self.folder / "upload"


def is_video(head: bytes) -> bool:
    """True if a file begins as MP4 or MOV, WebM or Matroska, AVI, or MPEG does. Playlists, which name other files and
    addresses to FFmpeg, begin otherwise."""
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
        or head.startswith((b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"))
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
    )


class Videos:
    """Labels videos, one at a time.

    Args:
        new_session: makes the session that labels one.
        limits: see `Limits`.
        notify: gets the lines for the person at the server.
    """

    def __init__(self, new_session: Callable[[], Session], limits: Limits, notify: Callable[[str], None]):
        self.new_session, self.limits, self.notify = new_session, limits, notify
        self.private: PrivateFolder | None = None
        self.jobs: dict[str, Job] = {}
        self.worker = ThreadPoolExecutor(1, "videos")

    def open(self) -> None:
        """Makes the folder; only a server that runs should have one, for it is the server's end that removes it."""
        self.private = PrivateFolder()

    def close(self) -> None:
        """Ends all work and removes the folder."""
        for name in list(self.jobs):
            self.delete(name)
        self.worker.shutdown()
        self.private.close()

    async def receive(self, chunks: AsyncIterator[bytes]) -> str:
        """Stores an upload and puts it in line.

        Returns:
            The name of the job.

        Raises:
            HTTPException: 415 for what is no video, 422 for nothing, 413 for too much, 429 while all places are taken.
        """
        self.tidy()
        if len(self.jobs) >= self.limits.videos:
            refuse(429, f"busy: {self.limits.videos} videos at once are served; try again later", retry=30)
        name = secrets.token_urlsafe(16)
        job = self.jobs[name] = Job(self.private.path / name)
        try:
            job.folder.mkdir()
            await self._store(job, chunks)
        except BaseException:
            self.delete(name)
            raise
        self.worker.submit(self._work, job)
        return name

    async def _store(self, job, chunks):
        head, count = b"", 0
        with job.upload.open("wb") as file:
            async for chunk in chunks:
                sniffed = len(head) >= SNIFFED
                head, count = head if sniffed else head + chunk, count + len(chunk)
                if count > self.limits.video_bytes:
                    refuse(413, f"the file is larger than {megabytes(self.limits.video_bytes)}")
                if not sniffed and len(head) >= SNIFFED and not is_video(head):
                    break
                file.write(chunk)
                job.touched = time.monotonic()
        if not count:
            refuse(422, "the file is empty (0 bytes)")
        if not is_video(head):
            refuse(415, "not a video of these kinds: MP4, MOV, WebM, MKV, AVI, MPEG")

    def find(self, name: str) -> Job:
        """The job of a name; raises HTTPException 404."""
        job = self.jobs.get(name)
        if job is None:
            raise HTTPException(404, "there is no such video; results are kept for a while only")
        job.touched = time.monotonic()
        return job

    def result(self, name: str, file: str) -> tuple[Path, os.stat_result]:
        """A result's file; raises HTTPException 404, or 409 before the work is done."""
        job = self.find(name)
        if job.state != "done":
            raise HTTPException(409, f"the video is {job.state}")
        path = job.folder / file
        try:
            return path, path.stat()
        except OSError:  # deleted at this moment
            raise HTTPException(404, "there is no such video any more") from None

    def delete(self, name: str) -> None:
        """Forgets a job and removes its folder, after the frame at hand where one is being labelled."""
        job = self.jobs.pop(name, None)
        if job is not None:
            job.cancelled = True
            if job.state != "working":
                shutil.rmtree(job.folder, ignore_errors=True)

    def tidy(self) -> None:
        """Deletes what nobody has asked after for a while."""
        oldest = time.monotonic() - self.limits.keep
        for name in [name for name, job in self.jobs.items() if job.touched < oldest]:
            self.delete(name)

    async def keep_tidy(self) -> None:
        """Runs `tidy` for ever."""
        while True:
            await asyncio.sleep(self.limits.keep / 10)
            self.tidy()

    # In the worker's thread

    def _work(self, job):
        if job.cancelled:
            return
        job.state, state = "working", "failed"
        try:
            self._label(job)
            state = "cancelled" if job.cancelled else "done"
        except FerError as error:
            job.detail = str(error).replace(str(job.folder), "")
        except Exception:  # a bug, or a full disk: the visitor gets a line, the person at the server the rest
            job.detail = "the server could not label this video"
            self.notify(f"a video could not be labelled:\n{traceback.format_exc()}")
        finally:
            job.upload.unlink(missing_ok=True)
            job.touched = time.monotonic()
            job.state = state
            if job.cancelled:
                shutil.rmtree(job.folder, ignore_errors=True)

    def _label(self, job):
        notices = []
        end = time.monotonic() + self.limits.video_work_time
        with ExitStack() as stack:
            video = stack.enter_context(
                sources.VideoFile(
                    "the video", lambda: Decoder(job.upload, self.limits.video_pixels), notify=notices.append
                )
            )
            self._check(video)
            job.total = video.total
            session = self.new_session()
            table = stack.enter_context(results.Writer(job.folder / "rows.csv", session.history.labels))
            film = stack.enter_context(Film(job.folder / "annotated.mp4", video.size))
            for frame in video:
                if job.cancelled:
                    return
                if frame.seconds > self.limits.video_seconds:
                    raise FerError(f"the video is longer than {self.limits.video_seconds / 60:g} minutes")
                if time.monotonic() > end:
                    raise FerError("labelling this video takes too long on this server; send a shorter or smaller one")
                predictions = session.process(frame)
                rows = results.rows("video", predictions, index=frame.index, seconds=frame.seconds)
                table.write(rows)
                film.write(drawing.draw(frame.image, predictions), frame.seconds)
                job.frames = frame.index + 1
        timeline.timeline(session.history.timeline(), session.history.labels, job.folder / "timeline.png")
        job.summary, job.detail = session.history.summary(), " ".join(notices)

    def _check(self, video):
        if (video.total or 0) / (video.fps or sources.USUAL_FPS) > 1.1 * self.limits.video_seconds:
            raise FerError(f"the video is longer than {self.limits.video_seconds / 60:g} minutes")


class Film:
    """An H.264 video that browsers play, each frame at its own time. Use it as a context manager.

    Args:
        path: of the .mp4 file.
        size: width and height of the frames, pixels; wider ones are scaled down.
    """

    def __init__(self, path: Path, size: tuple[int, int]):
        scale = min(1.0, WIDEST / size[0])
        self.size = tuple(max(2, round(side * scale) // 2 * 2) for side in size)  # H.264 counts in pairs
        self.file = av.open(str(path), "w", options={"movflags": "+faststart"})
        self.stream = self.file.add_stream("libx264", options={"preset": "veryfast", "crf": "23"})
        self.stream.width, self.stream.height, self.stream.pix_fmt = *self.size, "yuv420p"
        self.stream.codec_context.time_base = Fraction(1, 1000)
        self.last = -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.mux(self.stream.encode(None))
        self.file.close()

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Adds a frame, uint8 (H, W, 3) BGR."""
        frame = av.VideoFrame.from_ndarray(cv2.resize(image, self.size, interpolation=cv2.INTER_AREA), format="bgr24")
        frame.pts = self.last = max(self.last + 1, round(1000 * seconds))
        frame.time_base = Fraction(1, 1000)
        self.file.mux(self.stream.encode(frame))
