"""How a command ends, and what it shows on the terminal."""

import io
import logging
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from fer.cli import COMMANDS
from fer.core.errors import FerError

BACKENDS = ("tensorflow", "jax", "torch")


def run(main: Callable, parse_args: Callable) -> None:
    """Runs a command and exits: with the code that `main` returns, 2 and one line for a `FerError`, 130 after Ctrl-C.

    A bug keeps its traceback.
    """
    _show_log()
    for stream in (sys.stdout, sys.stderr):  # a name that the terminal's encoding lacks must not stop the command
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = parse_args()
        if main.__module__ != "fer.cli.doctor":  # which reports it
            check_backend()
        code = main(args)
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


def check_backend() -> None:
    """Raises FerError where KERAS_BACKEND names no backend, or one that is not installed: Keras ends in a traceback."""
    name = os.environ.get("KERAS_BACKEND", "tensorflow")
    if name not in BACKENDS:
        raise FerError(f"KERAS_BACKEND must be one of {', '.join(BACKENDS)}, not {name!r}")
    if name != "tensorflow" and find_spec(name) is None:  # int8 files need no TensorFlow
        raise FerError(f"KERAS_BACKEND={name}: {name} is not installed (docs/install-gpu.md)")


def _show_log() -> None:
    """Shows what the library logs, from INFO on, as plain lines on stderr."""
    logger = logging.getLogger("fer")
    if not logger.handlers:
        logger.addHandler(_Terminal())
    logger.setLevel(logging.INFO)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of "retracing" at every third model


class _Terminal(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        note(as_called(self.format(record)))


def as_called(text: str) -> str:
    """Names commands the way this program was started: `fer train` for `python train.py`, unless a script runs."""
    if not sys.argv[0].startswith("fer "):
        return text
    scripts = "|".join(name.replace("-", "_") for name in COMMANDS)
    return re.sub(rf"(?:python )?\b({scripts})\.py", lambda script: f"fer {script[1].replace('_', '-')}", text)


def note(text: str) -> None:
    """Prints a line on stderr without breaking a progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


def progress(items: Iterable, total: int, text: str) -> Iterable:
    """A progress bar on stderr where that is a terminal."""
    from tqdm import tqdm

    return tqdm(items, total=total, desc=text, disable=not sys.stderr.isatty(), leave=False)


def verbosity() -> int:
    """Keras' progress: a bar on a terminal, one line per epoch in a log."""
    return 1 if sys.stdout.isatty() else 2


def describe_data(split: str, data, most: int = 5) -> str:
    """A `Dataset` in a few lines: images per label, and the first `most` that were skipped."""
    counts = ", ".join(f"{label} {count:,}" for label, count in data.counts.items())
    lines = [f"{split}: {len(data):,} images ({counts}); {data.n_blank} blank, {len(data.skipped):,} skipped"]
    lines += [f"  skipped {name}: {reason}" for name, reason in data.skipped[:most]]
    if len(data.skipped) > most:
        lines.append(f"  ... and {len(data.skipped) - most:,} more")
    return "\n".join(lines)


@contextmanager
def quiet() -> Iterator[None]:
    """Hides what TensorFlow's C++ code writes to stderr at its start; shows it if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as hidden:
        os.dup2(hidden.fileno(), 2)
        try:
            yield
        except BaseException as error:
            if not isinstance(error, FerError):
                hidden.seek(0)
                os.write(kept, hidden.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
