"""Every limit of the server in one place: a field of `Limits` is a flag of app.py as well."""

import argparse
from dataclasses import dataclass, field, fields
from typing import Any


def _limit(default: Any, text: str, *, shown: bool = False, zero: bool = False) -> Any:
    """A field; `shown` ones are told to clients by /health, `zero` ones may be 0."""
    return field(default=default, metadata={"help": text, "shown": shown, "zero": zero})


@dataclass(frozen=True)
class Limits:
    """What one client, and all of them together, may ask of the server.

    To add a limit, add a field here and read it where it applies: the flag and its help follow from the field.
    """

    # Images
    image_bytes: int = _limit(10 * 2**20, "size of an uploaded image", shown=True)
    image_pixels: int = _limit(25_000_000, "pixels of an uploaded image", shown=True)
    image_scans: int = _limit(100, "scans of a progressive JPEG; ten are usual, and each walks over the whole image")
    image_parts: int = _limit(20_000, "segments of a JPEG and fillers between them, or chunks of a PNG")
    images: int = _limit(16, "images that are labelled or wait for it at once")
    images_per_client: int = _limit(8, "the same, per client")
    images_per_request: int = _limit(16, "images in one request, together no larger than one image")
    image_seconds: float = _limit(30.0, "time for an image to be labelled, waiting included")
    explained_faces: int = _limit(16, "faces of an image, the largest first, that explain=true explains", shown=True)
    explanations_per_minute: int = _limit(30, "images that are explained for one client per minute; 0: none", zero=True)
    corrections: int = _limit(10_000, "faces kept in all, with --collect")
    correction_side: int = _limit(512, "longer side in pixels to which a kept face is reduced")
    corrections_per_minute: int = _limit(60, "corrections of one client per minute")
    # Uploads of images and videos
    uploads: int = _limit(64, "uploads on their way at once")
    uploads_per_client: int = _limit(32, "of these, uploads of one client")
    upload_stall_seconds: float = _limit(10.0, "time for which an upload may pause")
    image_upload_seconds: float = _limit(30.0, "time for the whole upload of an image")
    video_upload_seconds: float = _limit(600.0, "time for the whole upload of a video")
    upload_bytes_per_second: int = _limit(
        2**14, "lowest rate of an upload, on average, once it takes longer than a pause"
    )
    video_uploads: int = _limit(6, "videos on their way at once")
    video_uploads_per_client: int = _limit(2, "of these, videos of one client")
    drain_factor: int = _limit(8, "a body of up to N times its limit is read to its end, so that the refusal arrives")
    # Webcams and cameras
    frame_bytes: int = _limit(2**20, "size of one frame of a webcam")
    frame_pixels: int = _limit(1920 * 1080, "pixels of one frame of a webcam")
    message_bytes: int = _limit(2 * 2**20, "size of a WebSocket message")
    idle_seconds: float = _limit(60.0, "time without a message after which a WebSocket is closed", shown=True)
    webcams: int = _limit(8, "webcams at once")
    webcams_per_client: int = _limit(4, "of these, webcams of one client")
    viewers: int = _limit(16, "pages that watch a named camera at once")
    viewers_per_client: int = _limit(8, "of these, pages of one client")
    camera_width: int = _limit(1280, "width in pixels to which a named camera's frames are reduced")
    camera_linger_seconds: float = _limit(5.0, "time for which a camera that nobody watches stays open")
    camera_retry_seconds: float = _limit(10.0, "pause before a camera that could not be opened is tried again")
    history_frames: int = _limit(10_000, "frames after which a live session forgets what it saw")
    # Videos
    video_bytes: int = _limit(200 * 2**20, "size of an uploaded video", shown=True)
    video_seconds: float = _limit(600.0, "length of a video", shown=True)
    video_pixels: int = _limit(3840 * 2160, "pixels of one frame of a video")
    video_streams: int = _limit(16, "streams of a video file, sound and subtitles included")
    video_width: int = _limit(1280, "width in pixels to which a labelled video is reduced")
    result_bytes: int = _limit(2**30, "size of a labelled video with its table")
    videos: int = _limit(6, "videos kept at once, results included")
    videos_per_client: int = _limit(3, "of these, videos of one client")
    video_work_seconds: float = _limit(3600.0, "time for a video to be labelled; the next one waits for it")
    video_keep_seconds: float = _limit(
        900.0, "time for which a video's results stay after the last request for them", shown=True
    )
    # Requests and connections
    requests_per_minute: int = _limit(
        1200, "requests of one client per minute; files of the page count only where there is a token"
    )
    failed_logins_per_minute: int = _limit(10, "wrong tokens of one client per minute, with --token")
    connections: int = _limit(500, "connections at once, WebSockets included")
    connections_per_client: int = _limit(100, "of these, connections of one client")
    header_bytes: int = _limit(2**16, "size of a request's line and headers")
    header_seconds: float = _limit(10.0, "time for a request's line and headers to arrive")
    unread_seconds: float = _limit(60.0, "time for which a client may leave a response or message unread")
    keep_alive_seconds: int = _limit(10, "time for which an idle connection stays open")
    shutdown_seconds: int = _limit(8, "time for running requests to end when the server is stopped")

    def shown(self) -> dict[str, float]:
        """The limits that clients are told, by name."""
        return {limit.name: getattr(self, limit.name) for limit in fields(self) if limit.metadata["shown"]}


def add_limit_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds one flag for each limit, such as --image-bytes."""
    group = parser.add_argument_group("limits")
    for limit in fields(Limits):
        kind = type(limit.default)
        help_text = f"{limit.metadata['help']} ({limit.default:,g})" if kind is float else ""
        group.add_argument(
            f"--{limit.name.replace('_', '-')}",
            type=_number(kind, zero=limit.metadata["zero"]),
            default=limit.default,
            metavar="N",
            help=help_text or f"{limit.metadata['help']} ({limit.default:,})",
        )


def limits_from(args: argparse.Namespace) -> Limits:
    """The limits that the flags of `add_limit_arguments` name."""
    return Limits(**{limit.name: getattr(args, limit.name) for limit in fields(Limits)})


def _number(kind: type, *, zero: bool) -> Any:
    def number(text: str) -> Any:
        value = kind(text)
        if not (0 < value < float("inf") or (zero and value == 0)):
            raise argparse.ArgumentTypeError(f"must be {'0 or more' if zero else 'more than 0'}, not {text}")
        return value

    return number


def megabytes(count: int) -> str:
    """A size in bytes as people read it."""
    return f"{count / 2**20:.{0 if count >= 2**20 else 1}f} MB"
