"""One training from loaded data sets to a model file: network, callbacks and `fit`, resumable after any epoch."""

import dataclasses
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import keras

from fer.core.errors import FerError
from fer.core.signals import stoppable
from fer.data.dataset import Dataset
from fer.models import networks
from fer.models.classifier import Classifier
from fer.models.device import JIT_COMPILE, dtype_policy
from fer.training import distillation, weight_transfer
from fer.training.augmentation import Augmentation
from fer.training.batch_norm import fused
from fer.training.batches import ALONE, Accuracy, Batches, validation_data
from fer.training.callbacks import AveragedWeights, Interrupt, Phases, Reseed
from fer.training.compile import loss, optimizer
from fer.training.config import TrainingConfig
from fer.training.distribute import Workers
from fer.training.recipe import Recipe
from fer.training.run_folder import TENSORBOARD, BestModel, RunFolder, begin


def build(recipe: Recipe, labels: tuple[str, ...], dtype: str = "float32", *, any_size: bool = False) -> keras.Model:
    """The recipe's network for these labels, with fresh weights."""
    return networks.build(
        recipe.network,
        labels,
        recipe.spec,
        crop=recipe.crop or None,
        width=recipe.width or None,
        any_size=any_size,
        dropout=recipe.dropout,
        dense_dropout=recipe.dense_dropout,
        dtype=dtype,
    )


def fit(
    train: Dataset,
    validation: Dataset,
    config: TrainingConfig,
    *,
    init: Classifier | None = None,
    teachers: Sequence[Classifier] = (),
    metadata: dict | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tensorboard: bool = False,
    workers: Workers = ALONE,
    verbose: int = 2,
) -> RunFolder:
    """Trains and keeps the best epoch in `config.output`, everything else in `config.run_dir`.

    Args:
        train: images to learn from.
        validation: images that decide about rate, stop and best epoch; the same labels in the same order.
        config: recipe, seed, precision and places; the data, `init` and `teacher` that it names are not loaded here.
        init: start from this classifier's weights; see `weight_transfer.transfer`.
        teachers: classifiers to distil: their predictions for the augmented images are part of the loss, or with
            `teacher_once` those for the unchanged images part of the targets.
        metadata: kept in the model file beside epoch and scores; by default that of the configuration.
        resume: continue after the last finished epoch of the run folder.
        overwrite: replace an earlier run.
        tensorboard: also write TensorBoard logs into the run folder.
        workers: the processes of a distributed training, as `distribute.scope` gives them; call this inside.
        verbose: as for `keras.Model.fit`: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        The run folder: `.history`, and `.best.epoch` with `.best.value`.

    Raises:
        FerError: labels or shapes differ, fewer images than needed, or a checkpoint that is damaged or of another
            training.
        KeyboardInterrupt: Ctrl-C, after the step in which it came; the epochs before are in the run folder.
    """
    recipe = config.recipe
    dtype = dtype_policy(config.precision)
    _check(train, validation, recipe)
    keras.utils.set_random_seed(config.seed)
    network = fused(build(recipe, train.labels, dtype, any_size=bool(recipe.progressive_sizes)))
    if init is not None:
        weight_transfer.transfer(init, network, train.labels)
    if not resume:  # once all is checked, and before anything takes long
        networks.check_rates(network, dropout=recipe.dropout, dense_dropout=recipe.dense_dropout)
        _check_teachers(teachers, train.labels, recipe)
        workers.part(min(recipe.batch_size, len(train)))  # refuses a batch that the devices cannot share
        begin(config, workers, overwrite=overwrite)
    once, online = (teachers, ()) if recipe.teacher_once else ((), teachers)
    batches = Batches(_softened(train, once, recipe, dtype), recipe, config.seed, workers)
    augmentation = Augmentation.from_recipe(recipe, seed=config.seed)
    model = _augmented(network, augmentation, online, train.labels, recipe, dtype)
    model.compile(
        optimizer=optimizer(recipe, steps=recipe.epochs * len(batches), dtype=dtype),
        loss=loss(recipe),
        metrics=[Accuracy(name="accuracy")],
        jit_compile=JIT_COMPILE,
    )
    metadata = config.metadata() if metadata is None else metadata
    own = distillation.SelfDistillation(network, batches) if recipe.self_distillation else None
    best = BestModel(network, build(recipe, train.labels), train.labels, config, metadata, workers)
    callbacks = [
        *([own] if own else []),  # before the batches of an epoch start, and while the averaged weights are in place
        Reseed(batches, network, augmentation, config.seed),
        Phases(augmentation, recipe),
        best,
        *([AveragedWeights(network, batches)] if recipe.ema else []),
        *_keras_callbacks(config, tensorboard and workers.is_first),
    ]
    known = {"data": (train, validation), "teachers": teachers, "kept": [own.predictions] if own else []}
    folder = RunFolder(config, dtype, callbacks, best, workers=workers, **known)
    model.optimizer.build(model.trainable_variables)  # TensorFlow traces a step that builds it twice: seconds
    if resume:
        folder.restore(model)
    if not folder.finished:
        if resume and workers.is_first:
            config.write_changes()
        validating = validation_data(validation, recipe.batch_size, workers)
        with stoppable((signal.SIGINT,)) as asked, _told(batches, validating):
            model.fit(
                batches,
                validation_data=validating,
                validation_batch_size=recipe.batch_size,
                initial_epoch=len(folder.history),
                epochs=recipe.epochs,
                callbacks=[Interrupt(asked), *callbacks, folder],
                shuffle=False,  # Batches shuffles images by the seed; this would reorder the batches without it
                verbose=verbose if workers.is_first else 0,
            )
            if asked():  # after the last step, before which nothing looked
                raise KeyboardInterrupt
    return folder


