"""What the scripts share: arguments, one-line errors, progress."""

import argparse
import logging
import os
import re
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fer.cli import COMMANDS
from fer.core.errors import FerError
from fer.models import bundled


def as_called(text: str) -> str:
    """Names commands the way this program was started: `fer train` for `python train.py`, unless a script runs."""
    if not sys.argv[0].startswith("fer "):
        return text
    scripts = "|".join(name.replace("-", "_") for name in COMMANDS)
    return re.sub(rf"(?:python )?\b({scripts})\.py", lambda script: f"fer {script[1].replace('_', '-')}", text)


class _Parser(argparse.ArgumentParser):
    def format_help(self) -> str:
        return as_called(super().format_help())


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, kept as it stands."""
    return _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_data_arguments(parser: argparse.ArgumentParser, *, required: bool = False) -> None:
    """The arguments that name a data set: --data, --votes, and how a missing validation split is made."""
    group = parser.add_argument_group("data")
    where = "class folders, a fer2013.csv, drawn faces, or a Kaggle data set" + ("" if required else " (demo)")
    group.add_argument("--data", required=required, metavar="PATH|demo|kaggle:OWNER/NAME", help=where)
    group.add_argument("--votes", metavar="FER2013NEW.csv", help="FER+ votes for the rows of a CSV")
    group.add_argument("--keep-list", metavar="CSV", help="only the pictures it names, as audit_data.py writes it")
    group.add_argument(
        "--validation-fraction",
        type=float,
        metavar="SHARE",
        help="part of the training pictures to validate on, where the data have no validation split (0.1)",
    )
    group.add_argument("--split-seed", type=int, metavar="N", help="of that choice (42)")


def add_question_arguments(parser: argparse.ArgumentParser) -> None:
    """What may be asked of a model's answers beyond the report; see `evaluation.questions`."""
    group = parser.add_argument_group("questions")
    text = "is --model really better than this model, or these averaged?"
    group.add_argument("--compare", nargs="+", type=model_path, metavar="MODEL", help=text)
    text = "data, as --data takes: scores the pictures without an exact or near twin in its train split apart"
    group.add_argument("--unique-against", metavar="TRAINING_DATA", help=text)
    text = "scores by group: a column of the data's CSV or of --attributes, or 'folder' for CLASS/GROUP/picture.jpg"
    group.add_argument("--group-by", metavar="COLUMN|folder", help=text)
    text = "a table for --group-by: a column 'name' of file names, others as you like"
    group.add_argument("--attributes", metavar="CSV", help=text)
    group.add_argument(
        "--store-threshold",
        type=between(0, 1),
        metavar="ACCURACY",
        help="store in the model from which confidence on it is right this often, say 0.8; below it the other scripts "
        "show 'uncertain' (with --uncertain)",
    )


def model_path(model: str) -> str:
    """A type for argparse: the path of a model file given by path or by the name of a bundled model.

    A bundled model below the current folder gets its short, relative path.
    """
    path = bundled.find_model(model)
    if path.is_relative_to(bundled.FOLDER) and path.is_relative_to(Path.cwd()):
        return os.path.relpath(path)
    return str(path)


def add_recognition_arguments(parser: argparse.ArgumentParser, *, model: str = bundled.BEST) -> None:
    """The arguments that name a classifier, by default a bundled one, and a detector."""
    text = f"a .keras, .onnx or .tflite file, or a bundled model: {', '.join(bundled.bundled_models())} ({model})"
    parser.add_argument("--model", type=model_path, default=model, metavar="MODEL", help=text)
    choices = ("auto", "haar", "mtcnn", "yunet", "none")
    parser.add_argument("--detector", choices=choices, default="auto", help="how faces are found (auto)")
    parser.add_argument("--detector-model", metavar="FILE", help="the network's file, for --detector yunet")


def add_uncertain_argument(parser: argparse.ArgumentParser) -> None:
    """--uncertain, with what it does to the rows that are written."""
    parser.add_argument(
        "--uncertain",
        action="store_true",
        help="show 'uncertain' where the confidence is below the model's threshold (evaluate.py --store-threshold); "
        "in rows the label stays the best guess, and a column 'uncertain' says True or False",
    )


def uncertain_below(args) -> float | None:
    """The confidence from which on the model's labels are shown; None without --uncertain.

    Raises:
        FerError: the model does not say it.
    """
    from fer.models.model_file import read_info

    if not args.uncertain:
        return None
    below = read_info(args.model).metadata.get("uncertain_below")
    if below is None:
        raise FerError(
            f"{args.model}: it does not say below which confidence it is uncertain; choose that on validation pictures "
            f"with evaluate.py --model {args.model} --data DATA --store-threshold 0.8"
        )
    return below


