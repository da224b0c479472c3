"""Layouts that docs/data.md does not name: right labels, splits and subjects, or one line that names the way on."""

import json

import pytest
from support import layouts
from support.layouts import RAF
from support.loading import counts, labelled, load, refused

from fer import FerError
from fer.data.splitting import folds

SEVEN = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def sample(root, table, rows, *, folder="images", n=6):
    """n images 0.jpg ... and a table of the rows."""
    for number in range(n):
        layouts.write(root / folder / f"{number}.jpg")
    return layouts.text(root / table, *rows)


class TestSubjects:
    @pytest.mark.parametrize(
        ("names", "subjects"),
        [
            ([f"{i:03}/{c}" for i in range(4) for c in ("happy", "sad")], {f"{i:03}" for i in range(4)}),
            ([f"{c}/S{i}" for i in range(4) for c in ("happy", "sad")], {f"S{i}" for i in range(4)}),
            ([f"NI/Weak/P{i}/happy" for i in range(3)] + [f"VL/Weak/P{i}/happy" for i in range(3)], {"P0", "P1", "P2"}),
            ([f"session{s}/S{i}/happy" for i in range(3) for s in (1, 2)], {"S0", "S1", "S2"}),
            ([f"{i:03}/happy/take{t}" for i in range(3) for t in (1, 2)], {"000", "001", "002"}),
            ([f"{subject}/happy" for subject in ("F01", "F02", "M01")], {"F01", "F02", "M01"}),
            ([f"{c}/x" for c in ("happy", "sad")], set()),
            ([f"{c}/{kind}" for c in ("happy", "sad") for kind in ("men", "women")], set()),
        ],
    )
    def test_numbered_folders_are_subjects_and_named(self, tmp_path, caplog, names, subjects):
        caplog.set_level("INFO")
        assert set(load(layouts.folders(tmp_path, names))["all"].groups) == subjects
        assert ("folders are taken as subjects" in caplog.text) == bool(subjects)
        assert "may be subjects" not in caplog.text

    @pytest.mark.parametrize(
        "names",
        [
            ["frontal/happy", "left/happy"],
            ["mild/happy", "strong/happy"],
            ["fer2013/happy", "rafdb/happy"],
            ["original/happy", "augmented/happy"],
            ["fold1/happy", "fold2/happy"],
            ["happy/seq1", "happy/seq2"],
            ["0/001/happy", "1/001/happy", "0/002/happy", "1/002/happy"],
            ["anna/happy", "ben/happy"],
        ],
    )
    def test_folders_that_may_be_subjects_are_asked_about(self, tmp_path, names):
        root = layouts.folders(tmp_path, names, 4)
        said = refused(root, splits=("train", "validation"))
        assert "may be subjects: --group '" in said
        with pytest.raises(FerError, match="say who they are"):
            next(folds(load(root)["all"], 2, seed=1))
        assert counts(load(root, ("train", "validation"), group="none")).keys() == {"train", "validation"}
        pattern = said.split("--group '")[1].split("'")[0]
        groups = load(root, group=pattern)["all"].groups
        assert len(set(groups)) == 2
        assert "" not in groups

    def test_own_splits_need_no_answer(self, tmp_path, caplog):
        caplog.set_level("INFO")
        names = [f"{split}/{kind}/happy" for split in ("train", "val") for kind in ("mild", "strong")]
        assert counts(load(layouts.folders(tmp_path, names), ("train", "validation"))) == {"train": 4, "validation": 4}
        assert "mild, strong may be subjects" in caplog.text

    def test_file_names_that_say_subject_or_video(self, tmp_path, caplog):
        caplog.set_level("INFO")
        for subject in range(3):
            for label in ("happy", "sad"):
                layouts.write(tmp_path / label / f"subject{subject:02}_{label}_1.jpg")
        assert set(load(tmp_path)["all"].groups) == {"SUBJECT00", "SUBJECT01", "SUBJECT02"}
        assert (
            "3 subjects or sequences by file names: SUBJECT00, SUBJECT01, SUBJECT02 ... (else --group none)"
            in caplog.text
        )

    def test_a_stray_file_does_not_hide_the_subjects(self, tmp_path, caplog):
        caplog.set_level("INFO")
        root = layouts.ck48(tmp_path)
        layouts.write(root / "CK+48" / "happy" / "mine.png")
        train, validation = load(root, ("train", "validation")).values()
        assert not set(train.groups) & set(validation.groups) - {""}
        assert len({*train.groups, *validation.groups} - {""}) == 10
        assert "of no known subject: CK+48/happy/mine.png" in caplog.text

    @pytest.mark.parametrize("stray", ["extra", "augmented1", "005"])
    def test_a_stray_image_or_folder_does_not_hide_the_folders_of_subjects(self, tmp_path, caplog, stray):
        caplog.set_level("INFO")
        root = layouts.folders(tmp_path, [f"{label}/S{i:03}" for label in ("happy", "sad") for i in range(6)], each=4)
        layouts.write(root / "happy" / "stray.png")
        layouts.write(root / "happy" / stray / "1.png")
        train, validation = load(root, ("train", "validation")).values()
        assert not set(train.groups) & set(validation.groups) - {""}
        assert {*train.groups, *validation.groups} == {*(f"S{i:03}" for i in range(6)), stray, ""}
        assert "7 folders are taken as subjects" in caplog.text
        assert f"also {stray}, which are numbered otherwise; 1 images lie in none of them" in caplog.text


