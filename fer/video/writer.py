"""Films written frame by frame."""

from pathlib import Path

import cv2
import numpy as np

from fer.core.errors import FerError
from fer.core.files import check_writable
from fer.inference.drawing import fit

RATED = 10  # frames from which a camera's rate is taken
SLOWEST, FASTEST = 30.0, 120.0  # frames a second of a camera's video
LONGEST_STILL = 2.0  # seconds for which a recorded video shows one frame


class Recorder:
    """Writes frames to a video that plays at the speed at which they came. Use it as a context manager.

    Every frame is written. Cameras do not keep time, so a frame is repeated until the next one's moment; an outage is
    shortened to `LONGEST_STILL` seconds. The video has the size of the first frame; others are fitted into it.

    Args:
        path: .mp4, .avi or .mkv; replaced if it exists.
        fps: frames a second of the video; None for those of the first frames, `SLOWEST` at least.

    Raises:
        FerError: the format is another, or OpenCV cannot write it.
    """

    CODECS = {".mp4": "mp4v", ".avi": "MJPG", ".mkv": "MJPG"}  # noqa: RUF012 -- a constant

    def __init__(self, path: str | Path, fps: float | None = None):
        check_video_format(path)
        check_writable(path)
        self.path, self.fps, self.writer = Path(path), fps, None
        self.first: list[tuple[np.ndarray, float]] = []  # frames that wait until the rate is known
        self.written, self.skipped, self.last = 0, 0.0, None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.first:
            self._open()
        if self.writer:
            self.writer.release()

    def write(self, image: np.ndarray, seconds: float) -> None:
        """Adds a frame.

        Args:
            image: uint8 (H, W, 3) BGR.
            seconds: its time; only differences count.
        """
        if self.writer:
            self._place(image, seconds)
            return
        self.first.append((image, seconds))
        if self.fps or len(self.first) == RATED:
            self._open()

    def _open(self):
        fps = self.fps
        if not fps:
            intervals = np.diff([seconds for _, seconds in self.first])
            fps = float(np.clip(1 / max(np.median(intervals), 1e-3), SLOWEST, FASTEST)) if len(intervals) else SLOWEST
        self.fps = round(fps, 3 if fps < 65 else 1)  # MPEG-4 counts time in 65,535ths at most
        self.begun = self.first[0][1]
        self.size = self.first[0][0].shape[1::-1]
        code = cv2.VideoWriter.fourcc(*self.CODECS[self.path.suffix.lower()])
        self.writer = cv2.VideoWriter(str(self.path), code, self.fps, self.size)
        if not self.writer.isOpened():
            raise FerError(f"{self.path}: OpenCV cannot write this video")
        first, self.first = self.first, []
        for image, seconds in first:
            self._place(image, seconds)

    def _place(self, image, seconds):
        image = fit(image, self.size)
        if self.last is not None:
            passed = seconds - self.begun
            self.skipped += max(0.0, passed - self.skipped - self.written / self.fps - LONGEST_STILL)
            for _ in range(round((passed - self.skipped) * self.fps) - self.written):
                self._add(self.last)
        self._add(image)
        self.last = image

    def _add(self, image):
        self.writer.write(image)
        self.written += 1


def check_video_format(path: str | Path) -> None:
    """Raises FerError where the suffix is not one that `Recorder` writes."""
    if Path(path).suffix.lower() not in Recorder.CODECS:
        raise FerError(f"{path}: videos are written as {', '.join(Recorder.CODECS)}")
