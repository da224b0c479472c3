"""Write a trained model as ONNX, LiteRT (TFLite) or SavedModel, or as a smaller .keras; compare it with the original."""

from fer.cli.common import run
from fer.cli.export_model import main, parse_args

if __name__ == "__main__":
    run(main, parse_args)
