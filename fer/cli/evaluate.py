"""Print per-emotion metrics of a model, or of the mean of several, on labelled images.

    python evaluate.py --data fer2013/
    python evaluate.py --model a.keras b.keras --data fer2013/ --tta ten-crop --report r.json --confusion c.png
    python evaluate.py --model new.keras --compare old.keras --data fer2013/ --leakage-against fer2013/

Labels of models and data are matched by name, never by position.
"""

import argparse
import dataclasses
import json
import os
import shlex
from pathlib import Path

from fer.cli import arguments, terminal
from fer.core import files
from fer.core.errors import FerError
from fer.core.images import InputSpec
from fer.data import attributes, loading, places
from fer.data.splits import SPLITS
from fer.data.unseen import optimism
from fer.models import bundled, hub, runtimes, tta
from fer.models.classifier import Classifier
from fer.models.model_file import original, read_info, update_exported, update_metadata

SPLIT_OPTIONS = ("validation_fraction", "split_seed")
CROPS = {"none": "single crop", "flip": "flip TTA", "ten-crop": "ten-crop TTA"}


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    text = f"files, bundled models, hf:OWNER/NAME or kaggle:...; several are averaged ({bundled.BEST})"
    parser.add_argument("--model", nargs="+", default=[bundled.BEST], metavar="MODEL", help=text)
    arguments.add_data_arguments(parser, required=True)
    parser.add_argument("--split", choices=(*SPLITS, "all"), default="validation", help="split to score (validation)")
    text = (
        "test-time augmentation: a single crop, or the average of an image and its mirror image, or of ten crops (none)"
    )
    parser.add_argument("--tta", choices=tta.TTA, default="none", help=text)
    add_analysis_arguments(parser)
    add_output_arguments(parser)
    args = parser.parse_args(argv)
    args.asked, args.model = args.model, [arguments.model_path(model) for model in args.model]
    return args


def add_analysis_arguments(parser):
    group = parser.add_argument_group("analyses")
    text = "test whether --model is more accurate than this model, or than the mean of these; "
    text += "with --leakage-against also on the images without a duplicate"
    group.add_argument("--compare", nargs="+", type=arguments.model_path, metavar="MODEL", help=text)
    text = "training data, as for --data: score images with and without a duplicate in its train split separately"
    group.add_argument("--leakage-against", metavar="TRAINING_DATA", help=text)
    group.add_argument("--unique-against", dest="leakage_against", help=argparse.SUPPRESS)  # its former name
    text = "metrics by group: a column of the data's CSV or of --attributes, or 'folder' for CLASS/GROUP/image.jpg"
    group.add_argument("--group-by", metavar="COLUMN|folder", help=text)
    text = "a table for --group-by: a column 'name' of file names, and columns of attributes"
    group.add_argument("--attributes", metavar="CSV", help=text)
    text = "fit the confidence threshold at which the model reaches this accuracy, say 0.8, and store it in the "
    text += "model file; below it the other scripts show 'uncertain' (with --uncertain)"
    accuracy = arguments.between(0, 1)
    group.add_argument("--fit-threshold", type=accuracy, metavar="ACCURACY", help=text)
    group.add_argument("--store-threshold", dest="fit_threshold", type=accuracy, help=argparse.SUPPRESS)  # former name


def add_output_arguments(parser):
    group = parser.add_argument_group("files to write", "figures also as .pdf or .svg, by the suffix")
    group.add_argument("--report", metavar="JSON", help="every figure")
    group.add_argument("--confusion", metavar="PNG", help="the confusion matrix, counts and shares")
    group.add_argument("--reliability", metavar="PNG", help="accuracy against confidence (calibration)")
    group.add_argument("--risk-coverage", metavar="PNG", help="accuracy against coverage, printed as a table as well")
    group.add_argument("--groups", metavar="PNG", help="accuracy and recalls of the groups of --group-by")
    group.add_argument("--mistakes", metavar="CSV", help="all mistakes, and a contact sheet as PNG beside it")
    group.add_argument("--robustness", metavar="PNG", help="accuracy under 8 corruptions in 5 severities, printed too")
    group.add_argument("--card", metavar="MD", help="a model card, from the model's metadata and all three --tta")
    text = "a TOML file with notes for the card: a table for each model (models/cards.toml)"
    group.add_argument("--card-notes", metavar="TOML", help=text)
    group.add_argument("--explain", metavar="DIR", help="a sheet of Grad-CAM heat maps for each emotion")


