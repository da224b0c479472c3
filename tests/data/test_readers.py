"""Every form of docs/data.md, imitated with synthetic faces: labels, splits and subjects, or one clear refusal."""

from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import pytest
from support import layouts
from support.layouts import AFFECTNET, RAF
from support.loading import counts, labelled, load, refused

from fer.core.labels import FER2013, canonical
from fer.data import readers
from fer.data.splits import SPLITS
from fer.data.walk import Tree

FORMS = {
    "fer2013": layouts.challenge,
    "ferplus": layouts.ferplus,
    "raf-db": layouts.raf_kaggle,
    "affectnet": layouts.affectnet_2017,
    "affectnet-2021": layouts.affectnet_2021,
    "yolo": layouts.yolo,
    "ck+": layouts.ck_raw,
    "jaffe": layouts.jaffe,
    "kdef": layouts.kdef,
    "expw": layouts.expw,
    "table": layouts.imagefolder,
    "class-folders": layouts.ck48,
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_found_by_its_marks_and_by_its_name(tmp_path, name):
    root = FORMS[name](tmp_path / "set")
    assert readers.find_reader(Tree.of(root)).name == name
    assert counts(load(root, format=name)) == counts(load(root))


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path):
    assert "raf-db" in refused(layouts.folders(tmp_path, ["happy"]), format="rafdb")


class TestFer2013:
    def test_challenge_files_in_one_folder(self, tmp_path, caplog):
        caplog.set_level("INFO")
        data = load(layouts.challenge(tmp_path))
        assert counts(data) == {"all": 14}
        assert data["all"].labels == FER2013
        assert "not used: test.csv (no column emotion)" in caplog.text

    def test_a_file_for_each_split(self, tmp_path):
        for name in ("train", "val", "test"):
            lines = (f"{code},{layouts.pixels()}" for code in range(7))
            layouts.text(tmp_path / f"{name}.csv", "emotion,pixels", *lines)
        data = load(tmp_path)
        assert counts(data) == {"train": 7, "validation": 7, "test": 7}
        assert labelled(data["test"]) == {(f"test.csv row {i}", label) for i, label in enumerate(FER2013)}

    def test_blanks_in_the_header_and_the_parts_beside_it(self, tmp_path):
        layouts.challenge(tmp_path)
        usages = ("Training", "PublicTest", "PrivateTest")
        rows = (f"{i % 7}, {usages[i % 3]}, {layouts.pixels()}" for i in range(21))
        layouts.text(tmp_path / "icml_face_data.csv", "emotion, Usage, pixels", *rows)
        data = load(tmp_path)
        assert counts(data) == {"train": 7, "validation": 7, "test": 7}
        assert data["test"].root == str(tmp_path / "icml_face_data.csv")

    def test_seven_is_contempt_in_ckextended_and_an_error_elsewhere(self, tmp_path):
        lines = ["emotion,pixels,Usage", *(f"{code},{layouts.pixels()},Training" for code in range(8))]
        data = load(layouts.text(tmp_path / "ckextended.csv", *lines))
        assert data["train"].labels == (*FER2013, "contempt")
        mine = layouts.text(tmp_path / "mine.csv", *lines)
        said = refused(mine)
        assert "emotion must be 0 to 6, not '7'" in said
        assert said.endswith("--format ckextended")
        assert load(mine, format="ckextended")["train"].labels == data["train"].labels


def test_ferplus_folders_majority_and_shares(tmp_path):
    root = layouts.ferplus(tmp_path)
    data = load(root)
    order = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")
    assert data["train"].labels == order
    assert {split: part.targets.argmax(axis=1).tolist() for split, part in data.items()} == {
        split: list(range(8)) for split in ("train", "validation", "test")
    }
    shares = load(root, vote_mode="shares")["train"].targets
    np.testing.assert_allclose(shares[0], [0.8, 0.2, 0, 0, 0, 0, 0, 0], atol=1e-6)


