"""The configuration of one training: checked when it is built, kept as run.json in the run folder, taken by `fit`."""

import dataclasses
import importlib.metadata
import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from fer.core.errors import FerError
from fer.core.files import write_text
from fer.data import places, splitting
from fer.data.readers.ferplus import has_votes
from fer.training import recipes
from fer.training.recipe import AUGMENTATION, STANDARD_AUGMENTATION, Recipe

FILE = "run.json"
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
# These may have moved before a run goes on: its checkpoint compares the images, targets and teachers themselves.
PLACES = ("data", "votes", "keep_list", "labels_csv", "teacher")
EXCHANGEABLE = ("float32", "bfloat16")  # a run may go on in the other: both keep weights and optimizer in float32
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-contrib-python", "pandas", "scikit-learn")


@dataclass(frozen=True)
class TrainingConfig:
    """All that decides what a training computes and where its files go.

    Attributes:
        recipe: the numbers.
        data: a folder, a fer2013.csv, "demo", "kaggle:OWNER/NAME", "hf:OWNER/NAME", or
            `places.IN_MEMORY` for data sets that the caller has loaded.
        votes: FER+ votes for the rows of a fer2013.csv.
        keep_list, labels, drop_labels, labels_csv, format, group, cache: as in `fer.data.loading.load`.
        validation_fraction: share of the training images to validate on, where the data have no validation split.
        split_seed: of that choice.
        seed: of the weights, the order of the images, the augmentation and the dropout.
        precision: "auto", "float32", "bfloat16" or "float16"; the saved model is float32.
        init: a model file whose weights the training starts from.
        teacher: model files to distil.
        output: the .keras file that gets the best epoch; by default it lies in the run folder.
        run_dir: folder of log, curves and checkpoint; by default runs/NAME OF THE OUTPUT.
    """

    recipe: Recipe
    data: str = "demo"
    votes: str | None = None
    keep_list: str | None = None
    labels: str | None = None
    drop_labels: tuple[str, ...] = ()
    labels_csv: str | None = None
    format: str | None = None
    group: str | None = None
    cache: str = "auto"
    validation_fraction: float = splitting.FRACTION
    split_seed: int = splitting.SEED
    seed: int = 42
    precision: str = "auto"
    init: str | None = None
    teacher: tuple[str, ...] = ()
    output: str = ""
    run_dir: str = ""

    def __post_init__(self) -> None:
        for name in ("data", "votes", "keep_list", "labels_csv", "init", "output", "run_dir"):
            if not isinstance(value := getattr(self, name), str | Path | None):
                raise FerError(f"{name} must be a path, not {type(value).__name__}")
        for name in ("teacher", "drop_labels"):  # a single one is one of several
            value = getattr(self, name)
            object.__setattr__(self, name, (value,) if isinstance(value, str | Path) else tuple(value))
        if not self.run_dir:
            data = "" if self.data == places.IN_MEMORY else f"-{Path(self.data).stem}"
            stem = Path(self.output).stem if self.output else f"{self.recipe.name}{data}"
            object.__setattr__(self, "run_dir", str(Path("runs", stem)))
        if not self.output:
            object.__setattr__(self, "output", str(Path(self.run_dir, "model.keras")))
        # x/ and x are one place, ./demo and demo are two
        for name in ("data", "votes", "keep_list", "labels_csv", "init", "output", "run_dir"):
            place = getattr(self, name)
            if place and places.is_path(place):
                path = str(Path(place))
                object.__setattr__(self, name, f"./{path}" if path == places.DEMO else path)
        teachers = tuple(str(Path(path) if places.is_path(path) else path) for path in self.teacher)
        object.__setattr__(self, "teacher", teachers)
        if Path(self.output).suffix != ".keras":
            raise FerError(f"--output must end in .keras, not {self.output}")
        if not 0 <= self.seed < 2**32:
            raise FerError(f"--seed must lie between 0 and {2**32 - 1}, not {self.seed}")
        if not 0 < self.validation_fraction < 1:
            raise FerError(f"validation_fraction must be between 0 and 1, not {self.validation_fraction}")
        if self.precision not in PRECISIONS:
            raise FerError(f"precision must be one of {', '.join(PRECISIONS)}, not {self.precision!r}")

    @property
    def has_votes(self) -> bool:
        """Whether the targets come from votes: those given, or those that lie in the data's own folders."""
        if self.votes is not None or self.format == "ferplus":
            return True
        return self.format is None and self.labels_csv is None and places.is_path(self.data) and has_votes(self.data)

    def lacks(self, names: Iterable[str]) -> list[str]:
        """Those of "init", "teacher" and "votes" that this training goes without; data in memory may hold votes."""
        soft = self.has_votes or self.data == places.IN_MEMORY
        return [name for name in names if not (soft if name == "votes" else getattr(self, name))]

    @property
    def path(self) -> Path:
        """run.json in the run folder."""
        return Path(self.run_dir, FILE)

    def existing(self) -> Path | None:
        """An earlier run or model that this training would replace."""
        return next((path for path in (self.path, Path(self.output)) if path.exists()), None)

    def flat(self) -> dict[str, Any]:
        """All settings by name, those of the recipe among them."""
        settings = dataclasses.asdict(self)
        return settings.pop("recipe") | settings | {"recipe": self.recipe.name, "augment": self.recipe.augments}

    def metadata(self) -> dict:
        """What the model file keeps of its origin; the folders above the data stay private."""
        name = places.name_of(self.data)
        data: dict[str, Any] = {"data": name, "votes": self.recipe.vote_mode if self.has_votes else None}
        data |= {"keep_list": Path(self.keep_list).name} if self.keep_list else {}
        data |= {"drop_labels": list(self.drop_labels)} if self.drop_labels else {}
        split: dict[str, Any] = {"validation_fraction": self.validation_fraction, "split_seed": self.split_seed}
        split["rule"] = splitting.RULE
        split |= {"group": self.group} if self.group else {}
        training: dict[str, Any] = {"recipe": dataclasses.asdict(self.recipe), "seed": self.seed}
        training["teachers"] = [places.name_of(path) for path in self.teacher]
        training["init"] = places.name_of(self.init) if self.init else None
        if self.data != places.IN_MEMORY:  # else only the caller knows
            data["split"] = split
        return data | training | environment()

    def write(self) -> None:
        """Keeps the configuration with versions, git revision and command line in the run folder."""
        command = shlex.join(["python", *sys.argv])
        content = {"configuration": dataclasses.asdict(self)} | environment() | {"command": command}
        write_text(self.path, json.dumps(content, indent=1, ensure_ascii=False))

    def write_changes(self) -> None:
        """Keeps the precision and the places with which a run goes on; the rest of its run.json stays as it is."""
        content = json.loads(self.path.read_text(encoding="utf-8"))
        now = {name: value for name, value in dataclasses.asdict(self).items() if name in ("precision", *PLACES)}
        if content["configuration"] != (changed := content["configuration"] | json.loads(json.dumps(now))):
            text = json.dumps(content | {"configuration": changed}, indent=1, ensure_ascii=False)
            write_text(self.path, text)

    def stored(self) -> "TrainingConfig":
        """The configuration that the run folder holds, with which a run resumes.

        Raises:
            FerError: there is no run, or its file is damaged.
        """
        try:
            kept = json.loads(self.path.read_text(encoding="utf-8"))["configuration"]
            kept.pop("refit", None)  # of an earlier version, as is a mode outside the recipe
            mode = {"vote_mode": kept.pop("vote_mode")} if "vote_mode" in kept else {}
            recipe = Recipe.from_dict(kept["recipe"] | mode)
            return TrainingConfig(**kept | {"recipe": recipe, "run_dir": self.run_dir})
        except (FileNotFoundError, NotADirectoryError) as error:
            raise FerError(f"{self.path}: there is no run to resume; name it with --run-dir or --output") from error
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FerError(f"{self.path}: not the configuration of a run ({error})") from error


