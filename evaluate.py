"""Print per-emotion scores of one model, or of several averaged, on labelled pictures."""

from fer.cli.common import run
from fer.cli.evaluate import main, parse_args

if __name__ == "__main__":
    run(main, parse_args)
