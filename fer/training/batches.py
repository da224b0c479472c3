"""Shuffled training batches, and weights for rare classes."""

import cv2
import keras
import numpy as np

from fer.data.dataset import Dataset
from fer.training.recipes import Recipe


class Batches(keras.utils.PyDataset):
    """Shuffled training batches; their order follows from the seed and the epoch alone, so that a run can resume.

    Yields (images, targets) or (images, targets, weights): uint8 (b, size, size, channels); float32 (b, k);
    float32 (b). Each epoch leaves out the few images that do not fill a batch: different ones every time.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, seed: int):
        super().__init__()
        self.dataset, self.mixup, self.seed = dataset, recipe.mixup, seed
        self.batch_size = min(recipe.batch_size, len(dataset))
        weights = class_weights(dataset.targets, recipe.class_weights)
        self.weights = None if weights is None else (dataset.targets @ weights).astype(np.float32)
        self.start(0)

    def __len__(self):
        return len(self.dataset) // self.batch_size

    def start(self, epoch: int) -> None:
        """Sets the epoch, and with it the order of the images."""
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))

    def images(self, index: int) -> np.ndarray:
        """The images of a batch without mixup, uint8 (b, size, size, channels)."""
        return self.dataset.images[self._chosen(index)]

    def _chosen(self, index):
        return self.order[index * self.batch_size : (index + 1) * self.batch_size]

    def __getitem__(self, index):
        chosen = self._chosen(index)
        images, numbers = self.dataset.images[chosen], [self.dataset.targets[chosen]]
        if self.weights is not None:
            numbers.append(self.weights[chosen])
        if self.mixup:
            rng = np.random.default_rng([self.seed, self.epoch, index])
            share = np.float32(rng.beta(self.mixup, self.mixup))
            partner = rng.permutation(len(chosen))
            # To the nearest grey level: bytes are mixed much faster than floats, and a GPU gets a quarter of them.
            images = cv2.addWeighted(images, float(share), images[partner], 1 - float(share), 0)
            numbers = [share * array + (1 - share) * array[partner] for array in numbers]
        return (images, *numbers)


def class_weights(targets: np.ndarray, mode: str) -> np.ndarray | None:
    """Weights that make rare classes count more.

    Args:
        targets: float32 (n, k), rows sum to 1.
        mode: "balanced": n / (k x images of the class), as scikit-learn; "sqrt": the root of that; "none".

    Returns:
        float32 (k), scaled so that the mean over the images is 1; or None for "none".
    """
    if mode == "none":
        return None
    counts = targets.sum(axis=0)
    weights = np.divide(len(targets), len(counts) * counts, out=np.zeros_like(counts), where=counts > 0)
    if mode == "sqrt":
        weights = np.sqrt(weights)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)