def configure(recipe: str | Recipe = "four-block", *, augment: bool | None = None, **settings: Any) -> TrainingConfig:
    """A configuration from a recipe and settings that override it.

    Args:
        recipe: a recipe or its name.
        augment: False switches all augmentation off; True gives the standard one to a recipe without.
        settings: fields of `TrainingConfig` and of `Recipe`, by name.

    Raises:
        FerError: an unknown recipe, or a value outside its range.
        TypeError: an unknown setting.
    """
    chosen = recipes.find(recipe) if isinstance(recipe, str) else recipe
    if augment is False:
        chosen = dataclasses.replace(chosen, **AUGMENTATION)
    elif augment and not chosen.augments:
        chosen = dataclasses.replace(chosen, **STANDARD_AUGMENTATION)
    if unknown := sorted(set(settings) - set(SETTINGS)):
        raise TypeError(f"unknown settings: {', '.join(unknown)}; they are the fields of Recipe and TrainingConfig")
    numbers: dict[str, Any] = {name: settings.pop(name) for name in RECIPE_SETTINGS if name in settings}
    if "size" in numbers and "progressive_sizes" not in numbers:  # the sides keep their shares of the size
        shares = [side / chosen.size for side in chosen.progressive_sizes]
        numbers["progressive_sizes"] = tuple(round(share * numbers["size"]) for share in shares)
    return TrainingConfig(dataclasses.replace(chosen, **numbers), **settings)


class Needs(NamedTuple):
    """What a setting needs beside it to have an effect.

    Attributes:
        name, value: another setting and its value; None for any.
        met: whether a configuration has that.
    """

    name: str
    value: str | bool | None
    met: Callable[[TrainingConfig], object]


