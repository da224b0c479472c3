"""A made-up data set with everything planted that an audit looks for: all found, none invented; and the clean list."""

import json
from itertools import combinations
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import pytest
from support import layouts, tiny
from support.similar import faces, nearly
from support.tiny import script

from fer import FerError
from fer.cli import audit_data, evaluate, train, train_arguments
from fer.core.images import InputSpec
from fer.data import audit, audit_report, fer2013_csv, keep_list, loading
from fer.data.dataset import Dataset
from fer.data.entry import Entry

LABELS = ("angry", "happy", "sad")


@pytest.fixture
def planted(tmp_path, write):
    """A folder with 60 + 30 different images and the planted ones, named for what they are."""
    root, pictures = tmp_path / "faces", faces(90)
    for i, picture in enumerate(pictures):
        write(root / ("train" if i < 60 else "validation") / LABELS[i % 3] / f"{i:02}.png", picture)
    train, validation = root / "train", root / "validation"
    write(train / "angry" / "exact-same-label.png", pictures[3])
    write(train / "happy" / "exact-conflict.png", pictures[6])
    write(train / "happy" / "near-same-label.png", nearly(pictures[[10]])[0])
    write(train / "sad" / "near-conflict.png", nearly(pictures[[15]])[0])
    write(validation / "angry" / "leak-exact.png", pictures[21])
    write(validation / "happy" / "leak-near.png", nearly(pictures[[25]])[0])
    write(train / "sad" / "blank.png", np.full((48, 48, 1), 77, np.uint8))
    write(validation / "sad" / "blank-too.png", np.full((48, 48, 1), 77, np.uint8))
    almost = np.full((48, 48, 1), 77, np.uint8)
    almost[::2] += 4
    write(train / "sad" / "near-constant.png", almost)
    write(train / "happy" / "large.png", cv2.resize(faces(1, seed=8)[0], (60, 60)))
    (train / "happy" / "broken.jpg").write_bytes(b"\xff\xd8 not a picture")
    (train / "happy" / "empty.png").write_bytes(b"")
    return root


@pytest.fixture
def found(planted):
    return audit.audit(loading.load(planted, InputSpec(), splits=loading.AS_IS))


def sets(groups):
    return {frozenset(row["name"] for row in group) for group in groups}


def test_everything_planted_is_found_and_nothing_else(planted, found):
    report = audit_report.to_dict(found)
    json.dumps(report)
    unreadable = sorted(name for name, _ in report["unreadable"]["train"])
    assert [name.rpartition("/")[2] for name in unreadable] == ["broken.jpg", "empty.png"]
    assert all(name.startswith("train/") for name in unreadable)
    assert report["unreadable"]["validation"] == []
    assert set(report["blank"]) == {"train/sad/blank.png", "validation/sad/blank-too.png"}
    assert report["near_constant"] == ["train/sad/near-constant.png"]
    assert report["wrong_size"] == ["train/happy/large.png"]
    assert report["sizes"] == {"48x48": 99, "60x60": 1}
    exact = {
        frozenset({"train/angry/03.png", "train/angry/exact-same-label.png"}),
        frozenset({"train/angry/06.png", "train/happy/exact-conflict.png"}),
        frozenset({"train/angry/21.png", "validation/angry/leak-exact.png"}),
    }
    near = {
        frozenset({"train/happy/10.png", "train/happy/near-same-label.png"}),
        frozenset({"train/angry/15.png", "train/sad/near-conflict.png"}),
        frozenset({"train/happy/25.png", "validation/happy/leak-near.png"}),
    }
    assert sets(report["exact_groups"]) == exact
    assert sets(report["near_groups"]) == exact | near
    assert report["near_pairs"] == 3
    assert [set(names) for names in report["exact_conflicts"]] == [
        {"train/angry/06.png", "train/happy/exact-conflict.png"}
    ]
    assert len(report["near_conflicts"]) == 2
    leak = report["leakage"]["validation in train"]
    assert (leak["exact"], leak["exact_or_near"]) == (1, 2)
    assert leak["exact_share"] == pytest.approx(1 / 33)


def test_counts_are_those_of_the_files(planted, found):
    names = [path.relative_to(planted).parts for path in planted.rglob("*.png") if path.stat().st_size]
    for split, row in audit_report.counts(found).items():
        assert row == {label: sum(part[:2] == (split, label) for part in names) for label in LABELS}