class TestTables:
    @pytest.mark.parametrize("flag", [False, True])
    def test_the_folders_of_the_images_are_their_splits(self, tmp_path, flag):
        rows = ["file_name,label"]
        for split in ("train", "test"):
            for number in range(4):
                layouts.write(tmp_path / split / f"{number}.jpg")
                rows.append(f"{split}/{number}.jpg,{('happy', 'sad')[number % 2]}")
        table = layouts.text(tmp_path / ("t.csv" if flag else "metadata.csv"), *rows)
        options = {"labels_csv": table} if flag else {}
        assert counts(load(tmp_path, **options)) == {"train": 4, "test": 4}
        layouts.write(tmp_path / "more" / "9.jpg")
        layouts.text(table, *rows, "more/9.jpg,happy")
        said = refused(tmp_path, **options)
        assert "more/9.jpg lies in no folder of a split, others do: move it, or add a column split to the table" in said

    def test_a_single_folder_named_like_a_split_is_none(self, tmp_path):
        rows = [f"{i}.jpg,{('happy', 'sad')[i % 2]}" for i in range(6)]
        table = sample(tmp_path, "t.csv", ["path,label", *rows], folder="test_images")
        assert counts(load(tmp_path, labels_csv=table)) == {"all": 6}

    def test_metadata_jsonl(self, tmp_path):
        for split in ("train", "test"):
            rows = [json.dumps({"file_name": f"{i}.jpg", "label": ("angry", "fear")[i % 2]}) for i in range(6)]
            sample(tmp_path / split, "metadata.jsonl", rows, folder=".")
        data = load(tmp_path)
        assert counts(data) == {"train": 6, "test": 6}
        assert ("test/3.jpg", "fear") in labelled(data["test"])
        (tmp_path / "test" / "metadata.jsonl").write_text("[1]\n")
        assert "expected lines such as {" in refused(tmp_path)

    def test_names_without_suffix_and_windows_paths(self, tmp_path):
        rows = ["id,label", *(f"{i},{('happy', 'sad')[i % 2]}" for i in range(3))]
        rows += [rf"C:\Users\me\images\{i}.jpg,fear" for i in range(3, 6)]
        table = sample(tmp_path, "t.csv", rows)
        part = load(tmp_path, labels_csv=table)["all"]
        assert part.counts == {"fear": 3, "happy": 2, "sad": 1}
        assert ("images/1.jpg", "sad") in labelled(part)

    def test_a_table_for_each_split(self, tmp_path):
        for split, label in (("train", "happy"), ("test", "sad")):
            rows = [f"{split}/{i}.jpg,{label}" for i in range(3)]
            sample(tmp_path, f"{split}.csv", ["path,label", *rows], folder=f"images/{split}", n=3)
        said = refused(tmp_path)
        assert said.endswith(f"--labels-csv {tmp_path}/test.csv,{tmp_path}/train.csv")
        data = load(tmp_path, labels_csv=said.split("--labels-csv ")[-1])
        assert {split: part.counts for split, part in data.items()} == {
            "train": {"happy": 3, "sad": 0},
            "test": {"happy": 0, "sad": 3},
        }

    def test_two_tables_of_which_one_names_no_split_are_refused(self, tmp_path):
        rows = [f"{i}.jpg,{('happy', 'sad')[i % 2]}" for i in range(6)]
        train = sample(tmp_path, "train.csv", ["path,label", *rows[:4]])
        mine = layouts.text(tmp_path / "mine.csv", "path,label", *rows[4:])
        with pytest.raises(FerError, match="some images belong to train, others to no split"):
            load(tmp_path, ("train", "validation"), labels_csv=f"{train},{mine}")
        assert counts(load(tmp_path, ("all",), labels_csv=f"{train},{mine}")) == {"all": 6}
        named = mine.rename(tmp_path / "my_faces_test.csv")
        assert counts(load(tmp_path, labels_csv=f"{train},{named}")) == {"train": 4, "test": 2}

    def test_folders_above_the_data_are_no_splits(self, tmp_path):
        root = tmp_path / "dev" / "faces"
        rows = [f"{root}/{split}/{i}.jpg,{('happy', 'sad')[i % 2]}" for split in ("train", "val") for i in range(3)]
        table = sample(root, "t.csv", ["path,label", *rows], folder="train", n=3)
        sample(root, "t.csv", ["path,label", *rows], folder="val", n=3)
        assert counts(load(root, labels_csv=table)) == {"train": 3, "validation": 3}

    def test_a_metadata_table_that_is_named_may_lie_elsewhere(self, tmp_path):
        rows = ["file_name,label", *(f"{i}.jpg,{('happy', 'sad')[i % 2]}" for i in range(6))]
        table = sample(tmp_path, "metadata.csv", rows)
        assert counts(load(tmp_path / "images", labels_csv=table)) == {"all": 6}
        (tmp_path / "annotations").mkdir()
        table.rename(tmp_path / "annotations" / "metadata.csv")
        assert counts(load(tmp_path)) == {"all": 6}

    @pytest.mark.parametrize("flag", [False, True])
    def test_a_missing_file_is_not_replaced_by_its_namesake_of_another_split(self, tmp_path, flag):
        for split in ("train", "val"):
            rows = [f"{split if flag else '.'}/{i}.jpg,{('happy', 'sad')[i % 2]}" for i in range(4)]
            sample(tmp_path / split, "metadata.csv", ["file_name,label", *rows], folder=".")
        (tmp_path / "train" / "3.jpg").unlink()
        options = {}
        if flag:
            moved = [path.rename(tmp_path / f"{path.parent.name}.csv") for path in tmp_path.glob("*/*.csv")]
            options = {"labels_csv": ",".join(map(str, moved))}
        data = load(tmp_path, **options)
        assert counts(data) == {"train": 3, "validation": 4}
        assert [reason for _, reason in data["train"].skipped] == ["no such image"]

    @pytest.mark.parametrize("flag", [False, True])
    def test_a_missing_file_is_not_replaced_by_its_namesake_of_another_class(self, tmp_path, flag):
        for name, numbers in (("happy", range(1, 5)), ("sad", range(4, 8))):
            for number in numbers:
                layouts.write(tmp_path / "set" / name / f"{number}.png")
        root = "/content/set/" if flag else ""
        rows = [f"{root}happy/{number}.png,happy" for number in range(1, 8)]
        part = load(tmp_path / "set", labels_csv=layouts.text(tmp_path / "t.csv", "path,label", *rows))["all"]
        assert labelled(part) == {(f"happy/{number}.png", "happy") for number in range(1, 5)}
        assert [name for name, reason in part.skipped if reason == "no such image"] == [
            f"{root}happy/{number}.png" for number in range(5, 8)
        ]

    def test_a_missing_subject_is_not_replaced_by_another(self, tmp_path):
        for number in range(3):
            layouts.write(tmp_path / "S002" / f"{number}.png")
        rows = [f"S00{subject}/{number}.png,happy" for subject in (1, 2) for number in range(3)]
        part = load(tmp_path, labels_csv=layouts.text(tmp_path / "t.csv", "path,label", *rows))["all"]
        assert part.names == tuple(f"S002/{number}.png" for number in range(3))

    def test_folders_of_other_names_may_be_moved(self, tmp_path):
        rows = ["path,label", *(f"pictures/{i}.jpg,{('happy', 'sad')[i % 2]}" for i in range(6))]
        assert counts(load(tmp_path, labels_csv=sample(tmp_path, "t.csv", rows))) == {"all": 6}

    def test_names_that_differ_in_case_alone_are_told_apart(self, tmp_path):
        for name in ("x/a.png", "x/A.png"):
            layouts.write(tmp_path / name)
        if len(list((tmp_path / "x").iterdir())) < 2:
            pytest.skip("this file system ignores case")
        rows = ["path,label", "x/a.png,happy", "A.png,sad"]
        part = load(tmp_path, labels_csv=layouts.text(tmp_path / "t.csv", *rows))["all"]
        assert labelled(part) == {("x/a.png", "happy"), ("x/A.png", "sad")}

    @pytest.mark.parametrize(("column", "cells"), [("split", ("train", "test")), ("subject", ("p1", "p2"))])
    def test_an_image_of_two_splits_or_subjects_is_refused(self, tmp_path, column, cells):
        rows = [f"path,label,{column}", *(f"0.jpg,happy,{cell}" for cell in cells)]
        said = refused(tmp_path, labels_csv=sample(tmp_path, "t.csv", rows))
        assert f"images/0.jpg is listed twice, as {cells[0]!r} and {cells[1]!r}" in said

    def test_blanks_around_cells_do_not_count(self, tmp_path):
        rows = ["path,label,subject", "0.jpg , happy ,S01", "1.jpg,happy,S01 ", "2.jpg,sad , S02"]
        part = load(tmp_path, labels_csv=sample(tmp_path, "t.csv", rows))["all"]
        assert sorted(set(part.groups)) == ["S01", "S02"]
        assert part.counts == {"happy": 2, "sad": 1}

    def test_two_columns_of_labels(self, tmp_path):
        rows = ["image,label,emotion", *(f"{i}.jpg,{i % 2},{('happy', 'sad')[i % 2]}" for i in range(6))]
        assert load(tmp_path, labels_csv=sample(tmp_path, "t.csv", rows))["all"].counts == {"happy": 3, "sad": 3}
        table = sample(tmp_path, "u.csv", [*rows[:1], "0.jpg,fear,happy", "1.jpg,sad,sad"])
        assert "the columns label and emotion differ" in refused(tmp_path, labels_csv=table)

    @pytest.mark.parametrize(
        ("name", "rows"),
        [
            ("annotations.json", ['{"images": [], "annotations": []}']),
            ("_classes.csv", ["filename, angry, happy", "0.jpg, 0, 1"]),
            ("list.txt", ["0.jpg 3"]),
        ],
    )
    def test_labels_in_other_forms_are_refused_with_the_flag(self, tmp_path, name, rows):
        sample(tmp_path, name, rows)
        assert f"if {name} has the labels, write a CSV with the columns path and label" in refused(tmp_path)


