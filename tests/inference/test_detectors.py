"""Finding faces, in one real photograph and in images without any."""

import importlib.util
import itertools
import math
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_image
from support import portrait
from support.portrait import PLACE, turn

from fer import FerError
from fer.core import images
from fer.core.images import InputSpec, prepare
from fer.inference import detectors
from fer.inference import haar as cascades
from fer.inference.detectors import WholeImage, create_detector
from fer.inference.dnn_detectors import Mtcnn
from fer.inference.faces import Box, crop
from fer.inference.haar import Haar

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(__file__).parents[3] / "shared" / "data" / "fer2013-folders.tar.gz"


@pytest.fixture(scope="module")
def astronaut():
    return portrait.astronaut()


@pytest.fixture(scope="module")
def haar():
    return Haar()


@pytest.fixture(scope="module")
def mtcnn():
    pytest.importorskip("mtcnn", reason="the optional detector mtcnn is not installed")
    return Mtcnn()


@pytest.fixture(params=["haar", "mtcnn"])
def finder(request):
    return request.getfixturevalue(request.param)


def assert_at(faces, place, least=0.6):
    assert len(faces) == 1
    assert faces[0].box.overlap(place) > least, faces[0].box


def assert_inside(face, image):
    box = face.box
    assert 0 <= box.x < box.x + box.width <= image.shape[1]
    assert 0 <= box.y < box.y + box.height <= image.shape[0]


class Blob:
    """A cascade that takes the one bright spot for a face; blind at its first looks, or for the right half."""

    def __init__(self, blind=0, left_only=False):
        self.blind, self.left_only = blind, left_only

    def detectMultiScale2(self, grey, step, neighbours, minSize, maxSize):
        self.blind -= 1
        x, y, width, height = cv2.boundingRect((grey > 128).astype(np.uint8))
        if self.blind >= 0 or (self.left_only and x + width / 2 > grey.shape[1] / 2):
            return (), ()
        return [(x, y, width, height)], [neighbours + 1]


