"""Moving pictures over WebSockets: a visitor's own webcam, and the cameras that were named when the server started."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

import cv2
import numpy as np
from fastapi import HTTPException
from starlette.websockets import WebSocket, WebSocketDisconnect

from fer.core.errors import FerError
from fer.inference import drawing
from fer.video import sources
from fer.video.session import History, Session
from fer.video.sources import Frame
from fer.web.limits import Limits, Slots
from fer.web.pictures import answer, decode

IDLE = 60.0  # seconds without a word after which a visitor counts as gone
LINGER = 5.0  # seconds for which a camera nobody watches stays open: people change tabs
RETRY = 10.0  # seconds before a camera that could not be opened is tried again
FORGET = 10_000  # pictures after which what was seen in them is forgotten
WIDEST = 1280  # pixels: a camera's picture is sent no wider
QUALITY = 80  # of the JPEG pictures sent
POLICY, TOO_BIG, TRY_LATER = 1008, 1009, 1013  # codes with which a WebSocket closes


class Ended(Exception):
    """The conversation ends with one line for the visitor."""

    def __init__(self, code: int, line: str):
        self.code, self.line = code, line


async def converse(socket: WebSocket, slots: Slots, talk: Callable[[], Awaitable[None]]) -> None:
    """Accepts a WebSocket and runs `talk` in one of the slots; whatever ends it is told in one line.

    Args:
        socket: not accepted yet.
        slots: for how many at once.
        talk: raises `Ended`, or HTTPException as for a request, to end.
    """
    await socket.accept()
    try:
        with slots.one():
            await talk()
    except WebSocketDisconnect:
        pass
    except Ended as end:
        await _farewell(socket, end.code, end.line)
    except TimeoutError:
        await _farewell(socket, POLICY, "nothing came for a while; start again")
    except HTTPException as error:
        code = {413: TOO_BIG, 429: TRY_LATER, 503: TRY_LATER}.get(error.status_code, POLICY)
        await _farewell(socket, code, error.detail)


async def _farewell(socket, code, line):
    try:
        await socket.send_json({"error": line})
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError):  # it is gone already
        pass


async def _hear(socket: WebSocket, kind: str, patience: float | None = IDLE) -> bytes | str:
    """The next message; it must be "bytes" or "text"."""
    message = await asyncio.wait_for(socket.receive(), patience)
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code") or 1000)
    if message.get(kind) is None:
        raise Ended(POLICY, f"expected {kind}")
    return message[kind]


class Webcams:
    """Labels the pictures of visitors' webcams. Each visitor has a session of his own, which nobody else can reach.

    Args:
        new_session: makes one.
        work: runs a function in a thread, within a time.
        limits: see `Limits`.
    """

    def __init__(self, new_session: Callable[[], Session], work: Callable[..., Awaitable], limits: Limits):
        self.new_session, self.work, self.limits = new_session, work, limits
        self.slots = Slots(limits.visitors, "webcams")

    async def serve(self, socket: WebSocket) -> None:
        async def talk():
            session, begun, index = await self.work(self.new_session), time.monotonic(), 0
            while True:
                data = await _hear(socket, "bytes")
                seconds = time.monotonic() - begun
                said = await self.work(self._label, session, data, index, seconds)
                await asyncio.wait_for(socket.send_json(said), IDLE)
                index += 1

        await converse(socket, self.slots, talk)

    def _label(self, session, data, index, seconds):
        if len(data) > self.limits.frame_bytes:
            raise Ended(TOO_BIG, "the picture is too large")
        image = decode(data, self.limits.frame_pixels, ("JPEG",))
        try:
            predictions = _process(session, Frame(image, "webcam", index, seconds))
        except FerError as error:  # a shape that cannot be searched
            raise Ended(POLICY, str(error)) from None
        return answer(predictions, image)


class Camera:
    """A camera named at start-up. It is open while pages watch it, is read once for all of them, and one that cannot be
    opened or is lost is tried again.

    Args:
        name: as visitors know it; they never learn the address.
        address: number, address or file, as `sources.open_source` takes it.
        new_session: makes the session that labels it.
        notify: gets the lines for the person at the server.
    """

    def __init__(self, name: str, address: str, new_session: Callable[[], Session], notify: Callable[[str], None]):
        self.name, self.address, self.new_session, self.notify = name, address, new_session, notify
        self.watchers, self.last_left = 0, 0.0
        self.lock = threading.Lock()  # guards the two above and the thread
        self.thread: threading.Thread | None = None
        self.closing = threading.Event()
        self.news: tuple[int, bytes | None, dict] = (0, None, {})  # number, JPEG, what goes with it; replaced whole

    async def serve(self, socket: WebSocket) -> None:
        """Sends the newest picture each time the page asks, starting at once."""
        self._come()
        hearing = asyncio.create_task(_hear(socket, "text", None))
        try:
            seen = 0
            while True:
                seen, jpeg, words = await self._newer(seen, hearing)
                if jpeg is not None:
                    await asyncio.wait_for(socket.send_bytes(jpeg), IDLE)
                await asyncio.wait_for(socket.send_json(words), IDLE)
                if jpeg is not None:
                    await asyncio.wait_for(hearing, IDLE)
                    hearing = asyncio.create_task(_hear(socket, "text", None))
        finally:
            hearing.cancel()
            self._leave()

    async def _newer(self, seen, hearing):
        """What is newer than `seen`. A visitor who leaves a camera that gives nothing is noticed."""
        while self.news[0] == seen:
            if self.closing.is_set():
                raise Ended(TRY_LATER, "the server is closing")
            if hearing.done():
                hearing.result()  # raises, if he is gone
            await asyncio.sleep(0.01)
        return self.news

    def close(self) -> None:
        """Ends the camera's thread."""
        self.closing.set()
        if self.thread:
            self.thread.join(LINGER)

    def _come(self):
        with self.lock:
            self.watchers += 1
            if self.thread is None:
                self.thread = threading.Thread(target=self._work, name=f"camera {self.name}", daemon=True)
                self.thread.start()

    def _leave(self):
        with self.lock:
            self.watchers -= 1
            self.last_left = time.monotonic()

    # In the camera's thread

    def _work(self):
        while True:
            try:
                with ExitStack() as stack:
                    source = stack.enter_context(sources.open_source(self.address, notify=self._tell))
                    self._label(source, self.new_session())
            except FerError as error:
                self.notify(f"camera {self.name}: {error}")
            except Exception as error:  # one bad picture must not end the camera for as long as the server runs
                self.notify(f"camera {self.name}: {type(error).__name__}: {error}")
            if not self._unwatched():
                self._publish(None, {"notice": f"camera {self.name} gives no picture at the moment, trying again"})
            end = time.monotonic() + RETRY
            while time.monotonic() < end and not self._unwatched():
                time.sleep(0.1)
            with self.lock:
                if self._unwatched():
                    self.thread, self.news = None, (0, None, {})  # the next visitor must not see an old picture
                    return

    def _label(self, source, session):
        for frame in source:
            if self._unwatched():
                return
            if frame is None:
                continue
            image = _shrunk(frame.image)
            predictions = _process(session, Frame(image, self.name, frame.index, frame.seconds))
            jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
            self._publish(jpeg, answer(predictions, image))

    def _unwatched(self):
        return self.closing.is_set() or (not self.watchers and time.monotonic() - self.last_left > LINGER)

    def _tell(self, line):
        """A camera was lost or is back: the person at the server gets the line, the visitors one without address."""
        self.notify(f"camera {self.name}: {line}")
        state = "is back" if line.startswith("camera is back") else "is lost, trying again"
        self._publish(None, {"notice": f"camera {self.name} {state}"})

    def _publish(self, jpeg, words):
        self.news = (self.news[0] + 1, jpeg, words)


def _process(session, frame):
    if frame.index % FORGET == FORGET - 1:
        session.history = History(session.history.labels)  # which nobody reads, and a long visit would fill
    return session.process(frame)


def _shrunk(image: np.ndarray) -> np.ndarray:
    if image.shape[1] <= WIDEST:
        return image
    height = max(1, round(image.shape[0] * WIDEST / image.shape[1]))
    return drawing.fit(image, (WIDEST, height))
