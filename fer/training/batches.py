"""Shuffled training batches, validation batches, and weights for rare classes."""

from concurrent.futures import Future, ThreadPoolExecutor

import cv2
import keras
import numpy as np

from fer.data.dataset import Dataset
from fer.data.image_array import ImageArray
from fer.training.recipes import Recipe

AHEAD = 3  # batches decoded ahead of the training step


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
        self.ahead: dict[tuple[int, int], Future] = {}
        self.pool = ThreadPoolExecutor(1) if isinstance(dataset.images, ImageArray) else None
        self.start(0)

    def __len__(self):
        return len(self.dataset) // self.batch_size

    def start(self, epoch: int) -> None:
        """Sets the epoch, and with it the order of the images."""
        self.epoch = epoch
        self.ahead.clear()
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))

    def images(self, index: int) -> np.ndarray:
        """The images of a batch without mixup, uint8 (b, size, size, channels)."""
        return self.dataset.images[self._chosen(index)]

    def _decoded(self, index: int) -> np.ndarray:
        """The images of a batch. Where they are decoded on demand, those of the next batches are decoded meanwhile.

        Keras' own workers would begin an epoch before `start` has set its order, and overlap nothing with the step
        under JAX and PyTorch.
        """
        if self.pool is None:
            return self.images(index)
        future = self.ahead.pop((self.epoch, index), None)
        for further in range(index + 1, min(index + 1 + AHEAD, len(self))):
            if (self.epoch, further) not in self.ahead:
                self.ahead[self.epoch, further] = self.pool.submit(self.images, further)
        return self.images(index) if future is None else future.result()

    def _chosen(self, index):
        return self.order[index * self.batch_size : (index + 1) * self.batch_size]

    def __getitem__(self, index):
        chosen = self._chosen(index)
        images, numbers = self._decoded(index), [self.dataset.targets[chosen]]
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


class ValidationBatches(keras.utils.PyDataset):
    """Images that are not in memory, in their order: (images, targets)."""

    def __init__(self, dataset: Dataset, batch_size: int):
        super().__init__()
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return self.dataset.images[rows], self.dataset.targets[rows]


def validation_data(dataset: Dataset, batch_size: int):
    """What `keras.Model.fit` takes as validation data."""
    if isinstance(dataset.images, ImageArray):
        return ValidationBatches(dataset, batch_size)
    return dataset.images, dataset.targets


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
