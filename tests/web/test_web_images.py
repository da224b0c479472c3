"""POST /predict: the same result as predict_folder.py, every image format, and refusals in one line."""

import io
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from support import portrait

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from PIL import Image
from support import web
from support.hostile import one_colour_png
from support.web import BOX, encode, line, predict

from fer.core import images
from fer.core.system import cores
from fer.inference import batch
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer


@pytest.fixture(scope="module")
def client():
    with web.connect() as client:
        yield client


@pytest.fixture(scope="module")
def astronaut():
    return portrait.astronaut()


def by_folder(path):
    """What predict_folder.py says of a file: box and probabilities of each face."""
    (result,) = batch.recognize([path], Recognizer(web.classifier(), Haar()))
    return [
        (
            [getattr(one.box, side) for side in BOX],
            dict(zip(one.labels, one.distribution.round(4).tolist(), strict=True)),
        )
        for one in result.predictions
    ]


def faces(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()["faces"]


@pytest.fixture(scope="module")
def shown(astronaut):
    """Images by name, as the bytes of a file."""
    small = cv2.resize(astronaut, None, fx=0.5, fy=0.5)
    two = np.full((512, 800, 3), 120, np.uint8)
    two[:256, :256], two[:, 288:] = small, astronaut
    alpha = cv2.cvtColor(astronaut, cv2.COLOR_BGR2BGRA)
    alpha[..., 3] = 128
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    Image.fromarray(cv2.rotate(astronaut, cv2.ROTATE_90_COUNTERCLOCKWISE)[..., ::-1]).save(turned, "JPEG", exif=exif)
    face = astronaut[63:167, 173:277]
    return {
        "one.jpg": encode(astronaut),
        "two.png": encode(two, ".png"),
        "turned.jpg": turned.getvalue(),
        "deep.png": encode(astronaut.astype(np.uint16) * 257, ".png"),
        "clear.png": encode(alpha, ".png"),
        "grey.png": encode(cv2.cvtColor(astronaut, cv2.COLOR_BGR2GRAY), ".png"),
        "one.webp": encode(astronaut, ".webp"),
        "one.bmp": encode(astronaut, ".bmp"),
        "face.png": encode(cv2.resize(face, (48, 48)), ".png"),
    }


@pytest.mark.parametrize(
    ("name", "size", "count"),
    [
        *(("one.jpg", (512, 512), 1), ("two.png", (800, 512), 2), ("turned.jpg", (512, 512), 1)),
        *(("deep.png", (512, 512), 1), ("clear.png", (512, 512), 1), ("grey.png", (512, 512), 1)),
        *(("one.webp", (512, 512), 1), ("one.bmp", (512, 512), 1), ("face.png", (48, 48), 1)),
    ],
)
def test_result_matches_predict_folder(client, shown, tmp_path, name, size, count):
    path = tmp_path / name
    path.write_bytes(shown[name])
    answer = predict(client, shown[name], name)
    found = faces(answer)
    assert [([face[side] for side in BOX], face["probabilities"]) for face in found] == [
        (box, pytest.approx(shares, abs=1e-4)) for box, shares in by_folder(path)
    ]
    assert len(found) == count
    said = answer.json()
    assert (said["width"], said["height"]) == size
    assert said["emotion"] == found[0]["label"]
    for face in found:
        assert set(face) == {*BOX, "label", "confidence", "probabilities"}
        assert tuple(face["probabilities"]) == web.classifier().labels
        assert face["confidence"] == max(face["probabilities"].values())
        assert face["confidence"] == face["probabilities"][face["label"]]
        assert sum(face["probabilities"].values()) == pytest.approx(1, abs=3e-4)


def test_largest_face_comes_first(client, shown):
    first, second = faces(predict(client, shown["two.png"]))
    assert first["width"] > 1.5 * second["width"]
    assert first["x"] > 288 > second["x"]


def test_exif_orientation_is_applied(client, shown):
    (face,) = faces(predict(client, shown["turned.jpg"]))
    centre = face["x"] + face["width"] / 2, face["y"] + face["height"] / 2
    assert centre == pytest.approx(portrait.PLACE.centre, abs=12)


def test_small_square_image_is_one_face(client, shown):
    (face,) = faces(predict(client, shown["face.png"]))
    assert [face[side] for side in BOX] == [0, 0, 48, 48]
    assert images.decode(shown["face.png"]).shape == (48, 48, 3)


def test_no_face(client):
    said = predict(client, encode(np.full((300, 400, 3), 90, np.uint8))).json()
    assert said == {"emotion": None, "faces": [], "width": 400, "height": 300}


GIF = io.BytesIO()
Image.new("P", (8, 8)).save(GIF, "GIF", save_all=True, append_images=[Image.new("P", (8, 8), 3)])


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "empty"),
        (b"<!doctype html><title>no image</title>", 415, "JPEG, PNG, WEBP, BMP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>", 415, "not an image"),
        (b"PK\x03\x04" + bytes(100), 415, "not an image"),
        (GIF.getvalue(), 415, "not an image"),
        (encode(np.zeros((64, 64, 3), np.uint8), ".tiff"), 415, "not an image"),
        (encode(np.zeros((200, 200, 3), np.uint8))[:-20], 422, "cut short"),
        (encode(np.zeros((200, 200, 3), np.uint8), ".png")[:60], 422, "cut short"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), 415, "not an image"),
        (b"BM" + b"\xff" * 60, 415, "not an image"),
        (one_colour_png(9000, 9000), 413, "9,000 x 9,000 pixels; the limit is 25,000,000"),
        (one_colour_png(30000, 30000), 413, "more than 25,000,000 pixels"),
    ],
    ids=["nothing", "html", "svg", "zip", "gif", "tiff", "jpeg", "png", "head", "bmp", "large", "bomb"],
)
def test_refusals(client, data, status, words):
    answer = predict(client, data)
    assert answer.status_code == status
    assert words in line(answer)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 3000), (3000, 1), (2, 2)])