class TestHaar:
    def test_the_astronaut(self, astronaut, haar):
        before = astronaut.copy()
        faces = haar.find(astronaut)
        assert_at(faces, PLACE, 0.85)
        assert faces[0].score > 10
        assert (faces[0].landmarks, faces[0].tilt) == (None, 0)
        assert haar.find(astronaut) == faces
        np.testing.assert_array_equal(astronaut, before)

    def test_a_face_in_its_mirror(self, astronaut, haar):
        assert_at(haar.find(astronaut[:, ::-1]), Box(512 - 173 - 104, 63, 104, 104))

    @pytest.mark.parametrize(("scale", "least"), [(0.3, 0.55), (0.6, 0.75), (3.7, 0.75)])
    def test_boxes_are_in_pixels_of_the_image_whatever_its_size(self, astronaut, haar, scale, least):
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        image = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=method)
        place = Box(*(round(scale * v) for v in (PLACE.x, PLACE.y, PLACE.width, PLACE.height)))
        assert_at(haar.find(image), place, least)

    @pytest.mark.parametrize("name", ["china.jpg", "flower.jpg"])
    def test_no_faces_where_there_are_none(self, haar, name):
        image = load_sample_image(name)[..., ::-1]
        assert haar.find(image) == []
        assert haar.find(cv2.rotate(image, cv2.ROTATE_90_CLOCKWISE)) == []

    @pytest.mark.parametrize("angle", [35, 25, -40])
    def test_only_later_passes_find_a_tilted_head_and_its_tilt(self, astronaut, haar, angle):
        image = turn(astronaut, angle)
        assert not any(face.box.overlap(PLACE) > 0.4 for face in haar.find(image, later_passes=False))
        faces = haar.find(image)
        assert_at(faces, PLACE)
        assert math.copysign(1, faces[0].tilt) == math.copysign(1, angle)
        assert abs(faces[0].tilt - angle) <= 15

    @pytest.mark.parametrize("shape", [(300, 400), (900, 1600), (121, 97)])
    @pytest.mark.parametrize(
        ("line", "bright", "tilts"),
        [(0, 0.7, [0]), (1, 0.3, [0]), (1, 0.7, [0]), (2, 0.6, [15, -15]), (3, 0.4, [30, -30])],
        ids=["half size", "profile", "mirrored profile", "15 degrees", "30 degrees"],
    )
    def test_every_look_leads_back_to_the_place_in_the_image(self, monkeypatch, haar, shape, line, bright, tilts):
        image = np.zeros((*shape, 3), np.uint8)
        radius = min(shape) // 8
        at = round(shape[1] * bright), round(shape[0] * 0.45)
        cv2.circle(image, at, radius, (255, 255, 255), -1)
        blobs = {"frontalface_alt2": Blob(99 if line == 1 else 1), "profileface": Blob(left_only=True)}
        monkeypatch.setattr(haar, "_cascades", blobs)
        monkeypatch.setattr(haar, "later_passes", cascades.LATER_PASSES[line : line + 1])
        faces = haar.find(image)
        assert len(faces) == 1
        assert faces[0].tilt in tilts
        assert np.hypot(*np.subtract(faces[0].box.centre, (at[0] + 0.5, at[1] + 0.5))) < 0.012 * max(shape) + 1
        assert faces[0].box.width == pytest.approx(2 * radius * haar.FRAMING, rel=0.1)

    def test_a_weak_face_needs_a_later_pass(self, monkeypatch, haar):
        image = np.zeros((300, 300, 3), np.uint8)
        cv2.circle(image, (100, 100), 30, (255, 255, 255), -1)
        monkeypatch.setattr(haar, "_cascades", {"frontalface_alt2": Blob(), "profileface": Blob(99)})
        assert len(haar.find(image, later_passes=False)) == 1  # as many windows as it takes, and no more
        assert len(haar.find(image)) == 1  # the half size confirms it
        monkeypatch.setattr(haar, "later_passes", cascades.LATER_PASSES[1:2])
        assert haar.find(image) == []

    @pytest.mark.parametrize(("dx", "dy", "size"), [(0, 0, 104), (15, -12, 104), (-10, 5, 90), (8, 8, 120)])
    def test_near_its_last_place(self, astronaut, haar, dx, dy, size):
        face = haar.find_near(astronaut, Box(PLACE.x + dx, PLACE.y + dy, size, size))
        assert_at([face], PLACE, 0.8)

    @pytest.mark.parametrize("scale", [0.5, 3.0])
    def test_near_in_images_of_other_sizes(self, astronaut, haar, scale):
        image = cv2.resize(astronaut, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        place = Box(*(round(scale * v) for v in (PLACE.x, PLACE.y, PLACE.width, PLACE.height)))
        assert_at([haar.find_near(image, place)], place, 0.75)

    @pytest.mark.parametrize("box", [Box(350, 300, 104, 104), Box(-90, -90, 100, 100), Box(900, 900, 50, 50)])
    def test_near_a_place_without_a_face(self, astronaut, haar, box):
        assert haar.find_near(astronaut, box) is None

    def test_an_opencv_without_cascades(self, monkeypatch, tmp_path):
        monkeypatch.setattr(cv2.data, "haarcascades", f"{tmp_path}/")
        with pytest.raises(FerError, match=r"no Haar cascades.*opencv-contrib-python>=4"):
            Haar()
        monkeypatch.delattr(cv2, "data")
        with pytest.raises(FerError, match="opencv-contrib-python>=4"):
            create_detector("haar")


class TestEveryDetector:
    @pytest.mark.parametrize("cut", ["left", "right", "top", "left top", "right bottom"])
    def test_a_face_at_the_edge(self, astronaut, finder, cut):
        near, far = 4, 100
        x = slice(PLACE.x + near, None) if "left" in cut else slice(None, PLACE.x + far if "right" in cut else None)
        y = slice(PLACE.y + near, None) if "top" in cut else slice(None, PLACE.y + far if "bottom" in cut else None)
        image = np.ascontiguousarray(astronaut[y, x])
        faces = finder.find(image)
        place = Box(PLACE.x - (x.start or 0), PLACE.y - (y.start or 0), 104, 104)
        assert_at(faces, place)
        assert_inside(faces[0], image)
        assert faces[0].box.width == faces[0].box.height

    @pytest.mark.parametrize("kind", ["grey", "rgba", "grey 16", "rgb 16", "rotated jpeg"])
    def test_files_of_every_kind(self, astronaut, finder, kind, tmp_path, write):
        image, path = astronaut, tmp_path / "face.png"
        if kind.startswith("grey"):
            image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if kind == "rgba":
            image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA)
            image[..., 3] = 128
        if kind.endswith("16"):
            image = image.astype(np.uint16) * 257
        write(path, image)
        if kind == "rotated jpeg":
            path = write_rotated(tmp_path / "face.jpg", image)
        read = images.read(path)
        assert_at(finder.find(read), PLACE)

    def test_a_panorama(self, astronaut, finder):
        image = cv2.resize(load_sample_image("china.jpg")[..., ::-1], (12_000, 1_000))
        image[:, 9_000:10_000] = cv2.resize(astronaut[:330, 60:390], (1_000, 1_000))
        scale = 1_000 / 330
        place = [9_000 + (PLACE.x - 60) * scale, PLACE.y * scale, 104 * scale, 104 * scale]
        assert_at(finder.find(image), Box(*map(round, place)))

    @pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (11, 11), (19, 300), (30, 20)])
    def test_images_too_small_for_a_face(self, draw, finder, shape):
        assert finder.find(draw(5, *shape)) == []
        assert finder.find(np.zeros((*shape, 3), np.uint8)) == []

    @pytest.mark.parametrize(
        "array",
        [
            np.zeros((48, 48), np.uint8),
            np.zeros((48, 48, 1), np.uint8),
            np.zeros((48, 48, 4), np.uint8),
            np.zeros((48, 48, 3), np.uint16),
            np.zeros((48, 48, 3), np.float32),
            np.zeros((0, 48, 3), np.uint8),
        ],
        ids=lambda array: f"{array.dtype} {array.shape}",
    )
    def test_other_arrays_are_refused(self, haar, array):
        for find in (haar.find, WholeImage().find, lambda image: haar.find_near(image, PLACE)):
            with pytest.raises(FerError, match=r"uint8 \(H, W, 3\)") as error:
                find(array)
            assert f"{array.dtype} {array.shape}" in str(error.value)


