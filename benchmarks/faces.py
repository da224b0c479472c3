"""Which detector finds the faces, how does it frame them, what does it cost? One table, one run.

    python benchmarks/faces.py --data fer2013
    python benchmarks/faces.py --data fer2013 --faces 100 --detectors mtcnn --json faces.json
    python benchmarks/faces.py --data fer2013 --detectors haar auto --detector-model yunet.onnx --model fer2013.tflite

Every face of the validation split, a real one of 48x48 pixels, is enlarged to 2.5 to 3.5 times its size and set at a
random place of a 384x288 frame over another of the faces, enlarged and blurred beyond recognition. It is found if a box
overlaps its square by at least 0.4 (intersection over union); all other boxes count as false, also those around a part
of the face. Most of those show the face and frame it otherwise than FER2013 does. `elsewhere` are the rest: the
centre lies outside the square, or the side is below 0.4 or above 2 of its side. `without` are boxes in images without a
face, all false: scikit-learn's and scikit-image's samples. The milliseconds are processor time a frame, the median over
the frames of the faces, OpenCV on one thread.

Haar's framing and MTCNN's are adjusted so that the median of the sizes found is that of the squares: see `detectors`.
"""

import json
import sys
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from fer.cli import arguments, terminal
from fer.cli.arguments import model_path
from fer.core.images import InputSpec
from fer.data import loading
from fer.inference.detectors import AUTO, DETECTORS, create_detector
from fer.inference.faces import Box
from fer.inference.haar import SMALLEST, Haar
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier

