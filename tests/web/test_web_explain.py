"""POST /predict?explain=true: a heat map for each face, what it may cost, and models that cannot be explained."""

import base64
import re
from unittest import mock

import cv2
import numpy as np
import pytest
from support import portrait, tiny

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from support import web
from support.web import connect, encode, line

from fer import FerError
from fer.core.images import InputSpec
from fer.inference.explain import heat_maps
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier
from fer.models.gradcam import OPACITY
from fer.web.strings import STATIC

SIZE = web.classifier().spec.size


@pytest.fixture(scope="module")
def two():
    """Two faces in one image."""
    return np.hstack([portrait.astronaut()] * 2)


def explain(client, *images, query="?explain=true"):
    files = [("image", (f"{number}.png", data)) for number, data in enumerate(images)]
    return client.post(f"/predict{query}", files=files)


def decode(face):
    """The heat map of a face: uint8 (size, size)."""
    data = np.frombuffer(base64.b64decode(face["heat_map"]), np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_UNCHANGED)


def test_each_face_has_the_heat_map_of_its_label(two):
    data = encode(two, ".png")
    recognizer = Recognizer(web.classifier(), Haar())
    with connect() as client:
        plain, answer = explain(client, data, query="").json(), explain(client, data).json()
    expected = heat_maps(recognizer, two, recognizer(two))
    assert len(answer["faces"]) == len(expected) == 2
    for face, heat in zip(answer["faces"], expected, strict=True):
        assert decode(face).shape == (SIZE, SIZE)
        np.testing.assert_allclose(decode(face), 255 * heat, atol=1)
        assert decode(face).max() in (0, 255)
        del face["heat_map"]
    assert answer == plain


def test_several_images_are_explained_each(two):
    with connect() as client:
        answer = explain(client, encode(portrait.astronaut(), ".png"), b"no image", encode(two, ".png"))
    one, bad, other = answer.json()["results"]
    assert list(bad) == ["detail"]
    assert [decode(face).shape for face in one["faces"] + other["faces"]] == [(SIZE, SIZE)] * 3


def test_image_without_a_face_has_nothing_to_explain():
    with connect() as client:
        answer = explain(client, encode(np.full((300, 400, 3), 90, np.uint8), ".png"))
    assert (answer.status_code, answer.json()["faces"]) == (200, [])


def test_number_of_explained_faces_is_limited(two):
    with connect(explained_faces=1) as client:
        first, second = explain(client, encode(two, ".png")).json()["faces"]
    assert "heat_map" in first
    assert "heat_map" not in second


def test_explanations_of_a_client_are_limited():
    data = encode(np.zeros((48, 48, 3), np.uint8), ".png")
    with connect(explanations_per_minute=3) as client:
        results = explain(client, *[data] * 5).json()["results"]
        assert ["detail" in result for result in results] == [False] * 3 + [True] * 2
        assert "the limit is 3 explained images per minute" in results[-1]["detail"]
        answer = explain(client, data)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) <= 20
        assert explain(client, data, query="").status_code == 200


def test_exported_model_is_refused_with_the_way_on():
    data = encode(portrait.astronaut(), ".png")
    with mock.patch.object(Classifier, "has_gradients", new=False), connect() as client:
        assert client.get("/health").json()["explains"] is False
        answer = explain(client, data, data)
        assert answer.status_code == 422
        assert "app.py --model fer2013.keras" in line(answer)
        assert explain(client, data, query="?explain=false").status_code == 200


def test_another_model_explains_and_is_loaded_at_the_first_question(two):
    loaded = []

    def load():
        loaded.append(Classifier(tiny.varied(seed=5), tiny.LABELS[::-1], InputSpec(SIZE)))
        return loaded[-1]

    recognizer = Recognizer(web.classifier(), Haar())
    with connect(load_explainer=load) as client:
        assert client.get("/health").json()["explains"] is True
        explain(client, encode(two, ".png"), query="")
        explain(client, encode(np.full((300, 400, 3), 90, np.uint8), ".png"))  # no face
        assert loaded == []
        answers = [explain(client, encode(two, ".png")).json() for _ in range(2)]
    assert len(loaded) == 1
    assert answers[0] == answers[1]
    own, expected = (heat_maps(recognizer, two, recognizer(two), model) for model in (None, loaded[0]))
    assert not np.allclose(own, expected, atol=0.1)
    for face, heat in zip(answers[0]["faces"], expected, strict=True):
        np.testing.assert_allclose(decode(face), 255 * heat, atol=1)


def test_damaged_model_that_explains_is_the_servers_fault(two, log_lines):
    def load():
        raise FerError("/srv/models/fer2013.keras: damaged inside")

    with connect(load_explainer=load) as client:
        answer = explain(client, encode(two, ".png"))
    assert (answer.status_code, line(answer)) == (503, "the model that explains labels cannot be loaded")
    assert log_lines == ["/srv/models/fer2013.keras: damaged inside"]


def test_explanations_can_be_switched_off(two):
    with connect(explanations_per_minute=0) as client:
        assert client.get("/health").json()["explains"] is False
        assert explain(client, encode(two, ".png")).status_code == 422


def test_other_values_are_refused():
    with connect() as client:
        answer = explain(client, encode(portrait.astronaut(), ".png"), query="?explain=perhaps")
    assert answer.status_code == 422
    assert line(answer).startswith("explain: ")


def test_page_and_sheets_draw_the_same_colours():
    """why.js draws what `gradcam.overlay` draws: viridis, as strong where the evidence is strongest."""
    script = (STATIC / "why.js").read_text(encoding="utf-8")
    colors = np.array(re.findall(r"\[(\d+), (\d+), (\d+)\]", script.partition("COLORS")[2]), int)
    assert len(colors) == 9
    steps = np.rint(np.linspace(0, 255, len(colors))).astype(np.uint8)[:, None]
    viridis = cv2.applyColorMap(steps, cv2.COLORMAP_VIRIDIS)[:, 0, ::-1].astype(int)
    assert np.abs(colors - viridis).max() <= 3
    assert float(re.search(r"OPACITY = ([\d.]+)", script)[1]) == OPACITY
