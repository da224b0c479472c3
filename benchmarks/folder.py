"""Does labelling a folder wait for its files? The whole path against its slowest part alone, in one run.

    python benchmarks/folder.py --model models/four-block.keras
    python benchmarks/folder.py --model models/four-block.keras --rounds 5 --json folder.json

Cropped faces (drawn ones, as JPEG files): the whole path, reading and writing rows included, against the network alone
at its best batch size. Photographs (scikit-image's astronaut, moved about, 640x480): the whole path against the
detector alone on decoded images, times the cores used. Measured in turn; the figures are medians of the ratios.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import scenes

from fer.cli import arguments, terminal
from fer.core import system
from fer.data import synthetic_faces
from fer.inference import results
from fer.inference.haar import Haar

BATCHES = (16, 32, 64, 128, 256, 512)


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--faces", type=int, default=2000)
    parser.add_argument("--photographs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with terminal.quiet():
        from fer.models import device
        from fer.models.classifier import Classifier

        model = Classifier.load(args.model)
    cores = system.cores()
    print(f"{device.describe()}, opencv {cv2.__version__}, {Path(args.model).name}")
    with tempfile.TemporaryDirectory() as folder:
        faces = write(Path(folder, "faces"), draw_faces(args.faces, model.spec.size))
        photographs = photograph(args.photographs)
        files = write(Path(folder, "photographs"), photographs)
        batch = best_batch(model)
        walk(model, faces[:300], folder)  # compiles
        rounds = []
        for _ in range(args.rounds):
            rounds.append(
                {
                    "network": network(model, batch, len(faces)),
                    "faces": walk(model, faces, folder),
                    "detector": detector(photographs[: max(20, len(photographs) // 4)]),
                    "photographs": walk(model, files, folder),
                }
            )
    names = {
        "network": f"network alone, batches of {batch}",
        "faces": "cropped faces, whole path",
        "detector": "detector alone, one core",
        "photographs": "photographs, whole path",
    }
    for key, text in names.items():
        values = [row[key] for row in rounds]
        print(f"{text:34} {np.median(values):9,.1f} images/s   ({min(values):,.1f} to {max(values):,.1f})")
    figures = {
        "share_of_network": median(row["faces"] / row["network"] for row in rounds),
        "share_of_detector": median(row["photographs"] / (cores * row["detector"]) for row in rounds),
    }
    print(f"share of the network               {figures['share_of_network']:9.3f}")
    print(f"share of the detector on {cores} cores   {figures['share_of_detector']:9.3f}")
    if args.json:
        about = {"device": device.describe(), "cores": cores, "batch": batch, "rounds": rounds}
        Path(args.json).write_text(json.dumps(figures | about, indent=1))


def draw_faces(count, size):
    images, _ = synthetic_faces.faces(min(count, 500), seed=0, size=size)
    return [images[i % len(images)] for i in range(count)]


def photograph(count):
    """A person somewhere in a street."""
    rng = np.random.default_rng(0)
    return [scenes.scene(*rng.uniform((0.5, -50, 0), (1.1, 350, 100)))[0] for _ in range(count)]


def write(folder, images):
    folder.mkdir()
    paths = [folder / f"{i:06}.jpg" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        cv2.imwrite(str(path), image)
    return paths


def best_batch(model):
    """The batch size with the most images a second."""
    speeds = {}
    for batch in BATCHES:
        network(model, batch, batch)
        speeds[batch] = network(model, batch, max(1024, 2 * batch))
    return max(speeds, key=speeds.get)


def network(model, batch, count):
    """Images a second of the compiled network on arrays that are there already."""
    images = np.random.default_rng(0).integers(0, 256, (batch, *model.spec.shape), np.uint8)
    calls = max(1, count // batch)
    begun = time.perf_counter()
    for _ in range(calls):
        model.model.predict_on_batch(images)
    return batch * calls / (time.perf_counter() - begun)


def detector(images):
    """Images a second of one detector in one thread."""
    haar, threads = Haar(), cv2.getNumThreads()
    cv2.setNumThreads(1)
    begun = time.perf_counter()
    for image in images:
        haar.find(image)
    speed = len(images) / (time.perf_counter() - begun)
    cv2.setNumThreads(threads)
    return speed


def walk(model, paths, folder):
    """Images a second from files to written rows, as predict_folder.py does it."""
    from fer.inference.batch import recognize
    from fer.inference.recognizer import Recognizer

    begun = time.perf_counter()
    recognizer = Recognizer.create(model, "auto", detectors=system.cores())
    with results.Writer(Path(folder, "rows.csv"), model.labels, overwrite=True) as writer:
        for result in recognize(paths, recognizer):
            writer.write(results.rows(str(result.path), result.predictions))
    return len(paths) / (time.perf_counter() - begun)


def median(values):
    return round(float(np.median(list(values))), 3)


if __name__ == "__main__":
    main()
