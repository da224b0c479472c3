"""Which faces does a video show that are there, and which that are not? Counts that no other load changes.

    python benchmarks/video_faces.py --data fer2013
    python benchmarks/video_faces.py --data fer2013 --detector-model yunet.onnx --seed 1 --json video_faces.json

A camera of 384x288 pixels pans and zooms over photographs without a face (scikit-learn's and scikit-image's samples).
Every box it gets there is false; every second frame is searched as an image of its own as well. Then a face of
FER2013's validation split, 120 to 168 pixels, wanders before each of them: it is found in a frame if the centre of a
box lies in its square and the sides differ by less than a factor of two; every other box is false. `blurred` blurs the
frames with a standard deviation of 4 pixels, `dark` leaves a quarter of the light and adds noise, `small` has faces of
34 to 48 pixels. Each photograph is a video of its own, labelled in line as `predict_webcam.py` labels a file.
"""

import json
import sys
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from faces import HEIGHT, WIDTH, choose, samples
from scenes import shows

from fer.cli import arguments, terminal
from fer.core.images import InputSpec
from fer.data import loading
from fer.inference.detectors import AUTO, CHOICES
from fer.inference.recognizer import Recognizer
from fer.models.bundled import live_model
from fer.video.frames import Frame
from fer.video.session import Session

CONDITIONS = ("plain", "blurred", "dark", "small")
EMPTY = (28, 10.0)  # frames of a video without a face, and frames per second
FILLED = (30, 30.0)  # of a video with one


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--data", required=True, metavar="PATH", help="FER2013 as class folders or as a table")
    parser.add_argument("--seed", type=int, default=0, help="of faces, places and paths (0)")
    parser.add_argument("--detector", choices=CHOICES, default=AUTO)
    parser.add_argument("--detector-model", metavar="FILE", help="the network's file, for auto and yunet")
    parser.add_argument("--model", type=arguments.model_path, default=arguments.model_path(live_model()))
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with terminal.quiet():
        from fer.models.classifier import Classifier

        recognizer = Recognizer.create(Classifier.load(args.model), args.detector, detector_model=args.detector_model)
    images = loading.load(args.data, InputSpec(), splits=("validation",))["validation"].images
    print(f"opencv {cv2.__version__}; {args.detector}, seed {args.seed}")
    print(f"{'':26} {'frames':>6} {'with the face':>14} {'false boxes':>12} {'in frames':>10}")
    rows = {}
    for name, search, clips in videos(images[..., 0], args.seed, recognizer):
        rows[name] = row = measure(search, clips)
        print(f"{name:26} {row['frames']:6} {row['found']:14} {row['false']:12} {row['false_frames']:10}", flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps({"seed": args.seed, "detector": args.detector, "videos": rows}, indent=1))


def measure(new_search, clips):
    row = {"frames": 0, "found": 0, "false": 0, "false_frames": 0}
    for clip in clips:
        search = new_search()
        for index, (image, seconds, place) in enumerate(clip):
            found = [one.box for one in search(Frame(image, "benchmark", index, seconds))]
            right = [box for box in found if place and shows([(box.x, box.y, box.width, box.height)], place)]
            false = len(found) - min(len(right), 1)
            row["frames"] += 1
            row["found"] += bool(right)
            row["false"] += false
            row["false_frames"] += bool(false)
    return row


def videos(faces, seed, recognizer):
    """Name of a row, what begins the search of a video, and the videos: see `video`."""
    photos = samples()[1]
    chosen = faces[choose(np.random.default_rng(seed), faces, len(photos))]

    def as_images():
        return lambda frame: recognizer(frame.image)

    def as_video():
        return Session(recognizer, thorough=True).process

    for condition in CONDITIONS[:2]:
        empty = [list(video(photo, None, condition, [seed, i])) for i, photo in enumerate(photos)]
        yield f"images, no face, {condition}", as_images, [clip[::2] for clip in empty]
        yield f"video, no face, {condition}", as_video, empty
    for condition in CONDITIONS:
        pairs = enumerate(zip(photos, chosen, strict=True))
        filled = [video(photo, face, condition, [seed, i]) for i, (photo, face) in pairs]
        yield f"video, a face, {condition}", as_video, filled


def video(photo, face, condition, seed):
    """Frames uint8 (288, 384, 3), their seconds, and the place of the face (centre and side) or None without one."""
    rng = np.random.default_rng(seed)
    phases, side = rng.uniform(0, 2 * np.pi, 6), int(rng.integers(120, 169))
    side = side * 2 // 7 if condition == "small" else side
    frames, rate = EMPTY if face is None else FILLED
    for seconds in np.arange(frames) / rate:
        image, place = view(photo, seconds + phases[:3]), None
        if face is not None:
            size = round(side * (1 + 0.15 * np.sin(2 * seconds + phases[3])))
            left = round((WIDTH - size) * (0.5 + 0.4 * np.sin(2 * seconds + phases[4])))
            top = round((HEIGHT - size) * (0.5 + 0.4 * np.sin(1.3 * seconds + phases[5])))
            shape = {"interpolation": cv2.INTER_AREA if size < face.shape[0] else cv2.INTER_CUBIC}
            image[top : top + size, left : left + size] = cv2.resize(face, (size, size), **shape)[..., None]
            place = (left + size / 2, top + size / 2, float(size))
        yield seen(image, condition, rng), float(seconds), place


def view(photo, phases):
    """What the camera sees of a photograph: a part of a third to all of it, moving by a few pixels a frame."""
    height, width = photo.shape[:2]
    scale = (0.65 + 0.3 * np.sin(phases[0])) * min(width / WIDTH, height / HEIGHT)
    across, down = round(WIDTH * scale), round(HEIGHT * scale)
    left = round((width - across) * (0.5 + 0.5 * np.sin(0.7 * phases[1])))
    top = round((height - down) * (0.5 + 0.5 * np.sin(0.9 * phases[2])))
    part = photo[top : top + down, left : left + across]
    return cv2.resize(part, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA if scale > 1 else cv2.INTER_CUBIC)


def seen(image, condition, rng):
    """The frame as the camera gives it under a condition."""
    if condition == "blurred":
        return cv2.GaussianBlur(image, (0, 0), 4)
    if condition == "dark":
        return np.clip(image / 4 + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    return image


if __name__ == "__main__":
    main()
