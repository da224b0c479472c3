"""Shared fixtures: images, class folders, tables and videos written to disk, and small models.

Keras is imported where it is needed: pytest-xdist's first process, which only hands out tests, then starts without it.
"""

import logging
import os
import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import numbered

import fer.training  # noqa: F401 -- before TensorFlow: all tests, and the programs they start, round in the same way
from fer import FerError
from fer.core.images import InputSpec

ROOT = Path(__file__).resolve().parents[1]

SLOW_MARKERS = {"browser", "gui", "backend"}


def pytest_configure():
    """Lets the programs that tests start hear Ctrl-C and SIGHUP, also in a shell's background and under nohup.

    A program inherits that a signal is ignored; a handler it does not inherit.
    """
    for name, handler in (("SIGINT", signal.default_int_handler), ("SIGHUP", lambda *_: None)):
        if (number := getattr(signal, name, None)) and signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(items):
    """Marks tests as slow that start a browser, a screen or another backend, or that read the real FER2013.

    Files with slow tests come first: the quick ones then fill the time until all processes of pytest-xdist end.
    """
    for item in items:
        if SLOW_MARKERS & {mark.name for mark in item.iter_markers()} or "fer2013" in item.fixturenames:
            item.add_marker(pytest.mark.slow)
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


def _draw(seed: int, height: int = 48, width: int = 48) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)


@pytest.fixture(scope="session")
def draw():
    """draw(seed, height, width): a smooth colour image uint8 (H, W, 3), another one for every seed."""
    return _draw


@pytest.fixture(scope="session")
def write():
    """write(path, image): encodes by the suffix, makes the folders on the way, returns the path."""

    def write(path: Path, image: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(cv2.imencode(path.suffix.lower(), image)[1].tobytes())
        return path

    return write


@pytest.fixture
def class_folders(tmp_path, write):
    """class_folders({"train/happy": 3, "train/sad": ["a.jpg", "b.BMP"]}): the root of a tree of small images.

    A number asks for that many PNG files, 0 for an empty folder. All images differ, also between calls.
    """
    drawn = iter(range(10**6))

    def build(tree: dict[str, int | list[str]], root: str = "faces", side: int = 48) -> Path:
        for folder, names in tree.items():
            (tmp_path / root / folder).mkdir(parents=True, exist_ok=True)
            for name in [f"{i:03}.png" for i in range(names)] if isinstance(names, int) else names:
                write(tmp_path / root / folder / name, _draw(next(drawn), side, side))
        return tmp_path / root

    return build


@pytest.fixture
def write_csv(tmp_path):
    """write_csv([(3, pixels, "Training"), ...]): a fer2013.csv; `pixels` may be a number for an image of that seed."""

    def text(pixels):
        if not isinstance(pixels, int):
            return pixels
        return " ".join(map(str, cv2.cvtColor(_draw(pixels), cv2.COLOR_BGR2GRAY).ravel()))

    def write(rows, header="emotion,pixels,Usage", name="fer2013.csv", pixels_at=1) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = [",".join(text(v) if i == pixels_at else str(v) for i, v in enumerate(row)) for row in rows]
        path.write_text("\n".join([header, *lines, ""]), encoding="utf-8")
        return path

    return write


def _made_once(factory, name: str, make: Callable[[Path], object]) -> Path:
    """The only file in a folder that the processes of pytest-xdist share; whoever needs it first makes it."""
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    if not shared.exists():
        folder = factory.mktemp(name)
        make(folder)
        with suppress(OSError):  # another process was quicker
            folder.rename(shared)
    (path,) = shared.iterdir()
    return path


@pytest.fixture(scope="session")
def learnt(tmp_path_factory):
    """The file of a tiny network that has learnt what `tiny.data` asks of it."""
    from support import tiny

    def make(folder):
        trained = tmp_path_factory.mktemp("run")
        tiny.fit(trained, epochs=8)
        (trained / "model.keras").rename(folder / "model.keras")

    return _made_once(tmp_path_factory, "learnt", make)


def _light(known, path: Path) -> None:
    """A model for programs in processes of their own: with LiteRT, where it is there, none waits for TensorFlow."""
    from fer.models import export

    try:
        export.export(known, path, format="litert", images=export.synthetic_images(known.spec, 8))
    except FerError:
        known.save(path.with_suffix(".keras"))


@pytest.fixture(scope="session")
def light_model(tmp_path_factory):
    """The file of a tiny model with which a program starts in a second."""
    from support import tiny

    from fer.models.classifier import Classifier

    def make(folder):
        _light(Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE)), folder / "tiny.tflite")

    return _made_once(tmp_path_factory, "light_model", make)


@pytest.fixture(scope="session")
def light_four_block(tmp_path_factory):
    """The same for models/four-block.keras."""
    from fer.models.classifier import Classifier

    def make(folder):
        _light(Classifier.load(ROOT / "models" / "four-block.keras"), folder / "four-block.tflite")

    return _made_once(tmp_path_factory, "light_four_block", make)


@pytest.fixture
def make_video(tmp_path):
    """make_video("a.avi", frames=40, fps=20): the path of a video whose frames are numbered from 0."""
    return lambda name="a.avi", **options: numbered.video(tmp_path / name, **options)


@pytest.fixture
def log_lines():
    """What the package logs at level INFO and above, a list of lines that grows."""

    class Lines(logging.Handler):
        def emit(self, record):
            lines.append(record.getMessage())

    lines, logger = [], logging.getLogger("fer")
    handler, level = Lines(), logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield lines
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty folder, to which default places are relative."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def refuse(capsys):
    """refuse(module, *arguments): the one line with which a script must stop, exit code 2."""
    from support import tiny

    def refuse(module, *arguments):
        assert tiny.script(module, *arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return refuse