def test_the_summary_names_them(planted, found):
    text = audit_report.summary(found)
    for line in (
        "2 could not be used",
        "2 blank",
        "1 near-constant",
        "1 of an unusual size (most common: 48x48 99, 60x60 1)",
        "duplicates: 6 images in 3 groups; 1 groups with several labels",
        "duplicates or near-duplicates (r >= 0.95): 12 images in 6 groups; 2 groups with several labels",
        "validation images with a duplicate in train: 1 (3.0%), with a duplicate or near-duplicate: 2 (6.1%)",
    ):
        assert line in text.splitlines()


def test_leakage_against_all_pairs(found):
    images = found.data.images
    signature = np.array([cv2.resize(image, (16, 16), interpolation=cv2.INTER_AREA).ravel() for image in images])
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.corrcoef(signature)
    duplicates = {frozenset(p) for p in combinations(np.flatnonzero(~found.flat).tolist(), 2) if r[p[0], p[1]] >= 0.95}
    validation = {
        i
        for pair in duplicates
        for i in pair
        if found.splits[i] == "validation" and any(found.splits[j] == "train" for j in pair)
    }
    assert set(found.leaked("validation", "train")[1].tolist()) == validation


def test_the_clean_rows(found):
    names = np.array([name.rpartition("/")[2] for name in found.data.names])
    left = set(names) - set(names[found.clean()])
    assert left == {
        *("blank.png", "blank-too.png", "near-constant.png"),
        *("06.png", "exact-conflict.png", "15.png", "near-conflict.png"),  # one against one: nobody is right
        *("exact-same-label.png", "near-same-label.png", "21.png", "25.png"),  # validation keeps its images
    }
    assert len(found.clean(())) == len(found.data)
    clean = found.data.select(found.clean())
    again = audit.audit({"train": clean})
    assert (again.near_groups, again.flat.sum()) == ([], 0)


def test_a_majority_among_duplicates_stays():
    pictures = np.repeat(faces(1), 3, axis=0)
    targets = np.eye(2, dtype=np.float32)[[1, 0, 1]]
    three = audit.audit({"train": Dataset(pictures, targets, ("a", "b"), tuple(map(Entry, "xyz")))})
    assert three.clean(("conflicts",)).tolist() == [0, 2]
    assert three.clean(("conflicts", "duplicates")).tolist() == [0]


def test_sizes_without_a_usual_one():
    sizes = [(48, 48), (100, 100), (120, 60), (20, 20), None, (90, 70)]
    assert audit.odd_sizes(sizes).tolist() == [2, 3]
    assert audit.odd_sizes([None, None]).tolist() == []


def test_confident_learning_by_hand():
    p = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.4, 0.6], [0.95, 0.05], [0.45, 0.55]])
    codes = np.array([0, 0, 0, 1, 1, 1])
    # thresholds: label 0 (.9 + .7 + .2) / 3 = .6, label 1 (.6 + .05 + .55) / 3 = .4
    # row 2 is confidently 1, row 4 confidently 0; row 4 by the larger margin
    assert audit.label_issues(p, codes).tolist() == [4, 2]


def test_confident_learning_finds_swapped_labels():
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 600)
    p = rng.dirichlet(np.ones(3), 600) * 0.1 + 0.9 * np.eye(3)[true]
    given = true.copy()
    swapped = rng.choice(600, 40, replace=False)
    given[swapped] = (true[swapped] + 1) % 3
    assert set(audit.label_issues(p, given).tolist()) == set(swapped.tolist())


def test_sheets_for_what_there_is(found, tmp_path):
    written = {path.name for path in audit_report.write_sheets(found, tmp_path / "sheets")}
    kinds = ("flat", "wrong-size", "duplicates", "near-duplicates", "exact-conflicts", "near-conflicts")
    assert written == {f"{kind}.png" for kind in kinds} | {f"samples-{label}.png" for label in LABELS}
    assert all(cv2.imread(str(tmp_path / "sheets" / name)) is not None for name in written)


# --- keep lists


