"""One frame of a video or camera."""

from dataclasses import dataclass

import numpy as np

USUAL_FPS = 25.0  # frames per second of a file that states no rate
MAX_FPS = 500.0  # files without a rate state 1000 (WebM from browsers) or 90000


@dataclass(frozen=True)
class Frame:
    """One frame.

    Attributes:
        image: uint8 (H, W, 3) BGR, upright.
        name: the source as it may be printed, without a password.
        index: 0, 1, 2 ... in the order of delivery; a gap in a file stands for frames that cannot be decoded. What a
            camera shows between two deliveries is not counted.
        seconds: presentation time in a file, increasing; for a camera the time of capture since its first frame was
            asked for.
    """

    image: np.ndarray
    name: str
    index: int
    seconds: float
