"""Model cards: every figure is that of the reports, and a model that says little of itself still gets one."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.cli import evaluate
from fer.core.images import InputSpec
from fer.data.unseen import optimism
from fer.evaluation.card import INTENDED_USE, NOTES, details, read_notes, write_card
from fer.evaluation.groups import by_group
from fer.evaluation.leakage import find_seen, measure_leakage
from fer.evaluation.predictions import Predictions, predict
from fer.evaluation.robustness import measure_robustness
from fer.models import export, runtimes
from fer.models.classifier import Classifier

SPEC = InputSpec(tiny.SIZE)
HEADINGS = ["Details", "Intended use", "Data", "Results", "Limits", "Licence"]
COMMAND = "python evaluate.py --model model.keras --data faces --split validation"


@pytest.fixture(scope="module")
def known(learnt):
    return Classifier.load(learnt)


def test_a_card_holds_the_metadata_and_the_figures(learnt, known, tmp_path):
    data = tiny.data(60, seed=1)
    found = predict([known], {SPEC: data})
    views = {tta: predict([known], {SPEC: data}, tta=tta) for tta in ("none", "flip", "ten-crop")}
    reports = {tta: one.report() for tta, one in views.items()}
    seen = find_seen(data.images, data.images[:20])
    leakage = measure_leakage(found, seen, "faces")
    robustness = measure_robustness([known], {SPEC: data})
    more = {"command": COMMAND, "data": known.metadata["data"], "split": "validation"}
    unseen = {tta: one.report(~seen.near) for tta, one in views.items()}
    write_card(tmp_path / "c.md", learnt, known, reports, **more, leakage=leakage, robustness=robustness, unseen=unseen)
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert text.startswith("# model\n")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == HEADINGS
    assert "| labels | angry, happy, sad |" in text
    assert f"{known.model.count_params():,} parameters" in text
    assert f"`{COMMAND}`" in text
    for tta, report in reports.items():
        low, high = (f"{100 * end:.2f}" for end in report.accuracy_ci95)
        cells = f"{100 * report.accuracy:.2f} % ({low} to {high}) | {100 * unseen[tta].accuracy:.2f} %"
        assert f"| {tta} | {cells} | {100 * report.balanced_accuracy:.2f} % |" in text
    clean = leakage.without_near_duplicate
    assert f"near-duplicate in training: {100 * clean.accuracy:.2f} % (" in text
    low, high = (f"{100 * end:.1f}" for end in robustness.mean_ci95)
    assert f"five severities (`--robustness`): {100 * robustness.mean:.1f} % ({low} to {high}): " in text
    chosen = optimism(known.metadata, known.metadata["data"], "validation")
    assert chosen.endswith("so the figures are slightly optimistic.")
    assert chosen in text
    assert "Duplicates between training and evaluation images were not searched" not in text
    assert len(text.splitlines()) <= 45


def test_limits_say_what_was_measured_and_seen(learnt, known, tmp_path):
    data = tiny.data(90, seed=1)
    found = predict([known], {SPEC: data})
    groups = by_group(np.array(["young", "old"] * 45), found.probabilities, data.targets, found.labels, "age")
    place = tmp_path / "c.md"
    for name, split in ((known.metadata["data"], "all"), ("others", "all"), ("others", "validation")):
        about = {"command": COMMAND, "data": name, "split": split, "groups": groups}
        write_card(place, learnt, known, {"none": found.report()}, **about)
        limits = place.read_text(encoding="utf-8").partition("## Limits")[2]
        assert ("has seen images of this split" in limits) == (name != "others")
        assert "chose its epoch" not in limits
        assert "by age, gender" not in limits
        assert f"Accuracy by age: old {100 * groups.reports['old'].accuracy:.1f} %, young " in limits


def test_a_model_without_metadata_gets_a_card(learnt, known, tmp_path):
    bare = Classifier(known.model, known.labels, known.spec)
    data = tiny.data(60, seed=1)
    report = predict([bare], {SPEC: data}).report()
    write_card(tmp_path / "c.md", learnt, bare, {"none": report}, command=COMMAND, data="faces", split="test")
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert "of unknown training data" in text
    assert "optimistic" not in text
    assert "None" not in text
    assert "were not searched (`--leakage-against`)" in text


@pytest.mark.parametrize("key", ["n_images", "pictures"])
def test_number_of_training_images_under_either_key(key, learnt, known, tmp_path):
    told = Classifier(known.model, known.labels, known.spec, {key: {"train": 1234, "validation": 60}})
    report = predict([told], {SPEC: tiny.data(60, seed=1)}).report()
    write_card(tmp_path / "c.md", learnt, told, {"none": report}, command=COMMAND, data="faces", split="test")
    assert "Trained on 1,234 images." in (tmp_path / "c.md").read_text(encoding="utf-8")


def test_rare_and_absent_labels_are_named(learnt, known, tmp_path):
    targets = np.eye(4, dtype=np.float32)[[0] * 50 + [1] * 2 + [2] * 20]
    labels = ("happy", "disgust", "sad", "contempt")
    data = tiny.data(72)
    kept = Predictions("m", type(data)(data.images, targets, labels, data.entries), targets[::-1])
    write_card(tmp_path / "c.md", learnt, known, {"none": kept.report()}, command=COMMAND, data="faces", split="test")
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert "Rare labels, with wide intervals: disgust." in text
    assert "Labels without an image here: contempt." in text


@pytest.mark.parametrize("path", sorted((tiny.ROOT / "models").glob("f*.md")), ids=lambda path: path.stem)
def test_bundled_cards_are_what_the_command_writes(path):
    """All but the figures, which need FER2013: the files, their metadata, and the notes of models/cards.toml."""
    classifier, notes = Classifier.load(path.stem), read_notes(path.parent / "cards.toml", path.stem)
    whole = path.with_suffix(".keras")
    exports = [beside for beside in [path.with_suffix(".tflite")] if beside.is_file() and runtimes.is_installed(beside)]
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", text, flags=re.MULTILINE) == HEADINGS
    assert INTENDED_USE in text
    if exports or not path.with_suffix(".tflite").is_file():
        assert details([whole, *exports], classifier, notes) in text
    for name in {"summary", "data", "results", "limits", "licence"} & notes.keys():
        assert notes[name] in text
    for beside in exports:
        assert f"| none, `{beside.name}` | " in text
    command = re.search(r"`python (evaluate\.py .+?)`", text)[1]
    args = evaluate.parse_args(shlex.split(command)[1:])
    assert [Path(model).resolve() for model in args.model] == [whole.resolve()]
    assert args.split == "validation"
    assert args.leakage_against
    assert args.robustness


def test_notes_follow_what_the_card_says_by_itself(learnt, known, tmp_path):
    notes = {name: f"About {name}." for name in NOTES}
    place, lines = tmp_path / "notes.toml", [f'{name} = "{text}"' for name, text in notes.items()]
    place.write_text("\n".join(["[model]", *lines, "[other]", 'sumary = "x"', "[third]", "speed = 3"]))
    assert read_notes(place, "model") == notes
    place.write_text(
        '[default]\nspeed = "fast"\nlimits = "many"\n[a]\nspeed = "slow"\n[b]\ndata = "x | y"\n[c]\ndata = """x\ny"""'
    )
    assert read_notes(place, "a") == {"speed": "slow", "limits": "many"}
    for name in ("b", "c"):
        with pytest.raises(FerError, match=r"must be one line without \|"):
            read_notes(place, name)
    place.write_text("\n".join(["[model]", *lines, "[other]", 'sumary = "x"', "[third]", "speed = 3"]))
    report = predict([known], {SPEC: tiny.data(60, seed=1)}).report()
    more = {"command": COMMAND, "data": "faces", "split": "test", "notes": notes}
    write_card(tmp_path / "c.md", learnt, known, {"none": report}, **more)
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert text.startswith("# model\n\nAbout summary.\n")
    assert re.search(r"^\| training \| recipe .*; About training\. \|$", text, flags=re.MULTILINE)
    assert "| speed | About speed. |" in text
    assert text.rstrip().endswith("About licence.")
    for name in notes:
        assert text.count(f"About {name}.") == 1
    for name, said in (
        ("other", "sumary in [other] must be one line without | under one of "),
        ("third", "speed in "),
    ):
        with pytest.raises(FerError, match=re.escape(f"{place}: {said}")):
            read_notes(place, name)
    with pytest.raises(FerError, match=r"has no table \[fourth\], only model, other, third"):
        read_notes(place, "fourth")
    with pytest.raises(FerError, match="cannot be read"):
        read_notes(tmp_path / "none.toml", "model")


def test_exported_files_are_named_and_scored(learnt, known, tmp_path):
    pytest.importorskip("ai_edge_litert", reason="LiteRT is not installed")
    data, path = tiny.data(60, seed=1), tmp_path / "model.tflite"
    export.export(known, path, format="litert", images=data.images)
    report = predict([known], {SPEC: data}).report()
    other = predict([known], {SPEC: tiny.data(60, seed=2)}).report()
    assert other.nll != report.nll
    more = {"command": COMMAND, "data": "faces", "split": "test", "exports": [path]}
    write_card(tmp_path / "c.md", learnt, known, {"none": report, f"none, `{path.name}`": other}, **more)
    text = (tmp_path / "c.md").read_text(encoding="utf-8")
    assert f"`model.tflite` (LiteRT float32, {path.stat().st_size / 1e6:.1f} MB)" in text
    (row,) = re.findall(r"^\| none, `model\.tflite` \| (.*) \|$", text, flags=re.MULTILINE)
    assert row.startswith(f"{100 * other.accuracy:.2f} % (")
    assert row.endswith(f"{other.nll:.3f} | {other.ece:.3f}")
    assert f"`{COMMAND}` with `--tta none`, `flip` or `ten-crop`, and with `--model model.tflite`:" in text
