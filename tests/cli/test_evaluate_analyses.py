"""The analyses of evaluate.py beyond the report: printed text, files and model metadata."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import binomtest
from support import tiny
from support.scored import SPEC, predictions
from support.tiny import script

from fer.cli import evaluate
from fer.core.labels import FER2013
from fer.data import duplicates, loading
from fer.models.classifier import Classifier

pytestmark = pytest.mark.slow


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
