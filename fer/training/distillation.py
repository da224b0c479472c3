"""Knowledge distillation: from the predictions of teachers (Hinton et al. 2015), or from the network's own."""

import dataclasses
from collections.abc import Callable, Sequence
from types import SimpleNamespace

import cv2
import keras
import numpy as np
from keras import ops

from fer.core.errors import FerError
from fer.data.dataset import Dataset
from fer.models import networks, tta
from fer.models.classifier import Classifier
from fer.models.device import JIT_COMPILE
from fer.training.batches import Batches

CHUNK = 512  # images that are predicted at a time
TINY = 1e-7  # below what float32 probabilities mean; keeps logarithms finite


def mean_prediction(
    teachers: Sequence[Classifier], labels: tuple[str, ...], *, dtype: str = "float32", flip: bool = False
) -> Callable:
    """The mean of the teachers' probabilities as a function of a batch.

    Args:
        teachers: of any image size; with the same labels, in any order.
        labels: the student's, k.
        dtype: Keras dtype policy that the teachers compute under.
        flip: average over each image and its mirror image, which is more accurate than one of them.

    Returns:
        pixels float32 (n, side, side, channels) -> float32 (n, k), columns in the order of `labels`.

    Raises:
        FerError: a teacher with other labels, or teachers of different numbers of channels.
    """
    orders = columns(teachers, labels)
    recast = [networks.recast(teacher.model, dtype) for teacher in teachers]

    def predict(images):
        total = 0.0
        for teacher, network, order in zip(teachers, recast, orders, strict=True):
            size = teacher.spec.size
            resized = images if images.shape[1] == size else ops.image.resize(images, (size, size))
            for view in (resized, ops.flip(resized, axis=2)) if flip else (resized,):
                probabilities = ops.cast(network(view, training=False), "float32")
                total = total + ops.take(probabilities, order, axis=1)
        return ops.stop_gradient(total / (len(teachers) * (1 + flip)))

    return predict


def columns(teachers: Sequence[Classifier], labels: tuple[str, ...]) -> list[list[int]]:
    """For each teacher the columns of its output in the order of `labels`.

    Raises:
        FerError: a teacher with other labels, or teachers of different numbers of channels.
    """
    for teacher in teachers:
        if set(teacher.labels) != set(labels):
            raise FerError(f"a teacher knows {', '.join(teacher.labels)}, but the data have {', '.join(labels)}")
        if teacher.spec.channels != teachers[0].spec.channels:
            raise FerError("the teachers take images of different numbers of channels")
    return [[teacher.labels.index(label) for label in labels] for teacher in teachers]


def with_teacher_targets(
    train: Dataset, teachers: Sequence[Classifier], share: float, *, dtype: str = "float32", flip: bool = False
) -> Dataset:
    """The data set with targets that are in part the teachers' mean prediction for the unchanged image.

    The cross-entropy against such a target is the weighted sum of those against label and teacher. A step costs no
    more than without teachers; in return, they do not see what augmentation has done to an image.

    Args:
        train: the images, as the teachers take them.
        teachers: one or more.
        share: of the target that is the teachers'.
        dtype, flip: see `mean_prediction`.

    Raises:
        FerError: a teacher with other labels, or that takes other images than those of the data set.
    """
    total = np.zeros_like(train.targets)
    for teacher, order in zip(teachers, columns(teachers, train.labels), strict=True):
        recast = dataclasses.replace(teacher, model=networks.recast(teacher.model, dtype))
        total += recast.predict(train.images, tta="flip" if flip else "none")[:, order]
    return dataclasses.replace(train, targets=(1 - share) * train.targets + share * total / len(teachers))


class SelfDistillation(keras.callbacks.Callback):
    """Mixes the targets of `Batches` with the network's own earlier predictions (Kim et al. 2021, PS-KD).

    Every few epochs, at the end of validation, the network predicts the training images, with the averaged weights
    where there are some. The images are unchanged but for their size, which is that of the epoch's training images:
    while images grow, the network is worse at the full size (docs/experiments.md). If the recipe flips images, the
    prediction is the mean over an image and its mirror image. The share of a target that comes from it grows with the
    epochs, as predictions improve.

    Args:
        network: in training; the averaged weights are in it until `on_test_end` of the callback that swaps them.
        batches: those of the training, which get the predictions.

    Attributes:
        predictions: the last ones, float32 (n, k); part of the checkpoint.
    """

    def __init__(self, network: keras.Model, batches: Batches):
        super().__init__()
        self.network, self.batches, self.epoch = network, batches, 0
        network.jit_compile = JIT_COMPILE
        shape = batches.dataset.targets.shape
        self.predictions = keras.Variable(np.zeros(shape, np.float32), trainable=False, dtype="float32")

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if epoch >= self.batches.recipe.self_distillation_every:
            self.batches.own_predictions = self.predictions.numpy()

    def on_test_end(self, logs=None):
        recipe, images = self.batches.recipe, self.batches.dataset.images
        if (self.epoch + 1) % recipe.self_distillation_every or self.epoch + 1 == recipe.epochs:
            return
        n = len(images)
        size = min(CHUNK, n)  # of every chunk, the last one too: another size would be compiled anew
        rows = np.resize(np.arange(n), (-(-n // size), size))
        self.predictions.assign(np.concatenate([self._predict(images[chunk]) for chunk in rows])[:n])

    def _predict(self, images: np.ndarray) -> np.ndarray:
        recipe = self.batches.recipe
        side = recipe.side(self.epoch)
        if side != recipe.size:
            resized = [cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR) for image in images]
            images = np.reshape(resized, (len(images), side, side, recipe.channels))
        views = tta.views(images, "flip" if recipe.flip else "none")
        return np.mean([self.network.predict_on_batch(view) for view in views], axis=0)


def divergence(teacher, student, temperature: float):
    """Kullback-Leibler divergence of softened predictions, times the squared temperature to keep the size of gradients.

    Args:
        teacher, student: probabilities float32 (n, k); p^(1/T), normalized, is the softmax of logits over T.
        temperature: T.

    Returns:
        float32, the mean over the batch, nats.
    """
    log_teacher, log_student = (
        ops.log_softmax(ops.log(ops.maximum(shares, TINY)) / temperature, axis=-1) for shares in (teacher, student)
    )
    kl = ops.sum(ops.exp(log_teacher) * (log_teacher - log_student), axis=-1)
    return temperature**2 * ops.mean(kl)


class Student(keras.Sequential):
    """An augmentation and a network, trained against teachers and labels; validated against labels alone.

    Args:
        layers: the input, the augmentation, the network.
        teachers: their prediction for a batch, see `mean_prediction`; this model owns none of their weights.
        share: share of the loss that is the divergence from the teachers; the rest is the loss against the labels.
        temperature: of the divergence.
    """

    def __init__(self, layers: list, teachers: Callable, *, share: float, temperature: float, name: str | None = None):
        super().__init__(layers, name=name)
        self.teachers, self.share, self.temperature = teachers, share, temperature
        self.last = SimpleNamespace(images=None)  # between `call` and `compute_loss` of one step

    def call(self, inputs, training=None, mask=None):
        augmentation, network = self.layers
        images = augmentation(inputs, training=training)
        if training:
            self.last.images = images
        return network(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        hard = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if not training:
            return hard
        images, self.last.images = self.last.images, None
        return (1 - self.share) * hard + self.share * divergence(self.teachers(images), y_pred, self.temperature)
