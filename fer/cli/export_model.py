"""Write a trained model as ONNX, LiteRT (TFLite) or SavedModel, or as a smaller .keras; compare it with the original.

    python export_model.py models/four-block.keras --format onnx --output f.onnx
    python export_model.py models/four-block.keras --format litert --precision int8 --data fer2013/ --output f.tflite
    python export_model.py models/four-block.keras --precision float16 --output half-the-size.keras

predict_folder.py, predict_webcam.py and evaluate.py take an .onnx or .tflite file wherever they take a .keras.
"""

from pathlib import Path

import numpy as np

from fer.cli import common
from fer.core.errors import FerError
from fer.models import export
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

CHECKED = 256  # pictures on which both must say the same
CALIBRATED = 512  # training pictures that set the ranges of int8


def parse_args(argv=None):
    parser = common.parser(__doc__)
    parser.add_argument(
        "model", type=common.model_path, metavar="MODEL", help="a .keras file of this suite, or a bundled model"
    )
    parser.add_argument("--format", choices=export.FORMATS, help="(by the suffix of --output)")
    parser.add_argument("--output", required=True, metavar="X.onnx|X.tflite|X.keras|FOLDER")
    precisions = tuple(dict.fromkeys(name for names in export.PRECISIONS.values() for name in names))
    parser.add_argument("--precision", choices=precisions, default="float32", help="(float32)")
    common.add_data_arguments(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace an output that is there")
    return parser.parse_args(argv)


def main(args):
    suffixes = {suffix: name for name, suffix in export.FORMATS.items()}
    format = args.format or suffixes.get(Path(args.output).suffix)
    if not format:
        raise FerError(f"{args.output}: the name must end in .onnx, .tflite or .keras, or be a folder's")
    export.check(args.output, format, args.precision, overwrite=args.overwrite)
    if Path(args.model).suffix != ".keras":
        raise FerError(f"{args.model}: only a .keras file can be exported")
    info = read_info(args.model)
    if args.precision == "int8" and not args.data:
        raise FerError("--precision int8 takes the ranges of its numbers from pictures: give some with --data")
    train = validation = None
    if args.data:
        common.take_split(args, [info.metadata])
        data = common.load_data(args, info.spec, ("train", "validation"))
        train, validation = data["train"].images, data["validation"].align(info.labels)
    pictures = chosen(validation.images, CHECKED) if args.data else export.drawn(info.spec, CHECKED)
    with common.quiet():
        model = Classifier.load(args.model)
        agreement = export.export(
            model,
            args.output,
            format=format,
            pictures=pictures,
            precision=args.precision,
            calibration=None if train is None else chosen(train, CALIBRATED),
        )
    print(f"{args.output}: {format}, {args.precision}, {size(Path(args.output)) / 2**20:.1f} MB")
    print(f"against {args.model}: {agreement}")
    if args.data:
        right = validation.targets.argmax(axis=1)
        with common.quiet():
            before, after = (
                np.mean(found.argmax(axis=1) == right)
                for found in (model.predict(validation.images), export.predict(args.output, validation.images))
            )
        name = f"{Path(args.data).name} validation, {len(right):,} pictures"
        print(f"accuracy on {name}: {before:.2%} before, {after:.2%} after")
    return 0


def chosen(pictures, most):
    """At most so many, drawn evenly from all of them."""
    return pictures[np.linspace(0, len(pictures) - 1, min(most, len(pictures))).astype(int)]


def size(path):
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")))
