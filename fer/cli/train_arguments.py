"""The arguments of train.py: every number of a recipe is a flag, and a flag without effect is refused."""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
from pathlib import Path

from fer.cli import common
from fer.core.errors import FerError
from fer.training.config import Configuration
from fer.training.recipes import AUGMENTATION, RECIPES, STANDARD_AUGMENTATION, Rates, Recipe, Sides

# Flags without an effect alone: what each needs beside it, and whether a configuration has that.
_PLATEAU = ("--schedule plateau", lambda config: config.recipe.schedule == "plateau")
_TEACHER = ("--teacher", lambda config: config.teacher)
NEEDS = {
    "vote_mode": ("--votes", lambda config: config.votes),
    "vote_share": ("--vote-mode mixed", lambda config: config.vote_mode == "mixed"),
    "warmup": ("--schedule cosine", lambda config: config.recipe.schedule == "cosine"),
    **dict.fromkeys(("plateau_monitor", "plateau_factor", "plateau_patience", "min_learning_rate"), _PLATEAU),
    "monitor": ("--patience", lambda config: config.recipe.patience),
    "focal_gamma": ("--loss focal", lambda config: config.recipe.loss == "focal"),
    **dict.fromkeys(("teacher_share", "teacher_temperature", "teacher_flip"), _TEACHER),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of train.py beside those that name the data; every field of a recipe is one."""
    places = parser.add_argument_group("places")
    places.add_argument("--output", metavar="MODEL.keras", help="gets the best epoch (default: in the run folder)")
    places.add_argument("--run-dir", metavar="DIR", help="log, curves, checkpoint (default: runs/NAME OF THE OUTPUT)")
    places.add_argument("--resume", action="store_true", help="go on with the run in --run-dir, with its own settings")
    places.add_argument("--overwrite", action="store_true", help="start again where a run or an output already is")
    places.add_argument(
        "--init",
        type=common.model_path,
        metavar="MODEL.keras",
        help="start from this model's weights (fine-tuning); of a wider vgg, from its strongest channels",
    )
    text = "learn from these models' answers as well"
    places.add_argument("--teacher", nargs="+", type=common.model_path, metavar="MODEL.keras", help=text)
    places.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs into the run folder")
    places.add_argument("--diagram", metavar="PNG", help="write a picture of the network and stop")
    places.add_argument("--list-recipes", action="store_true", help="print the recipes and stop")
    run = parser.add_argument_group("training")
    run.add_argument("--recipe", choices=RECIPES, help="(four-block)")
    text = "what --votes become: eight emotions, by shares or majority, or mixed into the seven labels (shares)"
    run.add_argument("--vote-mode", choices=("shares", "majority", "mixed"), help=text)
    run.add_argument(
        "--refit",
        action="store_true",
        default=None,
        help="train on the validation pictures too, with settings chosen before; leaves nothing to score on them",
    )
    run.add_argument("--seed", type=int, help="of the weights, the order, augmentation and dropout (42)")
    run.add_argument("--precision", choices=("auto", "float32", "bfloat16", "float16"), help="arithmetic (auto)")
    run.add_argument("--augment", action=argparse.BooleanOptionalAction, help="all augmentation on or off")
    fields = parser.add_argument_group("recipe", "each overrides one number of the recipe")
    for item in dataclasses.fields(Recipe)[2:]:
        flag = "--" + item.name.replace("_", "-")
        if item.type is bool:
            fields.add_argument(flag, action=argparse.BooleanOptionalAction, help=item.metadata["help"])
        else:
            kind = {Rates: rates, Sides: sides}.get(item.type, item.type)
            fields.add_argument(flag, type=kind, choices=item.metadata["choices"], help=item.metadata["help"])


def resolve(args: argparse.Namespace) -> Configuration:
    """The configuration of the flags, or with --resume the one kept in the run folder.

    Raises:
        FerError: nothing to resume, flags without effect or that contradict the kept run, or a run or output that
            would be overwritten.
    """
    given = {name: value for name, value in vars(args).items() if value is not None}
    if args.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise FerError("--tensorboard needs a package of its own: pip install tensorboard")
    if args.resume and args.overwrite:
        raise FerError("--resume goes on with a run, --overwrite starts it again: choose one")
    if not args.resume:
        config = _configure(given)
        for name, (needed, there) in NEEDS.items():
            if name in given and not there(config):
                raise FerError(f"--{name.replace('_', '-')} has no effect without {needed}")
        taken = [path for path in (config.path, Path(config.output)) if path.exists()]
        if taken and not args.overwrite and not args.diagram:
            choices = "go on with --resume, start again with --overwrite, or choose another place"
            raise FerError(f"{taken[0]} exists: {choices}")
        return config
    asked = _configure(given)
    path = asked.path
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))["configuration"]
        config = Configuration(**kept | {"recipe": _recipe(kept["recipe"]), "run_dir": asked.run_dir})
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FerError(f"{path}: there is no run to resume; name it with --run-dir or --output") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FerError(f"{path}: not the configuration of a run ({error})") from error
    wanted, found = _flat(asked), _flat(config)
    for name in given:
        if name in found and wanted[name] != found[name]:
            flag = name.replace("_", "-")
            flag = f"--no-{flag}" if wanted[name] is False else f"--{flag} {wanted[name]}"
            raise FerError(f"{flag} contradicts the run in {path.parent}, which has {found[name]}")
    return config


def _flat(config: Configuration) -> dict:
    entries = dataclasses.asdict(config)
    recipe = entries.pop("recipe")
    return recipe | entries | {"recipe": config.recipe.name, "augment": config.recipe.augments}


def _configure(given: dict) -> Configuration:
    recipe = RECIPES[given.get("recipe", "four-block")]
    if "augment" in given:
        amounts = {name: getattr(recipe, name) for name in AUGMENTATION}
        on = amounts if recipe.augments else STANDARD_AUGMENTATION
        off = {name: type(amount)() for name, amount in amounts.items()}
        recipe = dataclasses.replace(recipe, **(on if given["augment"] else off))
    names = {item.name for item in dataclasses.fields(Recipe)[2:]}
    recipe = dataclasses.replace(recipe, **{name: value for name, value in given.items() if name in names})
    names = {item.name for item in dataclasses.fields(Configuration)[1:]}
    return Configuration(recipe, **{name: value for name, value in given.items() if name in names})


def _recipe(kept: dict) -> Recipe:
    return Recipe(**{name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()})


def rates(text: str) -> tuple[float, ...]:
    return tuple(float(part) for part in text.split(","))


def sides(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


def recipe_table() -> str:
    """All recipes, a paragraph each: name, summary, and every number that is not the default."""
    defaults = Recipe("", "")
    paragraphs = []
    for recipe in RECIPES.values():
        numbers = [
            f"{item.name}={_text(getattr(recipe, item.name))}"
            for item in dataclasses.fields(Recipe)[2:]
            if item.name in _ALWAYS or getattr(recipe, item.name) != getattr(defaults, item.name)
        ]
        paragraphs.append(f"{recipe.name}: {recipe.summary}\n    " + " ".join(numbers))
    return "\n".join(paragraphs)


_ALWAYS = ("network", "epochs", "batch_size", "optimizer", "learning_rate", "schedule")


def _text(value) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
