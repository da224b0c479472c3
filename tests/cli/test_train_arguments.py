"""From the flags of train.py to a checked configuration."""

import argparse
import dataclasses
import os
import re

import pytest
from support.tiny import configure

from fer import FerError
from fer.cli import train, train_arguments
from fer.training.config import NEEDS
from fer.training.recipe import AUGMENTATION, STANDARD_AUGMENTATION, Recipe
from fer.training.recipes import RECIPES

FIELDS = dataclasses.fields(Recipe)[2:]
# For each field a text for the flag, and what it means; none is the default.
FLAGS = {
    "network": ("plain", "plain"),
    "size": ("64", 64),
    "channels": ("3", 3),
    "crop": ("44", 44),
    "width": ("24", 24),
    "dropout": ("0.1,0.2,0.3", (0.1, 0.2, 0.3)),
    "dense_dropout": ("0.5", (0.5,)),
    "drop_blank": (None, True),
    "vote_mode": ("majority", "majority"),
    "vote_share": ("0.2", 0.2),
    "unseen_validation": (None, True),
    "average_duplicates": (None, True),
    "epochs": ("7", 7),
    "progressive_sizes": ("32,40", (32, 40)),
    "late_share": ("0.25", 0.25),
    "late_augmentation": ("0.5", 0.5),
    "batch_size": ("32", 32),
    "optimizer": ("sgd", "sgd"),
    "learning_rate": ("3e-2", 0.03),
    "weight_decay": ("5e-4", 5e-4),
    "schedule": ("one-cycle", "one-cycle"),
    "warmup": ("0.2", 0.2),
    "plateau_monitor": ("val_accuracy", "val_accuracy"),
    "plateau_factor": ("0.5", 0.5),
    "plateau_patience": ("9", 9),
    "min_learning_rate": ("1e-6", 1e-6),
    "patience": ("11", 11),
    "monitor": ("val_accuracy", "val_accuracy"),
    "keep_best": ("val_accuracy", "val_accuracy"),
    "calibrate": (None, True),
    "loss": ("focal", "focal"),
    "focal_gamma": ("1.5", 1.5),
    "label_smoothing": ("0.1", 0.1),
    "class_weights": ("sqrt", "sqrt"),
    "mixup": ("0.2", 0.2),
    "teacher_share": ("0.3", 0.3),
    "teacher_temperature": ("4", 4.0),
    "teacher_flip": (None, True),
    "teacher_once": (None, True),
    "self_distillation": ("0.6", 0.6),
    "self_distillation_every": ("3", 3),
    "ema": ("0.99", 0.99),
    "flip": (None, True),
    "rotation": ("15", 15.0),
    "zoom": ("0.3", 0.3),
    "shift": ("0.15", 0.15),
    "shear": ("5", 5.0),
    "brightness": ("0.25", 0.25),
    "contrast": ("0.35", 0.35),
    "blur": ("0.02", 0.02),
    "darkness": ("0.5", 0.5),
    "noise": ("0.1", 0.1),
    "erasing": ("1", 1.0),
}
# What goes with a flag that has no effect alone.
WITH = {
    "warmup": {"schedule": "cosine"},
    "plateau_monitor": {"schedule": "plateau"},
    "plateau_factor": {"schedule": "plateau"},
    "plateau_patience": {"schedule": "plateau"},
    "min_learning_rate": {"schedule": "plateau"},
    "monitor": {"patience": 3},
    "focal_gamma": {"loss": "focal"},
    "late_augmentation": {"late_share": 0.2},
    "teacher_share": {"teacher": "t.keras"},
    "teacher_temperature": {"teacher": "t.keras"},
    "teacher_flip": {"teacher": "t.keras"},
    "teacher_once": {"teacher": "t.keras"},
    "self_distillation_every": {"self_distillation": 0.5},
    "vote_mode": {"votes": "v.csv"},
    "vote_share": {"vote_mode": "mixed", "votes": "v.csv"},  # what it needs, and what that needs
}

pytestmark = pytest.mark.usefixtures("elsewhere")

# Those whose value does not matter: the error names the flag alone.
BARE = ("patience", "teacher", "votes", "late_share", "self_distillation")


def flag(name):
    return "--" + name.replace("_", "-")


def test_the_table_of_flags_knows_every_field():
    assert list(FLAGS) == [item.name for item in FIELDS]


