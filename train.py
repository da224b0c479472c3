"""Train a facial-expression network."""

from fer.cli.terminal import run
from fer.cli.train import main, parse_args

if __name__ == "__main__":
    run(main, parse_args)