def write_rotated(path, image):
    """A JPEG that lies on its side, with an EXIF orientation that says so."""
    data = cv2.imencode(".jpg", cv2.rotate(image, cv2.ROTATE_90_COUNTERCLOCKWISE))[1].tobytes()
    exif = bytes.fromhex("ffe1 0022 457869660000 49492a0008000000 0100 1201 0300 01000000 06000000 00000000")
    path.write_bytes(data[:2] + exif + data[2:])
    return path


class TestMtcnn:
    def test_the_astronaut_and_her_landmarks(self, astronaut, mtcnn):
        faces = mtcnn.find(astronaut)
        assert_at(faces, PLACE, 0.8)
        face = faces[0]
        assert 0.9 < face.score <= 1
        assert abs(face.tilt) < 5
        assert face.landmarks.dtype == np.float32
        left_eye, right_eye, nose, left_mouth, right_mouth = face.landmarks
        assert PLACE.x < left_eye[0] < nose[0] < right_eye[0] < PLACE.x + PLACE.width
        assert left_mouth[0] < nose[0] < right_mouth[0]
        assert PLACE.y < left_eye[1] < nose[1] < left_mouth[1] < PLACE.y + PLACE.height

    @pytest.mark.parametrize("angle", [-35, 30])
    def test_the_tilt_of_a_head(self, astronaut, mtcnn, angle):
        image = turn(astronaut, angle)
        face = mtcnn.find(image)[0]
        assert face.tilt == pytest.approx(angle, abs=6)
        upright = mtcnn.find(cv2.copyMakeBorder(crop(image, face), 50, 50, 50, 50, cv2.BORDER_REPLICATE))
        assert abs(upright[0].tilt) < 6

    def test_frames_as_haar_does(self, astronaut, mtcnn, haar):
        for image in (astronaut, astronaut[:, ::-1], cv2.resize(astronaut, None, fx=1.7, fy=1.7)):
            theirs, ours = mtcnn.find(image)[0].box, haar.find(image)[0].box
            assert theirs.width / ours.width == pytest.approx(1, abs=0.1)
            assert np.hypot(*np.subtract(theirs.centre, ours.centre)) < 0.1 * ours.width

    def test_no_faces_where_there_are_none(self, mtcnn):
        assert mtcnn.find(load_sample_image("china.jpg")[..., ::-1]) == []

    def test_a_file_in_the_current_directory_is_not_unpickled(self, mtcnn, monkeypatch, tmp_path, astronaut):
        for name in ("pnet.lz4", "rnet.lz4", "onet.lz4"):
            (tmp_path / name).write_bytes(b"not a network")
        monkeypatch.chdir(tmp_path)
        assert len(Mtcnn().find(astronaut)) == 1

    def test_not_installed(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "mtcnn", None)
        with pytest.raises(FerError, match="pip install mtcnn"):
            create_detector("mtcnn")

    def test_another_backend(self, monkeypatch):
        import keras

        monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(name=name))
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
        with pytest.raises(FerError, match="runs on jax: set KERAS_BACKEND=tensorflow"):
            Mtcnn()