class TestRafDb:
    @pytest.mark.parametrize("tables", [True, False])
    def test_kaggle(self, tmp_path, tables):
        data = load(layouts.raf_kaggle(tmp_path, tables))
        assert counts(data) == {"train": 14, "test": 14}
        names = {(f"train_{i:05}_aligned.jpg", RAF[i % 7]) for i in range(14)}
        assert {(PurePosixPath(path).name, label) for path, label in labelled(data["train"])} == names

    def test_official_list_takes_the_aligned_faces(self, tmp_path):
        data = load(layouts.raf_official(tmp_path))
        assert counts(data) == {"train": 14, "test": 14}
        assert ("basic/Image/aligned/test_00003_aligned.jpg", "happy") in labelled(data["test"])

    def test_a_table_that_contradicts_the_folders_is_refused(self, tmp_path):
        root = layouts.raf_kaggle(tmp_path)
        table = root / "test_labels.csv"
        table.write_text(table.read_text().replace("test_00000_aligned.jpg,1", "test_00000_aligned.jpg,2"))
        assert "test_00000_aligned.jpg is 2 in the table" in refused(root)

    @pytest.mark.parametrize("tables", [True, False])
    def test_images_that_were_taken_out_for_validation_stay_out(self, tmp_path, tables):
        root = layouts.raf_kaggle(tmp_path, tables)
        moved = next(tree for tree in root.rglob("train") if tree.is_dir())
        held_out = sorted(moved.glob("*/*.*"))[::2]
        for path in held_out:
            target = moved.with_name("val") / path.relative_to(moved)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        if tables:
            assert "is of the train split by its name or table" in refused(root)
        else:
            data = load(root)
            assert counts(data) == {"train": 7, "validation": 7, "test": 14}
            assert {PurePosixPath(entry.path).name for entry in data["validation"].entries} == {
                path.name for path in held_out
            }

    def test_numbered_from_zero_is_not_guessed(self, tmp_path):
        root = layouts.folders(tmp_path, [f"train/{code}" for code in range(7)])
        said = refused(root)
        assert "Numbers mean different emotions" in said
        assert "surprise in raf-db-0" in said
        mapping = ",".join(f"{code}={label}" for code, label in enumerate(RAF))
        for labels in (mapping, "raf-db-0"):
            assert load(root, labels=labels)["train"].counts == dict.fromkeys(sorted(RAF), 2)


