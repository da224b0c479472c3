"""Label every face in a folder of pictures, sub-folders included: one row a face, and one for each picture without.

    python predict_folder.py photos/ --output results.csv
    python predict_folder.py photos/ --output results.jsonl --annotated drawn/

With --detector auto, small square pictures are taken as cropped faces, and faces are searched in the others.
"""

import os
from contextlib import ExitStack, closing
from pathlib import Path

from fer.cli import common
from fer.core import images
from fer.core.errors import FerError
from fer.data import class_folders
from fer.inference import results
from fer.models.classifier import Classifier
from fer.models.model_file import read_info


def parse_args(argv=None):
    parser = common.parser(__doc__)
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="of pictures, or a single picture")
    common.add_recognition_arguments(parser)
    common.add_uncertain_argument(parser)
    parser.add_argument("--output", default="results.csv", metavar="CSV|JSONL", help="(results.csv)")
    parser.add_argument("--annotated", metavar="DIR", type=Path, help="also write copies with boxes and labels")
    parser.add_argument("--resume", action="store_true", help="skip what --output holds, from the same model")
    parser.add_argument("--overwrite", action="store_true", help="start again where --output already is")
    return parser.parse_args(argv)


def main(args):
    check(args)
    labels = read_info(args.model).labels
    below = common.uncertain_below(args)
    total = sum(1 for _ in pictures(args, on_error=lambda line: None))
    if not total:
        raise FerError(f"{args.folder}: no pictures ({', '.join(sorted(images.SUFFIXES))})")
    with common.quiet():  # TensorFlow takes seconds to load: what can be refused is refused by now
        from fer.core import system
        from fer.inference import batch, run_metadata
        from fer.inference.recognizer import create_recognizer

        model = Classifier.load(args.model)
        how = {"detector_model": args.detector_model, "uncertain_below": below}
        recognizer = create_recognizer(model, args.detector, detectors=system.cores(), **how)
    run = run_metadata.describe_run(args.output, args.model, detector=args.detector, **how)
    if args.resume:
        run_metadata.check_resumable(run, args.output)
    with ExitStack() as stack:
        ways = {"overwrite": args.overwrite, "resume": args.resume, "uncertain": args.uncertain}
        writer = stack.enter_context(results.Writer(args.output, labels, **ways))
        if not writer.done:
            run_metadata.write_metadata(run, args.output)
        copies = args.annotated and stack.enter_context(batch.Copies(args.folder, args.annotated))
        stopped = stack.enter_context(common.stoppable())
        left = (path for path in pictures(args, on_error=common.note) if not writer.holds(path))
        labelled = stack.enter_context(closing(batch.recognize(left, recognizer)))
        taken_whole = 0
        for result in common.progress(labelled, total - len(writer.done), "pictures"):
            writer.write(results.rows(str(result.path), result.predictions, readable=not result.error))
            taken_whole += result.cropped
            if result.error:
                common.note(f"skipped {result.error}")
            elif copies:
                copies.add(result)
            if stopped():
                break
    if stopped():
        print(f"stopped; {args.output} keeps what was done. Go on with --resume")
        return 130
    if taken_whole:
        print(f"{taken_whole:,} small square pictures taken as cropped faces (--detector auto)")
    counts, table = batch.summarize(args.output, args.folder, labels)
    if table:
        print(f"\nfolder (row) by predicted (column), the largest face of each picture\n{table}\n")
    ok, none, unreadable = (counts[status] for status in results.STATUSES)
    print(f"{args.output}: {ok:,} pictures with faces, {none:,} without a face, {unreadable:,} unreadable")
    return 0 if ok else 1


def check(args):
    """Refuses what would lose something."""
    if args.resume and args.overwrite:
        raise FerError("--resume goes on, --overwrite starts again: choose one")
    ways = "go on with --resume, start again with --overwrite, or choose another name"
    results.check_output(args.output, kept=args.resume or args.overwrite, ways=ways)
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
    for path in class_folders.find_pictures(args.folder, on_error=on_error):
        if not among or drawn not in path.resolve().parents:
            yield path
