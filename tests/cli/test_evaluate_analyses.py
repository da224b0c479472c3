"""The analyses of evaluate.py beyond the report: printed text, files and model metadata."""

import json
import shutil
import zipfile
from pathlib import Path
from unittest import mock

import cv2
import keras
import numpy as np
import pytest
from scipy.stats import binomtest
from support import tiny
from support.tiny import script

from fer.cli import evaluate, predict_folder
from fer.core.images import InputSpec
from fer.core.labels import FER2013
from fer.data import duplicates, loading
from fer.inference import results
from fer.models.classifier import Classifier
from fer.models.ensemble import average
from fer.models.model_file import read_info

pytestmark = pytest.mark.slow

SPEC = InputSpec(tiny.SIZE)


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """120 validation images in groups: class folders hold women/ and men/; 30 of them are in train too."""
    root = tiny.folders(tmp_path_factory.mktemp("data") / "faces", train=60, validation=120)
    paths = sorted((root / "validation").glob("*/*.png"))
    for i, path in enumerate(paths):
        if i % 4 == 0:
            shutil.copy(path, root / "train" / path.parent.name / f"duplicate{i}.png")
        group = path.parent / ("women" if i % 3 else "men")
        group.mkdir(exist_ok=True)
        path.rename(group / path.name)
    return root


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Three untrained models; the last has its labels in another order."""
    place, paths = tmp_path_factory.mktemp("models"), []
    for seed, labels in ((2, tiny.LABELS), (3, tiny.LABELS), (4, ("sad", "angry", "happy"))):
        keras.utils.set_random_seed(seed)
        model = tiny.build(labels)
        model.get_layer("logits").set_weights([array * 3 for array in model.get_layer("logits").get_weights()])
        paths.append(place / f"m{seed}.keras")
        Classifier(model, labels, SPEC, {"data": "tiny"}).save(paths[-1])
    return paths


def predictions(models, faces, split="validation"):
    """(data, probabilities) as the library gives them, labels in the order of tiny.LABELS."""
    data = loading.load(faces, SPEC, splits=(split,))[split].align(tiny.LABELS)
    loaded = [Classifier.load(path) for path in models]
    probabilities = average(loaded, [data.images] * len(loaded))
    order = [loaded[0].labels.index(label) for label in tiny.LABELS]
    return data, probabilities[:, order]


def correlations(images, others):
    """Of all pairs at 16 x 16 pixels, as numpy has it."""
    small = [cv2.resize(one, (16, 16), interpolation=cv2.INTER_AREA).ravel() for one in (*images, *others)]
    return np.corrcoef(small)[: len(images), len(images) :]


def proportion(right, n):
    """Wilson's interval, by scipy."""
    interval = binomtest(right, n).proportion_ci(method="wilson")
    return interval.low, interval.high


def sizes(report):
    """Training images, and evaluated images with a duplicate among them."""
    with_duplicate = report["leakage"]["with_duplicate"]
    return report["leakage"]["training_images"], with_duplicate["images"] if with_duplicate else 0


def marks(models, faces):
    data, probabilities = predictions(models, faces)
    return probabilities.argmax(axis=1) == data.targets.argmax(axis=1)


@pytest.fixture
def evaluated(faces, models, tmp_path, capsys):
    """evaluated(*flags): what is printed, and the report."""

    def run(*flags, model=models[:1], data=faces):
        path = tmp_path / "r.json"
        assert script(evaluate, "--model", *model, "--data", data, "--report", path, *flags) == 0, capsys.readouterr()
        return capsys.readouterr().out, json.loads(path.read_text())

    return run


