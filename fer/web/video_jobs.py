"""Uploaded videos: received into a private folder, labelled one after the other, kept for a while, deleted."""

import asyncio
import logging
import os
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from fer.core.errors import FerError
from fer.inference import drawing, results
from fer.video import timeline
from fer.video.frames import USUAL_FPS
from fer.video.session import Session
from fer.video.video_file import FileLimits, VideoFile
from fer.video.writer import VideoWriter
from fer.web.fair_pool import FairPool
from fer.web.limits import Limits, megabytes
from fer.web.private_folder import PrivateFolder
from fer.web.problems import refuse
from fer.web.slots import Slots

logger = logging.getLogger(__name__)

HEAD_BYTES = 16  # from which a video's format shows
LENGTH_MARGIN = 1.1  # headers err: a video counts as too long at once only if its header says so by a tenth
FORMATS = "MP4, MOV, WebM, MKV, AVI, MPEG"
CONTAINERS = "mov,matroska,avi,mpeg,mpegvideo"  # the same by FFmpeg's names

JobState = Literal["waiting", "working", "done", "failed"]


@dataclass
class Job:
    """One video in its own folder.

    Attributes:
        folder: holds the upload and the results; nothing else of it is kept.
        client: whose place it takes.
        state, frames, total, detail, summary: see `videos.Progress`.
        cancelled: the client has deleted it.
        touched: when it was last asked for.
    """

    folder: Path
    client: str
    state: JobState = "waiting"
    frames: int = 0
    total: int | None = None
    detail: str = ""
    summary: str = ""
    cancelled: bool = False
    touched: float = field(default_factory=time.monotonic)

    @property
    def upload(self) -> Path:
        """The file as the client sent it."""
        return self.folder / "upload"


def is_video(head: bytes) -> bool:
    """True if a file begins as MP4 or MOV, WebM or Matroska, AVI, or MPEG does.

    Playlists, which name other files and addresses to FFmpeg, begin otherwise.
    """
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
        or head.startswith((b"\x1aE\xdf\xa3", b"\x00\x00\x01\xba", b"\x00\x00\x01\xb3"))
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
    )


