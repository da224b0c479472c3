"""Live labelling, frame by frame: the whole path (detect, crop, classify, smooth, draw) against PyPI `fer`.

    python benchmarks/live.py
    python benchmarks/live.py --model models/fer2013-fast.tflite models/fer2013.keras --fer-python OTHER/bin/python

One face (scikit-image's astronaut, moving and changing its size) at 640x480. All models and the rival label the same
frames in turn, a stretch each, so that a busy moment of the machine hits all of them; ours get them at 30 frames a
second, as from a camera. The first model also labels them as those of a file, where every search of the whole frame is
waited for: a camera should find as many faces. Also: the 95th and 99th percentile, start-up, and the memory that
`--memory-frames` frames take. The rival runs in its own interpreter: pip install fer==25.10.3.
"""

import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

import scenes

from fer.cli import arguments, terminal
from fer.inference import drawing
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer
from fer.models.bundled import live_model
from fer.video.frames import Frame

FPS = 30.0
STRETCH = 50  # frames that one labels before it is the next one's turn
RIVAL = "PyPI fer"
AS_A_FILE = "the first, as a file"
RIVAL_CODE = """
import importlib.metadata, json, sys, time
import cv2, numpy
from fer.fer import FER
rival = FER()
print("ready", importlib.metadata.version("fer"), flush=True)
for line in sys.stdin:
    results = []
    for name in json.loads(line):
        frame = cv2.imread(name)
        begun = time.perf_counter()
        faces = rival.detect_emotions(frame)
        results.append([1000 * (time.perf_counter() - begun), [list(map(int, face["box"])) for face in faces]])
    print("result", json.dumps(results), flush=True)
"""


def main():
    parser = arguments.parser(__doc__)
    parser.add_argument("--model", nargs="+", default=[arguments.model_path(live_model())])
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--memory-frames", type=int, default=10_000)
    parser.add_argument("--fer-python", metavar="PYTHON", help="an interpreter that has fer 25.10.3")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with terminal.quiet():
        from fer.models import device
        from fer.models.classifier import Classifier
        from fer.video.session import Session

        sessions = {model: Session(Recognizer(Classifier.load(model), Haar())) for model in args.model}
        as_a_file = Session(Recognizer(Classifier.load(args.model[0]), Haar()), thorough=True)
    print(f"{device.describe()}, opencv {cv2.__version__}, {scenes.WIDTH}x{scenes.HEIGHT}, {args.frames} frames\n")
    with tempfile.TemporaryDirectory() as folder:
        names, places = video(Path(folder), args.frames)
        results = measure(sessions | {AS_A_FILE: as_a_file}, names, args.fer_python)
        figures = {labeller: summary(frames, places) for labeller, frames in results.items()}
        for model, session in sessions.items():
            if RIVAL in figures:
                figures[model]["share_of_fer"] = round(figures[model]["median_ms"] / figures[RIVAL]["median_ms"], 3)
            figures[model]["start_s"] = round(startup(model, Path(folder)), 2)
            figures[model]["growth_mb"] = round(growth(session, names, args.memory_frames), 1)
        alt2 = found(plain_alt2(names), places)
    columns = ("median_ms", "p95_ms", "p99_ms", "found", "share_of_fer", "start_s", "growth_mb")
    print(f"{'':28} {' '.join(f'{column:>12}' for column in columns)}")
    for labeller, row in figures.items():
        print(f"{Path(labeller).name:28} {' '.join(f'{row.get(column, str()):>12}' for column in columns)}")
    print(f"{'plain alt2':28} {'':25} {alt2:12}")
    if args.json:
        first = figures[args.model[0]]
        about = {"device": device.describe(), "frames": len(names), "alt2_found": alt2, "ours_ms": first["median_ms"]}
        about |= {"p95_ms": first["p95_ms"], "p99_ms": first["p99_ms"], "memory_growth_mb": first["growth_mb"]}
        if RIVAL in figures:
            about |= {"fer_ms": figures[RIVAL]["median_ms"], "ratio_to_fer": first["share_of_fer"]}
        Path(args.json).write_text(json.dumps(about | {"labellers": figures}, indent=1))


def summary(frames, places):
    """Milliseconds, and in how many frames the face was found, of what `measure` gives for one labeller."""
    times, boxes = zip(*frames, strict=True)
    names = ("median_ms", "p95_ms", "p99_ms")
    percentiles = dict(zip(names, np.percentile(times, [50, 95, 99]).round(2).tolist(), strict=True))
    return percentiles | {"found": found(boxes, places)}


