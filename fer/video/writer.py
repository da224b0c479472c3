"""Videos written frame by frame: H.264 that browsers play, every frame at its own time."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError

from fer.core.errors import FerError
from fer.core.files import check_writable

FORMATS = (".mp4", ".mkv", ".mov")  # AVI has one frame rate for the whole file
TICKS = 90_000  # per second, the clock of MPEG: a multiple of every usual frame rate
LONGEST_STILL = 2.0  # seconds for which the recording of a camera shows one frame: an outage is shortened to it
QUALITY = {"preset": "veryfast", "crf": "23"}  # of x264: 4 ms for a frame of 640x480 on one core


class VideoWriter:
    """Writes frames to an H.264 video. Use it as a context manager.

    Every frame is written once, at its own time: a recording is as long as its source and in step with its log, also
    where the frame rate varies. The video has the size of the first frame; others are fitted into it.

    Args:
        path: .mp4, .mkv or .mov; replaced if it exists. Without a frame no file is written.
        max_width: in pixels; wider frames are scaled down.
        longest_still: seconds; longer pauses between two frames are shortened to it. None keeps them.

    Raises:
        FerError: another format, or a path that cannot be written.
    """

    def __init__(self, path: str | Path, *, max_width: int | None = None, longest_still: float | None = None):
        check_video_format(path)
        check_writable(path)
        self.path, self.max_width, self.longest_still = Path(path), max_width, longest_still
        self._file: av.container.OutputContainer | None = None
        self._stream: av.video.stream.VideoStream | None = None
        self._size = (0, 0)
        self._ticks = -1  # time of the last frame
        self._still = 0  # ticks for which it stands, should it remain the last
        self._before = 0.0  # seconds of the last frame ...
        self._cut = 0.0  # ... and the pauses left out so far

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is None:
            return
        try:
            self._encode(None)
        finally:
            with self._failing():
                self._file.close()

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Adds a frame.

        Args:
            image: uint8 (H, W, 3) BGR.
            seconds: its time in the video; of two frames with the same time the second moves on by a tick.

        Raises:
            FerError: the disk is full, or gone.
        """
        if self._file is None:
            self._open(image)
        elif self.longest_still is not None:
            self._cut += max(0.0, seconds - self._before - self.longest_still)
        self._before = seconds
        ticks = max(self._ticks + 1, round(TICKS * (seconds - self._cut)))
        self._still, self._ticks = min(ticks - max(self._ticks, 0), TICKS) or TICKS // 25, ticks
        frame = av.VideoFrame.from_ndarray(fit(image, self._size), format="bgr24")
        frame.pts, frame.time_base = self._ticks, Fraction(1, TICKS)
        self._encode(frame)

    def _open(self, image: np.ndarray) -> None:
        height, width = image.shape[:2]
        scale = min(1.0, (self.max_width or width) / width)
        # The colours of H.264 have half the size: sides are even.
        self._size = (max(2, int(scale * width) // 2 * 2), max(2, int(scale * height) // 2 * 2))
        # Players start before all is loaded. The recording of a camera may last for hours, of which a crash should take
        # the last seconds only: it is written in parts, and joined at its end without being written again.
        flags = "+faststart" if self.longest_still is None else "+hybrid_fragmented"
        options = {"movflags": flags} if self.path.suffix.lower() != ".mkv" else {}
        with self._failing():  # FFmpeg takes the part before a colon for a protocol
            self._file = av.open(os.path.abspath(self.path), "w", options=options)
        # No steady rate is known: MP4 derives one from the times, Matroska takes this one for none.
        self._stream = self._file.add_stream("libx264", rate=1000, options=QUALITY)
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        assert self._file is not None
        assert self._stream is not None
        with self._failing():
            for packet in self._stream.encode(frame):
                packet.duration = self._still
                self._file.mux(packet)

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except (FFmpegError, OSError) as error:
            raise FerError(f"{self.path}: cannot be written ({error.strerror or error})") from error


def check_video_format(path: str | Path) -> None:
    """Raises FerError where the suffix is not one that `VideoWriter` writes."""
    if Path(path).suffix.lower() not in FORMATS:
        raise FerError(f"{path}: videos are written as {', '.join(FORMATS)}")


def fit(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Fits an image into a frame: scaled, with black beside it where the proportions differ.

    An image that is larger by one row or column loses it instead, and stays sharp.

    Args:
        image: uint8 (H, W, 3).
        size: width and height of the frame, pixels.

    Returns:
        uint8 (height, width, 3).
    """
    width, height = size
    if 0 <= image.shape[0] - height <= 1 and 0 <= image.shape[1] - width <= 1:
        return np.ascontiguousarray(image[:height, :width])
    scale = min(width / image.shape[1], height / image.shape[0])
    inner = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    image = cv2.resize(image, inner, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    x, y = (width - inner[0]) // 2, (height - inner[1]) // 2
    canvas = np.zeros((height, width, 3), np.uint8)
    canvas[y : y + inner[1], x : x + inner[0]] = image
    return canvas
