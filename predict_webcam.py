"""Label the faces of a webcam, a video file or a network camera."""

from fer.cli.predict_webcam import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