def main(args: argparse.Namespace) -> int:
    check(args)
    drawn = {name: value for name in SPLIT_OPTIONS if (value := getattr(args, name)) is not None}
    models, data = load(args)
    names = None
    if args.group_by:  # a missing column shows before the images are labelled
        names = attributes.read(args.group_by, data[models[args.model[0]].spec], args.attributes)
    ours, *others = [predict(paths, models, data, args.tta) for paths in (args.model, args.compare) if paths]
    print(terminal.describe_data(args.split, ours.data))
    report, title = ours.report(), f"{ours.name} on {places.name_of(args.data)} {args.split}, {CROPS[args.tta]}"
    confusion = "true (row) by predicted (column)\n" + report.confusion_table()
    print(f"\n{title}", report.table(), confusion, report.summary(), sep="\n\n")
    chosen = (optimism(models[path].metadata, args.data, args.split) for path in args.model)
    for sentence in dict.fromkeys(filter(None, chosen)):
        print(f"\n{sentence}")
    seen = search_duplicates(args, ours.data.images)
    analyses = analyse(args, ours, others, names, seen)
    if args.robustness:
        analyses |= analyse_robustness(args, models, data)
    for name, analysis in analyses.items():
        if name != "risk_coverage" or args.risk_coverage or args.fit_threshold is not None:
            print(f"\n{analysis.summary()}")
    if args.report:
        asked = {name: getattr(args, name) for name in ("model", "data", "votes", "keep_list", "split", "tta")}
        # Apart: --labels would replace the labels of the report.
        asked["data_options"] = arguments.form_options(args) | drawn
        plain = report.to_dict() | asked | {"views": tta.view_count(args.tta)}
        plain |= {name: analysis.to_dict() for name, analysis in analyses.items()}
        files.write_text(args.report, json.dumps(plain, indent=1))
    draw(args, report, analyses, [ours, *others], title)
    if threshold := analyses.get("threshold"):
        known = threshold.metadata(places.name_of(args.data), unseen=bool(args.leakage_against))
        update_metadata(args.model[0], known)
        for beside in update_exported(args.model[0], known):
            terminal.note(f"{beside} keeps the threshold it had: export it again")
    if args.card:
        unseen = ~seen(args.model).near if args.leakage_against else None
        write_card(args, models, data, ours, analyses, drawn, unseen)
    if args.explain:
        from fer.evaluation.explain import write_explanations

        sheets = write_explanations(args.explain, models[args.model[0]], ours, title)
        print(f"\n{len(sheets)} sheets in {args.explain}")
    if written := outputs(args):
        print(f"\nwrote {', '.join(map(str, written))}")
    return 0


def figures(args):
    """The figures that the arguments ask for, without contact sheets."""
    given = (args.confusion, args.reliability, args.risk_coverage, args.groups, args.robustness)
    return [Path(path) for path in given if path]


def outputs(args):
    """The files that the arguments ask for, without the sheets of --explain."""
    sheet = args.mistakes and Path(args.mistakes).with_suffix(".png")
    return [Path(path) for path in (args.report, *figures(args), args.mistakes, sheet, args.card) if path]


