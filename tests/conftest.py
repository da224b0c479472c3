"""Shared fixtures: images, class folders and tables written to disk, and the real FER2013 where it lies at hand."""

import logging
import lzma
import shutil
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from support import numbered, tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.data import dataset
from fer.models import export
from fer.models.classifier import Classifier

# The real data are too large for the repository: they lie beside the checkout, or nowhere.
REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


SLOW_MARKERS = {"browser", "gui", "backend"}
SLOW_FIXTURES = {"real_csv", "real_folders", "real_faces", "fer2013"}


def pytest_collection_modifyitems(items):
    """Marks tests as slow that start a browser, a screen or another backend, or that read the real FER2013."""
    for item in items:
        if SLOW_MARKERS & {mark.name for mark in item.iter_markers()} or SLOW_FIXTURES & set(item.fixturenames):
            item.add_marker(pytest.mark.slow)


def _real(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip(f"the real data are not here: ../shared/data/{name}")
    return REAL / name


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


@pytest.fixture(scope="session")
def real_csv(tmp_path_factory):
    """The official training and PublicTest rows as fer2013.csv (271 MB)."""
    packed = _real("fer2013.csv.xz")
    path = tmp_path_factory.mktemp("real_csv") / "fer2013.csv"
    with lzma.open(packed) as source, path.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    yield path
    path.unlink()


@pytest.fixture(scope="session")
def real_votes():
    return _real("fer2013new.csv")


@pytest.fixture(scope="session")
def real_folders(tmp_path_factory):
    """The same images as class folders of JPEG files."""
    packed = _real("fer2013-folders.tar.gz")
    root = tmp_path_factory.mktemp("real_folders")
    with tarfile.open(packed) as archive:
        archive.extractall(root, filter="data")
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
def real_faces(real_folders):
    """The splits of these folders as they are loaded, and the seconds of all processors together that it took."""
    before = time.process_time()
    data = dataset.load(real_folders, InputSpec(48, 1))
    return data, time.process_time() - before


@pytest.fixture(scope="session")
def learnt(tmp_path_factory):
    """The file of a tiny network that has learnt what `tiny.data` asks of it."""
    folder = tmp_path_factory.mktemp("learnt")
    tiny.fit(folder, epochs=8)
    return folder / "model.keras"


def _light(known: Classifier, path: Path) -> Path:
    """A model for programs in processes of their own: with LiteRT, where it is there, none waits for TensorFlow."""
    try:
        export.export(known, path, format="litert", images=export.synthetic_images(known.spec, 8))
    except FerError:
        path = path.with_suffix(".keras")
        known.save(path)
    return path


@pytest.fixture(scope="session")
def light_model(tmp_path_factory):
    """The file of a tiny model with which a program starts in a second."""
    known = Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))
    return _light(known, tmp_path_factory.mktemp("light") / "tiny.tflite")


@pytest.fixture(scope="session")
def light_four_block(tmp_path_factory):
    """The same for models/four-block.keras."""
    known = Classifier.load(tiny.ROOT / "models" / "four-block.keras")
    return _light(known, tmp_path_factory.mktemp("light") / "four-block.tflite")


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
def refuse(capsys):
    """refuse(module, *arguments): the one line with which a script must stop, exit code 2."""

    def refuse(module, *arguments):
        assert tiny.script(module, *arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("error: ")
        return lines[0].removeprefix("error: ")

    return refuse