WIDTH, HEIGHT = 384, 288
PLAIN = {  # cascade, step from one size of window to the next, neighbours
    "alt2 1.1/3, plain": ("frontalface_alt2", 1.1, 3),
    "default 1.1/5, plain": ("frontalface_default", 1.1, 5),
    "default 1.3/5, plain": ("frontalface_default", 1.3, 5),
}
SAMPLES = ("chelsea", "coffee", "coins", "grass", "gravel", "hubble_deep_field", "moon", "page", "rocket", "text")


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--data", required=True, metavar="PATH", help="FER2013 as class folders or as a table")
    parser.add_argument("--faces", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the choice of faces and of their places (0)")
    searching = [AUTO, *(name for name in DETECTORS if name != "none")]
    parser.add_argument("--detectors", nargs="+", choices=searching, default=["haar"], help="haar brings five rows")
    parser.add_argument("--detector-model", metavar="FILE", help="the network's file, for auto and yunet")
    parser.add_argument("--model", type=model_path, help="count right labels with this model, too")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    cv2.setNumThreads(1)
    with terminal.quiet():
        from fer.models import device

        searches, hardware = make_searches(args), device.describe()
    data = loading.load(args.data, InputSpec(), splits=("validation",))["validation"]
    frames = list(scenes(data.images[..., 0], args.faces, args.seed))
    people, without = samples()
    print(f"{hardware}, opencv {cv2.__version__}; {len(frames):,} faces of {Path(args.data).name}, seed {args.seed}")
    print(
        f"{'detector':24} found missed false elsewhere   {'size ratio (5 to 95 %)':24} {'offset x, y':14} {'ms':>6}"
        f"   without ({len(without)} images)  astronaut"
    )
    rows = {}
    for name, boxes in searches.items():
        rows[name] = row = measure(boxes, frames) | {
            "false_without": sum(len(boxes(image)) for image in without),
            "astronaut": any(box.overlap(place) >= 0.4 for image, place in people for box in boxes(image)),
        }
        low, middle, high = row["size_ratio"]
        print(
            f"{name:24} {row['found']:5} {row['missed']:6} {row['false']:5} {row['elsewhere']:9}"
            f"   {middle:.3f} ({low:.2f} to {high:.2f})"
            f"{'':9} {row['offset'][0]:+.3f}, {row['offset'][1]:+.3f} {row['ms']:6.1f}   {row['false_without']:21}"
            f"  {'found' if row['astronaut'] else 'missed' if people else '-'}",
            flush=True,
        )
    if args.model:
        chosen = choose(np.random.default_rng(args.seed), data.images, args.faces)
        truth = [data.labels[code] for code in data.targets[chosen].argmax(axis=1)]
        for name in args.detectors:
            rows[name]["right"] = right = right_labels(name, args, frames, truth)
            print(f"{name}: the right label for {right} of {len(frames)} faces, {right / len(frames):.1%}")
    if args.json:
        about = {"device": hardware, "opencv": cv2.__version__, "faces": len(frames), "seed": args.seed}
        Path(args.json).write_text(json.dumps(about | {"detectors": rows}, indent=1))


def make_searches(args):
    """Name -> a function from an image to boxes."""
    searches = {
        name: finder(create_detector(name, args.detector_model if name in (AUTO, "yunet") else None))
        for name in args.detectors
    }
    if "haar" in searches:
        searches["haar, first pass only"] = finder(Haar(), later_passes=False)
        searches |= {name: plain(*settings) for name, settings in PLAIN.items()}
    return searches


def finder(made, **options):
    return lambda image: [face.box for face in made.find(image, **options)]


def plain(name, step, neighbours):
    """A cascade alone, as classroom programs call it: boxes neither framed nor merged."""
    cascade = cv2.CascadeClassifier(f"{cv2.data.haarcascades}haarcascade_{name}.xml")

    def boxes(image):
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        found = cascade.detectMultiScale(grey, step, neighbours, minSize=(SMALLEST, SMALLEST))
        return [Box(*map(int, box)) for box in found]

    return boxes


def choose(rng, faces, count):
    """Rows of the faces in the frames, in order."""
    return rng.permutation(len(faces))[:count]


def right_labels(name, args, frames, truth):
    """How many faces are found and get their label."""
    how = {"detector_model": args.detector_model if name in (AUTO, "yunet") else None}
    recognizer = Recognizer.create(Classifier.load(args.model), name, **how)
    right = 0
    for (image, place), label in zip(frames, truth, strict=True):
        best = max(recognizer(image), key=lambda one: place.overlap(one.box), default=None)
        right += best is not None and place.overlap(best.box) >= 0.4 and best.label == label
    return right


def scenes(faces, count, seed):
    """Frames uint8 (288, 384, 3), each with the square of its one face."""
    rng = np.random.default_rng(seed)
    chosen = choose(rng, faces, count)
    for face, other in zip(faces[chosen], faces[np.roll(chosen, 1)], strict=True):
        side = int(rng.integers(120, 169))
        x, y = int(rng.integers(WIDTH - side + 1)), int(rng.integers(HEIGHT - side + 1))
        frame = cv2.GaussianBlur(cv2.resize(other, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC), (0, 0), 20)
        frame[y : y + side, x : x + side] = cv2.resize(face, (side, side), interpolation=cv2.INTER_CUBIC)
        yield cv2.cvtColor(frame, cv2.COLOR_GRAY2BGR), Box(x, y, side, side)


def samples():
    """Photographs that come with libraries: with a face (the image and its square), and without."""
    from sklearn.datasets import load_sample_image

    people, without = [], [load_sample_image(name)[..., ::-1] for name in ("china.jpg", "flower.jpg")]
    try:
        from skimage import data
    except ImportError:
        print("scikit-image is not installed: fewer photographs")
    else:
        people.append((bgr(data.astronaut()), Box(173, 63, 104, 104)))
        without += [bgr(getattr(data, name)()) for name in SAMPLES]
    return people, [np.ascontiguousarray(image) for image in without]


def bgr(image):
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR if image.ndim == 2 else cv2.COLOR_RGB2BGR)


def measure(boxes, frames):
    sizes, offsets, times, false, elsewhere = [], [], [], 0, 0
    boxes(frames[0][0])  # warms up
    for image, place in frames:
        begun = time.process_time()
        found = boxes(image)
        times.append(time.process_time() - begun)
        best = max(found, key=place.overlap, default=None)
        hit = best is not None and best.overlap(place) >= 0.4
        false += len(found) - hit
        elsewhere += sum(not on_face(box, place) for box in found if not (hit and box is best))
        if hit:
            sizes.append(best.width / place.width)
            offsets.append(np.subtract(best.centre, place.centre) / place.width)
    return {
        "found": len(sizes),
        "missed": len(frames) - len(sizes),
        "false": false,
        "elsewhere": elsewhere,
        "size_ratio": [round(float(value), 3) for value in np.percentile(sizes or [np.nan], [5, 50, 95])],
        "offset": [round(float(value), 3) for value in np.median(offsets or [(np.nan, np.nan)], axis=0)],
        "ms": round(1000 * float(np.median(times)), 2),
    }


def on_face(box, place):
    """Whether a box shows the face in a square, however it frames it."""
    (x, y), ratio = box.centre, box.width / place.width
    inside = place.x <= x < place.x + place.width and place.y <= y < place.y + place.height
    return inside and 0.4 <= ratio <= 2


if __name__ == "__main__":
    main()
