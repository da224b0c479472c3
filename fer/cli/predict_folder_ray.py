"""predict_folder.py --ray: labels folders, object stores and videos with the workers of a Ray cluster."""

import argparse
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import islice
from pathlib import Path
from typing import Any, cast

from fer.cli import arguments, folder_summary, terminal
from fer.core import files
from fer.core.errors import FerError
from fer.core.signals import stoppable
from fer.core.system import cores
from fer.distributed import cluster, inputs, parts
from fer.distributed.labeller import Done, prepare_run
from fer.inference import batch, results, run_metadata
from fer.inference.detectors import automatic_model, create_detector
from fer.inference.recognizer import Cropped, Recognizer
from fer.models.classifier import Classifier
from fer.models.model_file import ModelInfo, read_info


def label(args: argparse.Namespace) -> int:
    check(args)
    info, below = read_info(args.model), arguments.uncertain_below(args)
    create_detector(args.detector, args.detector_model)  # refuses what the workers would refuse
    # YuNet's file of this machine's cache goes to all workers: theirs may hold none.
    how: dict[str, Any] = {
        "detector_model": automatic_model(args.detector, args.detector_model),
        "uncertain_below": below,
    }
    description = run_metadata.describe_run(args.output, args.model, detector=args.detector, **how)
    before = run_metadata.check_resumable(description, args.output) if args.resume else None
    if next(inputs.find_files(args.inputs), None) is None:
        raise FerError(f"{' '.join(map(inputs.shown, args.inputs))}: no images and no videos found")
    done, held = finished_sources(args, info) if before else (set[str](), 0)
    cropped, total = (before.get("cropped", "never"), 0) if before else examine(args, info)
    with ExitStack() as stack:
        # First, since nothing is removed or written where there is no cluster.
        with terminal.quiet():
            stack.enter_context(cluster.connect(args.ray))
        workers = args.workers or cluster.worker_count()
        parts.remove(args.output, parts=not before)
        run_metadata.write_metadata(description | {"cropped": cropped}, args.output)
        run = stack.enter_context(prepare_run(args.output, args.model, detector=args.detector, cropped=cropped, **how))
        stopped = stack.enter_context(stoppable())
        others = Counter[str]()
        found = inputs.find_files(
            args.inputs, on_error=terminal.note, on_other=lambda path: others.update([path.suffix.lower()])
        )
        left = (file for file in found if results.full_name(results.visible(file.name)) not in done)
        labelled = stack.enter_context(closing(cluster.label(inputs.make_units(left, workers), run, workers, stopped)))
        counts, number = Counter[str](), 0
        for _ in terminal.progress(sources(labelled, counts), total, "files"):
            number += 1
        parts.remove(args.output, parts=False)
    if stopped():
        print(f"stopped; {args.output} keeps the finished parts. Continue with --resume")
        return 130
    folder_summary.print_notes(counts, others, cropped)
    return print_summary(args.output, info.labels, held + number)


def check(args: argparse.Namespace) -> None:
    """Refuses what would lose data, and what --ray does not do."""
    if args.annotated:
        raise FerError("--annotated works without --ray only")
    if args.resume and args.overwrite:
        raise FerError("--resume continues a folder of results, --overwrite replaces it: choose one")
    if Path(args.output).suffix.lower() in results.FORMATS or os.path.isfile(args.output):
        raise FerError(f"{args.output}: with --ray, --output is a folder of Parquet files")
    if os.path.isdir(args.output):
        inside = set(Path(args.output).iterdir())
        if inside and not (args.resume or args.overwrite):
            ways = "continue with --resume, replace it with --overwrite, or choose another name"
            raise FerError(f"{args.output} exists: {ways}")
        others = sorted(path.name for path in inside - set(parts.list_parts(args.output)))
        if foreign := [name for name in others if name.endswith(parts.SUFFIX) and not name.startswith(".")]:
            raise FerError(f"{args.output}: holds other Parquet files ({foreign[0]}); choose another --output")
    files.check_writable(run_metadata.metadata_path(args.output) if os.path.isdir(args.output) else args.output)
    cluster.check_address(args.ray)


def finished_sources(args: argparse.Namespace, info: ModelInfo) -> tuple[set[str], int]:
    """The absolute names of the files that the parts hold, and how many there are."""
    columns = parts.schema(info.labels, uncertain=args.uncertain)
    return set(map(results.full_name, parts.sources(args.output, columns))), parts.count(args.output).sources


def examine(args: argparse.Namespace, info: ModelInfo) -> tuple[Cropped, int]:
    """Which images are taken as cropped faces, by a sample of them, and the number of all files; 0 where not needed."""
    if args.detector != "auto":
        return "never", 0
    kinds = Counter(file.video for file in inputs.find_files(args.inputs))
    every = max(1, -(-kinds[False] // batch.SAMPLE))
    sample = list(islice((file for file in inputs.find_files(args.inputs) if not file.video), 0, None, every))
    roots = {file.name: file.root for file in sample}
    # Only searches, so it needs no network, whose loading takes seconds.
    recognizer = Recognizer(
        cast(Classifier, info), [create_detector(args.detector, args.detector_model) for _ in range(cores())]
    )
    read = lambda name: inputs.read_image(roots[name], name)  # noqa: E731
    square = batch.mostly_square_faces(list(roots), recognizer, read=read)
    return "square" if square else "auto", kinds.total()


def sources(labelled: Iterator[Done], counts: Counter[str]) -> Iterator[str]:
    """The files of the finished units, one by one; notes their errors and adds up their counts."""
    for done in labelled:
        counts.update(done.counts)
        for note in done.notes:
            terminal.note(note)
        yield from done.unit.names


def print_summary(output: str, labels: tuple[str, ...], expected: int) -> int:
    """Says what the parts hold, those of earlier runs included; 0 if there is a face, else 1.

    Raises:
        FerError: they do not hold the expected number of files.
    """
    held = parts.count(output)
    if held.sources != expected:
        raise FerError(f"{output}: holds {held.sources:,} files, not {expected:,}; start again with --overwrite")
    folder_summary.print_table(batch.folder_table(held.table, labels))
    if held.videos:
        ok, none, unreadable = (held.frames[status] for status in results.STATUSES)
        print(f"{held.videos:,} videos: {ok:,} frames with faces, {none:,} without a face, {unreadable:,} unreadable")
    folder_summary.print_images(output, held.images)
    return 0 if held.images["ok"] or held.frames["ok"] else 1
