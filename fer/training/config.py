"""What one training was asked to do: from flags to a checked `Configuration`, kept as run.json in the run folder."""

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

from fer.core.errors import FerError
from fer.core.files import write_text
from fer.training.recipes import Recipe

FILE = "run.json"
PACKAGES = ("keras", "tensorflow", "jax", "torch", "numpy", "opencv-contrib-python", "pandas", "scikit-learn")


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
