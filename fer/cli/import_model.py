"""Make a Keras model of somebody else into a model file of this suite: its labels, scaling and size go inside.

    python import_model.py old.h5 --labels happy,sad,neutral --range 0,1 --output models/new.keras
    python import_model.py model.json --weights model.h5 --guess-labels fer2013/ --output models/new.keras

Reads .h5 and .hdf5 files of Keras 1 to 3, .keras files, and a model.json with its weights. No code in a file runs.
"""

import sys
from pathlib import Path

from fer.cli import common
from fer.core import labels
from fer.core.errors import FerError
from fer.data import dataset
from fer.models import export
from fer.models.classifier import Classifier


def parse_args(argv=None):
    parser = common.parser(__doc__)
    parser.add_argument("model", metavar="OLD", help=".h5, .hdf5, .keras, or model.json")
    parser.add_argument("--weights", metavar="H5", help="that belong to a model.json")
    parser.add_argument("--labels", metavar="A,B,C", help="in the order of the outputs")
    parser.add_argument("--range", choices=("0,1", "-1,1", "0,255"), help="of the pixels it was trained on")
    parser.add_argument("--colours", choices=("rgb", "bgr"), help="order of three channels in its training (rgb)")
    parser.add_argument("--ends-in", choices=("softmax", "sigmoid", "logits"), help="(seen from its last layer)")
    parser.add_argument(
        "--size", type=common.at_least(int, 1), help="side of the pictures, where the network takes any"
    )
    parser.add_argument("--guess-labels", metavar="DATA", help="labelled pictures: find out labels, range and colours")
    parser.add_argument("--split", choices=(*dataset.SPLITS, "all"), default="validation", help="of those (validation)")
    parser.add_argument("--output", required=True, metavar="NEW.keras", help="or .onnx, .tflite")
    parser.add_argument("--overwrite", action="store_true", help="replace an output that is there")
    # argparse would take "-1,1" for an option of its own.
    words = "\0".join(sys.argv[1:] if argv is None else argv).replace("\0-1,1", "=-1,1")
    return parser.parse_args(words.split("\0") if words else [])


def main(args):
    format = check(args)
    with common.quiet():
        from fer.models import convert, keras_legacy

        network, left_out = keras_legacy.load(args.model, args.weights)
        spec = convert.input_spec(network, args.model, args.size)
        ends_in, why = (args.ends_in, "as you say") if args.ends_in else convert.ending(network, spec)
    guessed = guess(args, convert, network, spec) if args.guess_labels else {}
    chosen = {"range": args.range, "colours": args.colours or "rgb", "ends_in": ends_in}
    metadata = {"imported": Path(args.model).name, "ends_in_because": why, **chosen, **guessed}
    names = tuple(name for name in map(str.strip, args.labels.split(",")) if name)
    with common.quiet():
        new = convert.classifier(network, names, spec, metadata=metadata, **chosen)
        if format:
            export.export(new, args.output, format=format, pictures=export.drawn(spec))
        else:
            new.save(args.output)
        Classifier.load(args.output)
    for line in left_out:
        print(f"left out, for Keras 3 does not know it: {line}")
    colours = f" {chosen['colours'].upper()}" if spec.channels == 3 else ""
    print(f"pictures {'x'.join(map(str, spec.shape))}{colours}, scaled to {' ... '.join(args.range.split(','))}")
    print(f"outputs: {ends_in}, {why}{convert.ENDINGS[ends_in]}")
    print(f"labels{', GUESSED' if guessed else ''}: {', '.join(new.labels)}\nwrote {args.output}")
    return 0


def check(args):
    """Refuses what is missing or would be lost, before Keras is loaded; returns the format of another runtime."""
    if bool(args.labels) == bool(args.guess_labels):
        raise FerError("say the labels with --labels A,B,C, or have them guessed with --guess-labels DATA")
    if args.labels and not args.range:
        raise FerError("say with --range on which pixels it was trained: 0,1 or -1,1 or 0,255")
    formats, output = {".keras": None, ".onnx": "onnx", ".tflite": "litert"}, Path(args.output)
    if output.suffix not in formats:
        raise FerError(f"{output}: the name must end in {', '.join(formats)}")
    if output.exists() and not args.overwrite:
        raise FerError(f"{output} exists: replace it with --overwrite, or choose another name")
    return formats[output.suffix]


def guess(args, importing, network, spec):
    """Settles labels, range and colours in `args`, or gives up; returns the notes that say that they are guessed."""
    data = dataset.load(args.guess_labels, spec, splits=(args.split,), progress=common.progress)[args.split]
    data = importing.sample(data)
    guesses = importing.guess(network, data, range=args.range, colours=args.colours)
    print(f"mean recall on {len(data):,} pictures, by label order and range:")
    for one in guesses[:5]:
        print(f"  {one.score:6.1%}  {' '.join(filter(None, (one.order, one.range, one.colours)))}")
    best, margin = guesses[0], importing.margin(guesses)
    if not importing.settled(guesses, len(data)):
        raise FerError(f"no order stands out: the best leads the next by {margin:.1%}. Say it with --labels")
    print(f"a GUESS, for it leads the next order by {margin:.1%}: {best.order}. If you know better: --labels, --range")
    args.labels, args.range, args.colours = ",".join(labels.ORDERS[best.order]), best.range, best.colours
    return {"labels_guessed": {"order": best.order, "score": round(best.score, 4), "margin": round(margin, 4)}}
