"""Recipes: every number that defines a training, and nothing else. Each field is also a flag of train.py."""

from dataclasses import dataclass, field, fields, replace

from fer.core.errors import FerError

OPTIMIZERS = ("adam", "adamw", "sgd")
SCHEDULES = ("constant", "plateau", "cosine", "one-cycle")
LOSSES = ("crossentropy", "focal")
CLASS_WEIGHTS = ("none", "balanced", "sqrt")
MONITORS = ("val_loss", "val_accuracy")
KEPT = (*MONITORS, "last")

Rates = tuple[float, ...]
Sides = tuple[int, ...]


def _field(default, text, choices=None):
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Recipe:
    """The numbers of one training; see each field's help text (`train.py --help` prints them)."""

    name: str
    summary: str
    network: str = _field("four-block", "network, by its name in fer/networks.py")
    size: int = _field(48, "side of the input picture, pixels")
    channels: int = _field(1, "1 = grey, 3 = colour", (1, 3))
    crop: int = _field(0, "side of the part of the picture the network looks at, pixels; 0 = all of it")
    width: int = _field(0, "channels of the first block, where the network has a choice; 0 = its own")
    dropout: Rates = _field((0.25,), "dropout rate after the convolution blocks; one, or one a block: 0.1,0.2")
    dense_dropout: Rates = _field((0.25,), "the same for the dense layers")

    drop_blank: bool = _field(False, "leave training pictures of one single colour out")
    vote_share: float = _field(0.4, "with --vote-mode mixed: share of a target that is what the votes make likely")
    average_twins: bool = _field(False, "pixel-identical training pictures share the mean of their labels")

    epochs: int = _field(48, "epochs at most")
    growth: Sides = _field((), "sides at which training begins, pixels: 32,40; they share the first half of the epochs")
    batch_size: int = _field(128, "pictures a step")
    optimizer: str = _field("adam", "optimizer; sgd uses Nesterov momentum 0.9", OPTIMIZERS)
    learning_rate: float = _field(1e-3, "learning rate; the peak one for cosine and one-cycle")
    weight_decay: float = _field(0.0, "decoupled weight decay (weights -= rate x this x weights), kernels only")
    schedule: str = _field("constant", "learning-rate schedule", SCHEDULES)
    warmup: float = _field(0.05, "cosine: share of the steps in which the rate climbs (one-cycle climbs for 0.3)")
    plateau_monitor: str = _field("val_loss", "plateau: what is watched", MONITORS)
    plateau_factor: float = _field(0.2, "plateau: the rate is multiplied by this")
    plateau_patience: int = _field(4, "plateau: epochs without improvement before it is")
    min_learning_rate: float = _field(0.0, "plateau: never below this")
    patience: int = _field(0, "early stopping after this many epochs without improvement; 0 = never")
    monitor: str = _field("val_loss", "early stopping: what is watched", MONITORS)
    keep_best: str = _field("val_loss", "the epoch with the best of this becomes the model", KEPT)
    calibrate: bool = _field(False, "fit the temperature of the confidences on the validation pictures in the end")

    loss: str = _field("crossentropy", "loss", LOSSES)
    focal_gamma: float = _field(2.0, "focal loss: exponent (Lin et al. 2017)")
    label_smoothing: float = _field(0.0, "share of the target spread evenly over all labels")
    class_weights: str = _field("none", "weight of a class: inverse of its share, or the root of that", CLASS_WEIGHTS)
    mixup: float = _field(0.0, "mixup: alpha of the beta distribution (Zhang et al. 2018); 0 = off")
    teacher_share: float = _field(0.6, "with --teacher: share of the loss that compares with the teachers' answers")
    teacher_temperature: float = _field(2.0, "with --teacher: softens the answers that are compared")
    teacher_flip: bool = _field(False, "with --teacher: the mean of their answers to a picture and to its mirror image")
    ema: float = _field(0.0, "decay a step of the running average of the weights, such as 0.999; 0 = off")

    flip: bool = _field(False, "augmentation: mirror half of the pictures")
    rotation: float = _field(0.0, "augmentation: up to this many degrees either way")
    zoom: float = _field(0.0, "augmentation: height and width each scaled by 1 - this to 1 + this")
    shift: float = _field(0.0, "augmentation: up to this share of the side either way")
    shear: float = _field(0.0, "augmentation: up to this many degrees either way")
    brightness: float = _field(0.0, "augmentation: up to this share of the full range added or taken")
    contrast: float = _field(0.0, "augmentation: contrast scaled by 1 - this to 1 + this")
    erasing: float = _field(0.0, "augmentation: share of the pictures that lose a rectangle (Zhong et al. 2020)")

    def __post_init__(self):
        for item in fields(self):
            value, choices = getattr(self, item.name), item.metadata.get("choices")
            if choices and value not in choices:
                raise FerError(f"{item.name} must be one of {', '.join(map(str, choices))}, not {value!r}")
        _require(self.epochs >= 1, "epochs", self.epochs, "at least 1")
        _require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        _require(self.learning_rate > 0, "learning_rate", self.learning_rate, "above 0")
        _require(all(0 < side <= self.size for side in self.growth), "growth", self.growth, f"sides up to {self.size}")
        for name in ("dropout", "dense_dropout"):
            rates = getattr(self, name)
            _require(rates and all(0 <= rate < 1 for rate in rates), name, rates, "rates from 0 to below 1")
        for name in ("label_smoothing", "ema", "zoom", "shift", "contrast", "brightness", "warmup"):
            _require(0 <= getattr(self, name) < 1, name, getattr(self, name), "from 0 to below 1")
        for name in ("erasing", "teacher_share", "vote_share"):
            _require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "from 0 to 1")
        _require(self.teacher_temperature > 0, "teacher_temperature", self.teacher_temperature, "above 0")
        for name in _NOT_NEGATIVE:
            _require(getattr(self, name) >= 0, name, getattr(self, name), "0 or more")
        _require(0 < self.plateau_factor < 1, "plateau_factor", self.plateau_factor, "between 0 and 1")

    def side(self, epoch: int) -> int:
        """Side in pixels of the training pictures in an epoch, counted from 0."""
        stage = epoch * 2 * len(self.growth) // self.epochs
        return self.growth[stage] if stage < len(self.growth) else self.size

    @property
    def augments(self) -> bool:
        return any(getattr(self, name) for name in AUGMENTATION)


