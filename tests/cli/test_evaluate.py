"""evaluate.py from end to end: what it prints, writes and refuses."""

import json
from unittest import mock

import keras
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, log_loss
from support import tiny
from support.tiny import script

from fer import FerError
from fer.cli import arguments, evaluate, train
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.splitting import RULE
from fer.models.classifier import Classifier
from fer.models.ensemble import average

pytestmark = pytest.mark.slow

PNG = b"\x89PNG"
N = 257  # one more than a full batch of the network


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """257 validation images in folders with other words for the emotions; two untrained models."""
    place = tmp_path_factory.mktemp("measured")
    words = {"angry": "Anger", "happy": "happiness", "sad": "sadness"}
    faces = tiny.folders(place / "faces", train=6, validation=N)
    for split in ("train", "validation"):
        for label, word in words.items():
            (faces / split / label).rename(faces / split / word)
    models = []
    for seed, labels in ((2, tiny.LABELS), (3, ("sad", "angry", "happy"))):
        keras.utils.set_random_seed(seed)
        path = place / f"model{len(models)}.keras"
        model = tiny.build(labels)
        model.get_layer("logits").set_weights([array * 3 for array in model.get_layer("logits").get_weights()])
        Classifier(model, labels, InputSpec(tiny.SIZE)).save(path)
        models.append(path)
    return faces, models, loading.load(faces, InputSpec(tiny.SIZE), splits=("validation",))["validation"]


KEYS = {
    *("images", "labels", "accuracy", "accuracy_ci95", "balanced_accuracy", "macro_f1", "macro_f1_ci95", "macro"),
    *("weighted", "per_class", "recall_ci95", "reliability", "confusion", "top2_accuracy", "ece", "nll"),
    "risk_coverage",
    *("model", "data", "data_options", "votes", "keep_list", "split", "tta", "views"),
}


@pytest.fixture(scope="module")
def evaluated(measured, tmp_path_factory):
    """One evaluation with every file that can be asked for: (folder, report, printed text)."""
    faces, models, _ = measured
    place = tmp_path_factory.mktemp("evaluated")
    names = ("report.json", "confusion.png", "reliability.png", "mistakes.csv")
    files = [word for name in names for word in (f"--{name.partition('.')[0]}", place / name)]
    named = ("--labels", "anger=angry,happiness=happy,sadness=sad")
    printed = tiny.printed(evaluate, "--model", models[0], "--data", faces, *named, *files)
    return place, json.loads((place / "report.json").read_text()), printed


def test_the_report_has_the_promised_keys(evaluated, measured):
    _, report, _ = evaluated
    assert report.keys() == KEYS
    assert report["labels"] == list(tiny.LABELS)
    assert report["data_options"] == {"labels": "anger=angry,happiness=happy,sadness=sad"}
    assert report["model"] == [str(measured[1][0])]
    assert (report["data"], report["split"], report["tta"], report["views"]) == (
        str(measured[0]),
        "validation",
        "none",
        1,
    )
    assert set(report["per_class"]) == set(tiny.LABELS)
    assert set(report["per_class"]["sad"]) == {
        "precision",
        "recall",
        "specificity",
        "f1",
        "support",
        "tp",
        "fp",
        "fn",
        "tn",
    }