def check(args):
    """Refuses what cannot be done, and two outputs in one file, before the work."""
    from fer.core.figures import check_format

    if args.mistakes and Path(args.mistakes).suffix.lower() != ".csv":
        raise FerError(f"{args.mistakes}: --mistakes writes a .csv, and a contact sheet as .png beside it")
    paths = outputs(args)
    if len(set(paths)) < len(paths):
        raise FerError(f"two outputs would be one file: {', '.join(map(str, paths))}")
    for path in figures(args):
        check_format(path)
    suffixes = {Path(path): suffix for path, suffix in ((args.report, ".json"), (args.card, ".md")) if path}
    for path in paths:
        files.check_writable(path, suffixes.get(path))
    inputs = (args.leakage_against, args.attributes, args.card_notes, *args.model, *(args.compare or ()))
    files.check_no_input(paths, (*arguments.data_files(args), *inputs))
    training = args.leakage_against
    if training and not places.exists(training):
        raise FerError(f"{training}: there is no such file or folder")
    if not args.group_by and (args.groups or args.attributes):
        raise FerError("--groups and --attributes go with --group-by")
    if args.card and (len(args.model) > 1 or args.tta != "none"):
        raise FerError("--card goes with a single --model, and no --tta: the card has a row for each")
    if args.card_notes and not args.card:
        raise FerError("--card-notes goes with --card")
    if args.card:
        from fer.evaluation.card import check_replaceable, read_notes

        check_replaceable(args.card)
    if args.card_notes:
        read_notes(args.card_notes, Path(args.model[0]).stem)
    if args.explain and (len(args.model) > 1 or args.tta != "none" or Path(args.model[0]).suffix != ".keras"):
        raise FerError("--explain goes with a single --model that is a .keras file, and no --tta")
    if args.explain:
        files.check_folder(args.explain)
        if Path(args.data).is_dir() and Path(args.explain).resolve().is_relative_to(Path(args.data).resolve()):
            raise FerError(f"{args.explain}: the sheets would lie among the images; choose another folder")
    if args.fit_threshold is None:
        return
    if args.split != "validation" or len(args.model) > 1 or args.tta != "none":
        raise FerError(
            "--fit-threshold goes with --split validation, a single --model and no --tta: fitted to test or training "
            "images it would be optimistic, and the model file gives neither averages nor TTA"
        )
    if Path(args.model[0]).suffix != ".keras":
        raise FerError(f"{args.model[0]}: --fit-threshold writes into a .keras file; export it again afterwards")
    downloaded = hub.is_address(args.asked[0]) or "kagglehub" in Path(args.model[0]).parts  # its cache has no links
    if downloaded or Path(args.model[0]).is_symlink():
        raise FerError(f"{args.model[0]}: --fit-threshold would change a downloaded file, or a link; copy it first")
    files.check_writable(args.model[0])


def load(args):
    """The models of --model and --compare by path, and the data for the input of each; split as in their training."""
    infos = {path: read_info(path) for path in (*args.model, *(args.compare or ()))}  # bad files show at once
    metadata = [info.metadata for info in infos.values()]
    if args.explain and "imported" in infos[args.model[0]].metadata:
        raise FerError("--explain cannot reach the feature maps of an imported model: it is a single layer here")
    arguments.take_split(args, metadata)

    specs, options = [info.spec for info in infos.values()], arguments.dataset_options(args)
    data = loading.load_for_models(specs, args.data, args.split, metadata=metadata, **options)
    with terminal.quiet():  # TensorFlow takes seconds to start: arguments and data are checked by now
        return {path: Classifier.load(path) for path in infos}, data


def predict(paths, models, data, tta):
    """The predictions of the models at these paths, averaged."""
    from fer.evaluation import predictions

    return predictions.predict([models[path] for path in paths], data, name=joined(paths), tta=tta)


def joined(paths):
    """The name of a model, or of an ensemble."""
    return " + ".join(Path(path).name for path in paths)


def analyse(args, ours, others, names, seen):
    """What was asked for beyond the report: its key there -> an object with `summary()` and `to_dict()`.

    Args:
        args: of the command.
        ours, others: predictions of --model, and of --compare.
        names: the group of each image, where they are asked for.
        seen: see `search_duplicates`.
    """
    from fer.evaluation import groups, leakage, selective

    analyses = {}

    if args.leakage_against:
        analyses["leakage"] = leakage.measure_leakage(ours, seen(args.model), places.name_of(args.leakage_against))
    for other in others:
        analyses["comparison"] = ours.compare(other)
        if args.leakage_against:
            unseen = ~seen((*args.model, *args.compare)).near  # in the training of neither
            if unseen.any() and not unseen.all():
                text = "images without a duplicate or near-duplicate in training"
                analyses["comparison_without_duplicates"] = ours.compare(other, unseen, text)
    if args.group_by:
        analyses["groups"] = groups.by_group(names, ours.probabilities, ours.data.targets, ours.labels, args.group_by)
    analyses["risk_coverage"] = curve = ours.risk_coverage()
    if args.fit_threshold is not None:
        if args.leakage_against:  # remembered images are surer, and more often right, than new ones
            curve = ours.risk_coverage(~seen(args.model).near)
        analyses["threshold"] = selective.fit_threshold(curve, args.fit_threshold)
    return analyses


def search_duplicates(args, images):
    """A function of the paths of models that says which of these images were in their training (`leakage.Seen`)."""
    from fer.evaluation import leakage

    spec, done = InputSpec(size=images.shape[1], channels=images.shape[3]), []

    def seen(paths):
        metadata = [read_info(path).metadata for path in paths]
        options = arguments.dataset_options(args)
        options = leakage.training_options(args.leakage_against, args.data, metadata, **options)
        for before, found in done:  # a search takes longer than the predictions
            if before == options:
                return found
        training = loading.load(args.leakage_against, spec, splits=("train",), **options)["train"]
        done.append((options, leakage.find_seen(images, training.images)))
        return done[-1][1]

    return seen


