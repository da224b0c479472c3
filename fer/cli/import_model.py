"""Import a Keras model: its labels, scaling and image size become part of the file.

    python import_model.py old.h5 --labels happy,sad,neutral --range 0,1 --output models/new.keras
    python import_model.py model.json --weights model.h5 --guess-labels fer2013/ --output models/new.keras

Reads .h5 and .hdf5 files of Keras 1 to 3, .keras files, and a model.json with its weights. No code in a file runs.
"""

import argparse
import re
import sys
from pathlib import Path

from fer.cli import arguments, terminal
from fer.core import files, labels
from fer.core.errors import FerError
from fer.data import loading
from fer.data.splits import SPLITS
from fer.models import export
from fer.models.classifier import Classifier


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("model", metavar="OLD", help=".h5, .hdf5, .keras, or model.json")
    parser.add_argument("--weights", metavar="H5", help="the weights of a model.json")
    parser.add_argument("--labels", metavar="A,B,C", help="in the order of the outputs")
    text = "pixel range of its training: 0,1 or -1,1 or 0,255 or others; or caffe, torch as in keras.applications"
    parser.add_argument("--range", metavar="LOW,HIGH", help=text)
    parser.add_argument("--colours", choices=("rgb", "bgr"), help="channel order of its training (rgb)")
    text = "kind of its outputs (read from the last layer)"
    parser.add_argument("--ends-in", choices=("softmax", "sigmoid", "logits"), help=text)
    text = "side of the images in pixels, for a network that takes any"
    parser.add_argument("--size", type=arguments.at_least(int, 1), help=text)
    text = "find labels, range and colours with these labelled images"
    parser.add_argument("--guess-labels", metavar="DATA", help=text)
    text = "split of --guess-labels (validation)"
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="validation", help=text)
    parser.add_argument("--output", required=True, metavar="NEW.keras", help="or .onnx, .tflite")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")
    # argparse would take -1,1 for an option.
    words = re.sub(r"\0--range\0(?=-[\d.])", "\0--range=", "\0" + "\0".join(sys.argv[1:] if argv is None else argv))[1:]
    return parser.parse_args(words.split("\0") if words else [])


def main(args: argparse.Namespace) -> int:
    format = check(args)
    with terminal.quiet():
        from fer.models import convert, keras_legacy

        network, dropped = keras_legacy.load(args.model, args.weights)
        spec = convert.input_spec(network, args.model, args.size)
        if args.range:
            convert.scaling(args.range, spec.channels)
        outputs, reason = (args.ends_in, "from --ends-in") if args.ends_in else convert.output_kind(network, spec)
    guessed = guess_labels(args, network, spec) if args.guess_labels else {}
    options = {"range": args.range, "colours": args.colours or (convert.MODES.get(args.range) or ("rgb",))[-1]}
    metadata = {"imported": Path(args.model).name, "ends_in": outputs, "ends_in_because": reason, **options, **guessed}
    names = tuple(name for name in map(str.strip, args.labels.split(",")) if name)
    with terminal.quiet():
        model = convert.to_classifier(network, names, spec, outputs=outputs, metadata=metadata, **options)
        model.predict(convert.noise(spec))  # refuses a network whose outputs are NaN
        if format:
            export.export(model, args.output, format=format, images=export.synthetic_images(spec))
        else:
            model.save(args.output)
        Classifier.load(args.output)
    if args.range != "0,255" and not guessed and (layer := convert.own_scaling(network)):
        print(f"note: {layer} in the network scales pixels of 0 to 255 itself; is --range 0,255 meant?")
    for line in dropped:
        print(f"dropped, not supported by Keras 3: {line}")
    colours = f" {options['colours'].upper()}" if spec.channels == 3 else ""
    print(f"images {'x'.join(map(str, spec.shape))}{colours}, scaled to {' ... '.join(args.range.split(','))}")
    single = network.output_shape[1] == 1
    print(f"outputs: {outputs}, {reason}{f'; near 1 is {model.labels[1]}' if single else convert.OUTPUTS[outputs]}")
    print(f"labels{', GUESSED' if guessed else ''}: {', '.join(model.labels)}\nwrote {args.output}")
    return 0


def check(args):
    """Refuses missing arguments and an existing output before Keras is loaded; returns the export format, if any."""
    for path in filter(None, (args.model, args.weights)):
        if not Path(path).exists():
            raise FerError(f"{path}: there is no such file")
    if bool(args.labels) == bool(args.guess_labels):
        raise FerError("give the labels with --labels A,B,C, or have them guessed with --guess-labels DATA")
    if args.labels and not args.range:
        raise FerError("give the pixel range of its training with --range: 0,1 or -1,1 or 0,255")
    formats, output = {".keras": None, ".onnx": "onnx", ".tflite": "litert"}, Path(args.output)
    if output.suffix not in formats:
        raise FerError(f"{output}: the name must end in {', '.join(formats)}")
    if output.exists() and not args.overwrite:
        raise FerError(f"{output} exists: replace it with --overwrite, or choose another name")
    files.check_writable(output)
    return formats[output.suffix]


def guess_labels(args, network, spec):
    """Sets labels, range and colours in `args` to the best candidate; returns metadata that marks them as guessed."""
    from fer.models import convert

    data = loading.load(args.guess_labels, spec, splits=(args.split,), progress=terminal.progress)[args.split]
    data = convert.draw_sample(data)
    candidates = convert.rank_candidates(network, data, range=args.range, colours=args.colours)
    print(f"mean recall on {len(data):,} images, by label order and range:")
    for one in candidates[:5]:
        print(f"  {one.score:6.1%}  {' '.join(filter(None, (one.order, one.range, one.colours)))}")
    best, lead = candidates[0], convert.lead(candidates)
    if not convert.is_clear(candidates, len(data)):
        raise FerError(f"no label order stands out: the best leads the next by {lead:.1%}. Give it with --labels")
    print(f"GUESSED, it leads the next order by {lead:.1%}: {best.order}. Correct it with --labels and --range")
    args.labels, args.range, args.colours = ",".join(labels.ORDERS[best.order]), best.range, best.colours
    return {"labels_guessed": {"order": best.order, "score": round(best.score, 4), "margin": round(lead, 4)}}