class TestLeakageAgainst:
    def test_planted_duplicates_are_scored_apart(self, evaluated, faces, models):
        printed, report = evaluated("--leakage-against", faces)
        right = marks(models[:1], faces)
        data = predictions(models[:1], faces)[0]
        training = loading.load(faces, SPEC, splits=("train",))["train"].images
        seen = np.array([any(np.array_equal(image, other) for other in training) for image in data.images])
        assert seen.sum() == report["leakage"]["with_duplicate"]["images"] == 30
        assert report["leakage"]["without_duplicate"]["images"] == 90
        assert report["leakage"]["without_duplicate"]["accuracy"] == pytest.approx(right[~seen].mean())
        assert report["leakage"]["with_duplicate"]["accuracy"] == pytest.approx(right[seen].mean())
        assert report["accuracy"] == pytest.approx(right.mean())
        assert "against the 90 training images of faces" in printed
        row = next(line for line in printed.splitlines() if line.startswith("without a duplicate in training"))
        assert row.split()[5:7] == ["90", f"{right[~seen].mean():.2%}"]

    def test_near_duplicates_are_scored_apart_from_duplicates(self, evaluated, faces, models, tmp_path):
        """Two images of the validation split, darker, and two as they are."""
        data = predictions(models[:1], faces)[0]
        files = [*data.names[:2], *data.names[-2:]]
        for i, name in enumerate(files):
            image = cv2.imread(str(faces / name), cv2.IMREAD_GRAYSCALE)
            path = tmp_path / "train" / next(iter(Path(name).parents[1:])).name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image if i < 2 else (image * 0.9).round())
        printed, report = evaluated("--leakage-against", tmp_path / "train")
        training = loading.load(tmp_path / "train", SPEC, splits=("train",), validation_fraction=None)["train"].images
        near = correlations(data.images, training).max(axis=1) >= duplicates.NEAR
        exact = np.array([any(np.array_equal(one, other) for other in training) for one in data.images])
        right, found = marks(models[:1], faces), report["leakage"]
        assert (
            exact.sum()
            == found["with_duplicate"]["images"]
            < near.sum()
            == found["with_near_duplicate"]["images"]
            < 120
        )
        assert found["without_near_duplicate"]["accuracy"] == pytest.approx(right[~near].mean())
        assert found["with_near_duplicate"]["images"] == near.sum()
        low, high = proportion(int(right[~near].sum()), int((~near).sum()))
        assert found["without_near_duplicate"]["accuracy_ci95"] == pytest.approx([low, high])
        row = next(line for line in printed.splitlines() if line.startswith("without a duplicate or near-duplicate"))
        assert f"{right[~near].mean():.2%}  {low:.2%} to {high:.2%}" in row

    def test_images_that_the_keep_list_hides_were_seen_in_training(self, evaluated, faces, models, tmp_path):
        """Unless the model's metadata say that it was trained with the list."""
        training = loading.load(faces, SPEC, splits=("train",))["train"]
        kept = [name for name in training.names if "duplicate" not in name]
        keep_list = tmp_path / "keep.csv"
        names = [*kept, *predictions(models[:1], faces)[0].names]
        keep_list.write_text("name\n" + "".join(f"{name}\n" for name in names))
        _, report = evaluated("--leakage-against", faces, "--keep-list", keep_list)
        assert sizes(report) == (90, 30)
        clean = Classifier.load(models[0])
        Classifier(clean.model, clean.labels, SPEC, {"keep_list": "keep.csv"}).save(tmp_path / "clean.keras")
        _, report = evaluated("--leakage-against", faces, "--keep-list", keep_list, model=[tmp_path / "clean.keras"])
        assert sizes(report) == (60, 0)
        # The model that it is compared with has seen the images that the list hides.
        flags = ("--leakage-against", faces, "--keep-list", keep_list, "--compare", models[1])
        _, report = evaluated(*flags, model=[tmp_path / "clean.keras"])
        assert sizes(report) == (60, 0)
        assert report["comparison"]["images"] == 120
        assert report["comparison_without_duplicates"]["images"] <= 90

    def test_flags_for_the_evaluated_data_do_not_count_for_other_data(self, evaluated, faces, tmp_path):
        names = [Path(name) for name in loading.load(faces, SPEC, splits=("validation",))["validation"].names]
        rows = [f"{Path(*name.parts[1:])},{name.parts[1]}" for name in names]  # without the folder of the split
        (tmp_path / "mine.csv").write_text("\n".join(["name,label", *rows]))
        flags = ("--labels-csv", tmp_path / "mine.csv", "--group", "none", "--split", "all", "--leakage-against", faces)
        _, report = evaluated(*flags, data=faces / "validation")
        assert sizes(report) == (90, 30)

    def test_data_without_splits_are_all_training(self, evaluated, faces):
        _, report = evaluated("--leakage-against", faces / "train")
        assert report["leakage"]["training_images"] == 90

    def test_undivided_data_are_split_as_in_training(self, evaluated, faces):
        _, report = evaluated("--leakage-against", faces / "train", data=faces / "train")
        assert report["leakage"]["training_images"] + report["images"] == 90
        assert report["leakage"]["with_duplicate"] is None  # the split keeps duplicates together

    def test_every_image_has_a_duplicate(self, evaluated, faces):
        printed, report = evaluated("--leakage-against", faces, "--split", "train")
        assert report["leakage"]["without_duplicate"] is None
        assert any(line.split()[-4:] == ["0", "-", "-", "-"] for line in printed.splitlines())


