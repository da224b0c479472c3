"""Training: batches, class weights, compiling, callbacks and one call of `fit`, resumable after any epoch."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import keras
import numpy as np

from fer import FerError, distillation, networks, transfer
from fer.augmentation import Augmentation
from fer.callbacks import AveragedWeights, Growth, Reseed
from fer.classifier import Classifier
from fer.dataset import Dataset
from fer.hardware import JIT_COMPILE
from fer.images import InputSpec
from fer.recipes import Recipe
from fer.runs import BestModel, RunFolder

ONE_CYCLE_CLIMB = 0.3  # share of the steps in which one-cycle's rate climbs, as in Smith & Topin 2018
ONE_CYCLE_START = 1 / 25  # its first rate, as a share of the peak


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
        transfer.weights(init, network, train.labels)
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


class Batches(keras.utils.PyDataset):
    """Shuffled training batches; their order follows from the seed and the epoch alone, so that a run can resume.

    Yields (images, targets) or (images, targets, weights): uint8 (b, size, size, channels); float32 (b, k);
    float32 (b). Each epoch leaves out the few pictures that do not fill a batch: others every time.
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
        """Sets the epoch, and with it the order of the pictures."""
        self.epoch = epoch
        self.order = np.random.default_rng([self.seed, epoch]).permutation(len(self.dataset))

    def pictures(self, index: int) -> np.ndarray:
        """The pictures of a batch as they are, uint8 (b, size, size, channels)."""
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
        mode: "balanced": n / (k x pictures of the class), as scikit-learn; "sqrt": the root of that; "none".

    Returns:
        float32 (k), scaled so that the mean over the pictures is 1; or None for "none".
    """
    if mode == "none":
        return None
    counts = targets.sum(axis=0)
    weights = np.divide(len(targets), len(counts) * counts, out=np.zeros_like(counts), where=counts > 0)
    if mode == "sqrt":
        weights = np.sqrt(weights)
    return (weights * counts.sum() / (weights * counts).sum()).astype(np.float32)


def optimizer(recipe: Recipe, *, steps: int, dtype: str = "float32") -> keras.optimizers.Optimizer:
    """The recipe's optimizer with its schedule over `steps` steps in all; float16 adds loss scaling."""
    rate = _learning_rate(recipe, steps)
    options = {"weight_decay": recipe.weight_decay or None}
    if recipe.ema:
        options |= {"use_ema": True, "ema_momentum": recipe.ema}
    if recipe.optimizer == "sgd":
        result = keras.optimizers.SGD(rate, momentum=0.9, nesterov=True, **options)
    elif recipe.optimizer == "adamw":
        result = keras.optimizers.AdamW(rate, **options | {"weight_decay": recipe.weight_decay})  # takes no None
    else:
        result = keras.optimizers.Adam(rate, **options)
    if recipe.weight_decay:
        result.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    # Keras adds this by itself only where the outermost model has the policy.
    return keras.optimizers.LossScaleOptimizer(result) if dtype == "mixed_float16" else result


def _learning_rate(recipe: Recipe, steps: int) -> float | keras.optimizers.schedules.CosineDecay:
    """A number, or a linear climb to it followed by a cosine down to 0 (one-cycle: a long climb from a low start)."""
    rate = recipe.learning_rate
    climb, start = {
        "cosine": (recipe.warmup, 0.0),
        "one-cycle": (ONE_CYCLE_CLIMB, rate * ONE_CYCLE_START),
    }.get(recipe.schedule, (None, rate))
    if climb is None:
        return rate
    if not (climb_steps := int(steps * climb)):
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        start, steps - climb_steps, warmup_target=rate, warmup_steps=climb_steps
    )


def loss(recipe: Recipe) -> keras.losses.Loss:
    """Cross-entropy or focal loss (Lin et al. 2017) against target distributions."""
    if recipe.loss == "focal":
        return keras.losses.CategoricalFocalCrossentropy(
            alpha=1.0, gamma=recipe.focal_gamma, label_smoothing=recipe.label_smoothing
        )
    return keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing)
