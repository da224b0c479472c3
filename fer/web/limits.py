"""How much one visitor, and all of them together, may ask of the server."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import HTTPException


@dataclass(frozen=True)
class Limits:
    """What is refused beyond; see each entry.

    Attributes:
        picture_bytes, picture_pixels: of an uploaded picture.
        video_bytes, video_seconds, video_pixels: of an uploaded video: its file, its length, one of its frames.
        frame_bytes, frame_pixels: of one picture of a visitor's webcam.
        stall: seconds an upload may pause.
        picture_time, video_time: seconds an upload may take in all.
        work_time: seconds labelling a picture may take.
        video_work_time: seconds labelling a video may take; the next one waits for it.
        uploads: pictures on their way at once; what is beyond gets 429, as for the next four.
        pictures, each: pictures being labelled or waiting for it at once; of one network address.
        visitors: webcams at once.
        viewers: pages that watch a named camera at once.
        videos: videos at once, uploads and results that nobody has deleted yet included.
        keep: seconds for which a video's results can be fetched.
    """

    picture_bytes: int = 10 * 2**20
    picture_pixels: int = 25_000_000
    video_bytes: int = 200 * 2**20
    video_seconds: int = 600
    video_pixels: int = 3840 * 2160
    frame_bytes: int = 2**20
    frame_pixels: int = 1920 * 1080
    stall: float = 10.0
    picture_time: float = 30.0
    video_time: float = 600.0
    work_time: float = 30.0
    video_work_time: float = 3600.0
    uploads: int = 64
    pictures: int = 16
    each: int = 8
    visitors: int = 8
    viewers: int = 16
    videos: int = 6
    keep: int = 900


class Slots:
    """So many at once; the next one is told to come back. For one event loop: it takes no lock.

    Args:
        count: how many.
        what: for the message, as in "8 webcams".
        each: how many of them one visitor may hold; None for all.
    """

    def __init__(self, count: int, what: str, *, each: int | None = None):
        self.count, self.what, self.each = count, what, count if each is None else each
        self.holders = Counter()

    @contextmanager
    def one(self, holder: str = "") -> Iterator[None]:
        """Holds a place while the block runs.

        Raises:
            HTTPException: 429, all are taken, or as many as one holder may have.
        """
        for taken, most, whose in (
            (self.holders.total(), self.count, ""),
            (self.holders[holder], self.each, " of one visitor"),
        ):
            if taken >= most:
                refuse(429, f"busy: {most} {self.what}{whose} at once are served; try again in a moment", retry=1)
        self.holders[holder] += 1
        try:
            yield
        finally:
            self.holders[holder] -= 1
            self.holders += Counter()  # forgets those who hold none


def refuse(status: int, detail: str, *, retry: int | None = None) -> None:
    """Raises the HTTPException of a status with one line for a person."""
    raise HTTPException(status, detail, headers={"Retry-After": str(retry)} if retry else None)


def megabytes(count: int) -> str:
    return f"{count / 2**20:.0f} MB"
