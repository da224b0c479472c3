"""Print per-emotion metrics of a model, or of the mean of several, on labelled images."""

from fer.cli.evaluate import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
