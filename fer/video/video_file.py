"""Video files, read with PyAV: every frame in order, upright, at its own time."""

import itertools
import logging
import math
import os
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError, InvalidDataError
from av.format import Flags
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition

from fer.core.decoding import compose
from fer.core.errors import FerError
from fer.core.formats import HEAD, image_format
from fer.inference.faces import check_size
from fer.video.cropping import NONE, stated_crop
from fer.video.frames import MAX_FPS, USUAL_FPS, Frame, FrameSource

logger = logging.getLogger(__name__)

NOT_VIDEO = frozenset({"tty"})  # FFmpeg formats that draw the letters of any text file
MAX_FAILED_READS = 100  # of the container in a row, before the rest is given up
MAX_ASPECT = 4.0  # width to height of a pixel; a header beyond it is damaged
LONGEST_GAP = 10.0  # seconds between two frames of a broadcast; FFmpeg takes more for a clock that was set anew
ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}  # FFmpeg's own leave the opacity out
SEQUENCES = (b"avis", b"msf1", b"hevc", b"hevx")  # brands of HEIF and AVIF files that hold a video


Decoded = tuple[np.ndarray, float, int]  # image, seconds or NaN, and how many frames were lost before it


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
    applied. Times count from the beginning of the file, as in a player: where the sound begins first, the first frame
    is later. Of several video streams the one that players choose is read; a cover image is none.

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
        damage: one line about lost frames, a missing beginning or end, "" where all is there; after the last frame.

    Raises:
        FerError: the file cannot be opened, is no video but an image or sound, or holds no frame that can be decoded.
    """

    live = False

    def __init__(self, path: str | Path, *, name: str | None = None, limits: FileLimits | None = None):
        self.name = str(path) if name is None else name
        self.lost, self.damage = 0, ""
        self._first: Decoded | None = None
        self._closed = False
        self._lock = threading.Lock()  # closing a container while it is read ends the process
        _check_readable(path, self.name)
        self._container = _open(path, self.name, limits)
        self._reached = {True: 0.0, False: 0.0}  # end of the last packet in seconds: of the stream, of the others
        try:
            _refuse_image(path, self.name, self._container.format.name)
            self._stream = _choose_stream(self._container, self.name)
            width, height = self._shown_size(self._stream.codec_context.width, self._stream.codec_context.height)
            if limits and not 0 < width * height <= limits.pixels:  # FFmpeg reports 0 for frames beyond its limit
                raise FerError(f"{self.name}: the frames have more than {limits.pixels:,} pixels, or none")
            check_size(width, height)
            self._decoder = _decoder(self._stream)
            if limits:
                self._decoder.options = {"max_pixels": str(limits.pixels)}
            self._brightest = 0  # of 16-bit grey, so far
            # The crop is that of the first track.
            self._crop = stated_crop(path) if self._stream == _tracks(self._container)[0] else NONE
            self._tick = self._stream.time_base or Fraction(1, 1000)
            rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
            self.fps = rate if 0 < rate <= MAX_FPS else None
            self.total = self._stated_total()
            self._start = float((self._stream.start_time or 0) * self._tick)
            self._later = max(0.0, self._start - (self._container.start_time or 0) / av.time_base)
            if self._later < self._step:  # sound coders begin with a few milliseconds of silence
                self._later = 0.0
            self._decoded = without_outliers(self._decode())
            self._first = self._next()
            if self._first is None:
                reasons = "cut short, damaged, protected, or of a kind that this FFmpeg does not decode"
                raise FerError(f"{self.name}: no frame can be decoded; the file is {reasons}")
            self.size: tuple[int, int] = self._first[0].shape[1::-1]
            self._begun = self._first[1] - self._later  # after the beginning that the file states, seconds
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        with self._lock:
            if not self._closed:
                self._container.close()
            self._closed, self._first = True, None

    def __iter__(self) -> Iterator[Frame]:
        seconds, shift = -math.inf, 0.0
        flags: Any = self._container.format.flags  # PyAV's own type is wrong: it is a number
        broadcast = bool(flags & Flags.ts_discont.value)
        try:
            for delivered in itertools.count():
                item, self._first = self._first or self._next(), None
                if item is None:
                    break
                image, time, lost = item
                time -= shift
                if broadcast and LONGEST_GAP < abs(time - seconds) < math.inf:
                    shift += time - seconds - self._step
                    time = seconds + self._step
                seconds = increasing(time, seconds, self._step)
                yield Frame(image, self.name, delivered + lost, seconds)
            if not self._closed:
                self._report(delivered)
        finally:
            self.close()

    def _report(self, delivered: int) -> None:
        parts = []
        if self.lost:
            parts.append(f"{self.lost:,} frame{'s' * (self.lost > 1)} cannot be decoded")
        if self._begun > 2 * self._step:
            parts.append(f"the first {self._begun:.1f} seconds cannot be decoded")
        stated, reached = self._stated_end()
        if reached < 0.99 * stated - 2 * self._step:  # headers err by a frame or two
            end = f"{reached:.1f} of {stated:.1f} seconds"
            if self._stream.frames:
                end = f"{delivered + self.lost:,} of {self._stream.frames:,} frames"
            parts.append(f"the video ends after {end}")
        if parts:
            self.damage = f"{self.name}: {', and '.join(parts)}; the file is cut short or damaged"
            logger.warning("%s", self.damage)

    def _stated_end(self) -> tuple[float, float]:
        """The end of the file as it is stated, and as it was reached, in seconds.

        Frames are not counted for it: a rate that varies, an edit list that hides frames, and frames of no bytes, which
        repeat the one before, all make their number differ from what a header says.
        """
        if self._container.format.name == "avi" and self.fps:  # whose duration FFmpeg corrects by the size of the file
            return self._stream.frames / self.fps, self._reached[True] - self._start
        if self._stream.duration:
            return float(self._stream.duration * self._tick), self._reached[True] - self._start
        # Matroska, WebM and FLV state the end of the longest stream, counted from zero.
        return (self._container.duration or 0) / av.time_base, max(self._reached.values())

    @property
    def _step(self) -> float:
        return 1 / (self.fps or USUAL_FPS)

    def _stated_total(self) -> int | None:
        seconds = float((self._stream.duration or 0) * self._tick)
        total = self._stream.frames or (seconds or (self._container.duration or 0) / av.time_base) * (self.fps or 0)
        return int(total) if 1 <= total < 1e9 else None

    def _next(self) -> Decoded | None:
        with self._lock:
            return None if self._closed else next(self._decoded, None)

    def _decode(self) -> Iterator[Decoded]:
        for packet in self._packets():
            if packet.pts is not None and packet.time_base:
                end = float((packet.pts + (packet.duration or 0)) * packet.time_base)
                of_video = packet.stream == self._stream
                self._reached[of_video] = max(self._reached[of_video], end)
            if packet.stream != self._stream:
                continue
            try:
                frames = self._decoder.decode(packet)
            except InvalidDataError:
                self.lost += bool(packet.size)
                continue
            except FFmpegError:  # no memory, or a decoder that this FFmpeg lacks
                return
            for frame in frames:
                time = math.nan
                if frame.pts is not None:
                    time = float(frame.pts * (frame.time_base or self._tick)) - self._start
                yield self._upright(frame), time + self._later if 0 <= time < 1e7 else math.nan, self.lost

    def _packets(self) -> Iterator[av.Packet]:
        """The packets of the stream and of the others, which tell whether the file is whole; damage in the container is
        skipped where FFmpeg finds a packet after it.
        """
        streams = [*_tracks(self._container), *self._container.streams.audio]
        packets, failed = self._container.demux(streams), 0
        while failed < MAX_FAILED_READS:
            try:
                yield next(packets)
                failed = 0
            except StopIteration:
                return
            except FFmpegError:
                packets, failed = self._container.demux(streams), failed + 1

    def _upright(self, frame: av.VideoFrame) -> np.ndarray:
        image = self._pixels(frame)
        left, top, right, bottom = self._crop
        if left + right < image.shape[1] and top + bottom < image.shape[0]:  # else the header is damaged
            image = image[top : image.shape[0] - bottom, left : image.shape[1] - right]
        size = image.shape[1], image.shape[0]
        if (shown := self._shown_size(*size)) != size:
            image = cv2.resize(image, shown)
        try:
            side_data: Any = frame.side_data  # PyAV's own type knows names only
        except ValueError:  # a kind that PyAV does not know, such as the EXIF of an MJPEG frame; a mirror is lost then
            return np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
        matrix = side_data.get(SideData.DISPLAYMATRIX)
        return np.ascontiguousarray(image) if matrix is None else display(image, np.frombuffer(bytes(matrix), np.int32))

    def _shown_size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height with square pixels. Enlarging one side keeps every pixel; the other side would lose some."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        if not 1 / MAX_ASPECT <= aspect <= MAX_ASPECT:
            return width, height
        return round(max(1.0, aspect) * width), round(max(1.0, 1 / aspect) * height)

    def _pixels(self, frame: av.VideoFrame) -> np.ndarray:
        """The pixels uint8 (H, W, 3) BGR: transparent areas grey, as in images, and 16-bit grey by the highest bit."""
        name = frame.format.name
        if name == "pal8" or any(component.is_alpha for component in frame.format.components):
            pixels = frame.to_ndarray(format="bgra")
            return compose(pixels[..., :3], pixels[..., 3], opaque=255)
        if name.startswith("gray16"):
            grey: Any = frame.to_ndarray(format="gray16le")
            self._brightest = max(self._brightest, int(grey.max(initial=0)))
            bits = max(8, self._brightest.bit_length())
            return cv2.cvtColor((grey >> (bits - 8)).astype(np.uint8), cv2.COLOR_GRAY2BGR)
        return frame.to_ndarray(format="bgr24")


def without_outliers(frames: Iterable[Decoded]) -> Iterator[Decoded]:
    """Takes the time from a frame that is stamped later than the next: recorders stamp a single one hours ahead."""
    held, before = None, -math.inf
    for item in frames:
        if held is not None:
            held = (held[0], math.nan, held[2]) if before < item[1] < held[1] else held
            yield held
            before = before if math.isnan(held[1]) else held[1]
        held = item
    if held is not None:
        yield held


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


def _tracks(container: "av.container.InputContainer") -> "list[av.VideoStream]":
    """The video streams that are no cover image."""
    return [one for one in container.streams.video if not one.disposition & Disposition.attached_pic]


def _choose_stream(container: "av.container.InputContainer", name: str) -> "av.VideoStream":
    """The video stream that players show.

    Raises:
        FerError: there is none.
    """
    streams = _tracks(container)
    if not streams:
        if container.streams.video:
            raise FerError(f"{name}: a sound file with a cover image; it holds no video")
        raise _no_video(name)
    if container.format.name in NOT_VIDEO:
        raise _no_video(name)
    best = container.streams.best("video")
    chosen = next((one for one in streams if one == best), streams[0])
    if len(streams) > 1:
        number, size = streams.index(chosen) + 1, f"{chosen.width}x{chosen.height}"
        logger.warning("%s: %d video streams; number %d, %s, is read", name, len(streams), number, size)
    return chosen


def _decoder(stream: "av.VideoStream") -> Any:
    """The decoder of a stream; one that gives the opacity, where the container says that there is some."""
    name = ALPHA_DECODERS.get(stream.codec_context.name, "")
    if stream.metadata.get("alpha_mode") == "1" and name in av.codecs_available:
        return av.CodecContext.create(name, "r")
    return stream.codec_context


def _refuse_image(path: str | Path, name: str, container: str) -> None:
    """Refuses still images: FFmpeg gives one tile of a HEIC photograph, and no mirrored image upright.

    Raises:
        FerError: the file is one.
    """
    with open(path, "rb") as file:
        head = file.read(HEAD)
    kind = image_format(head)
    if kind == "webp" and head[12:16] == b"VP8X" and head[20] & 2:
        raise FerError(f"{name}: an animated WebP, which FFmpeg does not decode; save it as GIF or MP4")
    still = kind in ("heif", "avif") and not any(brand in head[8:256] for brand in SEQUENCES)
    if still or container == "image2" or container.endswith("_pipe"):
        raise FerError(f"{name}: an image, not a video; predict_folder.py labels images")


def _no_video(name: str) -> FerError:
    return FerError(f"{name}: not a video that can be read: cut short, or another kind of file")