class TestWholeImage:
    @pytest.mark.parametrize("shape", [(48, 48), (1, 1), (37, 200), (300, 11)])
    def test_the_crop_is_the_image_as_training_takes_it(self, draw, shape):
        image, spec = draw(6, *shape), InputSpec(48, 1)
        faces = create_detector("none").find(image)
        assert [(face.box, face.score) for face in faces] == [(Box(0, 0, shape[1], shape[0]), 1.0)]
        np.testing.assert_array_equal(crop(image, faces[0]), image)
        np.testing.assert_array_equal(prepare(crop(image, faces[0]), spec), prepare(image, spec))


def test_detectors_have_names(monkeypatch, tmp_path):
    monkeypatch.setenv("FER_CACHE", str(tmp_path))
    assert [type(create_detector(name)) for name in ("auto", "haar", "none")] == [Haar, Haar, WholeImage]
    assert [factory.name for factory in detectors.DETECTORS.values()] == list(detectors.DETECTORS)
    with pytest.raises(FerError, match="must be one of auto, haar, mtcnn, yunet, none, not 'dlib'"):
        create_detector("dlib")
    with pytest.raises(FerError, match="--detector-model is for --detector auto and yunet; haar takes none"):
        create_detector("haar", "yunet.onnx")


@pytest.fixture(scope="module")
def fer2013():
    """Sixty frames of benchmarks/faces.py, each with one real face."""
    if not REAL.is_file():
        pytest.skip("the real data are not here: ../shared/data/fer2013-folders.tar.gz")
    with tarfile.open(REAL, "r|gz") as archive:  # a stream: only its beginning is unpacked
        files = (archive.extractfile(member).read() for member in archive if member.isfile())
        faces = np.stack([images.decode(data)[..., 0] for data in itertools.islice(files, 60)])
    return benchmark(), list(benchmark().scenes(faces, 60, seed=0))


def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_faces", ROOT / "benchmarks" / "faces.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_real_faces_are_found_and_framed_as_they_were(fer2013, haar):
    measure, frames = fer2013[0].measure, fer2013[1]
    row = measure(fer2013[0].finder(haar), frames)
    plain = measure(fer2013[0].plain("frontalface_alt2", 1.1, 3), frames)
    assert row["found"] >= plain["found"] + 3
    assert row["false"] <= plain["false"] + 2
    assert row["size_ratio"][1] == pytest.approx(1, abs=0.06)
    np.testing.assert_allclose(row["offset"], 0, atol=0.03)


def test_mtcnn_frames_real_faces_alike(fer2013, mtcnn):
    row = fer2013[0].measure(fer2013[0].finder(mtcnn), fer2013[1][:30])
    assert row["found"] >= 20
    assert row["size_ratio"][1] == pytest.approx(1, abs=0.08)
    np.testing.assert_allclose(row["offset"], 0, atol=0.04)


class TestGlance:
    def test_in_turn_they_are_all_looks_of_find(self, haar, monkeypatch):
        taken = []
        monkeypatch.setattr(haar, "_run_pass", lambda grey, look, *_: taken.append((look, grey.shape[1])) or [])
        image = np.zeros((480, 640, 3), np.uint8)
        for number in range(14):
            haar.find_in_pass(image, number)
        assert taken[0] == taken[2] == taken[12] == (cascades.FIRST_PASS, 320)
        assert taken[1] == (cascades.FIRST_PASS, 640)
        run = {look for look, _ in taken}
        assert run == {look for line in cascades.LATER_PASSES for look in line}
        assert all(width == 320 for turn, (_, width) in enumerate(taken) if turn != 1)
        haar.find_in_pass(image, 14)
        assert taken[14] == taken[0]

    @pytest.mark.parametrize("turn_number", [0, 1])
    def test_a_face_is_seen(self, haar, astronaut, turn_number):
        assert_at(haar.find_in_pass(astronaut, turn_number), PLACE)

    def test_a_tilted_head_is_seen_in_its_turn(self, haar, astronaut):
        tilted = turn(astronaut, 30)
        seen = [haar.find_in_pass(tilted, number) for number in range(14)]
        assert any(any(face.box.overlap(PLACE) > 0.4 for face in faces) for faces in seen)