class TestAffectNet:
    def test_2017_leaves_out_what_is_no_emotion(self, tmp_path, caplog):
        caplog.set_level("INFO")
        data = load(layouts.affectnet_2017(tmp_path))
        assert counts(data) == {"train": 16, "validation": 8}
        assert ("Manually_Annotated_Images/0/tra3.jpg", "surprise") in labelled(data["train"])
        assert "left out: 9 images labelled 10, 8, 9" in caplog.text

    def test_2021(self, tmp_path):
        data = load(layouts.affectnet_2021(tmp_path))
        assert counts(data) == {"train": 16, "validation": 16}
        expected = {(f"val_set/images/{i}.jpg", AFFECTNET[i % 8]) for i in range(16)}
        assert labelled(data["validation"]) == expected

    def test_yolo(self, tmp_path):
        data = load(layouts.yolo(tmp_path))
        assert counts(data) == {"train": 8, "validation": 8, "test": 8}
        assert ("valid/images/a5.png", "neutral") in labelled(data["validation"])

    def test_yolo_with_the_splits_below(self, tmp_path):
        root = layouts.yolo(tmp_path / "a")
        for split in ("train", "valid", "test"):
            for kind in ("images", "labels"):
                (tmp_path / "b" / kind).mkdir(parents=True, exist_ok=True)
                (root / split / kind).rename(tmp_path / "b" / kind / split)
        (root / "data.yaml").rename(tmp_path / "b" / "data.yaml")
        data = load(tmp_path / "b")
        assert counts(data) == {"train": 8, "validation": 8, "test": 8}
        assert ("images/valid/a5.png", "neutral") in labelled(data["validation"])

    def test_faces_of_photographs_are_cut_out_by_their_boxes(self, tmp_path, caplog):
        caplog.set_level("INFO")
        root, shades = layouts.yolo(tmp_path), (40, 200)
        for path in sorted(root.glob("*/images/*.png")):
            photograph = np.full((60, 120), 128, np.uint8)
            for left, shade in zip((12, 84), shades, strict=True):
                photograph[30:54, left : left + 24] = shade
            layouts.write(path, photograph)
            boxes = ("4 0.2 0.7 0.2 0.4", "6 0.8 0.7 0.2 0.4")
            layouts.text(path.parents[1] / "labels" / f"{path.stem}.txt", *boxes)
        part = load(root)["train"]
        assert part.counts == {"happy": 8, "sad": 8}
        assert part.names[:2] == ("train/images/a0.png row 0", "train/images/a0.png row 1")
        assert [set(np.unique(image)) for image in part.images[:2]] == [{shade} for shade in shades]
        assert Counter(part.groups) == dict.fromkeys([f"train/images/a{i}.png" for i in range(8)], 2)
        assert "the faces are cut out by their boxes" in caplog.text

    @pytest.mark.parametrize("line", ["4 0.5 0.5 1", "4 0.5 0.5 1 wide", "4 0.1 0.1 0.2 0.1 0.2 0.2"])
    def test_a_line_that_is_no_box_is_refused(self, tmp_path, line):
        root = layouts.yolo(tmp_path)
        layouts.text(root / "train" / "labels" / "a3.txt", line)
        assert "a3.txt, line 1: expected class, centre x and y, width, height" in refused(root)

    def test_yolo_without_its_description(self, tmp_path):
        root = layouts.yolo(tmp_path)
        (root / "data.yaml").unlink()
        assert "there is no data.yaml, which names the classes" in refused(root, format="yolo")

    def test_eight_labels_for_a_model_of_seven(self, tmp_path, caplog):
        caplog.set_level("INFO")
        part = load(layouts.affectnet_2021(tmp_path), drop_labels=("contempt",))["validation"]
        assert len(part) == 14
        assert set(part.labels) == set(FER2013)
        assert "left out: 4 images labelled 7" in caplog.text


class TestTables:
    def test_labels_csv(self, tmp_path):
        root = layouts.table(tmp_path)
        part = load(root / "pictures", labels_csv=root / "labels.csv")["all"]
        assert labelled(part) == {(f"{i}.jpg", ("happy", "sad")[i % 2]) for i in range(14)}

    def test_imagefolder(self, tmp_path):
        data = load(layouts.imagefolder(tmp_path))
        assert counts(data) == {"train": 8, "test": 8}
        assert ("test/1.jpg", "fear") in labelled(data["test"])

    def test_a_table_that_relabels_images_says_so(self, tmp_path, caplog):
        caplog.set_level("INFO")
        root = layouts.folders(tmp_path / "set", ["happy", "sad"])
        lines = [f"{name}/{name}-{i}.png,sad" for name in ("happy", "sad") for i in range(2)]
        part = load(root, labels_csv=layouts.text(tmp_path / "clean.csv", "path,label", *lines))["all"]
        assert part.counts == {"sad": 4}
        assert "2 images have another label in the table than their folder: happy/happy-0.png ..." in caplog.text

    def test_frames_of_many_videos_are_found_by_their_folders(self, tmp_path):
        names = [f"v{video:03}/{frame}.png" for video in range(30) for frame in range(2)]
        for name in names:
            layouts.write(tmp_path / "set" / "frames" / name)
        lines = [f"{name},{('happy', 'sad')[i % 3 == 0]}" for i, name in enumerate(names)]
        part = load(tmp_path / "set", labels_csv=layouts.text(tmp_path / "t.csv", "path,label", *lines))["all"]
        assert labelled(part) == {(f"frames/{line.split(',')[0]}", line.split(",")[1]) for line in lines}
        lines[0] = "0.png,sad"
        table = layouts.text(tmp_path / "t.csv", "path,label", *lines)
        assert "0.png may mean" in refused(tmp_path / "set", labels_csv=table)

    def test_a_table_beside_class_folders_is_named_not_used(self, tmp_path):
        layouts.folders(tmp_path / "set", ["anger", "fear"])
        layouts.text(tmp_path / "set" / "labels.csv", ",pth,label", "0,anger/anger-0.png,fear")
        part = load(tmp_path / "set")["all"]
        assert ("labels.csv", "not in a class folder") in part.skipped

    @pytest.mark.parametrize(
        ("lines", "said"),
        [
            (("name,label", "a.jpg,happy"), "none of its names is an image"),
            (("name,score", "0.jpg,1"), "one of labels"),
            (("name,label", "0.jpg,happy", "0.jpg,sad"), "0.jpg is listed twice, as 'happy' and 'sad'"),
            (("name,label,split", "0.jpg,happy,one"), "must say train, validation or test, not 'one'"),
            (("name,label", "0.jpg,3"), "Numbers mean different emotions"),
            (("name,Label,label", "0.jpg,happy,sad"), "two columns have one name"),
        ],
    )
    def test_tables_that_are_refused(self, tmp_path, lines, said):
        root = layouts.table(tmp_path)
        assert said in refused(root / "pictures", labels_csv=layouts.text(tmp_path / "t.csv", *lines))


