"""What the scripts share: arguments, one-line errors, progress."""

import argparse
import sys
from collections.abc import Callable, Iterable

from fer import FerError


def parser(doc: str) -> argparse.ArgumentParser:
    """A parser whose help is the script's docstring, kept as it stands."""
    return argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)


def add_data_arguments(group) -> None:
    """The arguments that name a data set: --data, --votes and how a validation split is made."""
    group.add_argument("--data", metavar="PATH|demo|kaggle:OWNER/NAME", help="class folders, a fer2013.csv, or demo")
    group.add_argument("--votes", metavar="FER2013NEW.csv", help="FER+ votes for the rows of a CSV: eight emotions")
    group.add_argument(
        "--validation-fraction",
        type=float,
        metavar="SHARE",
        help="share of the training pictures to validate on, where the data have no validation split (0.1)",
    )


def progress(items: Iterable, total: int, text: str) -> Iterable:
    """A progress bar on stderr where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, desc=text, disable=not sys.stderr.isatty(), leave=False)


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


def run(main: Callable, arguments: Callable) -> None:
    """Runs a script: a `FerError` becomes one line and exit code 2, Ctrl-C exit code 130; a bug keeps its traceback."""
    try:
        sys.exit(main(arguments()))
    except FerError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
