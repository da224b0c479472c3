"""What does `predict_folder.py --ray` cost beside the plain run? Images per second of both, in one run.

    python benchmarks/ray_folder.py --model models/fer2013.tflite
    python benchmarks/ray_folder.py --workers 1 2 --faces 20000 --json ray.json

Cropped faces (drawn ones, as JPEG files) and photographs (scikit-image's astronaut, moved about, 640x480). The plain
run and Ray with each number of workers are measured in turn, from files to written rows; the figures are medians over
the rounds, and "of plain" are medians of the ratios within a round. Start-up is left out of the rates: a rate begins
when the model is loaded and compiled (plain), or when each worker has labelled its first unit (Ray). "start" is the
time until then, without that of importing the packages; Ray itself starts once, which is given apart. "processor" is
the time of all cores per image, the program that hands out the work included: it shows the overhead on a busy machine.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from folder import draw_faces, photograph, write

from fer.cli import arguments, terminal
from fer.core import system
from fer.distributed import cluster, inputs, parts
from fer.distributed.labeller import prepare_run
from fer.inference import batch, results
from fer.inference.recognizer import Recognizer
from fer.models.bundled import BEST


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--model", default=BEST)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, system.cores()])
    parser.add_argument("--faces", type=int, default=6000)
    parser.add_argument("--photographs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with terminal.quiet():
        from fer.models import device
        from fer.models.classifier import Classifier

        started = time.perf_counter()
        recognizer = Recognizer.create(Classifier.load(args.model), "auto", detectors=system.cores())
        loaded = time.perf_counter() - started
    import ray

    about = f"{device.describe()}, ray {ray.__version__}, {Path(args.model).name}, {system.cores()} cores"
    print(about)
    figures = {"about": about}
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        with cluster.connect("auto"):
            connected = time.perf_counter() - started
            figures["start_of_ray_s"] = round(connected, 1)
            sets = {
                "faces": draw_faces(args.faces, recognizer.classifier.spec.size),
                "photographs": photograph(args.photographs),
            }
            for name, images in sets.items():
                if images:
                    write(Path(folder, name), images)
                    figures[name] = compare(Path(folder, name), args, recognizer)
    print(f"start: Ray {connected:.1f} s; model of the plain run {loaded:.1f} s")
    for name in sets:
        for row in figures.get(name, ()):
            print(
                f"{name:12} {row['run']:16} {row['images_per_second']:9,.1f} images/s ({row['least']:,.1f} to "
                f"{row['most']:,.1f})   of plain {row['of_plain']:.3f}   "
                f"processor {row['processor_ms']:.2f} ms   start {row['start_s']:.1f} s"
            )
    if args.json:
        Path(args.json).write_text(json.dumps(figures, indent=1))


def compare(folder, args, recognizer):
    """The plain run and those with Ray, in turn; a row of figures for each."""
    measured = {"plain": []} | {workers: [] for workers in args.workers}
    for _ in range(args.rounds):
        for key, values in measured.items():
            values.append(plain(folder, recognizer) if key == "plain" else with_ray(folder, args.model, key))
            rate, start, seconds = values[-1]
            terminal.note(f"{folder.name}, {key}: {rate:,.1f} images/s, {1000 * seconds:.2f} ms, start {start:.1f} s")
    alone = [rate for rate, _, _ in measured["plain"]]
    rows = []
    for key, values in measured.items():
        rates, starts, seconds = zip(*values, strict=True)
        rows.append(
            {
                "run": key if key == "plain" else f"{key} worker{'s' * (key > 1)}",
                "images_per_second": round(float(np.median(rates)), 1),
                "least": round(min(rates), 1),
                "most": round(max(rates), 1),
                "of_plain": round(float(np.median(np.divide(rates, alone))), 3),
                "start_s": round(float(np.median(starts)), 1),
                "processor_ms": round(1000 * float(np.median(seconds)), 3),
            }
        )
    return rows


def plain(folder, recognizer):
    """Images per second of the plain run's loop, the seconds until it is compiled, and its processor time per image."""
    paths = sorted(folder.iterdir())
    started = time.perf_counter()
    for _ in batch.recognize(paths[:300], recognizer):
        pass
    begun, used = time.perf_counter(), time.process_time()
    table = folder.parent / "rows.csv"
    with results.Writer(table, recognizer.classifier.labels, overwrite=True) as writer:
        for result in batch.recognize(paths, recognizer):
            writer.write(results.rows(str(result.path), result.predictions))
    used = time.process_time() - used
    return len(paths) / (time.perf_counter() - begun), begun - started, used / len(paths)


def with_ray(folder, model, workers):
    """Images per second once all workers have labelled a unit, the seconds until then, and processor time per image."""
    started, begun, ready, images, used, before = time.perf_counter(), 0.0, set(), 0, 0.0, 0.0
    output = folder.parent / "parts"
    parts.remove(output, parts=True)
    with prepare_run(output, model) as run:
        for done in cluster.label(inputs.make_units(inputs.find_files([str(folder)]), workers), run, workers):
            if len(ready) == workers:
                images += len(done.unit.names)
                used = processor_time(ready)
            else:
                ready.add(done.process)
                begun, before = time.perf_counter(), processor_time(ready)
    return images / (time.perf_counter() - begun), begun - started, (used - before) / images


def processor_time(workers):
    """Seconds of all cores that this process and the workers have used."""
    fields = [Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split() for process in workers]
    ticks = sum(int(field[11]) + int(field[12]) for field in fields)  # of the program and of the kernel for it
    return time.process_time() + ticks / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