class TestCompare:
    def test_models_are_paired_by_image_and_by_label_name(self, evaluated, faces, models):
        printed, report = evaluated("--compare", models[2])
        a, b = marks(models[:1], faces), marks(models[2:], faces)
        found = report["comparison"]
        assert found["correct"] == {
            "both": (a & b).sum(), "only_a": (a & ~b).sum(), "only_b": (b & ~a).sum(), "neither": (~a & ~b).sum(),
        }  # fmt: skip
        assert found["mcnemar_p"] == pytest.approx(binomtest(int((a & ~b).sum()), int((a != b).sum())).pvalue)
        assert report["accuracy"] == found["accuracy"][0]
        assert "m2.keras compared with m4.keras on the same 120 images" in printed

    def test_each_ensemble_is_averaged(self, evaluated, faces, models):
        _, report = evaluated("--compare", *models, model=models[:2])
        assert report["comparison"]["accuracy"] == pytest.approx(
            [marks(models[:2], faces).mean(), marks(models, faces).mean()]
        )
        assert report["comparison"]["models"] == ["m2.keras + m3.keras", "m2.keras + m3.keras + m4.keras"]

    def test_a_model_that_knows_more_labels(self, evaluated, faces, models, tmp_path):
        labels = ("contempt", *tiny.LABELS)
        Classifier(tiny.build(labels), labels, SPEC).save(tmp_path / "four.keras")
        _, report = evaluated("--compare", tmp_path / "four.keras")
        data = loading.load(faces, SPEC, splits=("validation",))["validation"].align(labels)
        y_pred = Classifier.load(tmp_path / "four.keras").predict(data.images).argmax(axis=1)
        assert report["comparison"]["accuracy"][1] == pytest.approx((y_pred == data.targets.argmax(axis=1)).mean())

    def test_a_model_with_itself(self, evaluated, models):
        printed, report = evaluated("--compare", models[0])
        assert report["comparison"]["mcnemar_p"] == 1
        assert "No difference: each model alone is correct on the same number of images." in printed


class TestGroupBy:
    def test_folders(self, evaluated, faces, models, tmp_path):
        printed, report = evaluated("--group-by", "folder", "--groups", tmp_path / "g.pdf")
        right, data = marks(models[:1], faces), predictions(models[:1], faces)[0]
        for name, scores in report["groups"]["groups"].items():
            rows = np.array([f"/{name}/" in path for path in data.names])
            assert scores["images"] == rows.sum()
            assert scores["accuracy"] == pytest.approx(right[rows].mean())
        assert set(report["groups"]["groups"]) == {"men", "women"}
        assert "largest gap  " in printed
        assert (tmp_path / "g.pdf").read_bytes().startswith(b"%PDF")

    def test_a_table_of_attributes(self, evaluated, faces, tmp_path):
        table = tmp_path / "who.csv"
        names = [path.relative_to(faces).as_posix() for path in sorted((faces / "validation").glob("*/*/*.png"))]
        table.write_text("name,age\n" + "".join(f"{name},{20 + i % 2}\n" for i, name in enumerate(names[:100])))
        printed, report = evaluated("--group-by", "age", "--attributes", table)
        assert {name: group["images"] for name, group in report["groups"]["groups"].items()} == {"20": 50, "21": 50}
        assert report["groups"]["left_out"] == 20
        assert "20 images without a known age are left out" in printed

    def test_a_column_of_the_data(self, evaluated, write_csv):
        rows = [(code, gender, 3 * i + code, "PublicTest")
                for i, gender in enumerate("mfmfff") for code in (0, 3, 4)]  # fmt: skip
        table = write_csv(rows, "emotion,gender,pixels,Usage", pixels_at=2)
        seven = table.parent / "seven.keras"
        Classifier(tiny.build(FER2013), FER2013, SPEC).save(seven)
        printed, report = evaluated("--group-by", "gender", model=[seven], data=table)
        assert {name: group["images"] for name, group in report["groups"]["groups"].items()} == {"f": 12, "m": 6}
        assert "too few for conclusions" in printed


