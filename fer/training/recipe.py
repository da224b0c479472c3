"""`Recipe`: every number that defines a training. Each field is also a flag of train.py."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.core.renamed import FIELDS, current_name
from fer.data import soft_labels

# Of fer/models/networks.py, which imports Keras.
NETWORKS = ("plain", "four-block", "four-block-rgb", "five-conv", "four-block-wide", "vgg", "vgg-slim", "se-resnet")
OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "plateau", "cosine", "one-cycle")
LOSSES = ("crossentropy", "focal")
CLASS_WEIGHTS = ("none", "balanced", "sqrt")
MONITORS = ("val_loss", "val_accuracy")
KEPT = (*MONITORS, "last")


class Bounds(NamedTuple):
    """The values that a field takes: a check, and its text for the error message."""

    text: str
    accept: Callable[[Any], bool]


AT_LEAST_1 = Bounds("at least 1", lambda value: value >= 1)
POSITIVE = Bounds("above 0", lambda value: value > 0)
NOT_NEGATIVE = Bounds("0 or more", lambda value: value >= 0)
SHARE = Bounds("from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_1 = Bounds("from 0 to below 1", lambda value: 0 <= value < 1)
INSIDE_0_1 = Bounds("between 0 and 1", lambda value: 0 < value < 1)
DROPOUT_RATES = Bounds("rates from 0 to below 1", lambda rates: bool(rates) and all(0 <= rate < 1 for rate in rates))


def _field(default, text, choices=None, bounds: Bounds | None = None, **more: bool) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices, "bounds": bounds} | more)


def _augmentation(default, text, bounds: Bounds | None = None, *, degrades: bool = False) -> Any:
    """A field that `fer.training.augmentation.Augmentation` takes under the same name; its zero switches it off.

    `degrades` marks poor image quality, which the network is to withstand: see `DEGRADATIONS`.
    """
    return _field(default, f"augmentation: {text}", bounds=bounds, augmentation=True, degrades=degrades)


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training; see each field's help text (`train.py --help` prints them)."""

    name: str
    summary: str
    network: str = _field("four-block", f"network: {', '.join(NETWORKS)}")
    size: int = _field(48, "side of the input image, pixels")
    channels: int = _field(1, "1 = grey, 3 = colour", (1, 3))
    crop: int = _field(
        0, "side of the centre crop that the network sees, pixels; 0 = the whole image", None, NOT_NEGATIVE
    )
    width: int = _field(
        0,
        "channels of the first block of four-block, vgg or se-resnet, of the second of vgg-slim; 0 = its own",
        None,
        NOT_NEGATIVE,
    )
    dropout: tuple[float, ...] = _field(
        (0.25,),
        "dropout rate after the convolution blocks: one, or one per block, such as 0.1,0.2",
        None,
        DROPOUT_RATES,
    )
    dense_dropout: tuple[float, ...] = _field((0.25,), "the same, after the dense layers", None, DROPOUT_RATES)

    drop_blank: bool = _field(False, "leave out training images of a single colour")
    vote_mode: str = _field(
        "shares",
        "with FER+ votes: eight emotions as shares or by majority, or mixed into the seven labels",
        soft_labels.VOTE_MODES,
    )
    vote_share: float = _field(
        soft_labels.SHARE, "with --vote-mode mixed: share of a target that comes from the votes", None, SHARE
    )
    unseen_validation: bool = _field(
        False,
        "validate on the images without a duplicate or near-duplicate in the training split (not with --folds, which "
        "scores all)",
    )
    average_duplicates: bool = _field(False, "duplicates in the training split share the mean of their labels")

    epochs: int = _field(48, "epochs at most", None, AT_LEAST_1)
    progressive_sizes: tuple[int, ...] = _field(
        (),
        "progressive resizing: image sides of the first half of the epochs, pixels, such as 32,40; --size scales them",
    )
    late_share: float = _field(
        0.0,
        "late phase: share of the epochs, at the end, with lighter augmentation and no label smoothing",
        None,
        SHARE,
    )
    late_augmentation: float = _field(
        0.4,
        "late phase: factor of all amounts of augmentation but the mirror images, blur, darkness and noise",
        None,
        SHARE,
    )
    batch_size: int = _field(128, "images per step", None, AT_LEAST_1)
    optimizer: str = _field("adam", "optimizer; sgd uses Nesterov momentum 0.9", OPTIMIZERS)
    learning_rate: float = _field(1e-3, "learning rate; the peak of cosine and one-cycle", None, POSITIVE)
    weight_decay: float = _field(
        0.0, "decoupled weight decay (weights -= rate x this x weights), kernels only", None, NOT_NEGATIVE
    )
    schedule: str = _field("constant", "learning-rate schedule", SCHEDULES)
    warmup: float = _field(
        0.05, "cosine: share of the steps in which the rate rises (one-cycle always takes 0.3)", None, BELOW_1
    )
    plateau_monitor: str = _field("val_loss", "plateau: monitored value", MONITORS)
    plateau_factor: float = _field(0.2, "plateau: factor of the learning rate", None, INSIDE_0_1)
    plateau_patience: int = _field(4, "plateau: epochs without improvement before a reduction", None, NOT_NEGATIVE)
    min_learning_rate: float = _field(0.0, "plateau: lowest learning rate", None, NOT_NEGATIVE)
    patience: int = _field(
        0, "early stopping after this many epochs without improvement; 0 = never", None, NOT_NEGATIVE
    )
    monitor: str = _field("val_loss", "early stopping: monitored value", MONITORS)
    keep_best: str = _field("val_loss", "the epoch with the best value becomes the model", KEPT)
    calibrate: bool = _field(False, "fit the temperature of the confidences on the validation split at the end")

    loss: str = _field("crossentropy", "loss", LOSSES)
    focal_gamma: float = _field(2.0, "focal loss: exponent (Lin et al. 2017)", None, NOT_NEGATIVE)
    label_smoothing: float = _field(0.0, "share of a target that is spread evenly over all labels", None, BELOW_1)
    class_weights: str = _field("none", "weight of a class: inverse of its share, or the root of that", CLASS_WEIGHTS)
    mixup: float = _field(0.0, "mixup: alpha of the beta distribution (Zhang et al. 2018); 0 = off", None, NOT_NEGATIVE)
    teacher_share: float = _field(0.6, "distillation: share of the loss against the teachers", None, SHARE)
    teacher_temperature: float = _field(2.0, "distillation: temperature", None, POSITIVE)
    teacher_flip: bool = _field(False, "distillation: average each teacher over an image and its mirror image")
    teacher_once: bool = _field(
        False, "distillation: the teachers see each image once, before the first epoch, not each augmented one"
    )
    self_distillation: float = _field(
        0.0,
        "self-distillation: share of a target, in the last epoch, that is the network's own earlier prediction; "
        "the share grows evenly from 0; 0 = off",
        None,
        BELOW_1,
    )
    self_distillation_every: int = _field(
        5, "self-distillation: epochs from one prediction of the training images to the next", None, AT_LEAST_1
    )
    ema: float = _field(
        0.0,
        "decay per step of the moving average of the weights, such as 0.999, less in short runs; 0 = off",
        None,
        BELOW_1,
    )

    flip: bool = _augmentation(False, "mirror half of the images")
    rotation: float = _augmentation(0.0, "rotate by up to this many degrees either way", NOT_NEGATIVE)
    zoom: float = _augmentation(0.0, "scale height and width each by 1 - this to 1 + this", BELOW_1)
    shift: float = _augmentation(0.0, "shift by up to this share of the side either way", BELOW_1)
    shear: float = _augmentation(0.0, "shear by up to this many degrees either way", NOT_NEGATIVE)
    brightness: float = _augmentation(0.0, "add or subtract up to this share of the full range", BELOW_1)
    contrast: float = _augmentation(0.0, "scale the contrast by 1 - this to 1 + this", BELOW_1)
    blur: float = _augmentation(
        0.0,
        "blur half of the images: Gaussian, standard deviation up to this share of the side",
        BELOW_1,
        degrades=True,
    )
    darkness: float = _augmentation(0.0, "darken half of the images by up to this share", BELOW_1, degrades=True)
    noise: float = _augmentation(
        0.0,
        "noise on half of the images: Gaussian, standard deviation up to this share of the full range",
        BELOW_1,
        degrades=True,
    )
    erasing: float = _augmentation(0.0, "share of the images that lose a rectangle (Zhong et al. 2020)", SHARE)

    def __post_init__(self):
        object.__setattr__(self, "network", current_name(self.network))
        for item in fields(self)[2:]:
            value, choices, bounds = getattr(self, item.name), item.metadata["choices"], item.metadata["bounds"]
            if isinstance(item.default, tuple):  # one rate or side is a tuple of one
                value = tuple(value) if isinstance(value, tuple | list) else (value,)
                object.__setattr__(self, item.name, value)
            if choices and value not in choices:
                raise FerError(f"{item.name} must be one of {', '.join(map(str, choices))}, not {value!r}")
            if bounds and not bounds.accept(value):
                raise FerError(f"{item.name} must be {bounds.text}, not {value}")
        sides = self.progressive_sizes
        if not all(0 < side <= self.size for side in sides):
            text = f"progressive_sizes must be sides up to {self.size}, not {sides}"
            raise FerError(f"{text}; an empty value switches them off")
        every = self.self_distillation_every
        if self.self_distillation and every >= self.epochs:
            text = f"self_distillation_every must be below the number of epochs, {self.epochs}, not {every}"
            raise FerError(f"{text}; self_distillation 0 switches it off")

    @classmethod
    def from_dict(cls, stored: dict) -> "Recipe":
        """A recipe from JSON, also of an earlier version: renamed fields and names are understood."""
        values = {FIELDS.get(name, name): value for name, value in stored.items()}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**values | {"name": current_name(values["name"])})

    @property
    def spec(self) -> InputSpec:
        """The images that the network takes."""
        return InputSpec(self.size, self.channels)

    def side(self, epoch: int) -> int:
        """Side in pixels of the training images in an epoch, counted from 0."""
        sides = self.progressive_sizes
        stage = epoch * 2 * len(sides) // self.epochs
        return sides[stage] if stage < len(sides) else self.size

    def is_late(self, epoch: int) -> bool:
        """Whether an epoch, counted from 0, belongs to the late phase."""
        return epoch >= self.epochs - round(self.late_share * self.epochs)

    @property
    def augments(self) -> bool:
        """True if any augmentation is on."""
        return any(getattr(self, name) for name in AUGMENTATION)


# The names and the zeros of the fields that the augmentation layer takes.
AUGMENTATION: dict[str, Any] = {item.name: item.default for item in fields(Recipe) if item.metadata.get("augmentation")}
# Those of poor image quality: the late phase keeps them, and batch-norm statistics of averaged weights include them.
DEGRADATIONS = tuple(item.name for item in fields(Recipe) if item.metadata.get("degrades"))
# What --augment gives to a recipe without augmentation.
STANDARD_AUGMENTATION: dict[str, Any] = {"flip": True, "rotation": 10.0, "zoom": 0.1, "shift": 0.1}
