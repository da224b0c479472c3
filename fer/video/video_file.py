"""Video files, read with PyAV: every frame in order, upright, at its own time."""

import itertools
import logging
import math
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.sidedata.sidedata import Type as SideData

from fer.core.errors import FerError
from fer.inference.faces import check_size
from fer.video.cropping import stated_crop
from fer.video.frames import MAX_FPS, USUAL_FPS, Frame, FrameSource

logger = logging.getLogger(__name__)

NOT_VIDEO = frozenset({"tty"})  # FFmpeg formats that draw the letters of any text file
MAX_FAILED_READS = 100  # of the container in a row, before the rest is given up
MAX_ASPECT = 4.0  # width to height of a pixel; a header beyond it is damaged


@dataclass(frozen=True)
class FileLimits:
    """What a file from an untrusted source may be.

    Attributes:
        formats: names of FFmpeg's container formats, separated by commas.
        pixels: of a frame; a larger one is refused before it is decoded.
        streams: of the file: video, sound, subtitles.
    """

    formats: str
    pixels: int
    streams: int


class VideoFile(FrameSource):
    """A video file: every frame in order, once. Leaving the loop closes it.

    Frames that cannot be decoded are skipped and counted; `Frame.index` counts them too, so a gap in the indices shows
    where they belong. Rotation, mirroring, cropping and the shape of the pixels, as the container states them, are
    applied.

    Args:
        path: the file.
        name: how results and messages name the file; its path by default.
        limits: for a file from an untrusted source; by default every format and size is read.

    Attributes:
        name: see above.
        fps: frames per second as the file states them; None where it states none, or an impossible rate.
        size: width and height of the first frame in pixels.
        total: number of frames as the file states it, an estimate; None where it states none.
        lost: frames so far that could not be decoded.
        damage: one line about lost frames or a missing end, "" for a sound file; known after the last frame.

    Raises:
        FerError: the file cannot be opened, is no video, or holds no frame that can be decoded.
    """

    live = False

    def __init__(self, path: str | Path, *, name: str | None = None, limits: FileLimits | None = None):
        self.name = str(path) if name is None else name
        self.lost, self.damage = 0, ""
        self._first: tuple[np.ndarray, float] | None = None
        self._closed = False
        self._lock = threading.Lock()  # closing a container while it is read ends the process
        _check_readable(path, self.name)
        self._container = _open(path, self.name, limits)
        try:
            self._stream = self._container.streams.video[0]
            if self._container.format.name in NOT_VIDEO:
                raise IndexError
            width, height = self._stream.codec_context.width, self._stream.codec_context.height
            if limits and not 0 < width * height <= limits.pixels:  # FFmpeg reports 0 for frames beyond its limit
                raise FerError(f"{self.name}: the frames have more than {limits.pixels:,} pixels, or none")
            check_size(width, height)
            if limits:
                self._stream.codec_context.options = {"max_pixels": str(limits.pixels)}
            self._crop = stated_crop(path)
            self._tick = self._stream.time_base or Fraction(1, 1000)
            self._decoded = self._decode()
            self._first = self._next()
            if self._first is None:
                raise FerError(f"{self.name}: no frame can be decoded; the file is cut short or damaged")
            self.size: tuple[int, int] = self._first[0].shape[1::-1]
        except IndexError:
            self.close()
            raise _no_video(self.name) from None
        except BaseException:
            self.close()
            raise
        rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
        self.fps = rate if 0 < rate <= MAX_FPS else None
        self.total = self._stated_total()

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._container.close()
            self._closed, self._first = True, None

    def __iter__(self) -> Iterator[Frame]:
        seconds, step = -math.inf, 1 / (self.fps or USUAL_FPS)
        try:
            for delivered in itertools.count():
                item, self._first = self._first or self._next(), None
                if item is None:
                    break
                image, time = item
                seconds = increasing(time, seconds, step)
                yield Frame(image, self.name, delivered + self.lost, seconds)
            if not self._closed:
                self._report(delivered)
        finally:
            self.close()

    def _report(self, delivered: int) -> None:
        parts = []
        if self.lost:
            parts.append(f"{self.lost:,} frame{'s' * (self.lost > 1)} cannot be decoded")
        # Headers err by a frame or two.
        if delivered + self.lost < 0.99 * (self.total or 0) - 1:
            parts.append(f"the video ends after {delivered + self.lost:,} of {self.total:,} frames")
        if parts:
            self.damage = f"{self.name}: {', and '.join(parts)}; the file is cut short or damaged"
            logger.warning("%s", self.damage)

    def _stated_total(self) -> int | None:
        seconds = float((self._stream.duration or 0) * self._tick)
        total = self._stream.frames or (seconds or (self._container.duration or 0) / av.time_base) * (self.fps or 0)
        return int(total) if 1 <= total < 1e9 else None

    def _next(self) -> tuple[np.ndarray, float] | None:
        """The next frame uint8 (H, W, 3) BGR and its time in seconds, NaN where the file states none."""
        with self._lock:
            return None if self._closed else next(self._decoded, None)

    def _decode(self) -> Iterator[tuple[np.ndarray, float]]:
        start = (self._stream.start_time or 0) * self._tick
        for packet in self._packets():
            try:
                frames = packet.decode()
            except InvalidDataError:
                self.lost += bool(packet.size)
                continue
            except FFmpegError:  # no memory, or a decoder that this FFmpeg lacks
                return
            for frame in frames:
                time = math.nan if frame.pts is None else float(frame.pts * (frame.time_base or self._tick) - start)
                yield self._upright(frame), time if 0 <= time < 1e7 else math.nan

    def _packets(self) -> Iterator[av.Packet]:
        """The packets of the stream; damage in the container is skipped where FFmpeg finds a packet after it."""
        packets, failed = self._container.demux(self._stream), 0
        while failed < MAX_FAILED_READS:
            try:
                yield next(packets)
                failed = 0
            except StopIteration:
                return
            except FFmpegError:
                packets, failed = self._container.demux(self._stream), failed + 1

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        image: np.ndarray = frame.to_ndarray(format="bgr24")
        left, top, right, bottom = self._crop
        if left + right < image.shape[1] and top + bottom < image.shape[0]:  # else the header is damaged
            image = image[top : image.shape[0] - bottom, left : image.shape[1] - right]
        aspect = float(self._stream.sample_aspect_ratio or 1)
        if aspect != 1 and 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
            # Enlarging one side keeps every pixel; the other side would lose some.
            x, y = max(1.0, aspect), max(1.0, 1 / aspect)
            image = cv2.resize(image, (round(x * image.shape[1]), round(y * image.shape[0])))
        side_data: Any = frame.side_data  # PyAV's own type knows names only
        matrix = side_data.get(SideData.DISPLAYMATRIX)
        return np.ascontiguousarray(image) if matrix is None else display(image, np.frombuffer(bytes(matrix), np.int32))