def test_a_clean_list_fits_the_folder_wherever_it_moves(planted, found, tmp_path, capsys):
    path = tmp_path / "keep.csv"
    assert script(audit_data, planted, "--write-clean-list", path, "--report", tmp_path / "a.json") == 0
    assert "89 of 100 images remain without flat, duplicates, conflicts" in capsys.readouterr().out
    moved = planted.rename(tmp_path / "elsewhere")
    parts = loading.load(f"{moved}/", InputSpec(), keep_list=path)
    names = {name for part in parts.values() for name in part.names}
    assert names == set(pd.read_csv(path)["name"])
    reasons = [reason for part in parts.values() for _, reason in part.skipped]
    assert reasons == [keep_list.SKIPPED] * 13  # two of them cannot be read anyway
    assert json.loads((tmp_path / "a.json").read_text())["images"] == 100


def test_a_clean_list_of_a_table(write_csv, tmp_path):
    rows = [(3, 1, "Training"), (3, 1, "Training"), (4, 2, "Training"), (0, 3, "PublicTest"), (0, 2, "PublicTest")]
    table, path = write_csv(rows), tmp_path / "keep.csv"
    assert script(audit_data, table, "--write-clean-list", path, "--drop", "duplicates") == 0
    assert pd.read_csv(path)["name"].tolist() == ["row 0", "row 3", "row 4"]
    parts = loading.load(table.rename(tmp_path / "train.csv"), InputSpec(), keep_list=path)
    assert {split: part.names for split, part in parts.items()} == {
        "train": ("row 0",),
        "validation": ("row 3", "row 4"),
    }
    assert dict(parts["train"].skipped) == {f"row {i}": keep_list.SKIPPED for i in (1, 2)}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "name\ntrain/happy/no.png\n",
            "1 of 1 names are not in .*, such as 'train/happy/no.png'; the list is of other",
        ),
        ("name\n", "the keep list names no image"),
        ("", "the file is empty"),
        ("file\nx\n", r"no column name; found \['file'\]"),
        ("name\ntrain/happy/01.png\n", "no usable image in validation"),
    ],
)
def test_a_list_that_does_not_fit_is_refused(planted, tmp_path, text, message):
    path = tmp_path / "keep.csv"
    path.write_text(text)
    with pytest.raises(FerError, match=message) as caught:
        loading.load(planted, InputSpec(), keep_list=path)
    assert "\n" not in str(caught.value)


def test_no_list_at_all(planted):
    with pytest.raises(FerError, match="cannot be opened"):
        loading.load(planted, InputSpec(), keep_list="none.csv")


def test_training_keeps_to_the_list_and_resumes_with_it(learnt, tmp_path, capsys):
    root, path, run = tiny.folders(tmp_path / "faces"), tmp_path / "keep.csv", tmp_path / "run"
    names = sorted(file.relative_to(root).as_posix() for file in root.rglob("*.png"))
    dropped = [name for name in names if name.startswith("train/happy/")][:4]
    path.write_text("\n".join(["name", *(name for name in names if name not in dropped)]))
    flags = ("--data", root, "--keep-list", path, "--run-dir", run, "--epochs", "1", *tiny.FLAGS)
    with mock.patch("fer.training.fit.fit", side_effect=KeyboardInterrupt) as fit:
        assert script(train, *flags) == 130
    part, _, task = fit.call_args.args
    assert (len(part), task.metadata()["keep_list"]) == (44, "keep.csv")
    assert "train: 44 images" in (output := capsys.readouterr().out)
    assert "0 blank, 4 skipped" in output
    task.write()
    kept = train_arguments.resolve(train.parse_args(["--resume", "--run-dir", str(run)]))
    assert kept.keep_list == str(path)
    asked = ("--model", learnt, "--data", root, "--keep-list", path, "--split", "train")
    assert script(evaluate, *asked) == 0
    assert "train: 44 images" in capsys.readouterr().out


def test_another_list_contradicts_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    train_arguments.resolve(train.parse_args(["--keep-list", "a.csv", "--run-dir", "r"])).write()
    with pytest.raises(FerError, match=r"--keep-list b.csv contradicts the run in r, which has a.csv"):
        train_arguments.resolve(train.parse_args(["--keep-list", "b.csv", "--run-dir", "r", "--resume"]))


# --- the script with votes and a model


