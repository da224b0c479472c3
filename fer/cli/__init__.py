"""The commands: `fer train`, `fer evaluate` and the others, each a module of this package.

The scripts at the top of a checkout call the same modules. A new command gets an entry in `COMMANDS` and a module with
`parse_args` and `main`.
"""

import sys
from importlib import import_module

COMMANDS = {
    "train": "train a network",
    "evaluate": "score models: per-class table, intervals, comparison of two models",
    "predict-folder": "label every face in a folder of images",
    "predict-webcam": "label faces in a webcam, a video file or a network camera",
    "app": "serve the web page and its JSON endpoint",
    "audit-data": "find duplicates, leakage between splits, blank and unreadable images",
    "import-model": "convert an older Keras model",
    "export-model": "write ONNX, LiteRT or a smaller .keras file",
    "doctor": "check what works on this machine",
}


def main(argv: list[str] | None = None) -> None:
    """Runs the command that the first argument names; underscores may stand for hyphens.

    Args:
        argv: the arguments after the program's name; those of this process if None.

    Raises:
        SystemExit: always, with the exit code of the command; 2 for an unknown one.
    """
    arguments = sys.argv[1:] if argv is None else argv
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        sys.exit(0 if arguments else 2)
    if arguments[0] == "--version":
        from fer import __version__

        print(__version__)
        sys.exit(0)
    name = arguments[0].replace("_", "-")
    if name not in COMMANDS:
        print(f"error: {arguments[0]}: no such command; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    from fer.cli import terminal

    sys.argv = [f"fer {name}", *arguments[1:]]  # argparse shows the first in its messages, a run folder records all
    command = import_module(f"fer.cli.{name.replace('-', '_')}")
    terminal.run(command.main, command.parse_args)


def usage() -> str:
    """The help text of `fer`."""
    width = max(map(len, COMMANDS))
    lines = [f"  {name:{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(["usage: fer COMMAND ...", "", *lines, "", "fer COMMAND --help describes a command's arguments."])
