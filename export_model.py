"""Export a model to ONNX, LiteRT (TFLite) or SavedModel, or to a smaller .keras file."""

from fer.cli.export_model import main, parse_args
from fer.cli.terminal import run

if __name__ == "__main__":
    run(main, parse_args)