class TestClasses:
    @pytest.mark.parametrize(
        "names",
        [
            ["enojado", "feliz", "triste", "neutral"],
            ["colère", "joie", "peur"],
            ["분노", "행복", "슬픔"],
            ["happy", "not_happy"],
            ["happily_surprised", "happy"],
            ["happy", "sad copy", "sad"],
            ["Calm", "Happy"],
            ["happy/surprise", "happy/happy"],  # two emotions above one another
        ],
    )
    def test_other_words_are_refused_with_the_way_on(self, tmp_path, names):
        said = refused(layouts.folders(tmp_path, names))
        assert "class names that are not emotions" in said
        assert "--labels " in said

    def test_capitals_blanks_and_what_computers_leave_behind(self, tmp_path):
        root = layouts.folders(tmp_path, ["Train/Angry ", "Train/HAPPY", "Test/angry", "Test/Happy\u00a0"])
        layouts.write(root / "Train" / "HAPPY" / "._a.png")
        layouts.write(root / "__MACOSX" / "Train" / "sad" / "a.png")
        (root / "sad.zip").write_bytes(b"PK")
        data = load(root)
        assert {split: part.counts for split, part in data.items()} == {key: {"angry": 2, "happy": 2} for key in data}
        assert {name for name, _ in data["train"].skipped} == {"Train/HAPPY/._a.png", "__MACOSX", "sad.zip"}

    def test_a_class_in_one_split_alone(self, tmp_path):
        names = [*(f"train/{name}" for name in SEVEN), *(f"val/{name}" for name in (*SEVEN, "Contempt"))]
        root = layouts.folders(tmp_path, names)
        assert "'contempt' only in validation" in refused(root, splits=("train", "validation"))
        assert len(load(root, ("train", "validation"), drop_labels=("contempt",))["validation"]) == 14
        assert len(load(root, ("validation",))["validation"]) == 16

    def test_empty_classes_are_named(self, tmp_path):
        root = layouts.folders(tmp_path, ["train/happy", "train/sad"])
        (root / "train" / "neutral").mkdir()
        assert load(root)["train"].skipped == (("train/neutral", "a class without images"),)


