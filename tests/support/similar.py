"""Random images that resemble each other as faces do, and near-duplicates of them."""

import cv2
import numpy as np


def faces(n=300, seed=0, channels=1, side=48):
    """Smooth images that are alike, as faces are: a common one and each its own."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99).normal(size=(8, 8))
    noise = common + rng.normal(size=(n, 8, 8))
    pictures = [cv2.resize(part, (side, side), interpolation=cv2.INTER_CUBIC) for part in noise]
    pictures = np.clip(128 + 30 * np.array(pictures), 0, 255).astype(np.uint8)[..., None]
    return np.repeat(pictures, channels, axis=-1)


def nearly(pictures, seed=1):
    """The same photographs, darker and noisier."""
    noise = np.random.default_rng(seed).normal(0, 4, pictures.shape)
    return np.clip(pictures * 0.8 + 10 + noise, 0, 255).astype(np.uint8)
