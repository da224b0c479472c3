"""Label every face in a folder of images."""

from fer.cli.predict_folder import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
