"""Training: batches, class weights, compiling, callbacks and one call of `fit`, resumable after any epoch."""

from dataclasses import dataclass
from pathlib import Path

import keras

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data.dataset import Dataset
from fer.models import networks
from fer.models.classifier import Classifier
from fer.models.device import JIT_COMPILE
from fer.training import distillation, weight_transfer
from fer.training.augmentation import Augmentation
from fer.training.batches import Batches
from fer.training.callbacks import AveragedWeights, Growth, Reseed
from fer.training.compile import loss, optimizer
from fer.training.recipes import Recipe
from fer.training.run_folder import BestModel, RunFolder


@dataclass(frozen=True)
class Training:
    """What a training needs to know beside its pictures.

    Attributes:
        recipe: the numbers.
        seed: of the weights, the order, the augmentation and the dropout.
        dtype: Keras dtype policy of the trained network; the saved one is float32.
        output: the .keras file that gets the best epoch.
        run_dir: folder of log, curves and checkpoint.
        notes: kept in the model file.
        refit: the validation pictures are trained on too: what is measured on them is no validation score.
        tensorboard: also write TensorBoard logs into the run folder.
    """

    recipe: Recipe
    seed: int
    dtype: str
    output: Path
    run_dir: Path
    notes: dict
    tensorboard: bool = False
    refit: bool = False


def spec_of(recipe: Recipe) -> InputSpec:
    return InputSpec(recipe.size, recipe.channels)


def build(recipe: Recipe, labels: tuple[str, ...], dtype: str = "float32", *, any_size: bool = False) -> keras.Model:
    """The recipe's network for these labels, with fresh weights."""
    return networks.build(
        recipe.network,
        labels,
        spec_of(recipe),
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
    training: Training,
    *,
    init: Classifier | None = None,
    teachers: list[Classifier] | None = None,
    resume: bool = False,
    verbose: int = 2,
) -> RunFolder:
    """Trains and keeps the best epoch in `training.output`, everything else in `training.run_dir`.

    Args:
        train: pictures to learn from.
        validation: pictures that decide about rate, stop and best epoch; the same labels in the same order.
        training: recipe, seed and places.
        init: start from this classifier's weights; see `transfer.weights`.
        teachers: classifiers whose answers to the same augmented pictures are part of the loss; see `distillation`.
        resume: continue after the last finished epoch of the run folder.
        verbose: as for `keras.Model.fit`: 0 silent, 1 a bar, 2 a line an epoch.

    Returns:
        The run folder: `.history`, and `.best.epoch` with `.best.value`.

    Raises:
        FerError: labels differ, fewer pictures than needed, or a checkpoint that is damaged or of another training.
    """
    recipe = training.recipe
    if train.labels != validation.labels:
        raise FerError(f"training labels {train.labels} and validation labels {validation.labels} differ")
    if len(train.labels) < 2:
        raise FerError(f"a single class ({', '.join(train.labels)}): there is nothing to tell apart")
    keras.utils.set_random_seed(training.seed)
    network = build(recipe, train.labels, training.dtype, any_size=bool(recipe.growth))
    if init is not None:
        weight_transfer.weights(init, network, train.labels)
    batches = Batches(train, recipe, training.seed)
    augmentation = Augmentation.from_recipe(recipe, seed=training.seed)
    layers = [keras.Input(spec_of(recipe).shape), augmentation, network]
    if teachers:
        teach = distillation.mean_of(teachers, train.labels, dtype=training.dtype, flip=recipe.teacher_flip)
        options = {"share": recipe.teacher_share, "temperature": recipe.teacher_temperature}
        model = distillation.Student(layers, teach, **options, name="training")
    else:
        model = keras.Sequential(layers, name="training")
    model.compile(
        optimizer=optimizer(recipe, steps=recipe.epochs * len(batches), dtype=training.dtype),
        loss=loss(recipe),
        metrics=["accuracy"],
        jit_compile=JIT_COMPILE,
    )
    best = BestModel(network, build(recipe, train.labels), train.labels, training)
    callbacks = [
        Reseed(batches, network, augmentation, training.seed),
        *([Growth(augmentation, recipe)] if recipe.growth else []),
        best,
        *([AveragedWeights(network, batches)] if recipe.ema else []),
        *_keras_callbacks(training),
    ]
    folder = RunFolder(training, callbacks, best, data=(train, validation), teachers=teachers or ())
    if resume:
        folder.restore(model)
    else:
        folder.clear()
    if not folder.finished:
        model.fit(
            batches,
            validation_data=(validation.images, validation.targets),
            validation_batch_size=recipe.batch_size,
            initial_epoch=len(folder.history),
            epochs=recipe.epochs,
            callbacks=[*callbacks, folder],
            shuffle=False,  # Batches shuffles pictures; this would shuffle the order of the batches beside our seed
            verbose=verbose,
        )
    return folder


def _keras_callbacks(training: Training) -> list[keras.callbacks.Callback]:
    recipe, callbacks = training.recipe, []
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
    if training.tensorboard:
        callbacks.append(keras.callbacks.TensorBoard(training.run_dir / "tensorboard"))
    return callbacks