def make_detectors(args, count: int) -> list:
    """So many detectors of the kind that `add_recognition_arguments` names; "auto" is Haar."""
    from fer.inference.detectors import detector

    if args.detector_model and args.detector != "yunet":
        raise FerError("--detector-model is for --detector yunet")
    return [detector("haar" if args.detector == "auto" else args.detector, args.detector_model) for _ in range(count)]


def load_data(args, spec, splits: tuple[str, ...], **votes) -> dict:
    """Loads what the arguments of `add_data_arguments` name; see `dataset.load`."""
    from fer.data import dataset

    given = {"validation_fraction": args.validation_fraction, "seed": args.split_seed}
    given = {name: value for name, value in given.items() if value is not None}
    given |= {"votes": args.votes, "keep_list": args.keep_list} | votes
    return dataset.load(args.data, spec, splits=splits, progress=progress, **given)


def take_split(args, metadata: list[dict]) -> None:
    """Where no flag says how the validation split was made, takes it from the metadata of the models.

    Raises:
        FerError: the models were validated on different splits.
    """
    for name in ("validation_fraction", "split_seed"):
        if getattr(args, name) is None:
            kept = {model["split"][name] for model in metadata if "split" in model}
            if len(kept) > 1:
                values = ", ".join(map(str, kept))
                raise FerError(f"the models differ in --{name.replace('_', '-')} ({values}); choose one")
            setattr(args, name, next(iter(kept), None))


def progress(items: Iterable, total: int, text: str) -> Iterable:
    """A progress bar on stderr where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, desc=text, disable=not sys.stderr.isatty(), leave=False)


def at_least(kind: type, least: float) -> Callable:
    """A type for argparse: a number of this kind, not below `least`."""

    def number(text):
        value = kind(text)
        if not least <= value < float("inf"):
            raise argparse.ArgumentTypeError(f"must be {least} or more, not {text}")
        return value

    number.__name__ = "number"  # argparse names it where `kind` cannot read the text
    return number


def between(low: float, high: float) -> Callable:
    """A type for argparse: a number above `low` and below `high`."""

    def number(text):
        if not low < (value := float(text)) < high:
            raise argparse.ArgumentTypeError(f"must lie between {low} and {high}, not {text}")
        return value

    return number


def note(text: str) -> None:
    """A line on stderr that leaves a progress bar whole."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


class _Terminal(logging.Handler):
    """Shows what the library logs as plain lines on stderr."""

    def emit(self, record: logging.LogRecord) -> None:
        note(as_called(self.format(record)))


def verbosity() -> int:
    """Keras' progress: a bar on a terminal, one line an epoch in a log."""
    return 1 if sys.stdout.isatty() else 2


def describe_data(split: str, data, most: int = 5) -> str:
    """A data set in a few lines: how many pictures of each label, and the first few that were left out."""
    counts = ", ".join(f"{label} {count:,}" for label, count in data.counts.items())
    lines = [f"{split}: {len(data):,} pictures ({counts}); {data.blank} blank, {len(data.skipped):,} skipped"]
    lines += [f"  skipped {name}: {reason}" for name, reason in data.skipped[:most]]
    if len(data.skipped) > most:
        lines.append(f"  ... and {len(data.skipped) - most:,} more")
    return "\n".join(lines)


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the start-up notes off the screen that TensorFlow's C++ writes to stderr; shows them if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as notes:
        os.dup2(notes.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, FerError):
                notes.seek(0)
                os.write(kept, notes.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


@contextmanager
def stoppable() -> Iterator[Callable[[], bool]]:
    """Gives a function that says whether Ctrl-C, SIGTERM or SIGHUP has come; a second one interrupts at once.

    An exception raised inside TensorFlow comes out as another one, or not at all: loops with networks ask instead.
    """
    asked = False

    def ask(*_):
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    numbers = {signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)}  # a terminal that is closed
    # What is ignored stays so: Ctrl-C by jobs in the background, the closed terminal under nohup.
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run(main: Callable, arguments: Callable) -> None:
    """Runs a script: a `FerError` becomes one line and exit code 2, Ctrl-C exit code 130; a bug keeps its traceback."""
    logger = logging.getLogger("fer")
    if not logger.handlers:
        logger.addHandler(_Terminal())
    logger.setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of every third model of an ensemble: "retracing"
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks is no reason to stop
        stream.reconfigure(errors="backslashreplace")
    try:
        code = main(arguments())
        sys.stdout.flush()
        sys.exit(code)
    except BrokenPipeError:  # `| head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at its end
        sys.exit(1)
    except FerError as error:
        print(f"error: {as_called(str(error))}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