class VideoJobs:
    """Labels videos, one at a time, and the clients' in turn.

    Args:
        new_session: makes the session that labels one.
        limits: see `Limits`.
    """

    def __init__(self, new_session: Callable[[], Session], limits: Limits):
        self.new_session, self.limits = new_session, limits
        self.slots = Slots(limits.videos, "videos", per_client=limits.videos_per_client, retry=30)
        self.uploads = Slots(
            limits.video_uploads, "uploads of videos", per_client=limits.video_uploads_per_client, retry=30
        )
        self.jobs: dict[str, Job] = {}
        self.worker = FairPool(1, "videos")
        self.private: PrivateFolder | None = None

    def open(self) -> None:
        """Makes the folder; only a server that runs should have one, for it is the server's end that removes it."""
        self.private = PrivateFolder()

    def close(self) -> None:
        """Ends all work and removes the folder."""
        for id in list(self.jobs):
            self.delete(id)
        self.worker.close()
        if self.private:
            self.private.close()

    async def receive(self, chunks: AsyncIterator[bytes], client: str) -> str:
        """Stores an upload and queues it.

        Args:
            chunks: of the file.
            client: whose place it takes.

        Returns:
            The name of the job.

        Raises:
            HTTPException: 413 for too much, 415 for another kind of file, 422 for nothing, 429 where no place is left.
        """
        assert self.private, "the server does not run"
        self.clean()
        self.slots.check(client)
        id = secrets.token_urlsafe(16)
        job = Job(self.private.path / id, client)
        try:
            with self.uploads.hold(client):  # slow clients must not hold the places of videos
                job.folder.mkdir()
                await self._store(job, chunks)
            self.slots.acquire(client)
        except BaseException:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
        self.jobs[id] = job
        self.worker.submit(job.client, self._work, job)
        return id

    async def _store(self, job: Job, chunks: AsyncIterator[bytes]) -> None:
        head, count = b"", 0
        with job.upload.open("wb") as file:
            async for chunk in chunks:
                known = len(head) >= HEAD_BYTES
                head, count = head if known else head + chunk, count + len(chunk)
                if count > self.limits.video_bytes:
                    refuse(413, f"the file is larger than {megabytes(self.limits.video_bytes)}")
                if not known and len(head) >= HEAD_BYTES and not is_video(head):
                    break
                file.write(chunk)
                job.touched = time.monotonic()
        if not count:
            refuse(422, "the file is empty (0 bytes)")
        if not is_video(head):
            refuse(415, f"not a video in one of these formats: {FORMATS}")

    def find(self, id: str) -> Job:
        """The job of a name; raises HTTPException 404."""
        job = self.jobs.get(id)
        if job is None:
            refuse(404, "there is no such video; results are kept for a while only")
        job.touched = time.monotonic()
        return job

    def result(self, id: str, name: str) -> tuple[Path, os.stat_result]:
        """The file of a result; raises HTTPException 404, or 409 before the work is done."""
        job = self.find(id)
        if job.state != "done":
            refuse(409, f"the video is {job.state}")
        path = job.folder / name
        try:
            return path, path.stat()
        except OSError:  # deleted at this moment
            refuse(404, "there is no such video any more")

    def delete(self, id: str) -> None:
        """Forgets a job and removes its folder; one that is being labelled ends after the current frame."""
        job = self.jobs.pop(id, None)
        if job is not None:
            self.slots.release(job.client)
            job.cancelled = True
            if job.state != "working":
                shutil.rmtree(job.folder, ignore_errors=True)

    def count_unfinished(self) -> int:
        """Videos that wait or are being labelled."""
        return sum(job.state in ("waiting", "working") for job in self.jobs.values())

    def clean(self) -> None:
        """Deletes jobs that nobody has asked for in a while."""
        oldest = time.monotonic() - self.limits.video_keep_seconds
        for id in [id for id, job in self.jobs.items() if job.touched < oldest]:
            self.delete(id)

    async def clean_forever(self) -> None:
        """Runs `clean` again and again."""
        while True:
            await asyncio.sleep(self.limits.video_keep_seconds / 10)
            self.clean()

    # In the worker's thread

    def _work(self, job: Job) -> None:
        if job.cancelled:
            return
        job.state = "working"
        state: JobState = "failed"
        try:
            self._label(job)
            state = "done"
        except FerError as error:
            job.detail = str(error).replace(str(job.folder), "")
        except Exception:  # a bug, or a full disk: the client gets one line, the log the rest
            job.detail = "the server could not label this video"
            logger.exception("a video could not be labelled")
        finally:
            job.upload.unlink(missing_ok=True)
            job.touched = time.monotonic()
            job.state = state
            if state != "done" or job.cancelled:  # at this very moment: then it was not removed
                shutil.rmtree(job.folder, ignore_errors=True)

    def _label(self, job: Job) -> None:
        end = time.monotonic() + self.limits.video_work_seconds
        with ExitStack() as stack:
            limits = FileLimits(CONTAINERS, pixels=self.limits.video_pixels, streams=self.limits.video_streams)
            video = stack.enter_context(VideoFile(job.upload, name="video", limits=limits))
            self._check_length((video.total or 0) / (video.fps or USUAL_FPS) / LENGTH_MARGIN)
            job.total = video.total
            session = self.new_session()
            marks = session.recognizer.uncertain_below is not None
            table = results.Writer(job.folder / "rows.csv", session.history.labels, uncertain=marks)
            stack.enter_context(table)
            copy = stack.enter_context(VideoWriter(job.folder / "annotated.mp4", max_width=self.limits.video_width))
            for frame in video:
                if job.cancelled:
                    return
                self._check_length(frame.seconds)
                if time.monotonic() > end:
                    raise FerError("labelling this video takes too long on this server; send a shorter or smaller one")
                predictions = session.process(frame)
                table.write(session.rows(frame))
                copy.write(drawing.draw(frame.image, predictions), frame.seconds)
                self._check_size(job)
                job.frames = frame.index + 1
            table.write(session.finish(video))
        timeline.timeline(session.history.timeline(), session.history.labels, job.folder / "timeline.png")
        job.summary, job.detail = session.history.summary(), video.damage

    def _check_size(self, job: Job) -> None:
        """A small file may name the same noise many times over, and H.264 writes it anew each time."""
        files = (job.folder / "annotated.mp4", job.folder / "rows.csv")
        if sum(path.stat().st_size for path in files if path.exists()) > self.limits.result_bytes:
            raise FerError(f"the labelled video is larger than {megabytes(self.limits.result_bytes)}")

    def _check_length(self, seconds: float) -> None:
        if seconds > self.limits.video_seconds:
            raise FerError(f"the video is longer than {self.limits.video_seconds / 60:g} minutes")
