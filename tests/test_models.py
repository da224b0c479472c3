"""The models that come with the suite: complete, within their sizes, with a card each, and the scripts' defaults."""

import re

import pytest
from portrait import PLACE, astronaut

import app
import evaluate
import predict_folder
import predict_webcam
from fer import classifier, cli, exporting, labels
from fer.classifier import Classifier
from fer.faces import Face, crop
from fer.images import InputSpec, prepare

README = (cli.MODELS / "README.md").read_text(encoding="utf-8")
SHIPPED = sorted(set(re.findall(r"\[([\w-]+\.keras)\]", README)))  # others in the folder are the user's own
MEGABYTES = {"fer2013.keras": 5, "fer2013-fast.keras": 2, "ferplus.keras": 15}
FIELDS = ("data", "labels", "network", "command", "recipe", "hardware and time", "kept", "seed", "calibration", "speed")


def test_the_three_are_there():
    assert set(MEGABYTES) <= set(SHIPPED)


def test_all_together_stay_small():
    sizes = [path.stat().st_size for name in SHIPPED for path in cli.MODELS.glob(f"{name.removesuffix('.keras')}.*")]
    assert max(sizes) < 15 * 10**6
    assert sum(sizes) < 48 * 10**6


@pytest.mark.parametrize("path", ["../README.md", "README.md", *(name.replace(".keras", ".md") for name in SHIPPED)])
def test_no_figure_is_missing(path):
    assert "«" not in (cli.MODELS / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("name", MEGABYTES)
def test_no_file_is_larger_than_promised(name):
    assert (cli.MODELS / name).stat().st_size < MEGABYTES[name] * 10**6


@pytest.mark.parametrize("name", SHIPPED)
def test_each_has_a_card_with_the_same_fields(name):
    card = (cli.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    fields = re.findall(r"^\| ([^|]+?) \|", card, flags=re.MULTILINE)
    assert [field for field in FIELDS if field not in [found.split(",")[0] for found in fields]] == []
    headings = [f"\n## {heading}\n" for heading in ("Scores on the official validation split", "Origin, licence, use")]
    assert [heading for heading in headings if heading not in card] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_names_the_labels_that_the_file_has(name):
    known = classifier.describe(cli.MODELS / name)["labels"]
    card = (cli.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert f"| labels | {', '.join(known)} |" in card


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_has_the_numbers_of_the_file(name):
    model = Classifier.load(cli.MODELS / name)
    card = (cli.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert f"{model.model.count_params():,} parameters" in card
    if temperature := model.notes.get("temperature"):
        assert f"temperature {temperature:.2f}" in card


def test_seven_and_eight_emotions():
    known = {name: set(classifier.describe(cli.MODELS / name)["labels"]) for name in MEGABYTES}
    seven = {*labels.FER2013}
    assert known == {"fer2013.keras": seven, "fer2013-fast.keras": seven, "ferplus.keras": seven | {"contempt"}}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_smiling_astronaut_is_happy(name):
    model = Classifier.load(cli.MODELS / name)
    (probabilities,) = model.predict(prepare(crop(astronaut(), Face(PLACE, 1.0)), model.spec)[None])
    assert model.labels[probabilities.argmax()] == "happy"
    assert probabilities.max() > 0.5


def test_without_model_the_scripts_take_the_best():
    best = cli.shipped(cli.BEST)
    assert evaluate.parse_args(["--data", "demo"]).model == [best]
    assert predict_folder.parse_args(["photos/"]).model == app.parse_args([]).model == best


@pytest.mark.parametrize(("runtime", "name"), [(None, "fer2013-fast.keras"), (object(), "fer2013-fast.tflite")])
def test_live_video_takes_an_exported_network_where_it_can_be_run(runtime, name, monkeypatch):
    monkeypatch.setattr(cli, "find_spec", lambda module: runtime)
    assert predict_webcam.parse_args([]).model == cli.shipped(name)


@pytest.mark.parametrize("name", ["fer2013", "fer2013-fast"])
def test_an_exported_network_says_what_its_original_says(name):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    faces = exporting.drawn(InputSpec(48, 1), 64)
    one, other = (Classifier.load(cli.MODELS / f"{name}{suffix}") for suffix in (".keras", ".tflite"))
    assert one.labels == other.labels
    for note in ("temperature", "uncertain_below"):
        assert one.notes[note] == other.notes[note]
    agreement = exporting.compare(one.predict(faces), other.predict(faces))
    assert agreement.same >= 58
    assert agreement.difference < 0.2


def test_a_shipped_path_is_short_from_the_suite_and_whole_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(cli.MODELS.parent)
    assert cli.shipped("a.keras").replace("\\", "/") == "models/a.keras"
    monkeypatch.chdir(tmp_path)
    assert cli.shipped("a.keras") == str(cli.MODELS / "a.keras")