class TestSplits:
    def test_a_folder_twice_inside_itself(self, tmp_path):
        root = layouts.folders(tmp_path, [f"{split}/{split}/happy" for split in ("train", "test")])
        data = load(root)
        assert counts(data) == {"train": 2, "test": 2}
        assert not data["train"].groups

    def test_a_copy_inside_is_left_out_and_named(self, tmp_path):
        names = [f"images/{inner}{split}/happy" for inner in ("", "images/") for split in ("train", "validation")]
        data = load(layouts.folders(tmp_path, names))
        assert counts(data) == {"train": 2, "validation": 2}
        assert data["train"].skipped == (("images/images", "not in a class folder"),)

    def test_a_subject_named_like_a_split_is_no_split(self, tmp_path):
        names = [f"{subject}/{label}" for subject in ("Asha", "Dev", "Meena", "Ravi") for label in ("happy", "sad")]
        said = refused(layouts.folders(tmp_path, names))
        assert "Dev/ would be the validation split, but 4 of 16 images lie in folders of splits; rename it" in said

    @pytest.mark.parametrize("labels", ["raf-db", {"1": "happy", "2": "sad", "3": "fear"}])
    def test_numbers_of_folds_above_numbered_classes_are_refused(self, tmp_path, labels):
        names = [f"{fold}/{code}" for fold in (1, 2, 3) for code in (1, 2, 3)]
        said = refused(layouts.folders(tmp_path, names), labels=labels)
        assert "1/ and 1/ inside it both name a class; rename the folders that do not" in said
        named = layouts.folders(tmp_path / "named", [f"fold{fold}/{code}" for fold in (1, 2, 3) for code in (1, 2, 3)])
        assert sum(counts(load(named, labels=labels, group="none")).values()) == 18

    def test_contradicting_folders_are_refused(self, tmp_path):
        said = refused(layouts.folders(tmp_path, ["dev/train/happy", "dev/test/happy"]))
        assert "mean different splits; rename one of them" in said

    def test_an_archive_is_to_be_unpacked(self, tmp_path):
        (tmp_path / "archive.zip").write_bytes(b"PK")
        assert "unpack the archive first" in refused(tmp_path)


