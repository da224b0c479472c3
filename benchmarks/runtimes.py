"""The same network in Keras, ONNX and LiteRT: pictures a second, milliseconds for one face, seconds to start.

    python benchmarks/runtimes.py --model models/four-block.keras
    python benchmarks/runtimes.py --model models/four-block.keras --network vgg --width 16 --json runtimes.json
    python benchmarks/runtimes.py --model models/fer2013-fast.keras --rival OTHER/emotion_model_quantized.tflite

`--network` times a network without training in place of the file's own; `--rival` times a LiteRT file of somebody else
as well, on pictures of its own size. All take turns, round by round, so that a busy moment of the machine hits all of
them; figures are medians. int8 is calibrated on drawn faces: this measures time, not accuracy (`export_model.py --data`
does).
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import common
from fer.models import export, runtimes

SINGLES = 20  # single faces a round
FIRST = """
import sys, time
import numpy as np
from fer.models.classifier import Classifier
model = Classifier.load(sys.argv[1])
model.predict(np.zeros((1, *model.spec.shape), np.uint8))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="M.keras")
    parser.add_argument("--network", help="of fer.networks, in place of the file's own")
    parser.add_argument("--width", type=int, help="of that network")
    parser.add_argument("--rival", metavar="X.tflite", help="time this as well")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with common.quiet(), tempfile.TemporaryDirectory() as folder:
        from fer.models import device, networks
        from fer.models.classifier import Classifier

        known = Classifier.load(args.model)
        if args.network:
            model = networks.build(args.network, known.labels, known.spec, width=args.width)
            model.jit_compile = device.JIT_COMPILE
            known = dataclasses.replace(known, model=model)
        pictures = export.drawn(known.spec, 256)
        paths = write(known, Path(folder), pictures)
        labellers = {name: (Classifier.load(path).predict, pictures) for name, path in paths.items()}
        if args.rival:
            rival = runtimes.LiteRt(args.rival)
            labellers["rival"] = rival.predict_on_batch, np.zeros((len(pictures), *rival.input_shape[1:]), np.uint8)
        figures = measure(labellers, args.rounds)
        for name, path in paths.items():
            figures[name] |= {"start_s": start(path), "megabytes": round(path.stat().st_size / 2**20, 1)}
    name = f"{args.network or Path(args.model).name}{f' width {args.width}' if args.width else ''}"
    about = f"{device.describe()}, {name}"
    print(f"{about}, {len(pictures)} pictures, {args.rounds} rounds\n")
    columns = ("pictures_per_s", "one_face_ms", "start_s", "megabytes")
    print(f"{'':20} {' '.join(f'{column:>15}' for column in columns)}   times Keras: batch, one face")
    base = figures["keras"]
    for name, row in figures.items():
        row["times_keras_batch"] = round(row["pictures_per_s"] / base["pictures_per_s"], 2)
        row["times_keras_one_face"] = round(base["one_face_ms"] / row["one_face_ms"], 2)
        cells = " ".join(f"{row[column]:15,}" if column in row else " " * 15 for column in columns)
        print(f"{name:20} {cells}   {row['times_keras_batch']:.2f}, {row['times_keras_one_face']:.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"device": about, "runtimes": figures}, indent=1))


def write(known, folder, pictures):
    """Every format and precision that a script can run."""
    paths = {"keras": folder / "model.keras"}  # in float16 it is read into the same network
    known.save(paths["keras"])
    for format, precisions in export.PRECISIONS.items():
        for precision in precisions if format in ("onnx", "litert") else ():
            path = folder / f"{precision}{export.FORMATS[format]}"
            options = {"precision": precision, "calibration": pictures}
            export.export(known, path, format=format, pictures=pictures, **options)
            paths[f"{format} {precision}"] = path
    return paths


def measure(labellers, rounds):
    """Medians for each name of what takes pictures, and the pictures it takes."""
    batch, single = {name: [] for name in labellers}, {name: [] for name in labellers}
    for predict, pictures in labellers.values():  # warms up
        predict(pictures)
        predict(pictures[:1])
    for _ in range(rounds):
        for name, (predict, pictures) in labellers.items():
            batch[name].append(passed(predict, pictures))
            single[name] += [passed(predict, face) for face in pictures[:SINGLES, None]]
    return {
        name: {
            "pictures_per_s": round(len(pictures) / float(np.median(batch[name]))),
            "one_face_ms": round(1000 * float(np.median(single[name])), 2),
        }
        for name, (_, pictures) in labellers.items()
    }


def start(path):
    """Seconds from the command line to the end of the first prediction, the exit included."""
    command = [sys.executable, "-c", FIRST, str(path)]
    begun = time.perf_counter()
    subprocess.run(command, cwd=Path(__file__).parent.parent, check=True)
    return round(time.perf_counter() - begun, 2)


def passed(predict, pictures):
    begun = time.perf_counter()
    predict(pictures)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
