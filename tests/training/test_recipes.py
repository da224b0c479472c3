"""Recipes hold the published numbers, and refuse numbers that mean nothing."""

import dataclasses
import json

import pytest

from fer import FerError
from fer.core import renamed
from fer.data import places
from fer.models import networks
from fer.training import recipes
from fer.training.config import configure
from fer.training.recipe import AUGMENTATION, DEGRADATIONS, Recipe
from fer.training.recipes import COUNTS_ON, RECIPES

PUBLISHED = {
    "plain": {
        "network": "plain",
        "dropout": (0.4,),
        "dense_dropout": (0.4, 0.3),
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 128,
        "epochs": 100,
        "augments": False,
        "schedule": "constant",
        "monitor": "val_loss",
        "patience": 5,
        "keep_best": "val_accuracy",
    },
    "four-block": {
        "network": "four-block",
        "dropout": (0.25,),
        "dense_dropout": (0.25,),
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch_size": 128,
        "epochs": 48,
        "shear": 0.2,
        "zoom": 0.2,
        "flip": True,
        "rotation": 0,
        "shift": 0,
        "monitor": "val_loss",
        "patience": 5,
        "keep_best": "val_loss",
        "schedule": "plateau",
        "plateau_monitor": "val_loss",
        "plateau_factor": 0.2,
        "plateau_patience": 4,
    },
    "four-block-rgb": {
        "network": "four-block-rgb",
        "channels": 3,
        "optimizer": "adam",
        "learning_rate": 3e-4,
        "batch_size": 32,
        "epochs": 50,
        "monitor": "val_accuracy",
        "patience": 7,
        "schedule": "plateau",
        "plateau_monitor": "val_accuracy",
        "plateau_factor": 0.5,
        "plateau_patience": 5,
    },
    "five-conv": {"network": "five-conv", "optimizer": "adam", "learning_rate": 1e-3},
    "four-block-wide": {
        "network": "four-block-wide",
        "dropout": (0.25,),
        "optimizer": "adam",
        "learning_rate": 5e-4,
        "batch_size": 64,
        "epochs": 18,
        "schedule": "plateau",
        "plateau_monitor": "val_loss",
        "plateau_factor": 0.1,
        "plateau_patience": 2,
        "min_learning_rate": 1e-5,
        "keep_best": "val_accuracy",
    },
}

REFUSED = [
    ("optimizer", "rmsprop", "adam, adamw, sgd"),
    ("schedule", "step", "constant, plateau, cosine, one-cycle"),
    ("loss", "hinge", "crossentropy, focal"),
    ("class_weights", "log", "none, balanced, sqrt"),
    ("monitor", "loss", "val_loss, val_accuracy"),
    ("keep_best", "accuracy", "val_loss, val_accuracy"),
    ("plateau_monitor", "f1", "val_loss, val_accuracy"),
    ("channels", 2, "1, 3"),
    ("epochs", 0, "at least 1"),
    ("batch_size", 0, "at least 1"),
    ("learning_rate", 0.0, "above 0"),
    ("learning_rate", -1e-3, "above 0"),
    ("learning_rate", float("nan"), "above 0"),
    ("dropout", (), "from 0 to below 1"),
    ("dropout", (0.2, 1.0), "from 0 to below 1"),
    ("dense_dropout", (-0.1,), "from 0 to below 1"),
    ("label_smoothing", 1.0, "from 0 to below 1"),
    ("ema", 1.0, "from 0 to below 1"),
    ("ema", -0.5, "from 0 to below 1"),
    ("zoom", 1.0, "from 0 to below 1"),
    ("shift", -0.1, "from 0 to below 1"),
    ("contrast", 2.0, "from 0 to below 1"),
    ("brightness", float("nan"), "from 0 to below 1"),
    ("warmup", 1.0, "from 0 to below 1"),
    ("noise", 1.0, "from 0 to below 1"),
    ("darkness", -0.1, "from 0 to below 1"),
    ("erasing", 1.1, "from 0 to 1"),
    ("patience", -1, "0 or more"),
    ("plateau_patience", -1, "0 or more"),
    ("min_learning_rate", -1e-5, "0 or more"),
    ("mixup", -0.2, "0 or more"),
    ("weight_decay", -1.0, "0 or more"),
    ("rotation", -5.0, "0 or more"),
    ("shear", -5.0, "0 or more"),
    ("crop", -1, "0 or more"),
    ("focal_gamma", -1.0, "0 or more"),
    ("progressive_sizes", (32, 50), "sides up to 48"),
    ("progressive_sizes", (0,), "sides up to 48"),
    ("width", -1, "0 or more"),
    ("teacher_share", 1.5, "from 0 to 1"),
    ("vote_share", -0.1, "from 0 to 1"),
    ("teacher_temperature", 0.0, "above 0"),
    ("plateau_factor", 1.0, "between 0 and 1"),
    ("plateau_factor", 0.0, "between 0 and 1"),
]


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_reference_recipes_have_the_published_numbers(name):
    expected = PUBLISHED[name]
    assert {key: getattr(RECIPES[name], key) for key in expected} == expected
    assert (RECIPES[name].size, RECIPES[name].channels) == (48, expected.get("channels", 1))


