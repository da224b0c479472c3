"""Frames, and what all sources of frames have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

USUAL_FPS = 25.0  # frames per second of a file that states no rate
MAX_FPS = 500.0  # files without a rate state 1000 (WebM from browsers) or 90000


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: uint8 (H, W, 3) BGR, upright.
        name: the source as it may be printed, without a password.
        index: 0, 1, 2 ... in the order of delivery; a gap in a file stands for frames that cannot be decoded. What a
            camera shows between two deliveries is not counted.
        seconds: presentation time in a file, increasing; for a camera the time of capture since its first frame was
            asked for.
    """

    image: np.ndarray
    name: str
    index: int
    seconds: float


class FrameSource(ABC):
    """A video file or a camera. Use it as a context manager and iterate over it; leaving the loop closes it.

    Attributes:
        live: True for a camera, which yields `None` while it has no new frame.
        name: the source as it may be printed, without a password.
        fps: frames per second as the source states them; None where it states none.
        size: width and height of the first frame in pixels.
        total: number of frames as a file states it; None where it is unknown.
        lost: frames that could not be decoded so far; 0 for a camera.
    """

    live: ClassVar[bool]
    name: str
    fps: float | None
    size: tuple[int, int]
    total: int | None
    lost: int = 0

    @abstractmethod
    def __iter__(self) -> Iterator[Frame | None]: ...

    @abstractmethod
    def close(self) -> None:
        """Releases the source; a second call does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
