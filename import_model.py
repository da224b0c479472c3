"""Make a Keras model of somebody else into a model file of this suite: its labels, scaling and size go inside."""

from fer.cli.common import run
from fer.cli.import_model import main, parse_args

if __name__ == "__main__":
    run(main, parse_args)
