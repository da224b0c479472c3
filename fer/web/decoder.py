"""Reads uploaded videos: only in the allowed formats and frame sizes, through the interface of OpenCV's captures.

OpenCV takes no largest frame size: one of 16,000 x 16,000 pixels takes 2 GB and half a minute, and 250 KB to send.
"""

from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError, InvalidDataError

from fer.core.errors import FerError
from fer.inference.faces import check_size
from fer.web.limits import Limits

FORMATS = "mov,matroska,avi,mpeg,mpegvideo"  # FFmpeg's names; MP4 and MOV are one, so are WebM and Matroska


class Decoder:
    """A `capture.Capture` of a file.

    Args:
        path: the file; it names no other that would be opened.
        limits: see `Limits`; larger frames are refused before they are decoded.

    Raises:
        FerError: no video in these formats, or one of larger frames.
    """

    def __init__(self, path: Path, limits: Limits):
        most_pixels, streams = limits.video_pixels, limits.video_streams
        options = {"format_whitelist": FORMATS, "protocol_whitelist": "file", "max_streams": str(streams)}
        stream_options = {"max_pixels": str(most_pixels)}
        try:
            # PyAV's own type for stream_options is wrong: they are dictionaries.
            self.file = av.open(str(path), options=options, stream_options=[stream_options] * streams)  # type: ignore[list-item]
            self.stream = self.file.streams.video[0]
        except (FFmpegError, IndexError, ValueError) as error:
            raise FerError("not a video that can be read: cut short, or another kind of file") from error
        if not 0 < self.stream.width * self.stream.height <= most_pixels:  # FFmpeg drops sizes beyond its limit
            self.file.close()
            raise FerError(f"the video's frames have more than {most_pixels:,} pixels, or none")
        check_size(self.stream.width, self.stream.height)
        self.stream.codec_context.options = stream_options
        self.packets = self.file.demux(self.stream)
        self.decoded: list[av.VideoFrame] = []
        self.seconds = 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        """The next frame, upright, uint8 (H, W, 3) BGR."""
        while not self.decoded:
            try:
                self.decoded = list(next(self.packets).decode())
            except InvalidDataError:  # a damaged frame
                continue
            except (StopIteration, FFmpegError):
                return False, None
        frame = self.decoded.pop(0)
        start = (self.stream.start_time or 0) * (self.stream.time_base or 0)
        self.seconds = float(frame.time - start) if frame.time else 0.0
        return True, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // 90))

    def get(self, what: int) -> float:
        """Frames per second, number of frames, or the time of the last frame in milliseconds; 0 where unknown."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        if what == cv2.CAP_PROP_FPS:
            return float(rate or 0)
        if what == cv2.CAP_PROP_FRAME_COUNT:
            seconds = (self.stream.duration or 0) * (self.stream.time_base or 0)
            return float(self.stream.frames or (seconds or (self.file.duration or 0) / av.time_base) * (rate or 0))
        return 1000 * self.seconds if what == cv2.CAP_PROP_POS_MSEC else 0.0

    def release(self) -> None:
        self.file.close()
