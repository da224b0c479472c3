"""What the routers share: the model, the limits, and the threads that work for clients."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TypeVar

from fer.core.errors import FerError
from fer.core.system import cores
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier
from fer.video.session import Session
from fer.web.fair_pool import FairPool
from fer.web.limits import Limits
from fer.web.observe import Metrics
from fer.web.problems import refuse

logger = logging.getLogger(__name__)

T = TypeVar("T")


class State:
    """The shared state of one server.

    Args:
        new_recognizer: makes a recognizer that searches this many images at once. All share one classifier; each has
            detectors of its own, for one webcam, camera or video, or for all images.
        model_name: as clients see it.
        limits: see `Limits`.
        compared: name and recognizer of a second model, which labels the faces of images too; its detector is not used.
        load_explainer: loads the classifier that says where in a face a label comes from, at the first question; by
            default that of the recognizers, if it can.

    Attributes:
        recognizer: for images; it searches as many at once as there are cores.
        classifier: the one of all recognizers.
        explains: whether there is such a classifier.
        metrics: counts for Prometheus, where they are wanted.
        gauges: what /metrics shows of the routers; see `Metrics`.
        image_pool, live_pool: threads for images and for webcams, so that large images do not hold up webcams.
    """

    def __init__(
        self,
        new_recognizer: Callable[[int], Recognizer],
        model_name: str,
        limits: Limits,
        compared: tuple[str, Recognizer] | None = None,
        load_explainer: Callable[[], Classifier] | None = None,
    ):
        self.new_recognizer, self.model_name, self.limits = new_recognizer, model_name, limits
        self.compared = compared
        self.recognizer = new_recognizer(cores())
        self.classifier = self.recognizer.classifier
        if load_explainer is None and self.classifier.has_gradients:
            load_explainer = lambda: self.classifier  # noqa: E731
        self._load_explainer, self._explaining = load_explainer, threading.Lock()
        self._explainer: Classifier | None = None
        self.explains = load_explainer is not None and limits.explanations_per_minute > 0
        self.metrics: Metrics | None = None
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.image_pool = FairPool(cores(), "images")
        self.live_pool = FairPool(cores(), "webcams")

    def explainer(self) -> Classifier:
        """The classifier that explains labels; the first call loads it.

        Raises:
            HTTPException: 503, its file is damaged since the server started.
        """
        with self._explaining:
            if self._explainer is None:
                assert self._load_explainer is not None  # `explains` says so
                try:
                    self._explainer = self._load_explainer()
                except FerError as error:
                    logger.warning("%s", error)
                    refuse(503, "the model that explains labels cannot be loaded")
            return self._explainer

    def new_session(self, *, thorough: bool = False) -> Session:
        """A session for one webcam, camera or video."""
        return Session(self.new_recognizer(1), thorough=thorough)

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
