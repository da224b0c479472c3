"""Every source through `load`: class folders, tables, votes, drawn faces, the real FER2013."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer import FerError
from fer.core import images, labels
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.fer2013_csv import EMOTIONS, OTHER_VOTES
from fer.data.loading import load

SPEC = InputSpec(16, 1)
EIGHT = ("angry", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def rows_of(data):
    return [row.tobytes() for row in data.images]


class TestFolders:
    def test_images_of_every_kind(self, class_folders, write, draw):
        names = ["a.jpg", "b.JPG", "c.jpeg", "d.png", "e.PNG", "f.bmp", "g.webp", "h.tif", "Füße 笑顔.png"]
        root = class_folders({"train/happy": names, "validation/happy": 1})
        write(root / "train" / "happy" / "small.png", draw(50, 5, 9))
        write(root / "train" / "happy" / "large.bmp", draw(51, 400, 300))
        write(root / "train" / "happy" / "grey.png", draw(52)[..., 0])
        write(root / "train" / "happy" / "rgba.png", np.dstack([draw(53), draw(54)[..., 0]]))
        write(root / "train" / "happy" / "deep.png", draw(55).astype(np.uint16) * 257)
        train = load(root, SPEC)["train"]
        assert len(train) == len(names) + 5
        assert train.skipped == ()
        assert train.images.shape == (14, 16, 16, 1)

    @pytest.mark.parametrize("spec", [InputSpec(48, 1), InputSpec(20, 3)])
    def test_row_name_and_label_belong_together(self, class_folders, spec):
        """Images are read by several threads, and bad ones fall out in between."""
        root = class_folders({"train/happy": 20, "train/sad": 20, "validation/happy": 1, "validation/sad": 1})
        for name in ("happy/000.png", "happy/007.png", "sad/019.png"):
            (root / "train" / name).write_bytes(b"")
        train = load(root, spec)["train"]
        assert len(train) == 37
        assert len(set(rows_of(train))) == 37
        for row, name, target in zip(train.images, train.names, train.targets, strict=True):
            np.testing.assert_array_equal(row, images.prepare(images.read(root / name), spec))
            assert train.labels[target.argmax()] == Path(name).parent.name

    def test_bad_files_are_named_skipped_and_counted(self, class_folders):
        root = class_folders({"train/happy": 5, "train/sad": ["cut.jpg", "fine.jpg"], "validation/happy": 1})
        root = class_folders({"validation/sad": ["cut.webp"]})
        bad = {
            "train/happy/000.png": b"",
            "train/happy/001.png": (root / "train/happy/001.png").read_bytes()[:200],
            "train/happy/page.jpg": b"<html>404</html>",
            "train/happy/.DS_Store": b"Bud1",
            "train/sad/cut.jpg": (root / "train/sad/cut.jpg").read_bytes()[:-200],
            "train/lost.txt": b"",
            "validation/sad/cut.webp": (root / "validation/sad/cut.webp").read_bytes()[:-20],
        }
        for name, content in bad.items():
            (root / name).write_bytes(content)
        data = load(root, SPEC)
        for split, part in data.items():
            reasons = dict(part.skipped)
            assert set(reasons) == {name for name in bad if name.startswith(split)}
            assert all(reasons.values())
            assert len(part.skipped) == len(reasons)
        assert data["train"].counts == {"happy": 3, "sad": 1}
        assert data["validation"].counts == {"happy": 1, "sad": 0}
        reasons = dict(data["train"].skipped)
        assert reasons["train/happy/000.png"] == "the file is empty (0 bytes)"
        assert reasons["train/sad/cut.jpg"] == "the image is cut short"

    def test_an_empty_class_is_named_and_breaks_nothing(self, class_folders):
        data = load(class_folders({"train/happy": 2, "train/sad": 0, "validation/happy": 1, "validation/sad": 2}), SPEC)
        assert data["train"].labels == data["validation"].labels == ("happy", "sad")
        assert data["train"].counts == {"happy": 2, "sad": 0}
        assert [reason for _, reason in data["train"].skipped] == ["a class without images"]

    def test_progress_sees_every_image(self, class_folders):
        seen = []

        def progress(items, total, text):
            items = list(items)
            seen.append((len(items), total, text))
            return items

        load(class_folders({"train/happy": 4, "validation/happy": 3}), SPEC, progress=progress)
        assert seen == [(4, 4, "train"), (3, 3, "validation")]

    @pytest.mark.parametrize(
        ("tree", "wanted", "sizes"),
        [
            ({"train": 20, "validation": 4, "test": 2}, ("train",), [20]),
            ({"train": 20, "validation": 4, "test": 2}, ("validation",), [4]),
            ({"train": 20, "validation": 4, "test": 2}, ("train", "validation", "test"), [20, 4, 2]),
            ({"train": 20, "validation": 4, "test": 2}, ("all",), [26]),
            ({"train": 20, "test": 2}, ("train", "validation"), [18, 2]),
            ({"train": 20, "test": 2}, ("train",), [18]),
            ({"train": 20, "test": 2}, ("validation", "test"), [2, 2]),
            ({"train": 20, "test": 2}, ("test",), [2]),
            ({"train": 20, "test": 2}, ("all",), [22]),
            ({".": 20}, ("train", "validation"), [18, 2]),
            ({".": 20}, ("all",), [20]),
        ],
        ids=lambda value: "+".join(value) if not isinstance(value, list) else "",
    )
    def test_wanted_splits(self, class_folders, tree, wanted, sizes):
        root = class_folders({f"{split}/happy": count for split, count in tree.items()})
        data = load(root, SPEC, splits=wanted)
        assert list(data) == list(wanted)
        assert [len(part) for part in data.values()] == sizes

    def test_only_what_is_wanted_is_read(self, class_folders):
        read = []
        root = class_folders({"train/happy": 4, "test/happy": 2})
        load(root, SPEC, splits=("test",), progress=lambda items, total, text: read.append(text) or items)
        assert read == ["test"]

    @pytest.mark.parametrize(
        ("tree", "wanted", "said"),
        [
            ({"train/happy": 4, "validation/happy": 2}, ("test",), "it has no test split, only train, validation"),
            ({"test/happy": 4}, ("train", "validation"), "it has no train split, only test"),
            ({"happy": 4}, ("test",), "it has no test split, only images without splits"),
            ({"train/happy": 4, "test/happy": ["PublicTest_1.jpg"]}, ("test",), "it has no test split"),
        ],
    )
    def test_splits_that_are_not_there(self, class_folders, tree, wanted, said):
        with pytest.raises(FerError, match=said):
            load(class_folders(tree), SPEC, splits=wanted)

    @pytest.mark.parametrize("splits", [("train", "validation"), ("all",)])
    @pytest.mark.parametrize("folder", ["happy", "train/happy"])
    def test_no_usable_image_at_all(self, class_folders, folder, splits):
        root = class_folders({folder: 2})
        for file in (root / folder).iterdir():
            file.write_bytes(b"")
        with pytest.raises(FerError, match=r"no usable image in .*\(2 skipped\)"):
            load(root, SPEC, splits=splits)

    def test_mixed_test_folder_of_fer2013(self, class_folders):
        mixed = [f"PublicTest_{i}.jpg" for i in range(3)] + [f"PrivateTest_{i}.jpg" for i in range(5)]
        root = class_folders({"train/happy": 6, "test/happy": mixed})
        data = load(root, SPEC, splits=("train", "validation", "test"))
        assert {split: len(part) for split, part in data.items()} == {"train": 6, "validation": 3, "test": 5}
        assert all("PublicTest_" in name for name in data["validation"].names)

    def test_eight_classes_without_splits(self, class_folders):
        """The published case: 224x224 PNG, with contempt. Planted duplicates lie in one class and in two."""
        words = ["anger", "contempt", "disgust", "fear", "happy", "neutral", "sad", "surprise"]
        root = class_folders(dict.fromkeys(words, 20), side=224)
        for twin, picture in [("anger/001", "anger/000"), ("fear/003", "sad/004"), ("happy/002", "contempt/009")]:
            (root / f"{twin}.png").write_bytes((root / f"{picture}.png").read_bytes())
        data = load(root, InputSpec(48, 1), validation_fraction=0.2)
        train, validation = data.values()
        assert train.labels == validation.labels == EIGHT
        assert len(train) + len(validation) == 160
        assert set(rows_of(train)).isdisjoint(rows_of(validation))
        assert len(set(rows_of(train)) | set(rows_of(validation))) == 157
        assert all(3 <= count <= 5 for count in validation.counts.values())
        again = load(root, InputSpec(48, 1), validation_fraction=0.2)
        assert again["validation"].names == validation.names
        other = load(root, InputSpec(48, 1), validation_fraction=0.2, seed=1)
        assert other["validation"].names != validation.names

    def test_bad_files_of_an_unsplit_folder_are_counted_once(self, class_folders):
        root = class_folders({"happy": 10, "sad": 10})
        (root / "happy" / "000.png").write_bytes(b"")
        assert [len(part.skipped) for part in load(root, SPEC).values()] == [1, 0]

    def test_one_naming_evaluates_a_model_of_another(self, class_folders, write_csv):
        words = ["Surprised", "neutrality", "anger", "Happiness", "fearful", "disgusted", "sadness"]
        folders = load(class_folders(dict.fromkeys(words, 2)), SPEC, splits=("all",))["all"]
        table = load(write_csv([(code, code, "Training") for code in range(7)]), SPEC, splits=("all",))["all"]
        assert folders.labels != table.labels
        aligned = folders.align(table.labels)
        for target, name in zip(aligned.targets, aligned.names, strict=True):
            assert labels.canonical(Path(name).parent.name) == aligned.labels[target.argmax()]


class TestTables:
    @pytest.fixture
    def rows(self):
        usages = ["Training"] * 14 + ["PublicTest"] * 7 + ["PrivateTest"] * 7
        return [(i % 7, i, usage) for i, usage in enumerate(usages)]

    def test_splits_and_labels(self, write_csv, rows):
        data = load(write_csv(rows), SPEC, splits=("train", "validation", "test"))
        assert {split: len(part) for split, part in data.items()} == {"train": 14, "validation": 7, "test": 7}
        assert data["train"].labels == labels.FER2013
        assert data["validation"].targets.argmax(axis=1).tolist() == list(range(7))
        assert data["validation"].names[0] == "row 14"

    @pytest.mark.parametrize("spec", [InputSpec(48, 1), InputSpec(32, 3)])
    def test_a_row_gives_the_pixels_that_the_same_image_as_a_file_gives(self, write_csv, tmp_path, write, draw, spec):
        table = load(write_csv([(3, 5, "Training"), (3, 6, "PublicTest")]), spec)["train"]
        file = write(tmp_path / "face.png", cv2.cvtColor(draw(5), cv2.COLOR_BGR2GRAY))
        np.testing.assert_array_equal(table.images[0], images.prepare(images.read(file), spec))

    def test_without_usage_a_tenth_is_for_validation(self, write_csv):
        """Stratified, and row 199 is a copy of row 0 with another emotion."""
        rows = [(i % 2, i, None) for i in range(199)] + [(1, 0, None)]
        path = write_csv([row[:2] for row in rows], "emotion,pixels", "train.csv")
        train, validation = load(path, SPEC).values()
        assert 19 <= len(validation) <= 21
        assert len(train) + len(validation) == 200
        assert abs(validation.counts["angry"] - validation.counts["disgust"]) <= 2
        assert set(rows_of(train)).isdisjoint(rows_of(validation))
        assert load(path, SPEC)["validation"].names == validation.names

    @pytest.mark.parametrize("name", ["fer2013.csv", "icml_face_data.csv", "train.csv", "fer2013/fer2013.csv"])
    def test_a_folder_that_holds_a_table(self, write_csv, tmp_path, rows, name):
        write_csv(rows, name=f"download/{name}")
        (tmp_path / "download" / "example_submission.csv").write_text("emotion\n0\n")
        (tmp_path / "download" / ".git").mkdir()
        assert len(load(tmp_path / "download", SPEC)["train"]) == 14

    def test_class_folders_go_before_a_table(self, class_folders, write_csv, rows):
        root = class_folders({"train/happy": 3, "validation/happy": 1})
        write_csv(rows, name="faces/fer2013.csv")
        data = load(root, SPEC)
        assert len(data["train"]) == 3
        assert "fer2013.csv" in data["train"].skipped[0][0]

    @pytest.mark.parametrize(
        ("usages", "wanted", "said"),
        [
            (["Training"] * 4, ("test",), "it has no test split, only train"),
            (["PrivateTest"] * 4, ("train", "validation"), "it has no train split, only test"),
        ],
    )
    def test_splits_that_are_not_there(self, write_csv, usages, wanted, said):
        with pytest.raises(FerError, match=said):
            load(write_csv([(0, i, usage) for i, usage in enumerate(usages)]), SPEC, splits=wanted)


class TestVotes:
    @pytest.fixture
    def table(self, write_csv):
        return write_csv([(0, 0, "Training"), (3, 1, "Training"), (6, 2, "Training"), (3, 3, "PublicTest")])

    @pytest.fixture
    def votes(self, tmp_path):
        """Row 0 mixed, row 1 clear, row 2 undecided; validation mixed."""
        given = [{"anger": 6, "contempt": 4}, {"happiness": 10}, {"neutral": 5, "fear": 5}, {"sadness": 8, "fear": 2}]
        names = (*EMOTIONS, *OTHER_VOTES)
        lines = [",".join(["Usage", "Image name", *names])]
        for usage, row in zip(["Training"] * 3 + ["PublicTest"], given, strict=True):
            lines.append(",".join([usage, "x.png", *(str(row.get(name, 0)) for name in names)]))
        path = tmp_path / "votes.csv"
        path.write_text("\n".join(lines))
        return path

    def test_majority(self, table, votes):
        data = load(table, SPEC, votes=votes)
        assert data["train"].names == ("row 0", "row 1")
        assert data["train"].counts == dict.fromkeys(data["train"].labels, 0) | {"angry": 1, "happy": 1}
        assert set(np.unique(data["train"].targets)) == {0, 1}
        assert data["validation"].counts["sad"] == 1

    def test_shares(self, table, votes):
        train = load(table, SPEC, votes=votes, vote_mode="shares")["train"]
        first = dict(zip(train.labels, train.targets[0].tolist(), strict=True))
        assert {label: round(share, 6) for label, share in first.items() if share} == {"angry": 0.6, "contempt": 0.4}

    def test_mixed(self, table, votes):
        plain, data = load(table, SPEC), load(table, SPEC, votes=votes, vote_mode="mixed")
        assert data["train"].labels == plain["train"].labels
        assert data["train"].names == plain["train"].names  # no image is dropped
        np.testing.assert_array_equal(data["train"].targets.argmax(axis=1), plain["train"].targets.argmax(axis=1))
        assert 0.5 < data["train"].targets.max() < 1
        np.testing.assert_array_equal(data["validation"].targets, plain["validation"].targets)

    def test_mixed_needs_validation_rows_of_the_table(self, table, votes):
        for path in (table, votes):
            path.write_text("".join(row for row in path.open().readlines() if "PublicTest" not in row))
        with pytest.raises(FerError, match="kept clear of them"):
            load(table, SPEC, votes=votes, vote_mode="mixed")

    @pytest.mark.parametrize("mode", ["majority", "shares"])
    def test_dropped_images_are_named_and_counted(self, table, votes, mode):
        data = load(table, SPEC, votes=votes, vote_mode=mode)
        assert data["train"].skipped == (("row 2", "no emotion holds more than half of its votes"),)
        assert data["validation"].skipped == ()

    @pytest.mark.parametrize("mode", ["majority", "shares"])
    def test_images_with_most_votes_for_a_dropped_label_are_left_out(self, table, votes, mode, caplog):
        caplog.set_level("INFO")
        data = load(table, SPEC, votes=votes, vote_mode=mode, drop_labels=("anger",))
        assert data["train"].names == ("row 1",)  # row 0 is not taken for contempt, which has fewer votes
        assert data["train"].skipped == (("row 2", "no emotion holds more than half of its votes"),)
        assert "left out: 1 images with most votes for anger" in caplog.text
        by_number = load(table, SPEC, votes=votes, vote_mode=mode, drop_labels=("0",))  # anger in fer2013.csv
        assert by_number["train"].labels == data["train"].labels
        assert by_number["train"].names == ("row 1",)
        kept = load(table, SPEC, votes=votes, vote_mode=mode, drop_labels=("contempt",))["train"]
        assert kept.names == ("row 0", "row 1")
        assert kept.counts["angry"] == 1
        assert kept.targets.max(axis=1).tolist() == [1, 1]

    def test_eight_labels_match_a_model_of_eight_folders_by_name(self, table, votes):
        assert load(table, SPEC, votes=votes)["train"].align(EIGHT).counts["angry"] == 1

    def test_errors(self, table, votes, class_folders):
        with pytest.raises(FerError, match="vote_mode must be one of shares, majority, mixed, not 'most'"):
            load(table, SPEC, votes=votes, vote_mode="most")
        for source in ("demo", class_folders({"happy": 1})):
            with pytest.raises(FerError, match=r"votes belong to the rows of a fer2013\.csv"):
                load(source, SPEC, votes=votes)


class TestDemo:
    @pytest.fixture(autouse=True)
    def few(self, monkeypatch):
        monkeypatch.setattr(loading, "DEMO_COUNTS", {"train": 21, "validation": 14, "test": 7})

    def test_splits_show_different_people(self):
        data = load("demo", InputSpec(48, 1), splits=("train", "validation", "test"))
        assert {split: len(part) for split, part in data.items()} == {"train": 21, "validation": 14, "test": 7}
        assert set(data["train"].counts.values()) == {3}
        assert len({row for part in data.values() for row in rows_of(part)}) == 42
        assert rows_of(load("demo", InputSpec(48, 1))["train"]) == rows_of(data["train"])
        assert len(load("demo", InputSpec(48, 1), splits=("all",))["all"]) == 42

    def test_size_and_colour(self):
        assert load("demo", InputSpec(32, 3))["train"].images.shape == (21, 32, 32, 3)


class TestSources:
    @pytest.mark.parametrize(
        ("name", "said"),
        [
            ("nothing", "there is no such file or folder"),
            ("nothing.csv", "there is no such file or folder"),
            ("face.png", "a single image is no data set"),
            ("empty", "no images and no table of images"),
        ],
    )
    def test_errors(self, tmp_path, write, draw, name, said):
        write(tmp_path / "face.png", draw(0))
        (tmp_path / "empty").mkdir()
        with pytest.raises(FerError, match=said) as error:
            load(tmp_path / name, SPEC)
        assert str(tmp_path / name) in str(error.value)
        assert "\n" not in str(error.value)

    def test_a_path_may_be_text(self, class_folders):
        root = class_folders({"train/happy": 2, "validation/happy": 1})
        assert rows_of(load(str(root), SPEC)["train"]) == rows_of(load(root, SPEC)["train"])


def test_the_made_split_is_the_same_whatever_size_and_colours_a_network_wants(class_folders):
    root = class_folders({"happy": 9, "sad": 8}, side=40)
    specs = (InputSpec(16, 1), InputSpec(24, 1), InputSpec(16, 3))
    assert len({load(root, spec)["validation"].names for spec in specs}) == 1
