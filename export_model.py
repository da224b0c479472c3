"""Export a model to ONNX, LiteRT (TFLite) or SavedModel, or to a smaller .keras file."""

from fer.cli.common import run
from fer.cli.export_model import main, parse_args

if __name__ == "__main__":
    run(main, parse_args)