class TestThreshold:
    @pytest.fixture
    def model(self, models, tmp_path):
        return shutil.copy(models[0], tmp_path / "mine.keras")

    def wanted(self, model, faces):
        """An accuracy between that of all images and that of the most confident ones."""
        data, probabilities = predictions([model], faces)
        right = probabilities.argmax(axis=1) == data.targets.argmax(axis=1)
        order = np.argsort(-probabilities.max(axis=1))
        best = max(right[order[:n]].mean() for n in range(40, 120))
        return round((right.mean() + best) / 2, 4), probabilities.max(axis=1), right

    def test_it_is_stored_in_the_model_and_nothing_else_changes(self, evaluated, faces, model, tmp_path):
        accuracy, confidence, right = self.wanted(model, faces)
        before, weights = read_info(model), stored(model)
        flags = ("--fit-threshold", accuracy, "--risk-coverage", tmp_path / "rc.png")
        printed, report = evaluated(*flags, model=[model])
        below = read_info(model).metadata["uncertain_below"]
        assert right[confidence >= below].mean() >= accuracy > right.mean()
        assert report["threshold"]["uncertain_below"] == below
        assert f'confidence below {below:.4f} is "uncertain"' in printed
        assert (tmp_path / "rc.png").read_bytes().startswith(b"\x89PNG")
        after = read_info(model)
        how = after.metadata.pop("uncertain_chosen_on")
        assert (how["data"], how["images"], how["asked"]) == ("faces", 120, accuracy)
        assert after.metadata.pop("uncertain_below") == below
        assert after == before
        assert stored(model) == weights
        assert keras.saving.load_model(model, compile=False).count_params() > 0

    def test_a_failure_leaves_the_old_file(self, faces, model, capsys):
        data = model.read_bytes()
        assert script(evaluate, "--model", model, "--data", faces, "--fit-threshold", "0.9999") == 2
        assert "no threshold keeps 30 or more images" in capsys.readouterr().err
        with mock.patch("zipfile.ZipFile.writestr", side_effect=OSError(28, "No space left on device")):
            assert script(evaluate, "--model", model, "--data", faces, "--fit-threshold", "0.1") == 2
        assert "cannot be written" in capsys.readouterr().err
        assert model.read_bytes() == data
        assert [path.name for path in model.parent.iterdir()] == [model.name]

    @pytest.mark.parametrize(
        "flags", [("--split", "train"), ("--split", "test"), ("--split", "all"), ("--tta", "flip")]
    )
    def test_only_validation_images_are_used(self, faces, model, capsys, flags):
        data = model.read_bytes()
        assert script(evaluate, "--model", model, "--data", faces, "--fit-threshold", "0.5", *flags) == 2
        assert "--fit-threshold goes with --split validation" in capsys.readouterr().err
        assert model.read_bytes() == data

    def test_not_of_an_average(self, faces, models, capsys):
        assert script(evaluate, "--model", *models, "--data", faces, "--fit-threshold", "0.5") == 2
        assert "a single --model" in capsys.readouterr().err

    def test_not_into_an_exported_file(self, faces, tmp_path, capsys):
        assert script(evaluate, "--model", tmp_path / "m.onnx", "--data", faces, "--fit-threshold", "0.5") == 2
        assert "--fit-threshold writes into a .keras file" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["0", "1", "80", "nan", "x"])
    def test_an_accuracy_lies_between_0_and_1(self, text, capsys):
        with pytest.raises(SystemExit):
            evaluate.parse_args(["--model", "m", "--data", "d", "--fit-threshold", text])
        assert "--fit-threshold" in capsys.readouterr().err

    def test_the_folder_shows_uncertain_and_keeps_the_label(self, evaluated, faces, model, tmp_path, capsys):
        accuracy, *_ = self.wanted(model, faces)
        evaluated("--fit-threshold", accuracy, model=[model])
        below = read_info(model).metadata["uncertain_below"]
        plain, marked = tmp_path / "plain.csv", tmp_path / "marked.csv"
        for path, flags in ((plain, ()), (marked, ("--uncertain",))):
            flags = ("--model", model, "--detector", "none", "--output", path, *flags)
            assert script(predict_folder, faces / "validation", *flags) == 0
        rows, doubted = list(results.read(plain)), list(results.read(marked))
        assert list(doubted[0]) == [*results.COLUMNS, "uncertain", *tiny.LABELS]
        assert "uncertain" not in rows[0]  # off by default
        assert [row | {"uncertain": None} for row in doubted] == [row | {"uncertain": None} for row in rows]
        for row in doubted:
            assert row["label"] in tiny.LABELS
            if abs(float(row["confidence"]) - below) > 1e-4:
                assert (row["uncertain"] == "True") == (float(row["confidence"]) < below)
        assert {row["uncertain"] for row in doubted} == {"True", "False"}
        first, second = capsys.readouterr().out.split("plain.csv: ")
        assert "uncertain" not in first
        head = next(line for line in second.splitlines() if line.startswith("folder \\ predicted"))
        assert head.split()[3:] == [*[label for label in tiny.LABELS if label in head], "uncertain"]

    def test_without_a_threshold_uncertain_is_refused(self, faces, model, tmp_path, capsys):
        arguments = ("--model", model, "--output", tmp_path / "x.csv", "--uncertain")
        assert script(predict_folder, faces / "validation", *arguments) == 2
        error = capsys.readouterr().err
        assert "it has no confidence threshold" in error
        assert f"evaluate.py --model {model} --data DATA --fit-threshold 0.8" in error
        assert not (tmp_path / "x.csv").exists()


