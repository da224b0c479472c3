"""Check what works on this machine: packages, Keras, GPU, OpenCV, camera, video, optional packages, and a self-test.

    fer doctor

Prints a line for each check, and the remedy where something is missing. The exit code is 1 if a required part does not
work. `python -m fer doctor` does the same.
"""

import argparse
import importlib
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fer.cli import arguments, terminal
from fer.core.errors import FerError
from fer.core.files import file_sha256
from fer.models.bundled import BEST, FAST

# Nothing here imports a package that may be missing: the checks do.
REINSTALL = "in the folder of this project, pip install -r requirements.txt -c constraints.txt"
EXPORT = "in the folder of this project, pip install -r requirements-export.txt"
WEB = "in the folder of this project, pip install -r requirements-app.txt"
RAY = 'pip install ".[ray]"'
PACKAGES = ("numpy", "scipy", "pandas", "sklearn", "matplotlib", "PIL", "tqdm")
FAILED = "FAILED"
NOT_FOUND = (ImportError, OSError)  # OSError: a shared library that a package needs


@dataclass(frozen=True)
class Check:
    """One thing that a command needs.

    Attributes:
        name: of the thing.
        find: returns what was found, in a few words or lines.
        remedy: what to do where `find` raises.
        required: every command needs it.
    """

    name: str
    find: Callable[[], str]
    remedy: str
    required: bool = False


class Missing(Exception):
    """Why a check failed.

    Args:
        text: what was found instead.
        remedy: another one than the check's own.
    """

    def __init__(self, text: str, remedy: str | None = None):
        super().__init__(text)
        self.remedy = remedy


class Unneeded(Missing):
    """What is missing on purpose: no failure, though the check is a required one."""


@dataclass(frozen=True)
class Outcome:
    """The result of a check: the mark and the text of its line, and the remedy where the thing does not work."""

    mark: str
    text: str
    remedy: str = ""


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    return arguments.parser(__doc__).parse_args(argv)


def main(args: argparse.Namespace) -> int:
    failed = 0
    for check in CHECKS:
        found = run(check)
        first, *more = found.text.splitlines()
        print(f"{found.mark:<7} {check.name:<13} {first}", *(f"{'':<21} {line}" for line in more), sep="\n", flush=True)
        if found.remedy:
            print(f"{'':<21} remedy: {terminal.as_called(found.remedy)}")
        failed += found.mark == FAILED
    print(f"\n{failed} of the required parts do not work" if failed else "\nall required parts work")
    return 1 if failed else 0


def run(check: Check) -> Outcome:
    """What a check found, or in one line why not."""
    mark, remedy = FAILED if check.required else "-", check.remedy
    try:
        with terminal.quiet():
            return Outcome("ok", check.find())
    except Missing as error:
        return Outcome("-" if isinstance(error, Unneeded) else mark, one_line(error), error.remedy or remedy)
    except (FerError, *NOT_FOUND) as error:
        return Outcome(mark, one_line(error) or type(error).__name__, remedy)
    except Exception as error:  # a broken installation raises anything; the other checks go on
        return Outcome(mark, f"{type(error).__name__}: {one_line(error)}", remedy)


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def find_python() -> str:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    if not (3, 11) <= sys.version_info < (3, 14):  # requires-python in pyproject.toml
        raise Missing(f"{found}; TensorFlow or this suite does not run on it")
    return found


def find_packages() -> str:
    return versions(PACKAGES)


def find_keras() -> str:
    from fer.models import device

    return device.describe()


def find_gpu() -> str:
    from fer.models import device

    if warning := device.warning():
        raise Missing(warning)
    if not device.has_gpu():
        raise Missing("none; training and labelling run on the CPU")
    return device.nvidia_card() or "found"


def find_opencv() -> str:
    import cv2

    from fer.inference.haar import Haar

    Haar()
    return f"{cv2.__version__}, Haar cascades load"