def display(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Turns and mirrors an image as a display matrix says, in steps of 90 degrees.

    Args:
        image: uint8 (H, W, 3).
        matrix: int32 (9,), a b u c d v x y w of ISO 14496-12, section 8.3.2: a pixel moves to (ax + cy, bx + dy).
    """
    a, b, c, d = (int(matrix[at]) for at in (0, 1, 3, 4))
    if abs(b) + abs(c) > abs(a) + abs(d):
        image, a, d = image.transpose(1, 0, 2), c, b
    return np.ascontiguousarray(image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1])


def increasing(time: float, before: float, step: float) -> float:
    """The time of a frame, after that of the frame before: damaged files state none, or times that run backwards.

    Args:
        time: as the file states it, seconds; NaN for none.
        before: time of the frame before; minus infinity for the first frame.
        step: usual time between two frames.
    """
    if time > before:
        return time
    return 0.0 if before == -math.inf else before + step


def _check_readable(path: str | Path, name: str) -> None:
    if not os.path.isfile(path):  # a pipe would wait for a writer
        return
    try:
        with open(path, "rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise FerError(f"{name}: cannot be opened ({error.strerror or error})") from error
    if empty:
        raise FerError(f"{name}: the file is empty (0 bytes)")


def _open(path: str | Path, name: str, limits: FileLimits | None) -> "av.container.InputContainer":
    options = {"protocol_whitelist": "file"}  # a playlist must not fetch addresses
    probing: Any = None  # PyAV's own type is wrong: it takes a dictionary for each stream
    if limits:
        options |= {"format_whitelist": limits.formats, "max_streams": str(limits.streams)}
        probing = [{"max_pixels": str(limits.pixels)}] * limits.streams
    try:
        # With its folder in front, no name looks like an address ("a:b.mp4") to FFmpeg.
        return av.open(os.path.abspath(path), options=options, stream_options=probing)
    except (FFmpegError, ValueError) as error:
        raise _no_video(name) from error


def _no_video(name: str) -> FerError:
    return FerError(f"{name}: not a video that can be read: cut short, or another kind of file")