class TestKnownSetsOtherwise:
    def test_raf_db_in_one_flat_folder(self, tmp_path):
        rows = []
        for split in ("train", "test"):
            for number in range(7):
                layouts.write(tmp_path / "aligned" / f"{split}_{number:05}_aligned.jpg")
                rows.append(f"{split}_{number:05}.jpg {number + 1}")
        layouts.text(tmp_path / "list_patition_label.txt", *rows)
        data = load(tmp_path)
        assert counts(data) == {"train": 7, "test": 7}
        assert ("aligned/train_00003_aligned.jpg", RAF[3]) in labelled(data["train"])

    def test_affectnet_whose_validation_table_has_no_header(self, tmp_path):
        root = layouts.affectnet_2017(tmp_path)
        table = root / "validation.csv"
        table.write_text(table.read_text().partition("\n")[2])
        data = load(root)
        assert counts(data) == {"train": 16, "validation": 8}
        assert ("Manually_Annotated_Images/1/val1.jpg", "happy") in labelled(data["validation"])

    def test_pixels_with_six_numbers_in_a_row_are_not_guessed(self, tmp_path):
        rows = [f"{code},{layouts.pixels()}" for code in range(6)]
        table = layouts.text(tmp_path / "six.csv", "emotion,pixels", *rows)
        assert "--codes fer2013 if they are FER2013's numbers" in refused(table)
        assert len(load(table, labels="fer2013")["all"]) == 6
        mine = ",".join(
            f"{code}={name}" for code, name in enumerate(("angry", "fear", "happy", "sad", "surprise", "neutral"))
        )
        assert ("row 5", "neutral") in labelled(load(table, labels=mine)["all"])

    def test_pixels_in_train_and_test_without_usage(self, tmp_path):
        for split in ("train", "test"):
            rows = [f"{code % 7},{layouts.pixels()}" for code in range(14)]
            layouts.text(tmp_path / f"{split}.csv", "emotion,pixels", *rows)
        assert counts(load(tmp_path)) == {"train": 14, "test": 14}
        assert counts(load(tmp_path, ("train", "validation", "test"))) == {"train": 7, "validation": 7, "test": 14}

    def test_jaffe_with_a_stray_image(self, tmp_path):
        root = layouts.jaffe(tmp_path)
        layouts.write(root / "thumb.png")
        part = load(root)["all"]
        assert len(set(part.groups)) == 5
        assert part.skipped == (("thumb.png", "not a file name of jaffe"),)
