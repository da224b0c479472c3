"""Serve the web page and its HTTP API: webcam, network cameras, images and videos."""

from fer.cli.app import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
