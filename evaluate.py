"""Print per-emotion scores of one model, or of several averaged, on labelled pictures.

    python evaluate.py --model models/four-block-tuned.keras --data fer2013/
    python evaluate.py --model a.keras b.keras --data fer2013/ --tta ten-crop --report r.json --confusion c.png
"""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from fer import classifier, cli, dataset, files, metrics, plots
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
    outputs.add_argument("--mistakes", metavar="CSV", help="all mistakes, the most confident first; a sheet of them as PNG")
    return parser.parse_args(argv)


def main(args):
    specs = [InputSpec(**classifier.describe(path)["spec"]) for path in args.model]  # refuses bad files at once
    data = {spec: cli.load_data(args, spec, (args.split,), "majority")[args.split] for spec in set(specs)}
    with cli.quiet():
        models = [classifier.Classifier.load(path) for path in args.model]
    labels = models[0].labels
    pictures = data[specs[0]].align(labels)
    print(cli.describe_data(args.split, pictures))
    probabilities = classifier.average(models, [data[spec].images for spec in specs], tta=args.tta)

    report = metrics.report(probabilities, pictures.targets, labels)
    views = classifier.view_count(args.tta)
    title = f"{' + '.join(Path(path).name for path in args.model)} on {Path(args.data).name} {args.split}, {views} view{'s' * (views > 1)}"
    print(f"\n{title}", report.table(), "true (row) by predicted (column)\n" + report.confusion_table(), report.summary(), sep="\n\n")
    if args.report:
        asked = {"model": args.model, "data": args.data, "votes": args.votes, "split": args.split, "tta": args.tta}
        files.write_text(args.report, json.dumps(report.to_dict() | asked | {"views": views}, indent=1))
    if args.confusion:
        plots.confusion_matrix(report, args.confusion, title=title)
    if args.reliability:
        plots.reliability(report, args.reliability, title=title)
    if args.mistakes:
        write_mistakes(Path(args.mistakes), pictures, probabilities, title)
    return 0


def write_mistakes(path, pictures, probabilities, title):
    """A row for every wrong answer, and beside the table a sheet with the most confident ones."""
    true, said = pictures.targets.argmax(axis=1), probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(true != said)
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    names = np.array(pictures.labels)
    table = pd.DataFrame({"name": np.array(pictures.names)[wrong], "true": names[true[wrong]], "said": names[said[wrong]]})
    table["confidence"] = confidence[wrong].round(4)
    with files.replacing(path) as temporary:
        table.to_csv(temporary, index=False)
    captions = [f"true {row.true}\nsaid {row.said} {row.confidence:.0%}" for row in table[:SHEET].itertuples()]
    plots.contact_sheet(pictures.images[wrong[:SHEET]], captions, path.with_suffix(".png"), title=f"most confident mistakes: {title}")


if __name__ == "__main__":
    cli.run(main, parse_args)
