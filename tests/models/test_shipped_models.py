"""The models that come with the suite: complete, within their sizes, with a card each, and the scripts' defaults."""

import re

import pytest
from support.portrait import PLACE, astronaut

from fer.cli import app, common, evaluate, predict_folder, predict_webcam
from fer.core import labels
from fer.core.images import InputSpec, prepare
from fer.inference.faces import Face, crop
from fer.models import classifier, export
from fer.models.classifier import Classifier

README = (common.MODELS / "README.md").read_text(encoding="utf-8")
SHIPPED = sorted(set(re.findall(r"\[([\w-]+\.keras)\]", README)))  # others in the folder are the user's own
MEGABYTES = {"fer2013.keras": 5, "fer2013-fast.keras": 2, "ferplus.keras": 15}
FIELDS = ("data", "labels", "network", "command", "recipe", "hardware and time", "kept", "seed", "calibration", "speed")


def test_the_three_are_there():
    assert set(MEGABYTES) <= set(SHIPPED)


def test_all_together_stay_small():
    sizes = [path.stat().st_size for name in SHIPPED for path in common.MODELS.glob(f"{name.removesuffix('.keras')}.*")]
    assert max(sizes) < 15 * 10**6
    assert sum(sizes) < 48 * 10**6


@pytest.mark.parametrize("path", ["../README.md", "README.md", *(name.replace(".keras", ".md") for name in SHIPPED)])
def test_no_figure_is_missing(path):
    assert "«" not in (common.MODELS / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MEGABYTES)
def test_no_file_is_larger_than_promised(name):
    assert (common.MODELS / name).stat().st_size < MEGABYTES[name] * 10**6


@pytest.mark.parametrize("name", SHIPPED)
def test_each_has_a_card_with_the_same_fields(name):
    card = (common.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    fields = re.findall(r"^\| ([^|]+?) \|", card, flags=re.MULTILINE)
    assert [field for field in FIELDS if field not in [found.split(",")[0] for found in fields]] == []
    headings = [f"\n## {heading}\n" for heading in ("Scores on the official validation split", "Origin, licence, use")]
    assert [heading for heading in headings if heading not in card] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_names_the_labels_that_the_file_has(name):
    known = classifier.describe(common.MODELS / name)["labels"]
    card = (common.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert f"| labels | {', '.join(known)} |" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_has_the_numbers_of_the_file(name):
    model = Classifier.load(common.MODELS / name)
    card = (common.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert f"{model.model.count_params():,} parameters" in card
    if temperature := model.notes.get("temperature"):
        assert f"temperature {temperature:.2f}" in card


def test_seven_and_eight_emotions():
    known = {name: set(classifier.describe(common.MODELS / name)["labels"]) for name in MEGABYTES}
    seven = {*labels.FER2013}
    assert known == {"fer2013.keras": seven, "fer2013-fast.keras": seven, "ferplus.keras": seven | {"contempt"}}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_smiling_astronaut_is_happy(name):
    model = Classifier.load(common.MODELS / name)
    (probabilities,) = model.predict(prepare(crop(astronaut(), Face(PLACE, 1.0)), model.spec)[None])
    assert model.labels[probabilities.argmax()] == "happy"
    assert probabilities.max() > 0.5


def test_without_model_the_scripts_take_the_best():
    best = common.shipped(common.BEST)
    assert evaluate.parse_args(["--data", "demo"]).model == [best]
    assert predict_folder.parse_args(["photos/"]).model == app.parse_args([]).model == best


@pytest.mark.parametrize(("runtime", "name"), [(None, "fer2013-fast.keras"), (object(), "fer2013-fast.tflite")])
def test_live_video_takes_an_exported_network_where_it_can_be_run(runtime, name, monkeypatch):
    monkeypatch.setattr(common, "find_spec", lambda module: runtime)
    assert predict_webcam.parse_args([]).model == common.shipped(name)


@pytest.mark.parametrize("name", ["fer2013", "fer2013-fast"])
def test_an_exported_network_says_what_its_original_says(name):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    faces = export.drawn(InputSpec(48, 1), 64)
    one, other = (Classifier.load(common.MODELS / f"{name}{suffix}") for suffix in (".keras", ".tflite"))
    assert one.labels == other.labels
    for note in ("temperature", "uncertain_below"):
        assert one.notes[note] == other.notes[note]
    agreement = export.compare(one.predict(faces), other.predict(faces))
    assert agreement.same >= 58
    assert agreement.difference < 0.2


def test_a_shipped_path_is_short_from_the_suite_and_whole_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(common.MODELS.parent)
    assert common.shipped("a.keras").replace("\\", "/") == "models/a.keras"
    monkeypatch.chdir(tmp_path)
    assert common.shipped("a.keras") == str(common.MODELS / "a.keras")