def find_window() -> str:
    import cv2

    from fer.video.window import Screen

    try:
        Screen("fer doctor", paced=False)
    except FerError as error:  # over SSH, in a container: another OpenCV would not help
        remedy = "work at the machine itself, connect with ssh -X, or use predict_webcam.py --headless"
        raise Missing("there is no display", remedy) from error
    line = next((line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "")
    if "NONE" in line:
        raise Missing("this OpenCV has no windows (a headless build)")
    return f"a display, {line.split(':')[-1].strip() or 'windows'}"


def find_camera() -> str:
    from fer.video import capture

    camera = capture.open_camera(0)
    try:
        for _ in range(10):  # cheap cameras drop a frame now and then
            frame = capture.read(camera)
            if frame is not None:
                break
            time.sleep(0.03)
    finally:
        camera.release()
    if frame is None:
        raise Missing("camera 0 opens but gives no image")
    return f"camera 0, {frame.shape[1]}x{frame.shape[0]}"


def find_ffmpeg() -> str:
    import av

    try:
        av.Codec("libx264", "w")
    except ValueError as error:
        raise Missing(f"PyAV {av.__version__} has no H.264 encoder") from error
    return f"PyAV {av.__version__} reads video and writes H.264"


def find_litert() -> str:
    from fer.models.bundled import find_model

    found, model = versions(("ai_edge_litert",)), f"{FAST}.tflite"
    return f"{found}; {label_synthetic_face(model)}" if find_model(model).is_file() else found


def find_web() -> str:
    return versions(("fastapi", "fastapi_offline", "uvicorn", "websockets", "python_multipart"))


def find_models() -> str:
    from fer.models.bundled import FOLDER, bundled_models, checksums

    shipped, found, lines = checksums(), bundled_models(), []
    if not found:
        raise Unneeded("none; name your own with --model")
    cards = {path.with_suffix(".keras").name for path in FOLDER.glob("*.md")}
    if lost := sorted((cards & shipped.keys()) - {path.name for path in found.values()}):
        raise Missing(f"{lost[0]} is missing")
    for whole in found.values():
        exported = whole.with_suffix(".tflite")
        if exported.name in shipped and not exported.is_file():
            raise Missing(f"{exported.name} is missing")
        for path in filter(Path.is_file, (whole, exported)):
            lines.append(describe_model(path, shipped.get(path.name)))
    return "\n".join(lines)


def describe_model(path: Path, shipped: str | None) -> str:
    """Name, beginning of the hash, and labels of a model file; whether it is another one than was shipped.

    Raises:
        FerError: it is damaged.
    """
    from fer.models import runtimes
    from fer.models.model_file import read_info

    digest, labels, exported = file_sha256(path), "", path.suffix in runtimes.SUFFIXES
    if not exported or runtimes.is_installed(path):
        labels = f": {', '.join(read_info(path).labels)}"  # also compares the checksums inside a .keras file
        if exported:
            runtimes.load(path)
    return f"{path.name} {digest[:12]}{labels}" + ", not the file that was shipped" * (shipped not in (None, digest))


def label_synthetic_face(model: str = BEST) -> str:
    """Finds and labels a synthetic face, through detector, crop and network."""
    import cv2
    import numpy as np

    from fer.data import synthetic_faces
    from fer.inference.recognizer import Recognizer
    from fer.models.bundled import bundled_models
    from fer.models.classifier import Classifier

    if not bundled_models():
        raise Unneeded("not run: there is no bundled model")
    drawn, codes = synthetic_faces.faces(**synthetic_faces.SAMPLES)
    face = drawn[[synthetic_faces.LABELS[code] for code in codes].index("happy")]
    image = np.full((480, 640, 3), 127, np.uint8)
    side = 240
    image[120 : 120 + side, 200 : 200 + side] = cv2.resize(face, (side, side))[:, :, None]
    recognizer = Recognizer.create(Classifier.load(model), "haar")
    recognizer(image)  # the first call compiles a Keras network
    started = time.perf_counter()
    predictions = recognizer(image)
    milliseconds = 1000 * (time.perf_counter() - started)
    labels = ", ".join(prediction.label for prediction in predictions) or "no face"
    if labels != "happy":
        raise Missing(f"expected one happy face, found {labels}")
    return f"found the synthetic face and labelled it happy in {milliseconds:.0f} ms"


def versions(names: tuple[str, ...]) -> str:
    """Names and versions of importable packages.

    Raises:
        ImportError: one is missing.
    """
    found = []
    for name in names:
        version = getattr(importlib.import_module(name), "__version__", "")
        found.append(f"{name} {version}".strip())
    return ", ".join(found)


CHECKS = (
    Check("Python", find_python, "install Python 3.11, 3.12 or 3.13", required=True),
    Check("packages", find_packages, REINSTALL, required=True),
    Check("Keras", find_keras, f"{REINSTALL}, or set KERAS_BACKEND to an installed backend", required=True),
    Check("GPU", find_gpu, "optional; docs/install-gpu.md says how to install for a GPU"),
    Check("OpenCV", find_opencv, "pip install --force-reinstall opencv-contrib-python (version 4)", required=True),
    Check("window", find_window, "pip install opencv-contrib-python, or use predict_webcam.py --headless"),
    Check(
        "camera", find_camera, "plug one in, or take a video file or a network camera: predict_webcam.py --source FILE"
    ),
    Check("video files", find_ffmpeg, REINSTALL, required=True),
    Check("LiteRT", find_litert, f"optional, for .tflite files: {EXPORT}"),
    Check("ONNX Runtime", lambda: versions(("onnxruntime",)), f"optional, for .onnx files: {EXPORT}"),
    Check("web page", find_web, f"optional, for app.py: {WEB}"),
    Check("JAX", lambda: versions(("jax",)), "optional, for train.py --distribute: docs/install-gpu.md"),
    Check("Ray", lambda: versions(("ray", "pyarrow")), f"optional, for predict_folder.py --ray: {RAY}"),
    Check("models", find_models, "copy the folder models/ again, or install the package again", required=True),
    Check("self-test", label_synthetic_face, "repair what failed above", required=True),
)
