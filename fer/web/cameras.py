"""GET /cameras and WebSocket /cameras/{name}: cameras that were named when the server started."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import cv2
import numpy as np
from fastapi import APIRouter, FastAPI, WebSocket
from pydantic import BaseModel

from fer.core.errors import FerError
from fer.video import sources
from fer.video.camera import Connection, LiveCamera
from fer.video.frames import Frame
from fer.video.session import Session
from fer.video.video_file import VideoFile
from fer.web.images import labelled
from fer.web.live import POLICY_VIOLATION, TRY_AGAIN_LATER, Closed, converse, process, receive
from fer.web.problems import example
from fer.web.slots import Slots
from fer.web.state import State

logger = logging.getLogger(__name__)

JPEG_QUALITY = 80
POLL = 0.01  # seconds between two looks for a new frame


class CameraNames(BaseModel):
    """Names of the cameras that this server shows."""

    cameras: list[str]


def create_router(state: State, addresses: dict[str, str]) -> APIRouter:
    """The routes for named cameras.

    Args:
        state: of the server.
        addresses: name -> address.
    """
    cameras = {name: Camera(name, address, state) for name, address in addresses.items()}
    slots = Slots(state.limits.viewers, "viewers of cameras", per_client=state.limits.viewers_per_client)

    state.gauges["viewers"] = "Pages that watch named cameras", slots.held.total

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        for camera in cameras.values():
            camera.closing.set()
        for camera in cameras.values():
            await asyncio.to_thread(camera.close)

    router = APIRouter(lifespan=lifespan)

    @router.get("/cameras", tags=["cameras"], responses={200: example({"cameras": ["door", "desk"]})})
    async def list_cameras() -> CameraNames:
        """Names the cameras of this server."""
        return CameraNames(cameras=list(cameras))

    @router.websocket("/cameras/{name}")
    async def watch(socket: WebSocket, name: str) -> None:
        async def talk() -> None:
            if name not in cameras:
                raise Closed(POLICY_VIOLATION, "there is no such camera")
            await cameras[name].serve(socket)

        await converse(socket, slots, talk)

    return router


class Camera:
    """A named camera. It is open while pages watch it, is read once for all of them, and is tried again when it cannot
    be opened or is lost.

    Args:
        name: as clients know it; they never learn the address.
        address: number, address or file, as `sources.open_source` takes it.
        state: of the server.
    """

    def __init__(self, name: str, address: str, state: State):
        self.name, self.address, self.state, self.limits = name, address, state, state.limits
        self.viewers, self.last_left = 0, 0.0
        self.lock = threading.Lock()  # guards the two above and the thread
        self.thread: threading.Thread | None = None
        self.closing = threading.Event()
        self.latest: tuple[int, bytes | None, dict] = (0, None, {})  # number, JPEG, JSON; replaced as a whole
        self.notices: tuple[tuple[int, dict], ...] = ()  # the newest few; a frame must not overtake them

    async def serve(self, socket: WebSocket) -> None:
        """Sends the newest frame each time the page asks, starting at once."""
        timeout = self.limits.idle_seconds
        self._enter()
        request = asyncio.create_task(receive(socket, "text", None))
        try:
            seen = 0
            while True:
                before, (seen, jpeg, message) = seen, await self._newer(seen, request)
                for number, notice in self.notices:
                    if 0 < before < number < seen:
                        await asyncio.wait_for(socket.send_json(notice), timeout)
                if jpeg is not None:
                    await asyncio.wait_for(socket.send_bytes(jpeg), timeout)
                await asyncio.wait_for(socket.send_json(message), timeout)
                if jpeg is not None:
                    await asyncio.wait_for(request, timeout)
                    request = asyncio.create_task(receive(socket, "text", None))
        finally:
            request.cancel()
            self._leave()

    async def _newer(self, seen: int, request: asyncio.Task) -> tuple[int, bytes | None, dict]:
        """What is newer than `seen`. A client that leaves is noticed even while the camera gives nothing."""
        while self.latest[0] == seen:
            if self.closing.is_set():
                raise Closed(TRY_AGAIN_LATER, "the server is closing")
            if request.done():
                request.result()  # raises if the client is gone
            await asyncio.sleep(POLL)
        return self.latest

    def close(self) -> None:
        """Ends the camera's thread."""
        self.closing.set()
        if thread := self.thread:  # which sets it to None at its end
            thread.join(self.limits.camera_linger_seconds)

    def _enter(self) -> None:
        with self.lock:
            self.viewers += 1
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name=f"camera {self.name}", daemon=True)
                self.thread.start()

    def _leave(self) -> None:
        with self.lock:
            self.viewers -= 1
            self.last_left = time.monotonic()

    # In the camera's thread

    def _work(self) -> None:
        while True:
            left = False  # by all viewers: no failure, also where one returns while the source is closed
            try:
                with sources.open_source(self.address) as source:
                    left = self._label(source, self.state.new_session())
            except FerError as error:
                logger.warning("camera %s: %s", self.name, error)
            except Exception as error:  # one bad frame must not end the camera for as long as the server runs
                logger.warning("camera %s: %s: %s", self.name, type(error).__name__, error)
            if not left and not self._unwatched():
                self._publish(None, {"notice": f"camera {self.name} gives no image at the moment, trying again"})
            end = time.monotonic() + self.limits.camera_retry_seconds
            while not left and time.monotonic() < end and not self._unwatched():
                time.sleep(0.1)
            with self.lock:
                if self._unwatched():
                    # The next viewer must not see an old frame.
                    self.thread, self.latest, self.notices = None, (0, None, {}), ()
                    return

    def _label(self, source: VideoFile | LiveCamera, session: Session) -> bool:
        """Labels and publishes frames; True where it ended because nobody watched."""
        connection = Connection.LIVE
        for frame in source:
            if self._unwatched():
                return True
            if isinstance(source, LiveCamera) and source.state.connection is not connection:
                connection = source.state.connection
                words = "is lost, trying again" if connection is Connection.LOST else "is back"
                self._publish(None, {"notice": f"camera {self.name} {words}"})
            if frame is None:
                continue
            image = _reduced(frame.image, self.limits.camera_width)
            moved = Frame(image, self.name, frame.index, frame.seconds)
            predictions = process(session, moved, self.limits.history_frames)
            jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
            self._publish(jpeg, labelled(predictions, image))
        return False

    def _unwatched(self) -> bool:
        left = time.monotonic() - self.last_left
        return self.closing.is_set() or (not self.viewers and left > self.limits.camera_linger_seconds)

    def _publish(self, jpeg: bytes | None, message: dict) -> None:
        number = self.latest[0] + 1
        if jpeg is None:
            self.notices = (*self.notices[-3:], (number, message))
        self.latest = (number, jpeg, message)


def _reduced(image: np.ndarray, width: int) -> np.ndarray:
    if image.shape[1] <= width:
        return image
    size = (width, max(1, round(image.shape[0] * width / image.shape[1])))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)