def test_every_image_counts_and_the_metrics_are_those_of_predict(evaluated, measured):
    _, report, printed = evaluated
    _, models, validation = measured
    probabilities = Classifier.load(models[0]).predict(validation.images)
    y_true, y_pred = validation.targets.argmax(axis=1), probabilities.argmax(axis=1)
    assert report["images"] == N
    assert sum(map(sum, report["confusion"])) == N
    assert report["confusion"] == confusion_matrix(y_true, y_pred, labels=[0, 1, 2]).tolist()
    assert report["accuracy"] == pytest.approx(accuracy_score(y_true, y_pred))
    assert report["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y_true, y_pred))
    assert report["macro_f1"] == pytest.approx(f1_score(y_true, y_pred, average="macro"))
    assert report["nll"] == pytest.approx(log_loss(y_true, probabilities), rel=1e-4)
    assert 0.1 < report["accuracy"] < 0.9  # else this would prove little
    assert f"accuracy            {report['accuracy']:.2%}  (95% interval " in printed
    assert f", {N} images)" in printed


def test_table_matrix_and_crops_are_printed(evaluated):
    _, report, printed = evaluated
    assert "model0.keras on faces validation, single crop\n" in printed
    row = next(line.split() for line in printed.splitlines() if line.startswith("sad "))
    scores = report["per_class"]["sad"]
    assert [int(word) for word in row[1:6]] == [scores[name] for name in ("support", "tp", "fn", "fp", "tn")]
    assert "true \\ predicted" in printed


def test_plots_are_written(evaluated):
    place, _, _ = evaluated
    for name in ("confusion.png", "reliability.png", "mistakes.png"):
        assert (place / name).read_bytes().startswith(PNG)


def test_all_mistakes_are_written_most_confident_first(evaluated, measured):
    place, report, _ = evaluated
    faces, models, validation = measured
    table = pd.read_csv(place / "mistakes.csv")
    assert list(table) == ["name", "true", "predicted", "confidence"]
    assert len(table) == N - sum(report["confusion"][i][i] for i in range(3))
    assert table["confidence"].is_monotonic_decreasing
    assert (table["true"] != table["predicted"]).all()
    first = table.iloc[0]
    assert (faces / first["name"]).is_file()
    row = validation.names.index(first["name"])
    probabilities = Classifier.load(models[0]).predict(validation.images[row : row + 1])[0]
    assert first["predicted"] == tiny.LABELS[probabilities.argmax()]
    assert first["confidence"] == pytest.approx(probabilities.max(), abs=1e-4)


@pytest.mark.parametrize(
    ("tta", "n_views", "crops"), [("none", 1, "single crop"), ("flip", 2, "flip TTA"), ("ten-crop", 10, "ten-crop TTA")]
)
def test_ensemble_with_tta(measured, tmp_path, capsys, tta, n_views, crops):
    faces, models, validation = measured
    path = tmp_path / "r.json"
    assert script(evaluate, "--model", *models, "--data", faces, "--tta", tta, "--report", path) == 0
    report = json.loads(path.read_text())
    probabilities = average([Classifier.load(model) for model in models], [validation.images] * 2, tta=tta)
    right = probabilities.argmax(axis=1) == validation.targets.argmax(axis=1)
    assert report["accuracy"] == pytest.approx(right.mean())
    assert (report["views"], report["model"]) == (n_views, list(map(str, models)))
    assert f"model0.keras + model1.keras on faces validation, {crops}\n" in capsys.readouterr().out


def test_all_splits_together(measured, tmp_path):
    faces, models, _ = measured
    path = tmp_path / "r.json"
    assert script(evaluate, "--model", models[0], "--data", faces, "--split", "all", "--report", path) == 0
    assert json.loads(path.read_text())["images"] == N + 6


def test_model_without_mistakes_writes_an_empty_table(measured, tmp_path):
    faces, models, validation = measured
    with mock.patch.object(Classifier, "predict", return_value=validation.targets):
        assert script(evaluate, "--model", models[0], "--data", faces, "--mistakes", tmp_path / "m.csv") == 0
    assert pd.read_csv(tmp_path / "m.csv").empty


def test_evaluate_refuses_in_one_line(measured, tmp_path, refuse):
    faces, (model, _), _ = measured
    keras_only, other = tmp_path / "plain.keras", tmp_path / "other.keras"
    network = tiny.build()
    network.save(keras_only)
    Classifier(network, ("angry", "happy", "fear"), InputSpec(tiny.SIZE)).save(other)
    assert refuse(evaluate, "--model", tmp_path / "none.keras", "--data", faces).endswith(
        "none.keras: there is no such model file"
    )
    assert "it holds no labels" in refuse(evaluate, "--model", keras_only, "--data", faces)
    assert "there is no such file or folder" in refuse(evaluate, "--model", model, "--data", tmp_path / "nowhere")
    assert "has no test split, only train, validation" in refuse(
        evaluate, "--model", model, "--data", faces, "--split", "test"
    )
    message = refuse(evaluate, "--model", other, "--data", faces)
    assert message == "the data have labels that the model does not know: sad; it knows angry, happy, fear"
    assert "different labels cannot be averaged" in refuse(evaluate, "--model", model, other, "--data", faces)
    assert "cannot be written" in refuse(evaluate, "--model", model, "--data", faces, "--report", keras_only / "r.json")


@pytest.mark.parametrize("words", [[], ["--model", "m.keras"], ["--data", "x", "--tta", "rotate"]])
def test_wrong_arguments_are_one_line_that_points_to_the_help(words, capsys):
    with pytest.raises(SystemExit) as ended:
        evaluate.parse_args(words)
    assert ended.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ")
    assert message.endswith("; see --help\n")
    assert message.count("\n") == 1


def test_evaluate_finds_the_split_that_training_made(tmp_path, capsys):
    faces, model = tiny.folders(tmp_path / "faces", train=60, validation=0), tmp_path / "m.keras"
    flags = ("--validation-fraction", "0.3", "--split-seed", "5")
    places = ("--output", model, "--run-dir", tmp_path / "run")
    assert script(train, "--data", faces / "train", *tiny.FLAGS, "--epochs", "1", *flags, *places) == 0
    capsys.readouterr()
    report = tmp_path / "r.json"
    assert script(evaluate, "--model", model, "--data", faces / "train", "--report", report) == 0
    made = loading.load(faces / "train", InputSpec(tiny.SIZE), validation_fraction=0.3, seed=5)["validation"]
    assert json.loads(report.read_text())["images"] == len(made)
    assert Classifier.load(model).metadata["split"] == {
        "validation_fraction": 0.3,
        "split_seed": 5,
        "rule": RULE,
        "drawn": True,
    }


def test_a_warning_reaches_the_user(measured, capfd):
    """It must not be said while the start of TensorFlow is kept quiet."""
    faces, models, _ = measured
    assert script(evaluate, "--model", models[0], "--data", faces / "train") == 0
    assert "does not say which images it was trained on" in capfd.readouterr().err


def test_models_of_different_splits_are_refused():
    args = evaluate.parse_args(["--model", "a", "b", "--data", "d"])
    metadata = [{"split": {"validation_fraction": 0.1, "split_seed": seed}} for seed in (1, 2)]
    with pytest.raises(FerError, match="--split-seed"):
        arguments.take_split(args, metadata)
    args.split_seed = 3
    arguments.take_split(args, metadata)
    assert (args.validation_fraction, args.split_seed) == (0.1, 3)


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (["--confusion", "r.png", "--mistakes", "r.csv"], "two outputs would be one file"),
        (["--report", "a", "--reliability", "a"], "two outputs would be one file"),
        (["--mistakes", "q.png"], "--mistakes writes a .csv"),
        (["--risk-coverage", "a.pdf", "--groups", "a.pdf", "--group-by", "folder"], "two outputs would be one file"),
        (["--report", "r.txt"], "r.txt: the name must end in .json"),
        (["--card", "r.txt"], "r.txt: the name must end in .md"),
        (["--risk-coverage", "a.docx"], "cannot write a figure as '.docx'"),
        (["--groups", "a.png"], "--groups and --attributes go with --group-by"),
        (["--attributes", "a.csv"], "--groups and --attributes go with --group-by"),
    ],
)
def test_outputs_that_would_overwrite_each_other_are_refused(refuse, outputs, message):
    assert message in refuse(evaluate, "--model", "m.keras", "--data", "demo", *outputs)