def analyse_robustness(args, models, data):
    """Accuracy under corruption of --model and --compare, and their difference, as `analyse` returns them."""
    from fer.evaluation.robustness import measure_robustness

    ours, *others = [
        measure_robustness(
            [models[path] for path in paths], data, name=joined(paths), tta=args.tta, progress=terminal.progress
        )
        for paths in (args.model, args.compare)
        if paths
    ]
    found = {"robustness": ours}
    for other in others:
        found |= {"robustness_of_compared": other, "robustness_comparison": ours.compare(other)}
    return found


def draw(args, report, analyses, predictions, title):
    """Writes the figures and the table of mistakes that were asked for."""
    from fer.evaluation import mistakes, plots

    if args.confusion:
        plots.confusion_matrix(report, args.confusion, title=title)
    if args.reliability:
        plots.reliability(report, args.reliability, title=title)
    if args.risk_coverage:
        curves = [(one.name, one.risk_coverage()) for one in predictions]
        threshold = analyses["threshold"].confidence if "threshold" in analyses else None
        plots.risk_coverage(curves, args.risk_coverage, threshold=threshold, title=title)
    if args.groups:
        plots.groups(analyses["groups"], args.groups, title=f"{title}, by {args.group_by}")
    if args.robustness:
        scores = [analyses[name] for name in ("robustness", "robustness_of_compared") if name in analyses]
        plots.robustness(scores, args.robustness, title=title)
    if args.mistakes:
        mistakes.write_mistakes(Path(args.mistakes), predictions[0], title)


def write_card(args, models, data, ours, analyses, drawn, unseen):
    """Writes the card of the model, measuring what it lacks: test-time augmentation, and the files exported from it."""
    from fer.evaluation import card

    path, exports = args.model[0], []
    found = {"none": ours} | {name: predict(args.model, models, data, name) for name in tta.TTA[1:]}
    for beside in map(Path(path).with_suffix, runtimes.SUFFIXES):
        if beside != Path(path) and original(beside):
            try:
                exported = {beside: Classifier.load(beside)}
                found[f"none, `{beside.name}`"] = predict([beside], exported, data, "none")
                exports.append(beside)
            except FerError as error:  # a damaged file costs its row, not the card
                terminal.note(f"left out of the card: {error}")
    reports = {name: one.report() for name, one in found.items()}
    more = {name: analyses.get(name) for name in ("leakage", "robustness", "groups")} | {"exports": exports}
    if unseen is not None and unseen.any():
        more["unseen"] = {name: one.report(unseen) for name, one in found.items()}
    more["notes"] = card.read_notes(args.card_notes, Path(path).stem) if args.card_notes else {}
    about = {"command": repeat_command(args, drawn), "data": places.name_of(args.data), "split": args.split}
    model = dataclasses.replace(models[path], metadata=read_info(path).metadata)  # with a threshold just fitted
    card.write_card(args.card, path, model, reports, **about, **more)


def repeat_command(args, drawn: dict[str, float]) -> str:
    """The command that measures the same figures; of files it has the names alone, because a card is read elsewhere.

    Args:
        args: of the evaluation.
        drawn: those of `SPLIT_OPTIONS` that the user gave; the others follow from the model.
    """
    model = args.asked[0] if hub.is_address(args.asked[0]) else args.model[0]
    asked = {"model": model, "data": args.data, "votes": args.votes, "keep_list": args.keep_list}
    words = {name: places.name_of(value) for name, value in asked.items() if value}
    for name, value in arguments.form_options(args).items():
        given = [value] if isinstance(value, str) else value
        if name in ("labels", "labels_csv"):  # each may be a file, the latter several
            given = [Path(part).name if os.path.isfile(part) else part for part in str(value).split(",")]
        words[name] = ",".join(given)
    words |= {name: str(value) for name, value in drawn.items()} | {"split": args.split}
    words |= {"leakage_against": places.name_of(args.leakage_against)} if args.leakage_against else {}
    words |= {"robustness": Path(args.robustness).name} if args.robustness else {}
    words |= {"group_by": args.group_by} if args.group_by else {}
    words |= {"attributes": Path(args.attributes).name} if args.attributes else {}
    flags = [f"--{name.replace('_', '-')} {shlex.quote(text)}" for name, text in words.items()]
    return " ".join(["python evaluate.py", *flags])
