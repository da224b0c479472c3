"""Videos whose frames carry their number in pixels."""

from pathlib import Path

import cv2
import numpy as np

BITS, BAR = 12, 16


def picture(number):
    """uint8 (96, 192, 3): the bits of a number as bright and dark bars, below a white stripe that says where up is."""
    bars = np.array([200 if number >> bit & 1 else 60 for bit in range(BITS)], np.uint8)
    image = np.tile(np.repeat(bars, BAR)[None, :, None], (96, 1, 3))
    image[:16] = 255
    return image


def number(image):
    return sum(int(image[60, bit * BAR + BAR // 2].mean() > 130) << bit for bit in range(BITS))


def numbers(frames):
    return [number(frame.image) for frame in frames]


def video(path: Path, frames=40, fps=20.0) -> Path:
    """Writes a video, .avi or .mp4, whose frames are numbered from 0."""
    codec = "MJPG" if path.suffix == ".avi" else "mp4v"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), fps, (BITS * BAR, 96))
    assert writer.isOpened()
    for index in range(frames):
        writer.write(picture(index))
    writer.release()
    return path
