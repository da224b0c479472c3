"""Label faces live: from a webcam, a video file or a network camera, in a window or without one.

    python predict_webcam.py --source 0
    python predict_webcam.py --source video.mp4 --headless --record out.mp4 --log out.csv

Keys in the window: q or Esc ends, space pauses, s saves a snapshot, m mirrors. Without a window, Ctrl-C ends.
"""

import argparse
import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

import numpy as np

from fer.cli import arguments, terminal
from fer.core import files
from fer.core.errors import FerError
from fer.core.signals import stoppable
from fer.inference import results
from fer.models.bundled import live_model
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

if TYPE_CHECKING:
    from fer.video.frames import FrameSource
    from fer.video.window import Screen


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    parser = arguments.parser(__doc__)
    parser.add_argument("--source", default="0", metavar="N|FILE|URL", help="camera number, video file or address (0)")
    arguments.add_recognition_arguments(parser, model=live_model())
    arguments.add_uncertain_argument(parser)
    parser.add_argument(
        "--smoothing",
        type=arguments.at_least(float, 0),
        metavar="SECONDS",
        help="time constant of the averaged probabilities; 0 = off (0.4)",
    )
    parser.add_argument(
        "--skip", type=arguments.at_least(int, 1), default=1, metavar="N", help="analyse every Nth frame (1)"
    )
    parser.add_argument("--max-frames", type=arguments.at_least(int, 1), metavar="N", help="stop after N frames")
    parser.add_argument("--headless", action="store_true", help="open no window")
    outputs = parser.add_argument_group("files to write")
    outputs.add_argument("--record", metavar="MP4", help="the annotated video, H.264 (.mp4, .mkv or .mov)")
    outputs.add_argument("--log", metavar="CSV|JSONL", help="a row for each face, and for each frame without one")
    outputs.add_argument("--timeline", metavar="PNG", help="the probabilities of each tracked face over time")
    outputs.add_argument("--overwrite", action="store_true", help="replace existing files")
    return parser.parse_args(argv)


def main(args: argparse.Namespace) -> int:
    from fer.inference import drawing
    from fer.inference.recognizer import Recognizer
    from fer.video import sources, writer
    from fer.video.session import Session

    labels = read_info(args.model).labels
    below = arguments.uncertain_below(args)
    check(args)
    with ExitStack() as stack:
        source = stack.enter_context(sources.open_source(args.source))
        screen = None if args.headless else open_screen(source)
        with terminal.quiet():  # TensorFlow takes seconds to load: a missing camera or display is refused by now
            model = Classifier.load(args.model)
            options = {"detector_model": args.detector_model, "uncertain_below": below}
            recognizer = Recognizer.create(model, args.detector, **options)
        options = {} if args.smoothing is None else {"smoothing": args.smoothing}
        session = Session(recognizer, skip=args.skip, thorough=not source.live, **options)
        columns = {"overwrite": args.overwrite, "uncertain": args.uncertain}
        screen = screen and stack.enter_context(screen)  # it may refuse: before the writer replaces an older log
        log = args.log and stack.enter_context(results.Writer(args.log, labels, **columns))
        longest_still = writer.LONGEST_STILL if source.live else None
        recorder = args.record and stack.enter_context(writer.VideoWriter(args.record, longest_still=longest_still))
        stopped = stack.enter_context(stoppable())
        if source.live:  # Keras prepares itself for each number of faces: not while a person waits for a label
            for faces in (1, 2):
                model.predict(np.zeros((faces, *model.spec.shape), np.uint8))
        for frame in source if source.live else terminal.progress(source, source.total or 0, "frames"):
            if frame:  # None while a camera has nothing new
                predictions = session.process(frame)
                if log:
                    log.write(session.rows(frame))
                if recorder:
                    recorder.write(drawing.draw(frame.image, predictions), frame.seconds)
                if screen:
                    screen.show(frame, predictions, f"{session.fps:.0f} fps")
            elif screen and lost_camera(source):
                screen.caption("camera lost")  # what is seen is no longer what the camera sees
            over = session.history.frames == args.max_frames
            if over or stopped() or (screen and not screen.attend(stopped)):
                break
        else:
            lost = session.finish(source)
            if log:
                log.write(lost)
    print(session.history.summary())
    if args.timeline:
        from fer.video import timeline

        timeline.timeline(session.history.timeline(), labels, args.timeline, title=source.name)
    return 0 if session.history.frames else 1


def check(args: argparse.Namespace) -> None:
    """Refuses outputs that exist, that cannot be written, or that are the same file, before anything is opened."""
    from fer.video import writer
    from fer.video.capture import without_secrets

    paths = [path for path in (args.record, args.log, args.timeline) if path]
    places = [os.path.realpath(path) for path in (args.source, *paths)]
    if len(set(places)) < len(places):
        named = (without_secrets(args.source), *paths)
        raise FerError(f"two of these are the same file: {', '.join(named)}")
    if args.record:
        writer.check_video_format(args.record)
    if args.log:
        results.check_output(args.log, kept=True)  # below, like the others
    if args.timeline:
        from fer.core import figures

        figures.check_format(args.timeline)
    for path in paths:
        if os.path.exists(path) and not args.overwrite:
            raise FerError(f"{path} exists: replace it with --overwrite, or choose another name")
        files.check_writable(path)


def lost_camera(source: "FrameSource") -> bool:
    from fer.video.camera import Connection, LiveCamera

    return isinstance(source, LiveCamera) and source.state.connection is Connection.LOST


def open_screen(source: "FrameSource") -> "Screen":
    from fer.video.window import HELP, Screen

    print(HELP)
    return Screen(f"expressions: {source.name}", paced=not source.live)
