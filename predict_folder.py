"""Label every face in a folder of pictures, sub-folders included: one row a face, and one for each picture without.

    python predict_folder.py photos/ --output results.csv
    python predict_folder.py photos/ --output results.jsonl --annotated drawn/

With --detector auto, small square pictures are taken as cropped faces, and faces are searched in the others.
"""

import os
from contextlib import ExitStack, closing
from pathlib import Path

from fer import FerError, classifier, cli, folders, images, records


def parse_args(argv=None):
    parser = cli.parser(__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of pictures, or a single picture")
    cli.add_recognition_arguments(parser)
    cli.add_uncertain_argument(parser)
    parser.add_argument("--output", default="results.csv", metavar="CSV|JSONL", help="(results.csv)")
    parser.add_argument("--annotated", metavar="DIR", type=Path, help="also write copies with boxes and labels")
    parser.add_argument("--resume", action="store_true", help="skip what --output holds, from the same model")
    parser.add_argument("--overwrite", action="store_true", help="start again where --output already is")
    return parser.parse_args(argv)


def main(args):
    check(args)
    labels = tuple(classifier.describe(args.model)["labels"])
    below = cli.uncertain_below(args)
    total = sum(1 for _ in pictures(args, on_error=lambda line: None))
    if not total:
        raise FerError(f"{args.folder}: no pictures ({', '.join(sorted(images.SUFFIXES))})")
    with cli.quiet():  # TensorFlow takes seconds to load: what can be refused is refused by now
        from fer import folder

        model = classifier.Classifier.load(args.model)
        detectors = cli.make_detectors(args, folder.cores())
    if args.resume:
        folder.check_same(args.output, model, detectors, auto=args.detector == "auto")
    with ExitStack() as stack:
        ways = {"overwrite": args.overwrite, "resume": args.resume, "uncertain": args.uncertain}
        writer = stack.enter_context(records.Writer(args.output, labels, **ways))
        copies = args.annotated and stack.enter_context(folder.Copies(args.folder, args.annotated, notify=cli.note))
        stopped = stack.enter_context(cli.stoppable())
        left = (path for path in pictures(args, on_error=cli.note) if not writer.holds(path))
        options = {"auto": args.detector == "auto", "uncertain_below": below}
        results = stack.enter_context(closing(folder.recognize(left, model, detectors, **options)))
        cropped = 0
        for result in cli.progress(results, total - len(writer.done), "pictures"):
            writer.write(records.rows(str(result.path), result.predictions, readable=not result.error))
            cropped += result.cropped
            if result.error:
                cli.note(f"skipped {result.error}")
            elif copies:
                copies.add(result)
            if stopped():
                break
    if stopped():
        print(f"stopped; {args.output} keeps what was done. Go on with --resume")
        return 130
    if cropped:
        print(f"{cropped:,} small square pictures taken as cropped faces (--detector auto)")
    counts, table = folder.summarize(args.output, args.folder, labels)
    if table:
        print(f"\nfolder (row) by predicted (column), the largest face of each picture\n{table}\n")
    ok, none, unreadable = (counts[status] for status in records.STATUSES)
    print(f"{args.output}: {ok:,} pictures with faces, {none:,} without a face, {unreadable:,} unreadable")
    return 0 if ok else 1


def check(args):
    """Refuses what would lose something."""
    if args.resume and args.overwrite:
        raise FerError("--resume goes on, --overwrite starts again: choose one")
    ways = "go on with --resume, start again with --overwrite, or choose another name"
    records.check_output(args.output, kept=args.resume or args.overwrite, ways=ways)
    if args.annotated and os.path.isdir(args.annotated):
        folder = args.folder if os.path.isdir(args.folder) else args.folder.parent
        if folder.resolve() == args.annotated.resolve():
            raise FerError(f"{args.annotated}: the annotated copies would replace the pictures; choose another folder")
        if os.listdir(args.annotated) and not (args.resume or args.overwrite):
            raise FerError(f"{args.annotated} is not empty: {ways}")


def pictures(args, on_error):
    """The pictures, without annotated copies that lie among them."""
    drawn, root = args.annotated and args.annotated.resolve(), args.folder.resolve()
    among = drawn and root in drawn.parents
    for path in folders.find_pictures(args.folder, on_error=on_error):
        if not among or drawn not in path.resolve().parents:
            yield path


if __name__ == "__main__":
    cli.run(main, parse_args)