def test_files_that_nobody_asked_to_replace_are_kept(refuse, tmp_path):
    (tmp_path / "README.md").write_text("# mine\n")
    said = refuse(evaluate, "--model", "m.keras", "--data", "demo", "--card", tmp_path / "README.md")
    assert "README.md: exists and is not a model card; choose another name" in said
    for place in (tmp_path, tmp_path / "why"):
        said = refuse(evaluate, "--model", "m.keras", "--data", tmp_path, "--explain", place)
        assert "the sheets would lie among the images; choose another folder" in said


def test_explanations_are_a_sheet_for_each_label(measured, tmp_path):
    faces, models, _ = measured
    printed = tiny.printed(evaluate, "--model", models[0], "--data", faces, "--explain", tmp_path / "why")
    assert f"3 sheets in {tmp_path / 'why'}" in printed
    assert sorted(path.name for path in (tmp_path / "why").iterdir()) == [f"{label}.png" for label in tiny.LABELS]


def test_robustness_is_printed_drawn_and_reported(measured, tmp_path):
    faces, models, _ = measured
    files = ("--robustness", tmp_path / "r.png", "--report", tmp_path / "r.json")
    printed = tiny.printed(evaluate, "--model", models[0], "--data", faces, *files)
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["robustness"]["clean"] == report["accuracy"]
    assert len(report["robustness"]["accuracy"]) == 8
    assert f"model0.keras under corruption: accuracy on {N} images; {report['accuracy']:.1%} without" in printed
    assert (tmp_path / "r.png").read_bytes().startswith(PNG)


