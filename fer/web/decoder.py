"""Reads visitors' videos: as OpenCV's captures do, but of the kinds and frame sizes allowed only.

OpenCV cannot be told a largest frame: one of 16,000 x 16,000 pixels takes 2 GB and half a minute, and 250 KB to send.
"""

from pathlib import Path

import av
import cv2
import numpy as np
from av.error import FFmpegError, InvalidDataError

from fer.core.errors import FerError

KINDS = "mov,matroska,avi,mpeg,mpegvideo"  # FFmpeg's names; MP4 and MOV are one, so are WebM and Matroska
STREAMS = 16  # sound, subtitles and all


class Decoder:
    """A `captures.Capture` of a file.

    Args:
        path: the file; it names no other that would be opened.
        most_pixels: of a frame; larger ones are refused before they are decoded.

    Raises:
        FerError: no video of these kinds, or one of larger frames.
    """

    def __init__(self, path: Path, most_pixels: int):
        kinds = {"format_whitelist": KINDS, "protocol_whitelist": "file", "max_streams": str(STREAMS)}
        most = {"max_pixels": str(most_pixels)}
        try:
            self.file = av.open(str(path), options=kinds, stream_options=[most] * STREAMS)
            self.stream = self.file.streams.video[0]
        except (FFmpegError, IndexError, ValueError) as error:
            raise FerError("not a video that can be read: cut short, or another kind of file") from error
        if not 0 < self.stream.width * self.stream.height <= most_pixels:  # FFmpeg forgets sizes beyond its limit
            self.file.close()
            raise FerError(f"the video's frames have more than {most_pixels:,} pixels, or none")
        self.stream.codec_context.options = most
        self.packets, self.waiting, self.seconds = self.file.demux(self.stream), [], 0.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        """The next frame, upright, uint8 (H, W, 3) BGR."""
        while not self.waiting:
            try:
                self.waiting = list(next(self.packets).decode())
            except InvalidDataError:  # a damaged frame
                continue
            except (StopIteration, FFmpegError):
                return False, None
        frame = self.waiting.pop(0)
        self.seconds = float(frame.time - (self.stream.start_time or 0) * self.stream.time_base) if frame.time else 0.0
        return True, np.ascontiguousarray(np.rot90(frame.to_ndarray(format="bgr24"), frame.rotation // 90))

    def get(self, what: int) -> float:
        """Frames a second, frames in all, or the time of the last frame; 0 where unknown."""
        rate = self.stream.average_rate or self.stream.guessed_rate
        if what == cv2.CAP_PROP_FPS:
            return float(rate or 0)
        if what == cv2.CAP_PROP_FRAME_COUNT:
            seconds = self.stream.duration * self.stream.time_base if self.stream.duration else 0
            return float(self.stream.frames or (seconds or (self.file.duration or 0) / av.time_base) * (rate or 0))
        return 1000 * self.seconds if what == cv2.CAP_PROP_POS_MSEC else 0.0

    def release(self) -> None:
        self.file.close()
