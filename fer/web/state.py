"""What the routers share: the model, the limits, and the threads that work for clients."""

import asyncio
from collections.abc import Callable
from typing import Literal, TypeVar

from fer.core.system import cores
from fer.inference.faces import Detector
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier
from fer.video.session import Session
from fer.web.fair_pool import FairPool
from fer.web.limits import Limits
from fer.web.observe import Metrics
from fer.web.problems import refuse

T = TypeVar("T")


class State:
    """The shared state of one server.

    Args:
        classifier: loaded once for all clients.
        model_name: as clients see it.
        new_detector: makes a face detector; called for every thread, webcam, camera and video.
        auto: take small square images as cropped faces.
        uncertain_below: see `Prediction`.
        limits: see `Limits`.

    Attributes:
        metrics: counts for Prometheus, where they are wanted.
        gauges: what /metrics shows of the routers; see `Metrics`.
        image_pool, live_pool: threads for images and for webcams, so that large images do not hold up webcams.
    """

    def __init__(
        self,
        classifier: Classifier,
        model_name: str,
        new_detector: Callable[[], Detector],
        *,
        auto: bool,
        uncertain_below: float | None,
        limits: Limits,
    ):
        self.classifier, self.model_name, self.new_detector = classifier, model_name, new_detector
        self.auto, self.uncertain_below, self.limits = auto, uncertain_below, limits
        self.metrics: Metrics | None = None
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.image_pool = FairPool(cores(), "images")
        self.live_pool = FairPool(cores(), "webcams")

    def new_recognizer(self, detectors: int = 1) -> Recognizer:
        """A recognizer that searches this many images in parallel."""
        cropped: Literal["auto", "never"] = "auto" if self.auto else "never"
        found_by = [self.new_detector() for _ in range(detectors)]
        return Recognizer(self.classifier, found_by, cropped=cropped, uncertain_below=self.uncertain_below)

    def new_session(self, *, thorough: bool = False) -> Session:
        """A session for one webcam, camera or video."""
        return Session(self.new_recognizer(), thorough=thorough)

    async def run(self, pool: FairPool, client: str, function: Callable[..., T], *arguments: object) -> T:
        """Runs a function in a thread for a client, and stops waiting for it after `Limits.image_seconds`.

        Raises:
            HTTPException: 503, it took too long.
        """
        task = asyncio.wrap_future(pool.submit(client, function, *arguments))
        try:
            return await asyncio.wait_for(task, self.limits.image_seconds)
        except TimeoutError:
            refuse(503, "the server is too busy at the moment; try again", retry=5)

    def close(self) -> None:
        """Ends the threads; what still waits for one is dropped."""
        for pool in (self.image_pool, self.live_pool):
            pool.close()
