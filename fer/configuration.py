"""What one training was asked to do: from flags to a checked `Configuration`, kept as run.json in the run folder."""

import argparse
import dataclasses
import importlib.metadata
import importlib.util
import json
import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fer import FerError
from fer.files import write_text
from fer.recipes import AUGMENTATION, RECIPES, STANDARD_AUGMENTATION, Rates, Recipe, Sides

FILE = "run.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-contrib-python", "pandas", "scikit-learn")


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


@dataclass(frozen=True)
class Configuration:
    """One training, as a person asked for it; see `train.py --help` for each entry."""

    recipe: Recipe
    data: str = "demo"
    votes: str | None = None
    vote_mode: str = "shares"
    keep_list: str | None = None
    validation_fraction: float = 0.1
    split_seed: int = 42
    seed: int = 42
    precision: str = "auto"
    init: str | None = None
    teacher: tuple[str, ...] = ()
    refit: bool = False
    output: str = ""
    run_dir: str = ""

    def __post_init__(self):
        if not self.run_dir:
            stem = Path(self.output).stem if self.output else f"{self.recipe.name}-{Path(self.data).stem}"
            object.__setattr__(self, "run_dir", str(Path("runs", stem)))
        if not self.output:
            object.__setattr__(self, "output", str(Path(self.run_dir, "model.keras")))
        # x/ and x are one place, ./demo and demo are two
        for name in ("data", "votes", "keep_list", "init", "output", "run_dir"):
            place = getattr(self, name)
            if place and place != "demo" and not place.startswith("kaggle:"):
                path = str(Path(place))
                object.__setattr__(self, name, "./demo" if path == "demo" else path)
        object.__setattr__(self, "teacher", tuple(str(Path(path)) for path in self.teacher))
        if self.refit:
            if self.recipe.patience or self.recipe.schedule == "plateau" or self.recipe.calibrate:
                raise FerError(
                    "--refit leaves no pictures to validate on: give it --schedule cosine, --patience 0, --no-calibrate"
                )
            object.__setattr__(self, "recipe", dataclasses.replace(self.recipe, keep_best="last"))
        if Path(self.output).suffix != ".keras":
            raise FerError(f"--output must end in .keras, not {self.output}")
        if not 0 <= self.seed < 2**32:
            raise FerError(f"--seed must lie between 0 and {2**32 - 1}, not {self.seed}")

    @property
    def path(self) -> Path:
        return Path(self.run_dir, FILE)

    def notes(self) -> dict:
        """What the model file says of its origin; folders above the data are nobody's business."""
        about = circumstances()
        del about["command"]
        name = self.data if self.data.startswith("kaggle:") else Path(self.data).name
        data = {"data": name, "votes": self.vote_mode if self.votes else None}
        data |= {"keep_list": Path(self.keep_list).name} if self.keep_list else {}
        split = {"validation_fraction": self.validation_fraction, "split_seed": self.split_seed}
        training = {"recipe": dataclasses.asdict(self.recipe), "seed": self.seed, "refit": self.refit}
        training["teachers"] = [Path(path).name for path in self.teacher]
        training["init"] = Path(self.init).name if self.init else None
        return data | {"split": split} | training | about

    def write(self) -> None:
        """Keeps the configuration with versions, git revision and command line in the run folder."""
        about = {"configuration": dataclasses.asdict(self)} | circumstances()
        write_text(self.path, json.dumps(about, indent=1, ensure_ascii=False))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of train.py beside those that name the data; every field of a recipe is one."""
    places = parser.add_argument_group("places")
    places.add_argument("--output", metavar="MODEL.keras", help="gets the best epoch (default: in the run folder)")
    places.add_argument("--run-dir", metavar="DIR", help="log, curves, checkpoint (default: runs/NAME OF THE OUTPUT)")
    places.add_argument("--resume", action="store_true", help="go on with the run in --run-dir, with its own settings")
    places.add_argument("--overwrite", action="store_true", help="start again where a run or an output already is")
    places.add_argument(
        "--init",
        metavar="MODEL.keras",
        help="start from this model's weights (fine-tuning); of a wider vgg, from its strongest channels",
    )
    places.add_argument("--teacher", nargs="+", metavar="MODEL.keras", help="learn from these models' answers as well")
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


def circumstances() -> dict:
    """When, with what and from which revision a training runs: kept in run.json and in the model file."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    command = shlex.join(["python", *sys.argv])
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "command": command, "versions": versions, "revision": _revision()}


def _revision() -> str | None:
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        revision, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return revision.strip() + (" with changes" if changed.strip() else "")


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