_PLATEAU = Needs("schedule", "plateau", lambda config: config.recipe.schedule == "plateau")
_VOTES = Needs("votes", None, lambda config: config.has_votes)
_TEACHER = Needs("teacher", None, lambda config: config.teacher)
NEEDS = {
    "vote_mode": _VOTES,
    "vote_share": Needs("vote_mode", "mixed", lambda config: config.recipe.vote_mode == "mixed"),
    "warmup": Needs("schedule", "cosine", lambda config: config.recipe.schedule == "cosine"),
    **dict.fromkeys(("plateau_monitor", "plateau_factor", "plateau_patience", "min_learning_rate"), _PLATEAU),
    "monitor": Needs("patience", None, lambda config: config.recipe.patience),
    "focal_gamma": Needs("loss", "focal", lambda config: config.recipe.loss == "focal"),
    "late_augmentation": Needs("late_share", None, lambda config: config.recipe.late_share),
    "self_distillation_every": Needs("self_distillation", None, lambda config: config.recipe.self_distillation),
    **dict.fromkeys(("teacher_share", "teacher_temperature", "teacher_flip", "teacher_once"), _TEACHER),
}
_ONLINE = Needs("teacher_once", False, lambda config: not config.recipe.teacher_once)


def spell_keyword(name: str, value: object = None) -> str:
    """A setting, with its value if one is given, as Python code has it."""
    return name if value is None else f"{name}={value!r}"


def check_effect(config: TrainingConfig, given: Collection[str], spell: Callable[..., str] = spell_keyword) -> None:
    """Raises FerError for a given setting that changes nothing; `spell` writes it as the caller does."""
    for name, needs in (*NEEDS.items(), ("teacher_temperature", _ONLINE), ("vote_share", _VOTES)):
        if name in given and not needs.met(config):
            raise FerError(f"{spell(name)} has no effect without {spell(needs.name, needs.value)}")


def settle(
    config: TrainingConfig,
    given: Collection[str],
    *,
    resume: bool,
    overwrite: bool,
    loaded: bool = False,
    spell: Callable[..., str] = spell_keyword,
) -> TrainingConfig:
    """The configuration to train with: the one asked for, or when a run is resumed the one in its run folder.

    Args:
        config: the one asked for.
        given: names of the settings that the caller gave; the others have their defaults.
        resume: continue the run in its run folder.
        overwrite: replace an earlier run or model.
        loaded: the data sets are in memory.
        spell: writes a setting, with its value if one is given, as the caller does.

    Raises:
        FerError: nothing to resume, settings without effect or that contradict the stored run, or a run or output that
            would be overwritten.
    """
    again, anew = spell("resume", True), spell("overwrite", True)
    if resume and overwrite:
        raise FerError(f"{again} continues a run, {anew} starts it again: choose one")
    if not resume:
        check_effect(config, given, spell)
        if (taken := config.existing()) and not overwrite:
            raise FerError(f"{taken} exists: go on with {again}, start again with {anew}, or choose another place")
        return config
    stored = config.stored()
    if stored.data == places.IN_MEMORY and not loaded:
        way = "resume it with fer.train and the same data sets"
        raise FerError(f"{config.run_dir}: the run had data sets in memory: {way}")
    wanted, kept = config.flat(), stored.flat()
    if "precision" in given and {wanted["precision"], kept["precision"]} == set(EXCHANGEABLE):
        stored, given = dataclasses.replace(stored, precision=config.precision), set(given) - {"precision"}
    moved = {name: wanted[name] for name in PLACES if name in given and _names(wanted[name]) == _names(kept[name])}
    stored, given = dataclasses.replace(stored, **moved), set(given) - moved.keys()
    for name in sorted(given):
        if wanted[name] != kept[name] and (name, wanted[name]) != ("precision", "auto"):
            asked = spell(name, wanted[name])
            raise FerError(f"{asked} contradicts the run in {config.run_dir}, which has {kept[name]}")
    return stored


def _names(where: Sequence[str] | str | None) -> list[str]:
    """What lies in a place, or in several, however far they have moved."""
    return [places.name_of(place) for place in ((where,) if isinstance(where, str) else where or ())]


# What only the loading of data heeds.
OF_DATA = (
    *("votes", "vote_mode", "vote_share", "keep_list", "labels", "drop_labels", "labels_csv", "format", "group"),
    *("cache", "validation_fraction", "split_seed"),
)


def check_loaded(given: Iterable[str]) -> None:
    """Raises FerError for a given setting that data sets in memory cannot heed."""
    if late := [name for name in given if name in OF_DATA]:
        raise FerError(f"the data are loaded already: give {', '.join(late)} to fer.load_dataset")


RECIPE_SETTINGS = tuple(item.name for item in dataclasses.fields(Recipe)[2:])
SETTINGS = ("recipe", "augment", *RECIPE_SETTINGS, *(item.name for item in dataclasses.fields(TrainingConfig)[1:]))


def environment() -> dict:
    """Date, versions and git revision of a training: kept in run.json and in the model file."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"date": f"{datetime.now(UTC):%Y-%m-%d}", "versions": versions, "revision": _revision()}


def _revision() -> str | None:
    file = Path(__file__)
    git = ["git", "-C", str(file.parent)]
    tracked = ("ls-files", "--error-unmatch", file.name)  # else the repository around an environment would answer
    try:
        _, revision, changed = (
            subprocess.run([*git, *words], capture_output=True, text=True, check=True).stdout
            for words in (tracked, ("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "-uno"))
        )
    except (OSError, subprocess.CalledProcessError):  # no git, or not a checkout
        return None
    return revision.strip() + (" with changes" if changed.strip() else "")
