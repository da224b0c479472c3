"""Arguments that several commands share, and the objects they name."""

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NoReturn

from fer.cli import terminal
from fer.core.errors import FerError
from fer.data import coding, places
from fer.models import bundled


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, without the usage of dozens of flags."""
        self.exit(2, f"error: {message}; see --help\n")

    def format_help(self) -> str:
        return terminal.as_called(super().format_help())


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose help is the command's docstring, kept as it stands."""
    return _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def at_least(kind: type, least: float) -> Callable[[str], float]:
    """A type for argparse: a number of this kind, not below `least`."""

    def number(text):
        value = kind(text)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be {least} or more, not {text}")
        return value

    return number


def between(low: float, high: float) -> Callable[[str], float]:
    """A type for argparse: a number above `low` and below `high`."""

    def number(text):
        if not low < (value := float(text)) < high:
            raise argparse.ArgumentTypeError(f"must lie between {low} and {high}, not {text}")
        return value

    return number


# --- data


def add_data_arguments(
    parser: argparse.ArgumentParser, *, required: bool = False, without: str = "demo", format_flag: str = "--format"
) -> None:
    """Adds --data, --votes, --keep-list, --validation-fraction, --split-seed and those of `add_form_arguments`.

    `without` says what the command does where --data is not required and not given.
    """
    group = parser.add_argument_group("data")
    text = "a folder or table (docs/data.md lists the formats), synthetic faces, or a Kaggle or Hugging Face data set"
    text += "" if required else f" ({without})"
    group.add_argument("--data", required=required, metavar=places.PLACES, help=text)
    add_form_arguments(group, format_flag=format_flag)
    group.add_argument("--votes", metavar="FER2013NEW.csv", help="FER+ votes for the rows of a CSV")
    group.add_argument("--keep-list", metavar="CSV", help="use only the images in this list from audit_data.py")
    text = "share of the training images to validate on, where the data have no validation split (0.1)"
    group.add_argument("--validation-fraction", type=float, metavar="SHARE", help=text)
    group.add_argument("--split-seed", type=int, metavar="N", help="seed of that split (42)")


def add_form_arguments(group: argparse._ActionsContainer, *, format_flag: str = "--format") -> None:
    """Adds what tells the form of the data where they do not show it: --labels, --format, --group and others."""
    text = "what class names mean: 1=surprise,2=fear,...; a coding such as raf-db; or 'own': accept them as they are"
    one = group.add_mutually_exclusive_group()
    one.add_argument("--labels", metavar="NAME=LABEL,...|CODING|own", help=text)
    text = f"a known coding, as --labels takes it: {', '.join(coding.CODINGS)}"
    one.add_argument("--codes", dest="labels", choices=coding.CODINGS, metavar="CODING", help=text)
    text = "a file of lines such as 1=surprise, as --labels takes it"
    one.add_argument("--label-map", dest="labels", type=_file, metavar="FILE", help=text)
    group.add_argument("--drop-labels", type=_names, metavar="LABEL,...", help="leave these labels out")
    text = "a table of file names and labels for the images of --data; or several, a split each: train.csv,test.csv"
    group.add_argument("--labels-csv", metavar="CSV[,CSV...]", help=text)
    group.add_argument(format_flag, metavar="NAME", help="the format of the data (docs/data.md)")
    text = "subjects, each kept in a single split: a column, a regular expression for paths, or 'none'"
    group.add_argument("--group", metavar="COLUMN|REGEX|none", help=text)
    text = "where the decoded images are kept: auto holds them in memory where they fit, else decodes them again (auto)"
    group.add_argument("--cache", choices=("auto", "memory", "disk", "none"), help=text)


def _file(text: str) -> str:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"{text}: there is no such file")
    return text


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


FORM = ("labels", "drop_labels", "labels_csv", "format", "group", "cache")


def form_options(args: argparse.Namespace) -> dict:
    """The arguments of `add_form_arguments` as keyword arguments of `loading.load`."""
    given = {name: getattr(args, name) for name in FORM}
    given["format"] = getattr(args, "data_format", args.format)  # of export_model.py, whose --format is another
    return {name: value for name, value in given.items() if value is not None}


def data_files(args: argparse.Namespace) -> list[str]:
    """What the arguments about the data name that may be a file."""
    given = (getattr(args, name, None) for name in ("data", "votes", "keep_list", "labels"))
    return [*filter(None, given), *(args.labels_csv or "").split(",")]


def dataset_options(args: argparse.Namespace) -> dict:
    """The arguments of `add_data_arguments` as keyword arguments of `loading.load`, with a progress bar."""
    split = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
    given = {name: value for name, value in split.items() if value is not None}
    given |= form_options(args)
    return given | {"votes": args.votes, "keep_list": args.keep_list, "progress": terminal.progress}


def take_split(args: argparse.Namespace, metadata: Iterable[Mapping]) -> None:
    """Sets --validation-fraction, --split-seed and --group to those of the models' training where they are not given.

    Raises:
        FerError: the models were validated on different splits.
    """
    from fer.data.unseen import validation_split

    known = validation_split(
        list(metadata), args.validation_fraction, args.split_seed, args.group, source=args.data or ""
    )
    args.group = known.get("group")
    args.validation_fraction = known.get("validation_fraction")
    args.split_seed = known.get("seed")


# --- models and detectors


def model_path(model: str) -> str:
    """A type for argparse: the path of a model file given by path or by the name of a bundled model.

    A bundled model below the current folder gets its short, relative path.
    """
    path = bundled.find_model(model)
    if path.is_relative_to(bundled.FOLDER) and path.is_relative_to(Path.cwd()):
        return os.path.relpath(path)
    return str(path)


def add_recognition_arguments(parser: argparse.ArgumentParser, *, model: str = bundled.BEST) -> None:
    """Adds --model, by default a bundled one, --detector and --detector-model."""
    from fer.inference.detectors import CHOICES

    names = ", ".join(bundled.bundled_models())
    text = f"a .keras, .onnx or .tflite file, hf:OWNER/NAME, kaggle:..., or a bundled model: {names} ({model})"
    parser.add_argument("--model", type=model_path, default=model, metavar="MODEL", help=text)
    parser.add_argument("--detector", choices=CHOICES, default="auto", help="face detector (auto)")
    parser.add_argument("--detector-model", metavar="FILE", help="YuNet's file, for --detector auto and yunet")


def add_uncertain_argument(parser: argparse.ArgumentParser) -> None:
    """Adds --uncertain."""
    parser.add_argument(
        "--uncertain",
        action="store_true",
        help="show 'uncertain' where the confidence is below the model's threshold (evaluate.py --fit-threshold); "
        "rows keep the predicted label and gain a column 'uncertain' (True or False)",
    )


def uncertain_below(args: argparse.Namespace) -> float | None:
    """The model's confidence threshold; None without --uncertain.

    Raises:
        FerError: the model file has no threshold.
    """
    from fer.models.model_file import read_info

    if not args.uncertain:
        return None
    below = read_info(args.model).metadata.get("uncertain_below")
    if below is None:
        raise FerError(
            f"{args.model}: it has no confidence threshold; fit one to validation images with "
            f"evaluate.py --model {args.model} --data DATA --fit-threshold 0.8"
        )
    return below