def stored(path):
    """CRC of the weights in a model file."""
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo("model.weights.h5").CRC


def test_the_table_of_risks_is_printed_when_asked_for(evaluated, tmp_path):
    printed, report = evaluated()
    assert "AURC" not in printed
    assert report["risk_coverage"]["rows"][0]["accuracy"] == pytest.approx(report["accuracy"])
    printed, _ = evaluated("--risk-coverage", tmp_path / "rc.svg")
    assert f"AURC                {report['risk_coverage']['aurc']:.3f}" in printed
    assert (tmp_path / "rc.svg").read_text().startswith("<?xml")


def test_all_analyses_at_once(evaluated, faces, models, tmp_path):
    flags = (
        "--leakage-against",
        faces,
        "--compare",
        models[1],
        "--group-by",
        "folder",
        "--risk-coverage",
        tmp_path / "r.pdf",
    )
    printed, report = evaluated(*flags)
    assert {"leakage", "comparison", "groups", "risk_coverage"} <= report.keys()
    unseen = report["comparison_without_duplicates"]
    clean = report["leakage"]["without_near_duplicate"]
    assert unseen["images"] == clean["images"] < report["comparison"]["images"]
    assert unseen["accuracy"][0] == pytest.approx(clean["accuracy"])
    assert f"on the same {unseen['images']} images without a duplicate or near-duplicate in training" in printed
    places = [printed.index(text) for text in ("against the 90 training", "m2.keras compared", "by folder", "AURC")]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--leakage-against", "nowhere"), "nowhere: there is no such file or folder"),
        (("--report", __file__ + "/r.json"), "r.json: cannot be written"),
        (("--card", "c.md", "--tta", "flip"), "--card goes with a single --model"),
        (("--explain", "x", "--tta", "flip"), "--explain goes with a single --model"),
        (("--explain", __file__), "is a file, not a folder"),
        (("--robustness", "r.xyz"), "cannot write a figure as '.xyz'"),
    ],
)
def test_impossible_requests_are_refused_before_the_work(models, faces, capsys, flags, message):
    assert script(evaluate, "--model", models[0], "--data", faces, *flags) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert not printed.out


def test_former_flag_names_still_work():
    args = evaluate.parse_args(["--data", "d", "--unique-against", "t", "--store-threshold", "0.8"])
    assert (args.leakage_against, args.fit_threshold) == ("t", 0.8)
