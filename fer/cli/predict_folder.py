"""Label every face in a folder of images, sub-folders included: a row for each face, and for each image without one.

    python predict_folder.py photos/ --output results.csv
    python predict_folder.py photos/ --output results.jsonl --annotated drawn/

With --detector auto, small square images are taken as cropped faces; the others are searched.

With --ray, worker processes of this machine or of a Ray cluster label folders, patterns, object stores and videos, and
write a folder of Parquet files (docs/scaling.md):

    python predict_folder.py photos/ "clips/2024-*" s3://bucket/prefix --ray auto --output labelled/
"""

import argparse
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any

from fer.cli import arguments, folder_summary, terminal
from fer.core import files
from fer.core.errors import FerError
from fer.core.signals import stoppable
from fer.data import walk
from fer.inference import results
from fer.models.classifier import Classifier
from fer.models.model_file import read_info


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    text = "a folder of images, or one image; with --ray any number of folders, files, patterns and addresses"
    parser.add_argument("inputs", metavar="FOLDER", nargs="+", help=text)
    arguments.add_recognition_arguments(parser)
    arguments.add_uncertain_argument(parser)
    text = "table to write (results.csv); with --ray the folder of the Parquet files (results)"
    parser.add_argument("--output", metavar="CSV|JSONL|DIR", help=text)
    parser.add_argument("--annotated", metavar="DIR", type=Path, help="also write copies with boxes and labels")
    parser.add_argument("--resume", action="store_true", help="continue --output with the same model and detector")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing --output")
    text = "label with workers of the Ray cluster at HOST:PORT; auto: at RAY_ADDRESS, or else on this machine"
    parser.add_argument("--ray", metavar="auto|ADDRESS", help=text)
    text = "worker processes, with --ray (one for each GPU or core)"
    parser.add_argument("--workers", type=arguments.at_least(int, 1), metavar="N", help=text)
    args = parser.parse_args(argv)
    args.folder, args.output = Path(args.inputs[0]), args.output or ("results" if args.ray else "results.csv")
    return args


def main(args: argparse.Namespace) -> int:
    if args.ray:
        from fer.cli import predict_folder_ray

        return predict_folder_ray.label(args)
    check(args)
    labels = read_info(args.model).labels
    below = arguments.uncertain_below(args)
    total = sum(1 for _ in find_images(args))
    if not total:
        raise FerError(f"{args.folder}: no images found")
    with terminal.quiet():  # TensorFlow takes seconds to load: what can be refused is refused by now
        from fer.core import system
        from fer.inference import batch, run_metadata
        from fer.inference.detectors import automatic_model
        from fer.inference.recognizer import Recognizer

        how: dict[str, Any] = {
            "detector_model": automatic_model(args.detector, args.detector_model),
            "uncertain_below": below,
        }
        model = Classifier.load(args.model)
        recognizer = Recognizer.create(model, args.detector, detectors=system.cores(), **how)
    run = run_metadata.describe_run(args.output, args.model, detector=args.detector, **how)
    before = run_metadata.check_resumable(run, args.output) if args.resume else None
    if before is not None:
        recognizer.cropped = before.get("cropped", recognizer.cropped)
    elif args.detector == "auto":
        sample = islice(find_images(args), 0, None, -(-total // batch.SAMPLE))
        recognizer.cropped = "square" if batch.mostly_square_faces(list(sample), recognizer) else "auto"
    counts, others = Counter[str](), Counter[str]()
    with ExitStack() as stack:
        ways = {"overwrite": args.overwrite, "resume": args.resume, "uncertain": args.uncertain}
        writer = stack.enter_context(results.Writer(args.output, labels, **ways))
        if not writer.done:
            run_metadata.write_metadata(run | {"cropped": recognizer.cropped}, args.output)
        if args.annotated and writer.done:
            terminal.note(f"{len(writer.done):,} files that the table holds already get no annotated copy now")
        copies = args.annotated and stack.enter_context(batch.AnnotatedCopies(args.folder, args.annotated))
        stopped = stack.enter_context(stoppable())
        found = find_images(args, on_error=terminal.note, on_other=lambda path: others.update([path.suffix.lower()]))
        left = (path for path in found if not writer.holds(path))
        labelled = stack.enter_context(closing(batch.recognize(left, recognizer)))
        for result in terminal.progress(labelled, total - len(writer.done), "images"):
            writer.write(results.rows(str(result.path), result.predictions, readable=not result.error))
            counts.update(cropped=result.cropped, faceless_squares=result.square and not result.predictions)
            if result.error:
                terminal.note(f"skipped {result.error}")
            elif copies:
                copies.add(result)
            if stopped():
                print(f"stopped; {args.output} keeps the finished rows. Continue with --resume")
                return 130
    statuses, table = batch.summarize(args.output, args.folder, labels)
    folder_summary.print_notes(counts, others, recognizer.cropped)
    folder_summary.print_table(table)
    folder_summary.print_images(args.output, statuses)
    return 0 if statuses["ok"] else 1


def check(args: argparse.Namespace) -> None:
    """Refuses what would lose data, and what needs --ray."""
    if len(args.inputs) > 1 or args.workers or "://" in args.inputs[0]:
        raise FerError("several folders, addresses and --workers need --ray auto")
    if args.resume and args.overwrite:
        raise FerError("--resume continues a table, --overwrite replaces it: choose one")
    from fer.inference import run_metadata

    ways = "continue with --resume, replace it with --overwrite, or choose another name"
    results.check_output(args.output, kept=args.resume or args.overwrite, ways=ways)
    run_metadata.check_own(args.output)
    if args.annotated:
        files.check_folder(args.annotated)
    if args.annotated and os.path.isdir(args.annotated):
        folder = args.folder if os.path.isdir(args.folder) else args.folder.parent
        if folder.resolve() == args.annotated.resolve():
            raise FerError(f"{args.annotated}: the annotated copies would replace the images; choose another folder")
        if os.listdir(args.annotated) and not (args.resume or args.overwrite):
            raise FerError(f"{args.annotated} is not empty: {ways}")


def find_images(
    args: argparse.Namespace,
    on_error: Callable[[str], None] = lambda line: None,
    on_other: Callable[[Path], None] = lambda path: None,
) -> Iterator[Path]:
    """The images of the folder, without annotated copies that lie among them."""
    drawn, root = args.annotated and args.annotated.resolve(), args.folder.resolve()
    among = drawn and root in drawn.parents
    for path in walk.find_images(args.folder, on_error=on_error, on_other=on_other):
        if not among or drawn not in path.resolve().parents:
            yield path
