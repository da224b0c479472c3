"""The arguments of train.py: every number of a recipe is a flag, and a flag without effect is refused."""

import argparse
import dataclasses
import importlib.util
import re
from typing import Any

from fer.core.errors import FerError
from fer.core.renamed import FIELDS, current_name
from fer.training.config import PRECISIONS, SETTINGS, TrainingConfig, configure, settle
from fer.training.recipe import Recipe
from fer.training.recipes import RECIPES


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the flags of train.py beside those of the data; each field of a recipe is one."""
    run = parser.add_argument_group("run")
    run.add_argument("--output", metavar="MODEL.keras", help="file for the best epoch (model.keras in the run folder)")
    text = "log, curves, checkpoint (runs/NAME OF --output; without --output runs/RECIPE-DATA)"
    run.add_argument("--run-dir", metavar="DIR", help=text)
    text = "continue the run in --run-dir with its settings; only --precision may change, and --data, --votes, "
    text += "--keep-list, --labels-csv and --teacher may name a new place"
    run.add_argument("--resume", action="store_true", help=text)
    run.add_argument("--overwrite", action="store_true", help="replace an earlier run or output")
    run.add_argument(
        "--init",
        metavar="MODEL.keras",
        help="start from this model's weights (fine-tuning); a wider vgg is pruned to its strongest channels",
    )
    run.add_argument("--teacher", nargs="+", metavar="MODEL.keras", help="distil these models")
    text = "k-fold cross-validation on all images: a model for each fold, mean and spread of the scores"
    run.add_argument("--folds", type=int, metavar="K", help=text)
    run.add_argument("--tensorboard", action="store_true", help="also write TensorBoard logs into the run folder")
    run.add_argument("--diagram", metavar="PNG", help="draw the network and stop")
    run.add_argument("--list-recipes", action="store_true", help="print the recipes and stop")
    training = parser.add_argument_group("training")
    training.add_argument(
        "--recipe",
        type=current_name,
        choices=RECIPES,
        help="network and numbers; --list-recipes prints them (four-block)",
    )
    training.add_argument("--seed", type=int, help="seed of the weights, the order, augmentation and dropout (42)")
    training.add_argument(
        "--precision", choices=PRECISIONS, help="of the computation (auto: bfloat16 where it is fast)"
    )
    training.add_argument(
        "--distribute",
        action="store_true",
        help="train on all devices, and on all processes that KERAS_DISTRIBUTION_... or Slurm name (JAX backend)",
    )
    training.add_argument("--augment", action=argparse.BooleanOptionalAction, help="all augmentation on or off")
    fields = parser.add_argument_group("recipe", "each overrides one number of the recipe")
    earlier = {present: name for name, present in FIELDS.items()}
    for item in dataclasses.fields(Recipe)[2:]:
        options: dict[str, Any] = {"dest": item.name}
        if item.type is bool:
            options["action"] = argparse.BooleanOptionalAction
        else:
            kinds: dict[Any, Any] = {tuple[float, ...]: rates, tuple[int, ...]: sides}
            kind = kinds.get(item.type, item.type)
            options |= {"type": kind, "choices": item.metadata["choices"]}
        fields.add_argument(_flag(item.name), help=item.metadata["help"], **options)
        if item.name in earlier:
            fields.add_argument(_flag(earlier[item.name]), help=argparse.SUPPRESS, **options)


def resolve(args: argparse.Namespace) -> TrainingConfig:
    """The configuration of the flags, or with --resume the one that the run folder holds.

    Raises:
        FerError: as `settle`, or TensorBoard is not installed.
    """
    given = {name: value for name, value in vars(args).items() if value is not None and name in SETTINGS}
    if args.tensorboard and importlib.util.find_spec("tensorboard") is None:
        raise FerError("--tensorboard needs a package of its own: pip install tensorboard")
    writes_nothing = bool(args.diagram) and not args.resume
    overwrite = args.overwrite or writes_nothing
    try:
        config = configure(**given)
    except FerError as error:
        raise FerError(_in_flags(str(error))) from error
    return settle(config, given, resume=args.resume, overwrite=overwrite, spell=_flag)


def check_folds(args: argparse.Namespace) -> None:
    """Raises FerError for flags that a cross-validation does not heed."""
    for name in ("resume", "distribute", "tensorboard", "output", "validation_fraction", "unseen_validation"):
        if getattr(args, name):
            more = ": --run-dir names the folder of the models" if name == "output" else ""
            raise FerError(f"{_flag(name)} does not go with --folds{more}")


def _flag(name: str, value: object = None) -> str:
    """A setting as it is typed, with its value if one is given."""
    words = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{words}" if value else f"--no-{words}"
    return f"--{words}" if value is None else f"--{words} {value}"


def _in_flags(text: str) -> str:
    """A message about settings as Python names them, in the words of the command line."""
    names = [name for name in SETTINGS if "_" in name or text.startswith(f"{name} ")]
    found = rf"(?<![^\s])({'|'.join(sorted(names, key=len, reverse=True))})\b"  # not within a path
    return re.sub(found, lambda match: _flag(match[1]), text)


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
