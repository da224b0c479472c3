"""The models that come with the suite: complete, within their sizes, with a card each, and the scripts' defaults."""

import re

import pytest
from portrait import PLACE, astronaut

import app
import evaluate
import predict_folder
import predict_webcam
from fer import classifier, cli, labels
from fer.classifier import Classifier
from fer.faces import Face, crop
from fer.images import prepare

DEMO = "demo.keras"  # of the README's first command, not shipped
SHIPPED = sorted(path.name for path in cli.MODELS.glob("*.keras") if path.name != DEMO)
MEGABYTES = {"fer2013.keras": 15, "fer2013-fast.keras": 2, "ferplus.keras": 15}
FIELDS = ("data", "labels", "network", "hardware and time", "seed", "calibration", "speed")


def test_the_three_are_there():
    assert set(MEGABYTES) < set(SHIPPED)


@pytest.mark.parametrize("name", MEGABYTES)
def test_no_file_is_larger_than_promised(name):
    assert (cli.MODELS / name).stat().st_size < MEGABYTES[name] * 10**6


@pytest.mark.parametrize("name", SHIPPED)
def test_each_has_a_card_with_the_same_fields(name):
    card = (cli.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith(f"# {name}\n")
    fields = re.findall(r"^\| ([^|]+?) \|", card, flags=re.MULTILINE)
    assert [field for field in FIELDS if field not in fields] == []
    headings = [f"\n## {heading}\n" for heading in ("Scores on the official validation split", "Origin, licence, use")]
    assert [heading for heading in headings if heading not in card] == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_card_names_the_labels_that_the_file_has(name):
    known = classifier.describe(cli.MODELS / name)["labels"]
    card = (cli.MODELS / name).with_suffix(".md").read_text(encoding="utf-8")
    assert f"| labels | {', '.join(known)} |" in card


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


@pytest.mark.parametrize("script", [app, predict_folder, predict_webcam])
def test_without_model_the_scripts_take_one_that_is_there(script):
    given = ["folder", "--output", "x.csv"] if script is predict_folder else []
    assert classifier.describe(script.parse_args(given).model)["labels"]


def test_evaluate_takes_the_best():
    assert evaluate.parse_args(["--data", "demo"]).model == [cli.shipped(cli.BEST)]


def test_a_shipped_path_is_short_from_the_suite_and_whole_from_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(cli.MODELS.parent)
    assert cli.shipped("a.keras").replace("\\", "/") == "models/a.keras"
    monkeypatch.chdir(tmp_path)
    assert cli.shipped("a.keras") == str(cli.MODELS / "a.keras")
