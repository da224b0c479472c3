"""--compare-model: a second model labels the same faces of images; live clients and old clients see no change."""

import numpy as np
import pytest
from support import portrait, tiny

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import BOX, connect, encode, predict

from fer.cli import app
from fer.core.images import InputSpec
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier

LABELS = ("calm", "tense", "happy", "sad")


@pytest.fixture(scope="module")
def second():
    """A model of other labels."""
    return Recognizer(Classifier(tiny.build(LABELS), LABELS, InputSpec(tiny.SIZE)), Haar(), uncertain_below=0.9)


@pytest.fixture(scope="module")
def client(second):
    with connect(compared=("other", second)) as client:
        yield client


def test_each_face_has_what_the_second_model_says(client, second):
    image = np.hstack([portrait.astronaut()] * 2)
    with connect() as alone:
        plain = predict(alone, encode(image, ".png")).json()
    answer = predict(client, encode(image, ".png")).json()
    expected = second(image)
    assert len(answer["faces"]) == len(expected) == 2
    for face, prediction in zip(answer["faces"], expected, strict=True):
        compared = face.pop("compared")
        assert [face[side] for side in BOX] == [getattr(prediction.box, side) for side in BOX]
        assert list(compared) == ["label", "confidence", "probabilities", "uncertain"]
        assert compared["label"] == prediction.label
        assert tuple(compared["probabilities"]) == LABELS
        assert compared["probabilities"] == pytest.approx(prediction.probabilities, abs=1e-4)
        assert compared["uncertain"] is True
    assert answer == plain  # all else is what a client of one model gets


def test_several_images_and_images_without_a_face(client):
    files = [encode(portrait.astronaut(), ".png"), encode(np.full((300, 400, 3), 90, np.uint8), ".png")]
    one, none = client.post("/predict", files=[("image", data) for data in files]).json()["results"]
    assert one["faces"][0]["compared"]["label"] in LABELS
    assert none["faces"] == []


def test_explanation_is_of_the_first_model(client):
    answer = client.post("/predict?explain=true", files={"image": encode(portrait.astronaut(), ".png")})
    (face,) = answer.json()["faces"]
    assert "heat_map" in face
    assert "heat_map" not in face["compared"]


def test_live_frames_have_one_model(client):
    with client.websocket_connect("ws://localhost/live") as socket:
        socket.send_bytes(encode(portrait.astronaut()))
        (face,) = socket.receive_json()["faces"]
    assert "compared" not in face


def test_health_names_both_models(client):
    said = client.get("/health").json()
    assert (said["model"], tuple(said["labels"])) == ("tiny", web.classifier().labels)
    assert said["compared"] == {"model": "other", "labels": list(LABELS), "uncertain_below": 0.9}
    with connect() as alone:
        assert alone.get("/health").json()["compared"] is None


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["models/a.keras"], ["a"]),
        (["models/a.keras", "b.tflite"], ["a", "b"]),
        (["models/a.keras", "models/a.tflite"], ["a.keras", "a.tflite"]),
    ],
)
def test_names_of_models(paths, names):
    assert app.model_names(paths) == names


def test_missing_second_model_is_refused(refuse, tmp_path):
    assert "there is no such model file" in refuse(app, "--compare-model", tmp_path / "none.keras")