class TestSplits:
    @pytest.mark.parametrize(
        ("names", "splits"),
        [
            (["happy/train", "happy/test", "sad/train", "sad/test"], {"train": 4, "test": 4}),
            (["1-train/happy", "2-test/happy"], {"train": 2, "test": 2}),
            (["FER2013Train/happy", "FER2013Valid/happy", "FER2013Test/happy"], dict.fromkeys(SPLITS, 2)),
            (["Train/Train_Aligned_Faces/Angry", "Val/Val_Aligned_Faces/Angry"], {"train": 2, "validation": 2}),
            (["archive (3)/Training_set/fear", "archive (3)/dev/fear"], {"train": 2, "validation": 2}),
        ],
    )
    def test_wherever_they_stand_and_however_written(self, tmp_path, names, splits):
        assert counts(load(layouts.folders(tmp_path, names))) == splits

    def test_an_unneeded_split_does_not_stop_the_others(self, tmp_path):
        root = layouts.folders(tmp_path, ["train/happy", "train/sad", "val/happy", "val/sad", "test/happy"])
        layouts.write(root / "test" / "unlabelled" / "x.png")
        (root / "test" / "happy" / "test-happy-0.png").write_bytes(b"")
        assert counts(load(root, ("train", "validation"))) == {"train": 4, "validation": 4}
        assert "unlabelled" in refused(root, splits=("test",))

    def test_splits_without_labels_are_named(self, tmp_path):
        root = layouts.folders(tmp_path, ["train/happy", "train/sad"])
        layouts.write(root / "test" / "1.png")
        assert ("test", "not in a class folder") in load(root, ("train",))["train"].skipped


def test_emotion_words_are_known():
    assert {canonical(word) for word in ("Surprised", "suprise", "2_surprise", "surprise 2")} == {"surprise"}
    assert canonical("1") == "1"


def test_flat_images_beside_a_table_are_refused_with_the_flag(tmp_path):
    root = layouts.table(tmp_path / "set")
    assert "labels.csv names images and labels: --labels-csv" in refused(root)


@pytest.mark.parametrize("names", [["YF01_anger.jpg", "YF02_fear.jpg"], ["images/0/Anger.jpg", "images/1/Fear.jpg"]])
def test_labels_in_file_names_that_no_reader_knows_are_refused(tmp_path, names):
    for name in names:
        layouts.write(tmp_path / "set" / name)
    assert "seem to hold the labels: write a CSV with the columns path and label" in refused(tmp_path / "set")


@pytest.mark.parametrize(
    ("folder", "name", "said"),
    [
        ("set", "part.parquet", "--format parquet reads part.parquet"),
        ("FER2013Train", "label.csv", "give the folder above: --data"),
    ],
)
def test_a_folder_that_is_nearly_right_is_refused_with_the_way_on(tmp_path, folder, name, said):
    layouts.write(tmp_path / folder / "cover.png")
    (tmp_path / folder / name).write_text("cover.png,box,4,0,0,0,0,0,0,0,0,0\n")
    assert said in refused(tmp_path / folder)
