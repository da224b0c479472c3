"""Training that leans on teachers: their answers to the same pictures, beside the labels (Hinton et al. 2015)."""

from collections.abc import Callable
from types import SimpleNamespace

import keras
from keras import ops

from fer.core.errors import FerError
from fer.models import networks
from fer.models.classifier import Classifier

TINY = 1e-7  # below what float32 probabilities mean; keeps logarithms finite


def mean_of(
    teachers: list[Classifier], labels: tuple[str, ...], *, dtype: str = "float32", flip: bool = False
) -> Callable:
    """The mean of the teachers' probabilities as a function of a batch.

    Args:
        teachers: of any size of picture; with the same labels, in any order.
        labels: the student's, k.
        dtype: Keras dtype policy that the teachers compute under.
        flip: the mean over each picture and its mirror image, which is right more often than one of them.

    Returns:
        pixels float32 (n, side, side, channels) -> float32 (n, k), columns in the order of `labels`.

    Raises:
        FerError: a teacher with other labels, or for pictures with another number of channels.
    """
    for teacher in teachers:
        if set(teacher.labels) != set(labels):
            raise FerError(f"a teacher knows {', '.join(teacher.labels)}, but the data have {', '.join(labels)}")
        if teacher.spec.channels != teachers[0].spec.channels:
            raise FerError("the teachers take pictures of different numbers of channels")
    answering = [networks.recast(teacher.model, dtype) for teacher in teachers]
    orders = [[teacher.labels.index(label) for label in labels] for teacher in teachers]

    def teach(pictures):
        total = 0.0
        for teacher, network, order in zip(teachers, answering, orders, strict=True):
            size = teacher.spec.size
            seen = pictures if pictures.shape[1] == size else ops.image.resize(pictures, (size, size))
            for view in (seen, ops.flip(seen, axis=2)) if flip else (seen,):
                found = ops.cast(network(view, training=False), "float32")
                total = total + ops.take(found, order, axis=1)
        return ops.stop_gradient(total / (len(teachers) * (1 + flip)))

    return teach


def divergence(teacher, student, temperature: float):
    """Kullback-Leibler divergence of softened answers, times the squared temperature so that gradients keep their size.

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
    """An augmentation and a network, trained with teachers; validated on the labels alone.

    Args:
        layers: the input, the augmentation, the network.
        teach: see `mean_of`; no weights of the teachers become this model's.
        share: of the loss that is the divergence from the teachers; the rest is the loss against the labels.
        temperature: of the divergence.
    """

    def __init__(self, layers: list, teach: Callable, *, share: float, temperature: float, name: str | None = None):
        super().__init__(layers, name=name)
        self.teach, self.share, self.temperature = teach, share, temperature
        self.last = SimpleNamespace(pictures=None)  # between `call` and `compute_loss` of one step

    def call(self, inputs, training=None, mask=None):
        augmentation, network = self.layers
        pictures = augmentation(inputs, training=training)
        if training:
            self.last.pictures = pictures
        return network(pictures, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        hard = super().compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training)
        if not training:
            return hard
        pictures, self.last.pictures = self.last.pictures, None
        return (1 - self.share) * hard + self.share * divergence(self.teach(pictures), y_pred, self.temperature)