def test_every_recipe_names_itself_and_a_network_that_exists():
    assert {recipe.name: recipe.network in networks.NETWORKS for recipe in RECIPES.values()} == dict.fromkeys(
        RECIPES, True
    )


@pytest.mark.parametrize(
    ("further", "first"),
    [("vgg-finetune", "vgg"), ("vgg-cooldown", "vgg"), ("vgg-distill", "vgg"), ("vgg-robust", "vgg")],
)
def test_a_recipe_that_trains_on_has_the_same_network(further, first):
    assert (RECIPES[further].network, RECIPES[further].width) == (RECIPES[first].network, RECIPES[first].width)


def test_the_recipes_count_on_what_their_summaries_name():
    named = {
        recipe.name: tuple(flag for flag in ("init", "votes", "teacher") if f"--{flag}" in recipe.summary)
        for recipe in RECIPES.values()
    }
    del named["se-resnet"]  # a teacher itself
    assert {name: flags for name, flags in named.items() if flags} == COUNTS_ON


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"data": "fer2013/"}, ["votes"]),
        ({"data": "fer2013.csv", "votes": "fer2013new.csv"}, []),
        ({"data": "anything", "format": "ferplus"}, []),
        ({"data": places.IN_MEMORY}, []),
    ],
)
def test_votes_are_missed_where_labels_would_be_hard(settings, missing):
    assert configure("ferplus", **settings).lacks(COUNTS_ON["ferplus"]) == missing


def test_the_recipe_for_robustness_degrades_images():
    assert DEGRADATIONS == ("blur", "darkness", "noise")
    assert all(getattr(RECIPES["vgg-robust"], name) > 0 for name in DEGRADATIONS)


@pytest.mark.parametrize(("name", "value", "expected"), REFUSED, ids=[f"{name}={value}" for name, value, _ in REFUSED])
def test_a_number_that_means_nothing_is_refused(name, value, expected):
    with pytest.raises(FerError, match=f"^{name} must be .*{expected}"):
        dataclasses.replace(RECIPES["four-block"], **{name: value})


def test_self_distillation_that_would_never_begin_is_refused():
    recipe = dataclasses.replace(RECIPES["plain"], epochs=6, self_distillation=0.5, self_distillation_every=5)
    with pytest.raises(FerError, match="below the number of epochs, 5, not 5; self_distillation 0"):
        dataclasses.replace(recipe, epochs=5)


@pytest.mark.parametrize(
    ("name", "value"), [("erasing", 1.0), ("dropout", (0.0,)), ("patience", 0), ("plateau_patience", 0)]
)
def test_the_extremes_that_mean_something_are_taken(name, value):
    assert getattr(dataclasses.replace(RECIPES["plain"], **{name: value}), name) == value


@pytest.mark.parametrize("name", AUGMENTATION)
def test_any_amount_of_augmentation_counts_as_augmentation(name):
    plain = Recipe("x", "x")
    assert not plain.augments
    assert dataclasses.replace(plain, **{name: True if name == "flip" else 0.5}).augments


@pytest.mark.parametrize(
    ("sides", "epochs", "expected"),
    [
        ((), 4, [48] * 4),
        ((32,), 4, [32, 32, 48, 48]),
        ((32, 40), 8, [32, 32, 40, 40, 48, 48, 48, 48]),
        ((32, 40), 3, [32, 40, 48]),
        ((32,), 1, [32]),
    ],
)
def test_progressive_resizing_takes_the_first_half_of_the_epochs(sides, epochs, expected):
    recipe = Recipe("x", "x", progressive_sizes=sides, epochs=epochs)
    assert [recipe.side(epoch) for epoch in range(epochs)] == expected


@pytest.mark.parametrize(
    ("share", "epochs", "late"), [(0.0, 5, []), (0.2, 5, [4]), (0.2, 60, list(range(48, 60))), (1.0, 2, [0, 1])]
)
def test_the_late_phase_is_the_end_of_the_epochs(share, epochs, late):
    recipe = Recipe("x", "x", late_share=share, epochs=epochs)
    assert [epoch for epoch in range(epochs) if recipe.is_late(epoch)] == late


@pytest.mark.parametrize(("old", "new"), renamed.NAMES.items())
def test_earlier_names_are_understood(old, new):
    assert recipes.find(old) is RECIPES[new]
    stored = dataclasses.asdict(RECIPES[new]) | {"name": old, "growth": [32], "average_twins": True}
    del stored["progressive_sizes"], stored["average_duplicates"]
    expected = dataclasses.replace(RECIPES[new], progressive_sizes=(32,), average_duplicates=True)
    assert Recipe.from_dict(json.loads(json.dumps(stored))) == expected


def test_earlier_names_of_networks_are_understood():
    assert Recipe("x", "x", network="rgb").network == "four-block-rgb"
    assert Recipe("x", "x", network="eight-emotions").network == "four-block-wide"


def test_every_field_explains_itself():
    assert [item.name for item in dataclasses.fields(Recipe)[2:] if not item.metadata["help"]] == []
