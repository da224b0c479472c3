"""Live labelling, frame by frame: the whole path (detect, crop, classify, smooth, draw) against PyPI `fer`.

    python benchmarks/live.py --model models/four-block.keras
    python benchmarks/live.py --model models/four-block.keras --fer-python ../venv-fer/bin/python --json live.json

One face (scikit-image's astronaut, moving and changing its size) at 640x480. Both label the same frames in turn, a
stretch each, so that a busy moment of the machine hits both. Also: start-up, the 95th percentile, and the memory that
`--memory-frames` frames take. The rival runs in its own interpreter: pip install fer==25.10.3.
"""

import argparse
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

from fer import cli, render
from fer.detectors import Haar
from fer.sources import Frame

FPS = 30.0
STRETCH = 50  # frames that one of the two labels before it is the other's turn
RIVAL = """
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--memory-frames", type=int, default=10_000)
    parser.add_argument("--fer-python", metavar="PYTHON", help="an interpreter that has fer 25.10.3")
    parser.add_argument("--json", metavar="FILE", help="write the figures as well")
    args = parser.parse_args()
    with cli.quiet():
        from fer import hardware, live
        from fer.classifier import Classifier

        session = live.Session(Classifier.load(args.model), Haar())
    print(f"{hardware.describe()}, opencv {cv2.__version__}, {Path(args.model).name}, {scenes.WIDTH}x{scenes.HEIGHT}")
    with tempfile.TemporaryDirectory() as folder:
        names, places = film(Path(folder), args.frames)
        ours, rival = measure(session, names, args.fer_python)

        def found(boxes):
            return sum(map(scenes.shows, boxes, places))

        figures = {
            "ours_ms": round(float(np.median([ms for ms, _ in ours])), 2),
            "p95_ms": round(float(np.percentile([ms for ms, _ in ours], 95)), 2),
            "ours_found": found(boxes for _, boxes in ours),
            "alt2_found": found(plain_alt2(names)),
            "startup_s": round(startup(args.model, Path(folder)), 2),
        }
        if rival:
            figures["fer_ms"] = round(float(np.median([ms for ms, _ in rival])), 2)
            figures["ratio_to_fer"] = round(figures["ours_ms"] / figures["fer_ms"], 3)
            figures["fer_found"] = found(boxes for _, boxes in rival)
        figures["memory_growth_mb"] = round(growth(session, names, args.memory_frames), 1)
    figures["frames"] = len(names)
    for name, value in figures.items():
        print(f"{name:18} {value:>10}")
    if args.json:
        Path(args.json).write_text(json.dumps(figures | {"device": hardware.describe()}, indent=1))


def film(folder, count):
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


def measure(session, names, fer_python):
    """Milliseconds and faces of every frame: ours, and the rival's if its interpreter is named."""
    ours, theirs, rival = [], [], None
    if fer_python:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        # Elsewhere than here, where the package `fer` is ours.
        rival = subprocess.Popen([fer_python, "-c", RIVAL], **pipes, text=True, cwd=Path(names[0]).parent)
        print(f"the rival: fer {answer(rival, 'ready').strip()}")
    step = iter(range(10**9))
    for name in names[:STRETCH]:  # warms up
        process(session, cv2.imread(name), next(step))
    if rival:
        ask(rival, names[:5])
    for begin in range(0, len(names), STRETCH):
        stretch = names[begin : begin + STRETCH]
        ours += [process(session, cv2.imread(name), next(step)) for name in stretch]
        if rival:
            theirs += ask(rival, stretch)
    if rival:
        rival.stdin.close()
        rival.wait()
    return ours, theirs


def process(session, image, index):
    begun = time.perf_counter()
    predictions = session.process(Frame(image, "benchmark", index, index / FPS))
    render.draw(image, predictions, caption=f"{session.fps:.0f} fps")
    passed = 1000 * (time.perf_counter() - begun)
    boxes = [prediction.face.box for prediction in predictions]
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


def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
