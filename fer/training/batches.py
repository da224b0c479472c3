"""Shuffled training batches, validation batches, and weights for rare classes."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps

import cv2
import keras
import numpy as np

from fer.core.errors import FerError
from fer.data.dataset import Dataset
from fer.data.image_array import ImageArray
from fer.training.distribute import Workers
from fer.training.recipe import Recipe

AHEAD = 3  # batches decoded ahead of the training step
ALONE = Workers()


def keeps_failure(get: Callable) -> Callable:
    """Keeps the reason why a batch cannot be made, in `failure`: TensorFlow raises an error of its own instead."""

    @wraps(get)
    def kept(batches, index):
        try:
            return get(batches, index)
        except FerError as error:
            batches.failure = error
            raise

    return kept


class Batches(keras.utils.PyDataset):
    """Shuffled training batches; their order follows from the seed and the epoch alone, so that a run can resume.

    Several processes each take their part of every batch; together the parts are the batch of a single process.

    Yields (images, targets) or (images, targets, weights): uint8 (b, size, size, channels); float32 (b, k);
    float32 (b). Each epoch leaves out the few images that do not fill a batch: different ones every time.
    """

    def __init__(self, dataset: Dataset, recipe: Recipe, seed: int, workers: Workers = ALONE):
        super().__init__()
        self.dataset, self.recipe, self.seed = dataset, recipe, seed
        self.batch_size = min(recipe.batch_size, len(dataset))
        self.part = workers.part(self.batch_size)
        weights = class_weights(dataset.targets, recipe.class_weights)
        self.weights = None if weights is None else (dataset.targets @ weights).astype(np.float32)
        self.own_predictions: np.ndarray | None = None  # float32 (n, k), see `distillation.SelfDistillation`
        self.ahead: dict[tuple[int, int], Future] = {}
        self.pool = ThreadPoolExecutor(1) if isinstance(dataset.images, ImageArray) else None
        self.start(0)

    def __len__(self):
        return len(self.dataset) // self.batch_size

    def start(self, epoch: int) -> None:
        """Sets the epoch, and with it the order of the images and what their targets are mixed with."""
        self.epoch = epoch
        self.ahead.clear()
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))
        targets = self.dataset.targets
        if self.own_predictions is not None:
            share = self.recipe.self_distillation * (epoch + 1) / self.recipe.epochs
            targets = (1 - share) * targets + share * self.own_predictions
        # Here and not in the loss: the late phase has none, and the validation loss is that of the plain labels.
        spread = 0.0 if self.recipe.is_late(epoch) else self.recipe.label_smoothing
        self.targets = (1 - spread) * targets + spread / len(self.dataset.labels)

    def images(self, index: int) -> np.ndarray:
        """The images of a whole batch without mixup, uint8 (b, size, size, channels)."""
        return self.dataset.images[self._chosen(index)]

    def _decoded(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """See `_fetch`. Where images are decoded on demand, those of the next batches are decoded meanwhile.

        Keras' own workers would begin an epoch before `start` has set its order, and overlap nothing with the step
        under JAX and PyTorch.
        """
        if self.pool is None:
            return self._fetch(index)
        future = self.ahead.pop((self.epoch, index), None)
        for further in range(index + 1, min(index + 1 + AHEAD, len(self))):
            if (self.epoch, further) not in self.ahead:
                self.ahead[self.epoch, further] = self.pool.submit(self._fetch, further)
        return self._fetch(index) if future is None else future.result()

    def _fetch(self, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """This process's images of a batch, and with mixup those that they are mixed with."""
        batch = self._chosen(index)
        images = self.dataset.images[batch[self.part]]
        if not self.recipe.mixup or self.recipe.is_late(self.epoch):
            return images, None
        _, partner = self._mix(index)
        own = partner[self.part]
        return images, images[own] if len(images) == len(batch) else self.dataset.images[batch[own]]

    def _mix(self, index: int) -> tuple[np.float32, np.ndarray]:
        """The share of a batch's own images, and for each row of the batch the row that it is mixed with."""
        rng = np.random.default_rng([self.seed, self.epoch, index])
        return np.float32(rng.beta(self.recipe.mixup, self.recipe.mixup)), rng.permutation(self.batch_size)

    def _chosen(self, index):
        return self.order[index * self.batch_size : (index + 1) * self.batch_size]

    @keeps_failure
    def __getitem__(self, index):
        batch = self._chosen(index)
        images, partner_images = self._decoded(index)
        arrays = [self.targets] if self.weights is None else [self.targets, self.weights]
        numbers = [array[batch[self.part]] for array in arrays]
        if partner_images is not None:
            share, partner = self._mix(index)
            # To the nearest grey level: bytes are mixed much faster than floats, and a GPU gets a quarter of them.
            images = cv2.addWeighted(images, float(share), partner_images, 1 - float(share), 0)
            pairs = zip(numbers, (array[batch[partner[self.part]]] for array in arrays), strict=True)
            numbers = [share * own + (1 - share) * other for own, other in pairs]
        return (images, *numbers)


class ValidationBatches(keras.utils.PyDataset):
    """Images that are not in memory, in their order: (images, targets)."""

    def __init__(self, dataset: Dataset, batch_size: int):
        super().__init__()
        self.dataset, self.batch_size = dataset, batch_size

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    @keeps_failure
    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return self.dataset.images[rows], self.dataset.targets[rows]


class SharedValidationBatches(keras.utils.PyDataset):
    """A process's parts of the validation batches: each image exactly once, the last batch padded with zero weight.

    Yields (images, targets, weights). Padding has no target either, so that `Accuracy` leaves it out. The weights of
    the images make up for the padding in the mean loss: Keras divides by all rows.
    """

    def __init__(self, dataset: Dataset, batch_size: int, workers: Workers):
        super().__init__()
        self.dataset = dataset
        smallest = -(-len(dataset) // workers.devices) * workers.devices
        self.batch_size = min(-(-batch_size // workers.devices) * workers.devices, smallest)
        self.part = workers.part(self.batch_size)

    def __len__(self):
        return -(-len(self.dataset) // self.batch_size)

    @keeps_failure
    def __getitem__(self, index):
        rows = np.arange(index * self.batch_size, (index + 1) * self.batch_size)[self.part]
        real = rows < len(self.dataset)
        rows = np.minimum(rows, len(self.dataset) - 1)
        weight = np.float32(len(self) * self.batch_size / len(self.dataset))
        targets = self.dataset.targets[rows] * real[:, None].astype(np.float32)
        return self.dataset.images[rows], targets, weight * real


class Accuracy(keras.metrics.CategoricalAccuracy):
    """Categorical accuracy of the rows that have a target; padding has none."""

    def update_state(self, y_true, y_pred, sample_weight=None):
        has_target = keras.ops.cast(keras.ops.any(y_true > 0, axis=-1), self.dtype)
        super().update_state(y_true, y_pred, sample_weight=has_target)


def validation_data(dataset: Dataset, batch_size: int, workers: Workers = ALONE):
    """What `keras.Model.fit` takes as validation data."""
    if workers.distributed:
        return SharedValidationBatches(dataset, batch_size, workers)
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