def test_odd_shapes_get_a_result_or_one_line(client, width, height):
    answer = predict(client, encode(np.zeros((height, width, 3), np.uint8), ".png"), "odd.png")
    assert answer.status_code == 200 or (answer.status_code == 422 and line(answer))


def test_requests_without_an_image(client):
    assert "image" in line(client.post("/predict"))
    assert client.post("/predict").status_code == 422
    assert client.post("/predict", data={"image": "not a file"}).status_code == 422
    assert client.post("/predict", files={"photo": b"x"}).status_code == 422
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post("/predict", content=b"--y\r\nnonsense", headers=broken)
    assert answer.status_code in (400, 422)
    line(answer)
    assert client.get("/predict").status_code == 405
    assert client.post("/predict", files=[("image", b"x")] * 1100).status_code == 400


def test_large_image_stays_in_memory(client, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (1500, 1800, 3), np.uint8)
    data = encode(noise, ".png")
    assert 2**22 < len(data) < 10 * 2**20
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda *_, **__: pytest.fail("written to the disk"))
    assert predict(client, data).status_code == 200


def test_jpeg_with_many_scans_is_refused(client):
    """Each scan goes over the whole image: ten thousand in 300 KB would hold a thread for minutes."""
    _, data = cv2.imencode(".jpg", np.zeros((4000, 4000), np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])
    data = data.tobytes()
    last = data.rindex(b"\xff\xda")
    answer = predict(client, data[:-2] + data[last:-2] * 2000 + data[-2:])
    assert answer.status_code == 422
    assert "scans" in line(answer)
    assert predict(client, data).status_code == 200


def test_number_of_images_is_limited():
    going, come = threading.Event(), threading.Event()

    class Held(Haar):
        def find(self, image, later_passes=True):
            come.set()
            going.wait(10)
            return []

    data = encode(np.zeros((300, 300, 3), np.uint8))
    for limits, words in (({"images": 1}, "1 images at once"), ({"images_per_client": 1}, "1 images per client")):
        going.clear()
        come.clear()
        with web.connect(detector=Held, **limits) as client, ThreadPoolExecutor(1) as pool:
            first = pool.submit(predict, client, data)
            assert come.wait(10)
            answer = predict(client, data)
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "1"
            assert words in line(answer)
            going.set()
            assert first.result().status_code == 200
            assert predict(client, data).status_code == 200


def test_webcams_do_not_wait_for_images():
    """All threads for images are held; a webcam's frame is labelled all the same."""
    going, come = threading.Event(), threading.Semaphore(0)

    class Held:
        def find(self, image):
            if image.shape[0] == 300:
                come.release()
                going.wait(10)
            return []

    data = encode(np.zeros((300, 300, 3), np.uint8))
    with web.connect(detector=Held) as client, ThreadPoolExecutor(8) as pool:
        requests = [pool.submit(predict, client, data) for _ in range(cores() + 1)]
        for _ in range(cores()):
            assert come.acquire(timeout=10)
        with client.websocket_connect("ws://localhost/live") as socket:
            socket.send_bytes(encode(np.zeros((200, 200, 3), np.uint8)))
            assert socket.receive_json()["faces"] == []
        assert not any(request.done() for request in requests)
        going.set()
        assert {request.result().status_code for request in requests} == {200}


def test_slow_image_gives_way():
    class Slow(Haar):
        def find(self, image, later_passes=True):
            time.sleep(1)
            return []

    with web.connect(detector=Slow, image_seconds=0.2) as client:
        answer = predict(client, encode(np.zeros((300, 300, 3), np.uint8)))
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert "busy" in line(answer)


def post_all(client, *images):
    return client.post("/predict", files=[("image", (f"{number}.jpg", data)) for number, data in enumerate(images)])


def test_several_images_give_a_result_each(client, shown):
    empty = encode(np.full((300, 400, 3), 90, np.uint8))
    answer = post_all(client, shown["one.jpg"], b"no image", empty, shown["two.png"])
    assert answer.status_code == 200
    one, bad, none, two = answer.json()["results"]
    assert one == predict(client, shown["one.jpg"]).json()
    assert list(bad) == ["detail"]
    assert "not an image" in bad["detail"]
    assert none == {"emotion": None, "faces": [], "width": 400, "height": 300}
    assert len(two["faces"]) == 2


def test_number_of_images_in_a_request_is_limited():
    small = encode(np.zeros((20, 20, 3), np.uint8))
    with web.connect(images_per_request=3) as client:
        assert len(post_all(client, *[small] * 3).json()["results"]) == 3
        answer = post_all(client, *[small] * 4)
        assert answer.status_code == 413
        assert line(answer) == "the limit is 3 images per request"