@pytest.mark.parametrize("name", FLAGS)
def test_every_field_of_a_recipe_is_a_flag_that_overrides_it_alone(name):
    text, value = FLAGS[name]
    beside = WITH.get(name, {})
    words = [word for other, value in beside.items() for word in (flag(other), str(value))]
    recipe = configure("--recipe", "five-conv", *words, flag(name), *([text] if text else [])).recipe
    changed = {item.name: getattr(recipe, item.name) for item in FIELDS}
    expected = {item.name: getattr(RECIPES["five-conv"], item.name) for item in FIELDS} | {name: value}
    expected |= {other: value for other, value in beside.items() if other in expected}
    assert changed == expected
    assert expected[name] != getattr(RECIPES["five-conv"], name)
    assert type(getattr(recipe, name)) is type(getattr(RECIPES["five-conv"], name))


@pytest.mark.parametrize("name", WITH)
def test_a_flag_without_effect_is_refused_with_what_it_needs(name, elsewhere):
    text = FLAGS[name][0] if name in FLAGS else "majority"
    other, value = next(iter(WITH[name].items()))
    needed = flag(other) if other in BARE else f"{flag(other)} {value}"
    with pytest.raises(FerError, match=f"^{flag(name)} has no effect without {needed}$"):
        configure("--recipe", "five-conv", flag(name), *([text] if text else []))
    assert list(elsewhere.iterdir()) == []


def test_teachers_that_see_each_image_once_have_no_temperature():
    with pytest.raises(FerError, match=r"^--teacher-temperature has no effect without --no-teacher-once$"):
        configure("--recipe", "fer2013-fast", "--teacher", "t.keras", "--teacher-temperature", "3")
    again = ("--no-teacher-once", "--teacher-temperature", "3")
    assert configure("--recipe", "fer2013-fast", "--teacher", "t.keras", *again).recipe.teacher_temperature == 3


def test_every_flag_that_needs_another_is_known_here():
    assert set(WITH) == set(NEEDS)


def test_a_recipe_gives_its_own_flags_their_effect():
    assert configure("--recipe", "four-block", "--plateau-factor", "0.5", "--monitor", "val_accuracy")


@pytest.mark.parametrize("name", RECIPES)
def test_without_flags_a_recipe_is_as_it_stands(name):
    assert configure("--recipe", name).recipe == RECIPES[name]


def test_no_flip_overrides_a_recipe_that_flips():
    assert configure("--recipe", "four-block", "--no-flip").recipe.flip is False


@pytest.mark.parametrize("name", RECIPES)
def test_no_augment_turns_all_of_it_off(name):
    recipe = configure("--recipe", name, "--no-augment").recipe
    assert not recipe.augments
    off = {key: type(getattr(RECIPES[name], key))() for key in AUGMENTATION}
    assert recipe == dataclasses.replace(RECIPES[name], **off)


def test_augment_keeps_what_a_recipe_has_and_gives_the_standard_to_one_without():
    assert configure("--recipe", "four-block", "--augment").recipe == RECIPES["four-block"]
    recipe = configure("--recipe", "plain", "--augment").recipe
    assert {name: getattr(recipe, name) for name in STANDARD_AUGMENTATION} == STANDARD_AUGMENTATION


def test_an_amount_beside_augment_wins():
    recipe = configure("--recipe", "four-block", "--no-augment", "--rotation", "20").recipe
    assert [name for name in AUGMENTATION if getattr(recipe, name)] == ["rotation"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--epochs", "0"], "--epochs must be at least 1, not 0"),
        (["--learning-rate", "-1"], "--learning-rate must be above 0"),
        (["--dropout", "0.2,1.5"], "--dropout must be rates from 0 to below 1"),
        (["--ema", "1"], "--ema must be from 0 to below 1"),
        (
            ["--recipe", "fer2013", "--epochs", "5"],
            "--self-distillation-every must be below the number of epochs, 5, not 5; --self-distillation 0 switches it",
        ),
        (["--output", "model.h5"], "--output must end in .keras, not model.h5"),
        (["--seed", "-1"], "--seed must lie between 0 and 4294967295, not -1"),
        (["--seed", str(2**32)], "--seed must lie between 0 and"),
    ],
)
def test_impossible_values_are_refused_in_one_line(arguments, message):
    with pytest.raises(FerError, match=f"^{re.escape(message)}") as caught:
        configure(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--optimizer", "rmsprop"],
        ["--recipe", "resnet-152"],
        ["--epochs", "many"],
        ["--dropout", "0.1,x"],
        ["--channels", "2"],
    ],
)
def test_what_is_no_value_at_all_is_refused_by_the_parser(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        train.parse_args(arguments)
    assert caught.value.code == 2
    assert arguments[0] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "output", "run_dir"),
    [
        ([], "runs/four-block-demo/model.keras", "runs/four-block-demo"),
        (
            ["--recipe", "four-block-rgb", "--data", "some/fer2013.csv"],
            "runs/four-block-rgb-fer2013/model.keras",
            "runs/four-block-rgb-fer2013",
        ),
        (["--data", "kaggle:someone/faces"], "runs/four-block-faces/model.keras", "runs/four-block-faces"),
        (["--output", "models/mine.keras"], "models/mine.keras", "runs/mine"),
        (["--run-dir", "here/"], "here/model.keras", "here"),
        (["--run-dir", "here", "--output", "there.keras"], "there.keras", "here"),
    ],
)
def test_default_places(arguments, output, run_dir):
    config = configure(*arguments)
    assert (config.output, config.run_dir) == (output, run_dir)
    assert config.path.as_posix() == f"{run_dir}/run.json"


