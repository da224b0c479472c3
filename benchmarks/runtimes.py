"""Compare one network in Keras, ONNX and LiteRT: images/s, milliseconds for one face, seconds to start.

    python benchmarks/runtimes.py --model four-block
    python benchmarks/runtimes.py --model four-block --network vgg --width 16 --json runtimes.json
    python benchmarks/runtimes.py --model fer2013-fast --rival OTHER/emotion_model_quantized.tflite

`--network` times an untrained network instead of that of the file. `--rival` also times a LiteRT file of another
project, on images of its own size. All runtimes take turns, round by round, so a busy moment affects all of them.
Figures are medians. int8 is calibrated on synthetic faces: this measures speed, not accuracy.
"""

import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments, terminal
from fer.models import export, runtimes

SINGLES = 20  # single faces per round
FIRST = """
import sys, time
import numpy as np
from fer.models.classifier import Classifier
model = Classifier.load(sys.argv[1])
model.predict(np.zeros((1, *model.spec.shape), np.uint8))
"""


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--model", required=True, metavar="MODEL")
    parser.add_argument("--network", help="an untrained network of fer/models/networks.py instead")
    parser.add_argument("--width", type=int, help="of that network")
    parser.add_argument("--rival", metavar="X.tflite", help="also time this file")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with terminal.quiet(), tempfile.TemporaryDirectory() as folder:
        from fer.models import device, networks
        from fer.models.classifier import Classifier

        known = Classifier.load(args.model)
        if args.network:
            model = networks.build(args.network, known.labels, known.spec, width=args.width)
            model.jit_compile = device.JIT_COMPILE
            known = dataclasses.replace(known, model=model)
        images = export.synthetic_images(known.spec, 256)
        paths = write(known, Path(folder), images)
        runners = {name: (Classifier.load(path).predict, images) for name, path in paths.items()}
        if args.rival:
            rival = runtimes.LiteRt(args.rival)
            runners["rival"] = rival.predict_on_batch, np.zeros((len(images), *rival.input_shape[1:]), np.uint8)
        figures = measure(runners, args.rounds)
        for name, path in paths.items():
            figures[name] |= {"start_s": start(path), "megabytes": round(path.stat().st_size / 2**20, 1)}
    name = f"{args.network or args.model}{f' width {args.width}' if args.width else ''}"
    about = f"{device.describe()}, {name}"
    print(f"{about}, {len(images)} images, {args.rounds} rounds\n")
    columns = ("images_per_s", "one_face_ms", "start_s", "megabytes")
    print(f"{'':20} {' '.join(f'{column:>15}' for column in columns)}   times Keras: batch, one face")
    base = figures["keras"]
    for name, row in figures.items():
        row["times_keras_batch"] = round(row["images_per_s"] / base["images_per_s"], 2)
        row["times_keras_one_face"] = round(base["one_face_ms"] / row["one_face_ms"], 2)
        cells = " ".join(f"{row[column]:15,}" if column in row else " " * 15 for column in columns)
        print(f"{name:20} {cells}   {row['times_keras_batch']:.2f}, {row['times_keras_one_face']:.2f}")
    if args.json:
        Path(args.json).write_text(json.dumps({"device": about, "runtimes": figures}, indent=1))


def write(known, folder, images):
    """Exports every format and precision that the commands can run."""
    paths = {"keras": folder / "model.keras"}  # a float16 file loads as the same network
    known.save(paths["keras"])
    for format, precisions in export.PRECISIONS.items():
        for precision in precisions if format in ("onnx", "litert") else ():
            path = folder / f"{precision}{export.FORMATS[format]}"
            options = {"precision": precision, "calibration": images}
            export.export(known, path, format=format, images=images, **options)
            paths[f"{format} {precision}"] = path
    return paths


def measure(runners, rounds):
    """Median images/s and milliseconds for one face, by name of (predict, images)."""
    batch, single = {name: [] for name in runners}, {name: [] for name in runners}
    for predict, images in runners.values():  # warm-up
        predict(images)
        predict(images[:1])
    for _ in range(rounds):
        for name, (predict, images) in runners.items():
            batch[name].append(seconds(predict, images))
            single[name] += [seconds(predict, face) for face in images[:SINGLES, None]]
    return {
        name: {
            "images_per_s": round(len(images) / float(np.median(batch[name]))),
            "one_face_ms": round(1000 * float(np.median(single[name])), 2),
        }
        for name, (_, images) in runners.items()
    }


def start(path):
    """Seconds from starting a process to its end after one prediction."""
    command = [sys.executable, "-c", FIRST, str(path)]
    begun = time.perf_counter()
    subprocess.run(command, cwd=Path(__file__).parent.parent, check=True)
    return round(time.perf_counter() - begun, 2)


def seconds(predict, images):
    begun = time.perf_counter()
    predict(images)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