def test_robustness_of_both_models_is_compared(measured, tmp_path):
    faces, models, _ = measured
    files = ("--robustness", tmp_path / "r.png", "--report", tmp_path / "r.json")
    printed = tiny.printed(evaluate, "--model", models[0], "--compare", models[1], "--data", faces, *files)
    report = json.loads((tmp_path / "r.json").read_text())
    difference = report["robustness"]["mean"] - report["robustness_of_compared"]["mean"]
    assert report["robustness_comparison"]["differences"]["mean"][0] == pytest.approx(difference)
    for text in ("model1.keras under corruption: ", "model0.keras compared with model1.keras under corruption"):
        assert text in printed


def test_card_has_a_row_for_each_kind_of_tta(measured, tmp_path):
    faces, models, _ = measured
    tiny.printed(evaluate, "--model", models[0], "--data", faces, "--card", tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text(encoding="utf-8")
    for tta in ("none", "flip", "ten-crop"):
        path = tmp_path / f"{tta}.json"
        tiny.printed(evaluate, "--model", models[0], "--data", faces, "--report", path, "--tta", tta)
        assert f"| {tta} | {100 * json.loads(path.read_text())['accuracy']:.2f} % (" in text
    assert "`python evaluate.py --model model0.keras --data faces --split validation`" in text


def test_the_command_of_a_card_names_the_form_of_the_data(tmp_path):
    named = ["--labels", "raf-db", "--drop-labels", "contempt,fear", "--group", "p(\\d+)"]
    args = evaluate.parse_args(["--data", "sets/raf", *named])
    command = evaluate.repeat_command(args, {"split_seed": 7})
    expected = "--labels raf-db --drop-labels contempt,fear --group 'p(\\d+)' --split-seed 7 --split validation"
    assert command == f"python evaluate.py --model fer2013.keras --data raf {expected}"
    analyses = ["--leakage-against", "sets/fer2013/", "--robustness", "figures/r.png", "--group-by", "age"]
    args = evaluate.parse_args(["--data", "fer2013/", *analyses, "--attributes", "sets/ages.csv"])
    expected = "--leakage-against fer2013 --robustness r.png --group-by age --attributes ages.csv"
    assert evaluate.repeat_command(args, {}).endswith(f"--split validation {expected}")
    (tmp_path / "private").mkdir()
    for name in ("a.csv", "b.csv", "codes.txt"):
        (tmp_path / "private" / name).touch()
    tables = ",".join(str(tmp_path / "private" / name) for name in ("a.csv", "b.csv"))
    given = ["--labels-csv", tables, "--label-map", str(tmp_path / "private" / "codes.txt")]
    command = evaluate.repeat_command(evaluate.parse_args(["--data", "faces", *given]), {})
    assert " --labels codes.txt --labels-csv a.csv,b.csv " in command
    downloaded = evaluate.parse_args(["--data", "kaggle:msambare/fer2013"])
    assert " --data kaggle:msambare/fer2013 " in evaluate.repeat_command(downloaded, {})