def found(boxes, places):
    return sum(map(scenes.shows, boxes, places))


def video(folder, count):
    """Frames on disk as PNG, and where the face is in each: it wanders and breathes."""
    names, places = [], []
    for i in range(count):
        angle = 2 * np.pi * i / 150
        scale = 0.8 + 0.25 * np.sin(1.7 * angle)
        x, y = scenes.WIDTH / 2 + 130 * np.sin(angle), scenes.HEIGHT / 2 + 40 * np.sin(2 * angle)
        frame, place = scenes.scene(scale, x - scale * 160, y - scale * 160)
        names.append(str(folder / f"{i:05}.png"))
        places.append(place)
        cv2.imwrite(names[-1], frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return names, places


def plain_alt2(names):
    """Boxes of OpenCV's cascade at 1.1/3, without anything of ours."""
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_alt2.xml")
    return [cascade.detectMultiScale(cv2.imread(name, cv2.IMREAD_GRAYSCALE), 1.1, 3) for name in names]


def measure(sessions, names, fer_python):
    """(milliseconds, boxes) of every frame, by labeller: our sessions, and the rival if its interpreter is named."""
    labellers = {model: frame_by_frame(session) for model, session in sessions.items()}
    if fer_python:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        # Elsewhere than here, where the package `fer` is ours.
        rival = subprocess.Popen([fer_python, "-c", RIVAL_CODE], **pipes, text=True, cwd=Path(names[0]).parent)
        print(f"the rival: fer {answer(rival, 'ready').strip()}\n")
        labellers[RIVAL] = lambda stretch: ask(rival, stretch)
    for label in labellers.values():  # warms up, backwards: the face must not jump when the measurement begins
        label(names[STRETCH:0:-1])
    results = {name: [] for name in labellers}
    for begin in range(0, len(names), STRETCH):
        for name, label in labellers.items():
            results[name] += label(names[begin : begin + STRETCH])
    if fer_python:
        rival.stdin.close()
        rival.wait()
    return results


def frame_by_frame(session):
    """Labels frames at the rate of a camera: a session searches the whole frame in the time between them."""
    step = itertools.count()

    def label(names):
        results, due = [], time.perf_counter()
        for image in [cv2.imread(name) for name in names]:
            time.sleep(max(0.0, due - time.perf_counter()))
            results.append(process(session, image, next(step)))
            due += 1 / FPS
        return results

    return label


def process(session, image, index):
    begun = time.perf_counter()
    predictions = session.process(Frame(image, "benchmark", index, index / FPS))
    drawing.draw(image, predictions, caption=f"{session.fps:.0f} fps")
    passed = 1000 * (time.perf_counter() - begun)
    boxes = [prediction.box for prediction in predictions]
    return passed, [(box.x, box.y, box.width, box.height) for box in boxes]


def ask(rival, names):
    rival.stdin.write(json.dumps(names) + "\n")
    rival.stdin.flush()
    return json.loads(answer(rival, "result"))


def answer(rival, word):
    for line in rival.stdout:  # it prints of its own beside ours
        if line.startswith(word):
            return line.removeprefix(word)
    sys.exit(f"error: the rival ended with code {rival.wait()}; is fer 25.10.3 installed there?")


def startup(model, folder):
    """Seconds from the command line to the end of the first frame of a file, the exit included."""
    video = str(folder / "one.avi")
    writer = cv2.VideoWriter(video, cv2.VideoWriter.fourcc(*"MJPG"), FPS, (scenes.WIDTH, scenes.HEIGHT))
    writer.write(cv2.imread(str(next(folder.glob("*.png")))))
    writer.release()
    script = Path(__file__).parent.parent / "predict_webcam.py"
    begun = time.perf_counter()
    command = [sys.executable, script, "--source", video, "--model", model, "--headless"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def growth(session, names, frames):
    """Megabytes that the process grew by over so many frames, from the 500th on."""
    images = [cv2.imread(name) for name in names[:100]]
    first = 0.0
    for i in range(frames):
        process(session, images[i % len(images)], 10**6 + i)
        if i == min(500, frames // 2):
            first = resident()
    return resident() - first


def resident(pid="self"):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
