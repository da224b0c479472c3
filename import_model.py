"""Import a Keras model: its labels, scaling and image size become part of the file."""

from fer.cli.import_model import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
