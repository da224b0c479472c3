"""Export a model to ONNX, LiteRT (TFLite) or SavedModel, or to a smaller .keras file, and compare it with the original.

    python export_model.py four-block --format onnx --output four-block.onnx
    python export_model.py four-block --format litert --precision int8 --data fer2013/ --output four-block.tflite

predict_folder.py, predict_webcam.py, app.py and evaluate.py accept .onnx and .tflite files for --model.
"""

import argparse
from pathlib import Path

import numpy as np

from fer.cli import arguments, terminal
from fer.core import files
from fer.core.errors import FerError
from fer.data import loading, places
from fer.data.image_array import Images
from fer.data.unseen import check_unseen
from fer.models import export, hub
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

N_COMPARED = 256  # images on which the export is compared with the original
ALIKE = 0.9  # of these images should have the same label from both
N_CALIBRATION = 512  # training images that set the int8 ranges


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("model", type=arguments.model_path, metavar="MODEL", help="a .keras file, or a bundled model")
    parser.add_argument("--format", choices=export.FORMATS, help="(by the suffix of --output)")
    parser.add_argument(
        "--output", required=True, metavar="X.onnx|X.tflite|X.keras|FOLDER", help="file or folder to write"
    )
    precisions = tuple(dict.fromkeys(name for names in export.PRECISIONS.values() for name in names))
    text = "of the exported weights and operations (float32)"
    parser.add_argument("--precision", choices=precisions, default="float32", help=text)
    text = "none: compared on synthetic faces; int8 needs --data"
    arguments.add_data_arguments(parser, without=text, format_flag="--data-format")
    text = "also upload it to the Hugging Face Hub, with its card or that of MODEL (needs `hf auth login`)"
    parser.add_argument("--push", metavar="hf:OWNER/NAME", help=text)
    parser.add_argument("--public", action="store_true", help="a new repository of --push is public, not private")
    text = "replace an existing output, and with --push the files of the same names"
    parser.add_argument("--overwrite", action="store_true", help=text)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    suffixes = {suffix: name for name, suffix in export.FORMATS.items()}
    format = args.format or suffixes.get(Path(args.output).suffix)
    if not format:
        raise FerError(f"{args.output}: the name must end in .onnx, .tflite or .keras, or be that of a folder")
    export.check_output(args.output, format, args.precision, overwrite=args.overwrite)
    if Path(args.model).suffix != ".keras":
        raise FerError(f"{args.model}: only a .keras file can be exported")
    if args.public and not args.push:
        raise FerError("--public goes with --push")
    if args.push:
        if format == "saved_model":
            raise FerError("--push uploads a single file, no SavedModel folder")
        hub.check_upload(args.push)
    info = read_info(args.model)
    if args.precision == "int8" and not args.data:
        raise FerError("int8 needs calibration images: give some with --data")
    train = validation = None
    if args.data:
        arguments.take_split(args, [info.metadata])
        options = arguments.dataset_options(args)
        data = loading.load(args.data, info.spec, splits=("train", "validation"), **options)
        # Not strict: where it warns, the accuracy is optimistic, but calibration and comparison are as good.
        check_unseen([info.metadata], data["validation"], args.data, "validation", strict=False, **options)
        train, validation = data["train"].images, data["validation"].align(info.labels)
        images = subset(validation.images, N_COMPARED)
    else:
        images = export.synthetic_images(info.spec, N_COMPARED)
    with terminal.quiet():
        model = Classifier.load(args.model)
        agreement = export.export(
            model,
            args.output,
            format=format,
            images=images,
            precision=args.precision,
            calibration=None if train is None else subset(train, N_CALIBRATION),
        )
    print(f"{args.output}: {format}, {args.precision}, {size(Path(args.output)) / 1e6:.1f} MB")
    print(f"compared with {args.model}: {agreement}")
    if agreement.same < ALIKE * agreement.n_images:
        terminal.note(
            "warning: it gives many images another label; try another --precision, or other images with --data"
        )
    if validation is not None:
        y_true = validation.targets.argmax(axis=1)
        with terminal.quiet():
            before, after = (
                np.mean(probabilities.argmax(axis=1) == y_true)
                for probabilities in (model.predict(validation.images), export.predict(args.output, validation.images))
            )
        name = f"{places.name_of(args.data)} validation, {len(y_true):,} images"
        print(f"accuracy on {name}: {before:.2%} before, {after:.2%} after")
    if args.push:
        push(args, f"`{Path(args.output).name}` was exported from this model: {format}, {args.precision}, {agreement}.")
    return 0


def push(args: argparse.Namespace, origin: str) -> None:
    """Uploads the exported file, with its own card, or else with that of its model and the sentence `origin`."""
    from fer.evaluation.card import is_card

    card = text = None
    for path, more in ((args.output, ""), (args.model, f"\n## Exported\n\n{origin}\n")):
        beside = Path(path).with_suffix(".md")
        if card is None and beside.is_file() and is_card(found := files.read_text(beside)):  # other notes stay here
            card, text = beside, found + more
    what = f"{args.output} with {f'the card {card}' if card else 'no card'}"
    print(f"uploading {what} to {args.push}; a new repository is {'public' if args.public else 'private'}")
    try:
        page = hub.upload(args.output, args.push, text, public=args.public, overwrite=args.overwrite)
    except FerError as error:
        raise FerError(f"{error}; {args.output} is kept: try again with --overwrite") from error
    print(f"uploaded {what}: {page}")


def subset(images: Images, n_images: int) -> np.ndarray:
    """At most so many images, evenly spaced over all of them."""
    return images[np.linspace(0, len(images) - 1, min(n_images, len(images))).astype(int)]


def size(path: Path) -> int:
    """Bytes of a file or folder."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")))