def test_other_defaults_and_their_flags():
    config = configure()
    assert (config.data, config.votes, config.recipe.vote_mode, config.seed, config.validation_fraction) == (
        "demo",
        None,
        "shares",
        42,
        0.1,
    )
    assert (config.precision, config.init) == ("auto", None)
    config = configure(
        *("--data", "a.csv", "--votes", "v.csv", "--vote-mode", "majority", "--seed", "3"),
        *("--validation-fraction", "0.2", "--precision", "bfloat16", "--init", "old.keras"),
    )
    assert (config.data, config.votes, config.recipe.vote_mode, config.seed, config.validation_fraction) == (
        "a.csv",
        "v.csv",
        "majority",
        3,
        0.2,
    )
    assert (config.precision, config.init) == ("bfloat16", "old.keras")


def test_list_recipes_names_each_with_its_numbers(capsys):
    assert train.main(train.parse_args(["--list-recipes"])) == 0
    output = capsys.readouterr().out
    for recipe in RECIPES.values():
        assert f"{recipe.name}: {recipe.summary}\n" in output
    numbers = {
        line.split(":")[0]: following
        for line, following in zip(output.splitlines()[::2], output.splitlines()[1::2], strict=True)
    }
    assert "network=plain epochs=100 batch_size=128 optimizer=adam learning_rate=0.001" in " ".join(
        word for word in numbers["plain"].split() if word.split("=")[0] in train_arguments._ALWAYS
    )
    assert "dense_dropout=0.4,0.3" in numbers["plain"]
    assert "ema=0.995" in numbers["vgg-cooldown"]
    assert "ema" not in numbers["four-block"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--labels", "sadd=sad", "--codes", "raf-db"), "argument --codes: not allowed with argument --labels"),
        (("--codes", "rafdb"), "argument --codes: invalid choice: 'rafdb'"),
        (("--label-map", "no-such-file.txt"), "argument --label-map: no-such-file.txt: there is no such file"),
    ],
)
def test_the_meaning_of_class_names_is_given_once(flags, said, capsys):
    with pytest.raises(SystemExit):
        train.parse_args(list(flags))
    assert said in capsys.readouterr().err


def test_help_shows_every_flag(capsys):
    with pytest.raises(SystemExit) as caught:
        train.parse_args(["--help"])
    assert caught.value.code == 0
    output = capsys.readouterr().out
    assert [name for name in FLAGS if flag(name) not in output] == []


def test_tensorboard_is_asked_for_before_anything_starts_if_it_is_not_there(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(FerError, match="pip install tensorboard"):
        configure("--tensorboard")
    assert configure()


def test_arguments_are_plain_data():
    args = train.parse_args([])
    assert isinstance(args, argparse.Namespace)
    assert not os.listdir()


def test_earlier_names_of_recipes_and_flags_are_understood_but_not_shown(capsys):
    config = configure("--recipe", "vgg-taught", "--growth", "32", "--average-twins")
    assert config.recipe.name == "vgg-distill"
    assert (config.recipe.progressive_sizes, config.recipe.average_duplicates) == ((32,), True)
    with pytest.raises(SystemExit):
        train.parse_args(["--help"])
    shown = capsys.readouterr().out
    assert not [name for name in ("vgg-taught", "--growth", "--average-twins") if name in shown]


def test_a_share_of_votes_needs_votes_where_the_recipe_mixes_them():
    with pytest.raises(FerError, match=r"^--vote-share has no effect without --votes$"):
        configure("--data", "fer2013/", "--recipe", "fer2013", "--vote-share", "0.3")
    command = ("--data", "a.csv", "--votes", "v.csv", "--recipe", "fer2013", "--vote-share", "0.3")
    assert configure(*command).recipe.vote_share == 0.3
