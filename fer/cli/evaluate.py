"""Print per-emotion scores of one model, or of several averaged, on labelled pictures.

    python evaluate.py --data fer2013/
    python evaluate.py --model a.keras b.keras --data fer2013/ --tta ten-crop --report r.json --confusion c.png
    python evaluate.py --model new.keras --compare old.keras --data fer2013/ --unique-against fer2013/

Labels of models and data are matched by name, never by position.
"""

import json
from pathlib import Path

from fer.cli import common
from fer.core import files
from fer.core.errors import FerError
from fer.core.figures import check_format
from fer.data import dataset
from fer.evaluation import analyses, plots
from fer.models import tta
from fer.models.bundled import BEST


def parse_args(argv=None):
    parser = common.parser(__doc__)
    text = f"files or bundled models; several are averaged ({BEST})"
    default = [common.model_path(BEST)]
    parser.add_argument("--model", nargs="+", type=common.model_path, default=default, metavar="MODEL", help=text)
    common.add_data_arguments(parser, required=True)
    parser.add_argument("--split", choices=(*dataset.SPLITS, "all"), default="validation", help="(validation)")
    parser.add_argument("--tta", choices=tta.TTA, default="none", help="views averaged (none)")
    common.add_question_arguments(parser)
    outputs = parser.add_argument_group("files to write", "figures also as .pdf or .svg, by the suffix")
    outputs.add_argument("--report", metavar="JSON", help="every figure")
    outputs.add_argument("--confusion", metavar="PNG", help="the confusion matrix, counts and shares")
    outputs.add_argument("--reliability", metavar="PNG", help="whether the confidences can be believed")
    outputs.add_argument("--risk-coverage", metavar="PNG", help="accuracy without the least certain, printed as well")
    outputs.add_argument("--groups", metavar="PNG", help="accuracy and recalls of the groups of --group-by")
    outputs.add_argument("--mistakes", metavar="CSV", help="all mistakes, most confident first; a sheet as PNG")
    return parser.parse_args(argv)


def main(args):
    check(args)
    found, *others = analyses.answers(args, [args.model, args.compare] if args.compare else [args.model])
    print(common.describe_data(args.split, found.pictures))
    if found.refit and args.split != "test":
        print(f"trained on its validation pictures as well (--refit), so no validation score: {', '.join(found.refit)}")
    report, views = found.report(), tta.view_count(args.tta)
    title = f"{found.name} on {Path(args.data).name} {args.split}, {views} view{'s' * (views > 1)}"
    confusion = "true (row) by predicted (column)\n" + report.confusion_table()
    print(f"\n{title}", report.table(), confusion, report.summary(), sep="\n\n")

    more = analyses.questions(args, found, others)
    for question, answer in more.items():
        if question != "risk_coverage" or args.risk_coverage or args.store_threshold is not None:
            print(f"\n{answer.summary()}")
    if args.report:
        asked = {name: getattr(args, name) for name in ("model", "data", "votes", "keep_list", "split", "tta")}
        plain = report.to_dict() | asked | {"views": views} | {name: answer.to_dict() for name, answer in more.items()}
        files.write_text(args.report, json.dumps(plain, indent=1))
    if args.confusion:
        plots.confusion_matrix(report, args.confusion, title=title)
    if args.reliability:
        plots.reliability(report, args.reliability, title=title)
    if args.risk_coverage:
        curves = [(team.name, team.risk_coverage()) for team in (found, *others)]
        below = more["threshold"].below if "threshold" in more else None
        plots.risk_coverage(curves, args.risk_coverage, threshold=below, title=title)
    if args.groups:
        plots.groups(more["groups"], args.groups, title=f"{title}, by {args.group_by}")
    if args.mistakes:
        analyses.write_mistakes(Path(args.mistakes), found, title)
    return 0


def check(args):
    """Refuses what cannot be done, and two outputs in one file, before the work is done, not after."""
    if args.mistakes and Path(args.mistakes).suffix.lower() != ".csv":
        raise FerError(f"{args.mistakes}: --mistakes writes a .csv, and a sheet of pictures as .png beside it")
    sheet = args.mistakes and str(Path(args.mistakes).with_suffix(".png"))
    drawn = [path for path in (args.confusion, args.reliability, args.risk_coverage, args.groups) if path]
    paths = [Path(path) for path in (args.report, *drawn, args.mistakes, sheet) if path]
    if len(set(paths)) < len(paths):
        raise FerError(f"two outputs would be one file: {', '.join(map(str, paths))}")
    for path in drawn:
        check_format(path)
    for path in paths:
        files.check_writable(path)
    if args.unique_against and args.unique_against != "demo" and not dataset.locate(args.unique_against).exists():
        raise FerError(f"{args.unique_against}: there is no such file or folder")
    if not args.group_by and (args.groups or args.attributes):
        raise FerError("--groups and --attributes go with --group-by")
    if args.store_threshold is not None and (args.split != "validation" or len(args.model) > 1 or args.tta != "none"):
        raise FerError(
            "--store-threshold goes with --split validation, a single --model and no --tta: fitted to test or training "
            "pictures it would flatter, and averaged answers are not what the model file gives"
        )
    if args.store_threshold is not None and Path(args.model[0]).suffix != ".keras":
        raise FerError(f"{args.model[0]}: --store-threshold writes into a .keras file; export it again afterwards")
