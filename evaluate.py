"""Print per-emotion scores of one model, or of several averaged, on labelled pictures.

    python evaluate.py --model models/four-block.keras --data fer2013/
    python evaluate.py --model a.keras b.keras --data fer2013/ --tta ten-crop --report r.json --confusion c.png
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fer import FerError, classifier, cli, dataset, files, metrics, plots
from fer.images import InputSpec

SHEET = 64  # pictures on the contact sheet of mistakes


def parse_args(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("--model", nargs="+", required=True, metavar="M.keras", help="several are averaged")
    cli.add_data_arguments(parser, required=True)
    parser.add_argument("--split", choices=(*dataset.SPLITS, "all"), default="validation", help="(validation)")
    parser.add_argument("--tta", choices=classifier.TTA, default="none", help="views averaged (none)")
    outputs = parser.add_argument_group("files to write")
    outputs.add_argument("--report", metavar="JSON", help="every figure")
    outputs.add_argument("--confusion", metavar="PNG", help="the confusion matrix, counts and shares")
    outputs.add_argument("--reliability", metavar="PNG", help="whether the confidences can be believed")
    outputs.add_argument("--mistakes", metavar="CSV", help="all mistakes, most confident first; a sheet as PNG")
    return parser.parse_args(argv)


def main(args):
    check_outputs(args)
    cli.take_split(args, [classifier.describe(path)["notes"] for path in args.model])
    specs = [InputSpec(**classifier.describe(path)["spec"]) for path in args.model]  # refuses bad files at once
    data = {spec: cli.load_data(args, spec, (args.split,), "majority")[args.split] for spec in set(specs)}
    with cli.quiet():
        models = [classifier.Classifier.load(path) for path in args.model]
    labels = models[0].labels
    pictures = data[specs[0]].align(labels)
    if any(part.names != pictures.names for part in data.values()):
        raise FerError("these models cannot be averaged here: resized to what each takes, the data split differently")
    print(cli.describe_data(args.split, pictures))
    probabilities = classifier.average(models, [data[spec].images for spec in specs], tta=args.tta)

    report = metrics.report(probabilities, pictures.targets, labels)
    views = classifier.view_count(args.tta)
    names = " + ".join(Path(path).name for path in args.model)
    title = f"{names} on {Path(args.data).name} {args.split}, {views} view{'s' * (views > 1)}"
    confusion = "true (row) by predicted (column)\n" + report.confusion_table()
    print(f"\n{title}", report.table(), confusion, report.summary(), sep="\n\n")
    if args.report:
        asked = {"model": args.model, "data": args.data, "votes": args.votes, "keep_list": args.keep_list, "split": args.split, "tta": args.tta}
        files.write_text(args.report, json.dumps(report.to_dict() | asked | {"views": views}, indent=1))
    if args.confusion:
        plots.confusion_matrix(report, args.confusion, title=title)
    if args.reliability:
        plots.reliability(report, args.reliability, title=title)
    if args.mistakes:
        write_mistakes(Path(args.mistakes), pictures, probabilities, title)
    return 0


def check_outputs(args):
    """Refuses two outputs in one file before the work is done, not after."""
    if args.mistakes and Path(args.mistakes).suffix.lower() != ".csv":
        raise FerError(f"{args.mistakes}: --mistakes writes a .csv, and a sheet of pictures as .png beside it")
    sheet = args.mistakes and str(Path(args.mistakes).with_suffix(".png"))
    paths = [Path(path) for path in (args.report, args.confusion, args.reliability, args.mistakes, sheet) if path]
    if len(set(paths)) < len(paths):
        raise FerError(f"two outputs would be one file: {', '.join(map(str, paths))}")


def write_mistakes(path, pictures, probabilities, title):
    """A row for every wrong answer, and beside the table a sheet with the most confident ones."""
    true, predicted = pictures.targets.argmax(axis=1), probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(true != predicted)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names = np.array(pictures.labels)
    table = pd.DataFrame({"name": np.array(pictures.names)[wrong], "true": names[true[wrong]]})
    table["predicted"], table["confidence"] = names[predicted[wrong]], confidence[wrong].round(4)
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False, errors="backslashreplace")
    captions = [f"true {row.true}\nsaid {row.predicted} {row.confidence:.0%}" for row in table[:SHEET].itertuples()]
    sheet = path.with_suffix(".png")
    plots.contact_sheet(pictures.images[wrong[:SHEET]], captions, sheet, title=f"most confident mistakes: {title}")


if __name__ == "__main__":
    cli.run(main, parse_args)