@contextmanager
def _told(*sources: object) -> Iterator[None]:
    """Raises the reason of batches that could not be made, for whatever error the backend has made of it."""
    try:
        yield
    except Exception as error:
        for source in sources:
            if failure := getattr(source, "failure", None):
                raise failure from error
        raise


def _check(train: Dataset, validation: Dataset, recipe: Recipe) -> None:
    if train.labels != validation.labels:
        raise FerError(f"training labels {train.labels} and validation labels {validation.labels} differ")
    if len(train.labels) < 2:
        raise FerError(f"a single class ({', '.join(train.labels)}): there is nothing to tell apart")
    for dataset in (train, validation):
        if dataset.images.shape[1:] != recipe.spec.shape:
            found = dataset.images.shape[1:]
            raise FerError(f"the recipe takes images of {recipe.spec.shape}, the data set holds {found}")
    if recipe.progressive_sizes:  # a network of any size would pool the smallest images away, and find only NaN
        build(dataclasses.replace(recipe, size=min(recipe.progressive_sizes), progressive_sizes=()), train.labels)


def _check_teachers(teachers: Sequence[Classifier], labels: tuple[str, ...], recipe: Recipe) -> None:
    distillation.columns(teachers, labels)
    if any(teacher.spec.channels != recipe.channels for teacher in teachers):
        raise FerError(f"the teachers take {teachers[0].spec.channels} channels, the recipe {recipe.channels}")
    if recipe.teacher_once and any(teacher.spec != recipe.spec for teacher in teachers):
        raise FerError(f"teacher_once: the teachers must take the images of the recipe, {recipe.spec.shape}")


def _softened(train: Dataset, teachers: Sequence[Classifier], recipe: Recipe, dtype: str) -> Dataset:
    """The training images with the predictions of the teachers in their targets."""
    if not teachers:
        return train
    share, flip = recipe.teacher_share, recipe.teacher_flip
    return distillation.with_teacher_targets(train, teachers, share, dtype=dtype, flip=flip)


def _augmented(
    network: keras.Model,
    augmentation: Augmentation,
    teachers: Sequence[Classifier],
    labels: tuple[str, ...],
    recipe: Recipe,
    dtype: str,
) -> keras.Model:
    """The network behind its augmentation; teachers, if there are any, see the augmented images too."""
    layers = [keras.Input(recipe.spec.shape), augmentation, network]
    if not teachers:
        return keras.Sequential(layers, name="training")
    predict = distillation.mean_prediction(teachers, labels, dtype=dtype, flip=recipe.teacher_flip)
    options = {"share": recipe.teacher_share, "temperature": recipe.teacher_temperature}
    return distillation.Student(layers, predict, **options, name="training")


def _keras_callbacks(config: TrainingConfig, tensorboard: bool) -> list[keras.callbacks.Callback]:
    recipe = config.recipe
    callbacks: list[keras.callbacks.Callback] = []
    if recipe.schedule == "plateau":
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                monitor=recipe.plateau_monitor,
                factor=recipe.plateau_factor,
                patience=recipe.plateau_patience,
                min_lr=recipe.min_learning_rate,
                min_delta=0,
            )
        )
    if recipe.patience:
        callbacks.append(keras.callbacks.EarlyStopping(monitor=recipe.monitor, patience=recipe.patience))
    if tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(Path(config.run_dir, TENSORBOARD)))
    return callbacks
