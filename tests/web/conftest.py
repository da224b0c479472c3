"""The page of app.py in Chromium, and a video for it."""

import cv2
import numpy as np
import pytest
from support import browsing, portrait


@pytest.fixture(scope="module")
def site(tmp_path_factory, light_four_block):
    with browsing.site(tmp_path_factory.mktemp("server"), light_four_block, "--camera", "desk=0") as site:
        yield site


@pytest.fixture(scope="session")
def page_video(tmp_path_factory):
    """page_video(frames): the path of a video of the astronaut, who moves to the right."""
    small, folder = cv2.resize(portrait.astronaut(), (256, 256)), tmp_path_factory.mktemp("videos")

    def make(frames):
        path = folder / f"{frames}.avi"
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), browsing.FPS, (320, 256))
        for i in range(frames):
            image = np.full((256, 320, 3), 90, np.uint8)
            image[:, i % 64 : i % 64 + 256] = small
            writer.write(image)
        writer.release()
        return path

    return make
