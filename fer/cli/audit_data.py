"""Audit a data set before training on it: counts, odd images, duplicates, leakage between splits, doubtful labels.

    python audit_data.py fer2013/ --report audit.json --sheets sheets/
    python audit_data.py fer2013.csv --votes fer2013new.csv --write-clean-list keep.csv

No file is changed: train.py and evaluate.py take the clean list with --keep-list.
"""

import argparse
import json

import numpy as np

from fer.cli import arguments, terminal
from fer.core import files
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import audit, audit_report, duplicates, keep_list, loading, places
from fer.models.classifier import Classifier
from fer.models.model_file import read_info


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("data", metavar=places.PLACES, help="what train.py takes as --data")
    arguments.add_form_arguments(parser)
    parser.add_argument("--votes", metavar="FER2013NEW.csv", help="FER+ votes: count the labels that they change")
    text = "list the labels that it disputes; best not trained on these images"
    parser.add_argument("--model", type=arguments.model_path, metavar="MODEL", help=text)
    near = f"correlation from which images are near-duplicates ({duplicates.NEAR})"
    parser.add_argument("--near", type=float, default=duplicates.NEAR, metavar="R", help=near)
    outputs = parser.add_argument_group("files to write")
    outputs.add_argument("--report", metavar="JSON", help="every figure and every name")
    text = "contact sheets of each class, of duplicates and of doubtful labels, as PNG"
    outputs.add_argument("--sheets", metavar="DIR", help=text)
    outputs.add_argument("--write-clean-list", metavar="CSV", help="names of the images that remain")
    usual = " ".join(audit.USUAL_DROPS)
    text = f"what the clean list leaves out ({usual})"
    known = {"twins": "duplicates"}  # a former name
    kind = lambda name: known.get(name, name)  # noqa: E731
    outputs.add_argument("--drop", nargs="+", type=kind, choices=audit.DROPS, help=text)
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    check(args)
    spec = read_info(args.model).spec if args.model else InputSpec()
    source = places.local(args.data)
    parts = loading.load(source, spec, splits=loading.AS_IS, progress=terminal.progress, **arguments.form_options(args))
    voted = audit.votes_of(args.votes, parts) if args.votes else None
    probabilities = predict(args.model, parts) if args.model else None
    found = audit.audit(parts, threshold=args.near, voted=voted, probabilities=probabilities)
    print(audit_report.summary(found))
    if args.report:
        asked = {"data": args.data, "votes": args.votes, "model": args.model}
        text = json.dumps(asked | audit_report.to_dict(found), indent=1)
        files.write_text(args.report, text)
    if args.sheets:
        print(f"{len(audit_report.write_sheets(found, args.sheets))} sheets in {args.sheets}")
    if args.write_clean_list:
        write_clean_list(found, args)
    return 0


def check(args):
    """Refuses what would fail only after the work."""
    if args.drop and not args.write_clean_list:
        raise FerError("--drop has no effect without --write-clean-list")
    args.drop = args.drop or audit.USUAL_DROPS
    for kind, flag, given in (("votes", "--votes", args.votes), ("disputed", "--model", args.model)):
        if kind in args.drop and not given:
            raise FerError(f"--drop {kind} needs {flag}")
    for path, suffix in ((args.report, ".json"), (args.write_clean_list, ".csv")):
        if path:
            files.check_writable(path, suffix)
            files.check_no_input([path], (*arguments.data_files(args), args.model))
    if args.sheets:
        files.check_folder(args.sheets)


def predict(path, parts):
    """The model's probabilities for all images, columns in the order of the data's labels."""
    with terminal.quiet():
        model = Classifier.load(path)
    labels = next(iter(parts.values())).labels
    if missing := [label for label in labels if label not in model.labels]:
        raise FerError(f"{path}: it does not know the labels {', '.join(missing)}, only {', '.join(model.labels)}")
    columns = [model.labels.index(label) for label in labels]
    return np.concatenate([model.predict(part.images) for part in parts.values()])[:, columns]


def write_clean_list(found, args):
    rows = found.clean(tuple(args.drop))
    if not len(rows):
        raise FerError("nothing would remain; --drop less")
    names, labels = np.array(found.data.names), found.data.labels
    columns = (found.splits[rows], [labels[code] for code in found.codes[rows]])
    keep_list.write(args.write_clean_list, names[rows], *columns)
    print(f"{args.write_clean_list}: {len(rows):,} of {len(names):,} images remain without {', '.join(args.drop)}")
