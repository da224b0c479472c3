"""Label every face in a folder of images."""

from fer.cli.common import run
from fer.cli.predict_folder import main, parse_args

if __name__ == "__main__":
    run(main, parse_args)
