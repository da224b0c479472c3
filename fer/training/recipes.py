"""The recipes by name."""

from dataclasses import replace

from fer.core.errors import FerError
from fer.core.renamed import current_name
from fer.training.recipe import Recipe

VGG = Recipe(
    "vgg",
    "eight 3x3 convolutions, global average pooling, progressive resizing; trains on two CPU cores in hours",
    network="vgg",
    width=32,
    dropout=(0.1, 0.15, 0.2, 0.25),
    dense_dropout=(0.3,),
    drop_blank=True,
    average_duplicates=True,
    unseen_validation=True,
    calibrate=True,
    epochs=84,
    progressive_sizes=(32, 40),
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

DISTILL = replace(
    VGG,
    name="vgg-distill",
    summary="distils teachers (--teacher) into a vgg that starts from a model, pruned with --width (--init)",
    dropout=(0.0, 0.05, 0.1, 0.15),
    dense_dropout=(0.2,),
    epochs=12,
    progressive_sizes=(),
    learning_rate=0.05,
    label_smoothing=0.0,
)

# One command each, from scratch. docs/experiments.md says what they reached. Smoothing is left out because votes,
# teachers or self-distillation soften the labels.
SLIM = replace(
    VGG,
    name="fer2013",
    summary="the default model from scratch in one command: give --votes",
    network="vgg-slim",
    width=96,
    dropout=(0.0, 0.05, 0.1, 0.15),
    dense_dropout=(0.2,),
    vote_mode="mixed",
    epochs=100,
    late_share=0.2,
    label_smoothing=0.0,
    self_distillation=0.7,
)

NARROW = replace(SLIM, width=64, epochs=150, self_distillation=0.0)

RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            "quick",
            "a narrow four-block network in a few epochs: for the synthetic faces, in less than a minute",
            width=16,
            dropout=(0.1,),
            dense_dropout=(0.1,),
            epochs=8,
            batch_size=32,
            learning_rate=3e-3,
            schedule="cosine",
            ema=0.9,  # so few steps leave Keras' own batch-norm statistics behind; averaged weights estimate them anew
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
        VGG,
        replace(
            VGG,
            name="vgg-finetune",
            summary="fine-tunes a vgg (--init), also on other labels: fewer epochs, lower learning rate",
            epochs=24,
            progressive_sizes=(40,),
            learning_rate=0.05,
        ),
        replace(
            VGG,
            name="vgg-cooldown",
            summary="last epochs of a vgg (--init): small geometric changes, no erasing, little dropout",
            dropout=(0.05,),
            dense_dropout=(0.2,),
            epochs=5,
            progressive_sizes=(),
            learning_rate=0.01,
            ema=0.995,
            rotation=5.0,
            zoom=0.08,
            shift=0.04,
            erasing=0.0,
        ),
        DISTILL,
        replace(
            DISTILL,
            name="vgg-robust",
            summary="makes a vgg withstand blur, darkness and noise, distilled from itself (--init and --teacher)",
            epochs=4,
            learning_rate=0.01,
            teacher_share=0.8,
            teacher_once=True,  # the teacher sees the clean images
            teacher_flip=True,
            blur=0.0125,  # twice these amounts cost accuracy on clean images (docs/experiments.md)
            darkness=0.3,
            noise=0.03,
        ),
        replace(
            VGG,
            name="se-resnet",
            summary="a narrow ResNet for a GPU: train several seeds, then distil them into one (--teacher)",
            network="se-resnet",
            width=48,
            dropout=(0.2,),
            dense_dropout=(0.2,),
            epochs=150,
            progressive_sizes=(),
            late_share=0.2,
            batch_size=256,
            weight_decay=5e-3,
            mixup=0.2,
            label_smoothing=0.05,
            ema=0.9995,
        ),
        SLIM,
        replace(
            NARROW,
            name="fer2013-fast",
            summary="a fast model from scratch in one command: give --votes and --teacher fer2013",
            teacher_once=True,  # the teacher sees the clean images
            teacher_flip=True,
            blur=0.0125,
            darkness=0.3,
            noise=0.03,
        ),
        replace(
            NARROW,
            name="ferplus",
            summary="eight emotions from scratch in one command: give --votes",
            vote_mode="shares",
            epochs=120,
        ),
        Recipe(
            "four-block-rgb",
            "a colour network with wide 5x5 blocks; its authors report 69 % on a random tenth of fer2013.csv",
            network="four-block-rgb",
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
            "four-block-wide",
            "eight class folders, contempt included; its authors report over 60 %",
            network="four-block-wide",
            vote_mode="majority",
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

# What a recipe's numbers count on: without votes or a teacher the labels are hard and unsmoothed, and with fresh
# weights a fine-tuning ends too early.
COUNTS_ON = {
    "vgg-finetune": ("init",),
    "vgg-cooldown": ("init",),
    "vgg-distill": ("init", "teacher"),
    "vgg-robust": ("init", "teacher"),
    "fer2013": ("votes",),
    "fer2013-fast": ("votes", "teacher"),
    "ferplus": ("votes",),
}


def find(name: str) -> Recipe:
    """The recipe of that name; names of earlier versions are understood.

    Raises:
        FerError: there is none.
    """
    if current_name(name) not in RECIPES:
        raise FerError(f"unknown recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[current_name(name)]