AUGMENTATION = ("flip", "rotation", "zoom", "shift", "shear", "brightness", "contrast", "erasing")
_NOT_NEGATIVE = (
    *("patience", "plateau_patience", "min_learning_rate", "weight_decay", "focal_gamma", "mixup"),
    *("rotation", "shear", "crop", "width"),
)
STANDARD_AUGMENTATION = {"flip": True, "rotation": 10.0, "zoom": 0.1, "shift": 0.1}  # --augment, for a recipe without


def _require(condition, name, value, expected):
    if not condition:
        raise FerError(f"{name} must be {expected}, not {value}")


VGG = Recipe(
    "vgg",
    "eight 3x3 convolutions, global average pooling, small pictures first: what two CPU cores train in hours",
    network="vgg",
    width=32,
    dropout=(0.1, 0.15, 0.2, 0.25),
    dense_dropout=(0.3,),
    drop_blank=True,
    average_twins=True,
    calibrate=True,
    epochs=84,
    growth=(32, 40),
    optimizer="sgd",
    learning_rate=0.1,
    weight_decay=3e-3,
    schedule="cosine",
    label_smoothing=0.1,
    ema=0.998,
    keep_best="val_accuracy",
    flip=True,
    rotation=12.0,
    zoom=0.2,
    shift=0.1,
    brightness=0.1,
    contrast=0.2,
    erasing=0.2,
)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "quick",
            "the four-block network in a few epochs: for the demo faces, and to see the whole chain in two minutes",
            dropout=(0.1,),
            dense_dropout=(0.1,),
            epochs=6,
            batch_size=32,
            schedule="cosine",
            ema=0.9,  # few steps: batch-norm statistics estimated anew say more than Keras' slow running ones
            keep_best="val_accuracy",
        ),
        Recipe(
            "plain",
            "four unpadded convolutions without batch normalization; its authors report 65 % on class folders",
            network="plain",
            dropout=(0.4,),
            dense_dropout=(0.4, 0.3),
            epochs=100,
            patience=5,
            keep_best="val_accuracy",
        ),
        Recipe(
            "four-block",
            "the classroom network and training; its authors report 67.1 % on a random 80/20 split of everything",
            patience=5,
            schedule="plateau",
            flip=True,
            zoom=0.2,
            shear=0.2,  # degrees: what shear_range=0.2 meant in the original
        ),
        Recipe(
            "four-block-tuned",
            "trains a four-block model on (--init): SGD, cosine decay, soft labels, augmentation, averaged weights",
            epochs=9,
            optimizer="sgd",
            learning_rate=0.02,
            weight_decay=1e-3,
            schedule="cosine",
            label_smoothing=0.1,
            ema=0.995,
            keep_best="val_accuracy",
            flip=True,
            rotation=8.0,
            zoom=0.2,
            shift=0.05,
            brightness=0.1,
            contrast=0.1,
        ),
        VGG,
        replace(
            VGG,
            name="vgg-tuned",
            summary="trains a vgg model on (--init), on its own labels or others: fewer epochs at a lower rate",
            epochs=24,
            growth=(40,),
            learning_rate=0.05,
        ),
        replace(
            VGG,
            name="vgg-light",
            summary="last epochs of a vgg (--init): small geometry, no erasing, little dropout",
            dropout=(0.05,),
            dense_dropout=(0.2,),
            epochs=5,
            growth=(),
            learning_rate=0.01,
            ema=0.995,
            rotation=5.0,
            zoom=0.08,
            shift=0.04,
            erasing=0.0,
        ),
        replace(
            VGG,
            name="vgg-taught",
            summary="a vgg that learns from others (--teacher), begun as one of them, or its core (--init, --width)",
            dropout=(0.0, 0.05, 0.1, 0.15),
            dense_dropout=(0.2,),
            epochs=12,
            growth=(),
            learning_rate=0.05,
            label_smoothing=0.0,
        ),
        replace(
            VGG,
            name="se-resnet",
            summary="a narrow ResNet for a GPU: several seeds, then one that learns from them (--teacher)",
            network="se-resnet",
            width=48,
            dropout=(0.2,),
            dense_dropout=(0.2,),
            epochs=150,
            growth=(),
            batch_size=256,
            weight_decay=5e-3,
            mixup=0.2,
            label_smoothing=0.05,
            ema=0.9995,
        ),
        Recipe(
            "rgb",
            "a colour network with wide 5x5 blocks; its authors report 69 % on a random tenth of fer2013.csv",
            network="rgb",
            channels=3,
            epochs=50,
            batch_size=32,
            learning_rate=3e-4,
            patience=7,
            monitor="val_accuracy",
            keep_best="val_accuracy",
            schedule="plateau",
            plateau_monitor="val_accuracy",
            plateau_factor=0.5,
            plateau_patience=5,
        ),
        Recipe("five-conv", "five 3x3 convolutions; its authors state no score", network="five-conv"),
        Recipe(
            "eight-emotions",
            "eight class folders, contempt included; its authors report over 60 %",
            network="eight-emotions",
            epochs=18,
            batch_size=64,
            learning_rate=5e-4,
            keep_best="val_accuracy",
            schedule="plateau",
            plateau_factor=0.1,
            plateau_patience=2,
            min_learning_rate=1e-5,
        ),
    )
}
