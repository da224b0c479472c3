"""--collect: corrected faces become class folders; nothing without consent, and nothing outside the folder."""

from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from support import portrait

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import connect, encode, line

from fer import FerError
from fer.core.images import InputSpec
from fer.data import loading
from fer.web import corrections

pytestmark = pytest.mark.slow

FACE = portrait.PLACE
BOX = {"x": FACE.x, "y": FACE.y, "width": FACE.width, "height": FACE.height}


@pytest.fixture
def image():
    return encode(portrait.astronaut(), ".png")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "collected"


def send(client, image, **fields):
    fields = {"label": "happy", "consent": "yes", **BOX} | fields
    return client.post("/corrections", files={"image": image}, data={k: v for k, v in fields.items() if v is not None})


def kept(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_face_is_kept_under_its_label(folder, image):
    with connect(collect=folder) as client:
        assert client.get("/health").json()["collects"]
        answer = send(client, image)
        assert (answer.status_code, answer.json()) == (201, {"kept": 1})
        assert send(client, image, label="sad").json() == {"kept": 2}
    paths = kept(folder)
    assert [path.parent.name for path in paths] == ["happy", "sad"]
    expected = portrait.astronaut()[FACE.y : FACE.y + FACE.height, FACE.x : FACE.x + FACE.width]
    np.testing.assert_array_equal(cv2.imread(str(paths[0])), expected)
    with connect(collect=folder) as client:  # a new start goes on counting
        assert send(client, image, x=FACE.x + 1).json() == {"kept": 3}


def test_folder_is_ready_for_training(folder, image):
    with connect(collect=folder) as client:
        for label in web.classifier().labels:
            for number in range(10):
                assert send(client, image, label=label, x=FACE.x + number).status_code == 201
    data = loading.load(folder, InputSpec(48, 1), splits=("train",))["train"]
    assert set(data.labels) == set(web.classifier().labels)


def test_without_the_flag_there_is_no_such_route(image):
    with connect() as client:
        assert send(client, image).status_code == 404
        assert not client.get("/health").json()["collects"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"consent": None}, 422),
        ({"consent": "no"}, 422),
        ({"consent": ""}, 422),
        ({"label": "joy"}, 422),
        ({"label": "../../tmp"}, 422),
        ({"label": "/etc"}, 422),
        ({"label": "happy/.."}, 422),
        ({"label": "happy\0"}, 422),
        ({"consent": ["no", "yes"]}, 422),
        ({"label": ["happy", "sad"]}, 422),
        ({"x": -1}, 422),
        ({"width": 0}, 422),
        ({"width": 15}, 422),  # no face
        ({"width": 10**9}, 422),
        ({"x": 10**30}, 422),
        ({"height": "many"}, 422),
        ({"width": 16, "height": 40}, 422),
    ],
)
def test_bad_corrections_are_refused_and_not_kept(folder, image, fields, status):
    with connect(collect=folder) as client:
        answer = send(client, image, **fields)
        assert answer.status_code == status
        line(answer)
        assert send(client, b"no image").status_code == 415
    assert kept(folder) == []
    assert {path.name for path in folder.iterdir()} == set(web.classifier().labels)


def test_numbers_are_limited(folder, image):
    with connect(collect=folder, corrections=2, corrections_per_minute=100) as client:
        assert [send(client, image, x=FACE.x + x).status_code for x in range(3)] == [201, 201, 507]
    with connect(collect=folder, corrections_per_minute=1) as client:
        assert [send(client, image).status_code for _ in range(2)] == [201, 429]


def test_corrections_at_once_do_not_pass_the_limit(folder, image):
    with connect(collect=folder, corrections=2) as client, ThreadPoolExecutor(6) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda x: send(client, image, x=FACE.x + x), range(6))]
    assert sorted(statuses) == [201, 201, 507, 507, 507, 507]
    assert len(kept(folder)) == 2


def test_refused_corrections_do_not_count(folder, image):
    with connect(collect=folder, corrections=1) as client:
        assert send(client, b"no image").status_code == 415
        assert send(client, image).status_code == 201


def test_same_correction_is_kept_once(folder, image):
    with connect(collect=folder, corrections=3) as client, ThreadPoolExecutor(4) as pool:
        statuses = [answer.status_code for answer in pool.map(lambda _: send(client, image), range(3))]
        assert statuses == [201, 201, 201]
        assert send(client, image).json() == {"kept": 1}
        assert send(client, image, x=FACE.x + 1).json() == {"kept": 2}
        assert send(client, image, label="sad").json() == {"kept": 3}
    assert len(kept(folder)) == 3


def test_large_face_is_reduced(folder):
    """Noise of 1000 x 800 pixels would be a file of 2.4 MB, and the largest image one of 75 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    box = {"x": 0, "y": 0, "width": 1000, "height": 800}
    with connect(collect=folder, correction_side=100) as client:
        assert send(client, encode(noise), **box).status_code == 201
    (path,) = kept(folder)
    assert cv2.imread(str(path)).shape == (80, 100, 3)


def test_links_are_not_followed(folder, image, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.mkdir()
    (folder / "sad").symlink_to(elsewhere)
    with pytest.raises(FerError, match="leads to another folder"):
        connect(collect=folder)
    (folder / "sad").unlink()
    with connect(collect=folder) as client:  # nor one that appears later
        (folder / "sad").rmdir()
        (folder / "sad").symlink_to(elsewhere)
        assert send(client, image, label="sad").status_code == 507
        assert send(client, image).status_code == 201
    assert not list(elsewhere.iterdir())


def test_folder_itself_may_be_a_link(folder, image, tmp_path):
    (tmp_path / "disk").mkdir()
    folder.symlink_to(tmp_path / "disk")
    with connect(collect=folder) as client:
        assert send(client, image).status_code == 201
    assert len(kept(tmp_path / "disk")) == 1


@pytest.mark.parametrize("label", ["../sad", "/tmp/sad", "a/b", "..", ".", "", "sad\0"])
def test_labels_of_a_model_do_not_leave_the_folder(folder, label):
    with pytest.raises(FerError):
        corrections.class_folder(folder, label)
    assert not folder.exists()


def test_cross_origin_corrections_are_refused(folder, image):
    with connect(collect=folder) as client:
        client.headers["Origin"] = "http://evil.example"
        assert send(client, image).status_code == 403
    assert kept(folder) == []
