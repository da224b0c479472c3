"""Serve the web page: webcam, network cameras, pictures and videos in the browser, and a JSON endpoint."""

from fer.cli.app import main, parse_args
from fer.cli.common import run

if __name__ == "__main__":
    run(main, parse_args)