def test_votes_that_differ(write_csv, tmp_path, capsys):
    table = write_csv([(3, 1, "Training"), (0, 2, "Training"), (6, 3, "PublicTest"), (4, 4, "Training")])
    header = ",".join(["Usage", "Image name", *fer2013_csv.EMOTIONS, *fer2013_csv.OTHER_VOTES])
    lines = [
        "Training,a,0,9,0,0,0,0,0,0,0,0",  # happy: agrees
        "Training,b,0,0,0,9,0,0,0,0,0,0",  # sad, not angry
        "PublicTest,c,0,0,0,0,0,0,0,9,0,0",  # contempt, which FER2013 has not
        "Training,d,2,2,2,2,2,0,0,0,0,0",  # nobody wins
    ]
    votes = tmp_path / "votes.csv"
    votes.write_text("\n".join([header, *lines, ""]))
    report, path = tmp_path / "a.json", tmp_path / "keep.csv"
    flags = ("--votes", votes, "--report", report, "--write-clean-list", path, "--drop", "votes")
    assert script(audit_data, table, *flags) == 0
    assert "FER+ has a majority for 3 of 4; 2 (66.7%) differ from the label" in capsys.readouterr().out
    found = json.loads(report.read_text())
    assert [(row["name"], row["label"], row["votes"]) for row in found["outvoted"]] == [
        ("row 1", "angry", "sad"),
        ("row 2", "neutral", "contempt"),
    ]
    assert pd.read_csv(path)["name"].tolist() == ["row 0", "row 3", "row 2"]  # validation is not touched
    assert script(audit_data, table, "--votes", votes, "--drop-labels", "neutral") == 2
    assert "--votes need all rows of the table, but 1 are left out" in capsys.readouterr().err


def test_a_model_disputes_labels(learnt, tmp_path, capsys):
    root = tiny.folders(tmp_path / "faces")
    wrong = root / "train" / tiny.LABELS[0] / "wrong.png"
    wrong.write_bytes(next((root / "train" / tiny.LABELS[1]).iterdir()).read_bytes())
    report, flags = tmp_path / "a.json", ("--sheets", tmp_path / "s")
    assert script(audit_data, root, "--model", learnt, "--report", report, *flags) == 0
    printed = capsys.readouterr().out
    assert "labels that the model disputes: " in printed
    found = json.loads(report.read_text())["disputed"]
    first, disputed = found[0], [row["name"] for row in found]
    said = f"predicted {first['model']} {first['confidence']:.0%}, {first['given']:.0%} for the label {first['label']}"
    assert f"  {first['name']}: {said}" in printed.splitlines()
    assert f"train/{tiny.LABELS[0]}/wrong.png" in disputed
    assert (tmp_path / "s" / "disputed.png").exists()


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--drop", "votes", "--write-clean-list", "x"), "--drop votes needs --votes"),
        (("--drop", "disputed", "--write-clean-list", "x"), "--drop disputed needs --model"),
        (("--drop", "duplicates"), "--drop has no effect without --write-clean-list"),
        (("--sheets", __file__), "is a file, not a folder"),
        (("--votes", "votes.csv"), "--votes belong to the rows of a fer2013.csv"),
        (("--near", "1.5"), "must lie from 0.8 to below 1, not 1.5"),
        (("--report", "x.txt"), "x.txt: the name must end in .json"),
    ],
)
def test_what_the_script_refuses(planted, flags, message, capsys):
    assert script(audit_data, planted, *flags) == 2
    assert message in capsys.readouterr().err


def test_subjects_in_two_splits_are_counted(tmp_path):
    for split, subjects in (("train", ("KA", "KL", "KM")), ("test", ("KM", "KR"))):
        for subject in subjects:
            for name, code in (("anger", "AN"), ("fear", "FE")):
                layouts.write(tmp_path / split / name / f"{subject}.{code}1.7.tiff", layouts.face(48))
    found = audit.audit(loading.load(tmp_path, InputSpec(), splits=loading.AS_IS, format="class-folders"))
    assert audit_report.subjects(found) == {"all": 4, "train and test": 1}
    assert "subjects or sequences: 4; 1 in both train and test" in audit_report.summary(found).splitlines()
    assert audit_report.to_dict(found)["subjects"]["all"] == 4
