"""Corruptions of images in five severities, to measure how robust a classifier is.

Kinds in five severities are the idea of Hendrycks & Dietterich 2019, "Benchmarking neural network robustness to common
corruptions and perturbations". The amounts are this suite's own, for face crops of 48 pixels, and scale with the side
of the image: no figure compares with one of ImageNet-C. Blur, noise, JPEG and small size (pixelate) are kinds of it,
shift and tilt are kinds of ImageNet-P; darkness and occlusion are in neither.
"""

from collections.abc import Callable

import cv2
import numpy as np

from fer.core.errors import FerError

SEVERITIES = (1, 2, 3, 4, 5)

# Amounts by severity; lengths are shares of the image's side.
_BLUR = (0.01, 0.015, 0.02, 0.03, 0.04)  # standard deviation
_NOISE = (5.0, 10.0, 15.0, 25.0, 40.0)  # grey levels, standard deviation
_DARKNESS = (0.7, 0.5, 0.35, 0.2, 0.1)  # factor of the brightness
_JPEG = (50, 30, 20, 12, 7)  # quality
_SIZE = (0.7, 0.5, 0.4, 0.3, 0.2)  # side of the shrunk image
_SHIFT = (0.03, 0.06, 0.09, 0.12, 0.16)  # in both directions; in whole pixels, which no interpolation blurs
_TILT = (5.0, 10.0, 15.0, 25.0, 40.0)  # degrees, to either side
_OCCLUSION = (0.15, 0.25, 0.35, 0.45, 0.55)  # side of a grey square


def corrupt(images: np.ndarray, kind: str, severity: int, *, seed: int = 0) -> np.ndarray:
    """Corrupts images.

    Args:
        images: uint8 (n, size, size, channels).
        kind: a key of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: of noise, directions and places; the same for every severity, so that severities are comparable.

    Returns:
        uint8 (n, size, size, channels), new arrays.

    Raises:
        FerError: an unknown kind or severity.
    """
    if kind not in CORRUPTIONS:
        raise FerError(f"unknown corruption {kind!r}; choose one of {', '.join(CORRUPTIONS)}")
    if severity not in SEVERITIES:
        raise FerError(f"the severity of a corruption must be 1 to {SEVERITIES[-1]}, not {severity}")
    function, amounts = CORRUPTIONS[kind]
    rng, changed = np.random.default_rng(seed), np.empty_like(images)
    for i, image in enumerate(images):
        changed[i] = function(image, amounts[severity - 1], rng).reshape(image.shape)
    return changed


def _blur(image, share, rng):
    return cv2.GaussianBlur(image, (0, 0), share * len(image))


def _noise(image, deviation, rng):
    return np.clip(np.rint(image + deviation * rng.standard_normal(image.shape)), 0, 255)


def _darken(image, factor, rng):
    return np.rint(factor * image)


def _compress(image, quality, rng):
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if image.shape[2] == 1 else cv2.IMREAD_COLOR)


def _shrink(image, share, rng):
    side = max(1, round(share * len(image)))
    small = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    return cv2.resize(small, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)


def _shift(image, share, rng):
    dx, dy = round(share * len(image)) * rng.choice((-1, 1), 2)
    return _warp(image, np.float32([[1, 0, dx], [0, 1, dy]]))


def _tilt(image, degrees, rng):
    middle = (len(image) - 1) / 2
    return _warp(image, cv2.getRotationMatrix2D((middle, middle), degrees * rng.choice((-1, 1)), 1.0))


def _warp(image, matrix):
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _occlude(image, share, rng):
    side = round(share * len(image))
    top, left = np.rint(rng.random(2) * (len(image) - side)).astype(int)
    image = image.copy()
    image[top : top + side, left : left + side] = 127
    return image


CORRUPTIONS: dict[str, tuple[Callable, tuple]] = {
    "blur": (_blur, _BLUR),
    "noise": (_noise, _NOISE),
    "darkness": (_darken, _DARKNESS),
    "JPEG": (_compress, _JPEG),
    "small size": (_shrink, _SIZE),
    "shift": (_shift, _SHIFT),
    "tilt": (_tilt, _TILT),
    "occlusion": (_occlude, _OCCLUSION),
}
