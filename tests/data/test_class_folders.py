"""Class folders in every arrangement that is passed around, and everything that lies about in them."""

import os
from collections import Counter

import pytest

from fer import FerError
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.listing import Options
from fer.data.readers.class_folders import ClassFolders
from fer.data.walk import Tree

SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def tree(splits, classes=("happy", "sad"), pictures=2):
    return {f"{split}/{name}": pictures for split in splits for name in classes}


def find(root):
    return ClassFolders().read(Tree.of(root), Options())


def load(root, splits=loading.AS_IS, **options):
    return loading.load(root, InputSpec(8), splits=splits, **options)


def labels(root):
    return next(iter(load(root).values())).labels


def sizes(found):
    return dict(Counter(found.splits))


def left_out(found):
    """Every entry of `skipped` as (path below root, reason)."""
    return sorted((path, reason) for _, path, reason in found.skipped)


def touch(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"stray")


class TestLayouts:
    @pytest.mark.parametrize(
        ("folders", "splits"),
        [
            (["train", "validation"], {"train", "validation"}),
            (["train", "val"], {"train", "validation"}),
            (["train", "valid"], {"train", "validation"}),
            (["Train", "Valid"], {"train", "validation"}),
            (["training", "validation", "testing"], {"train", "validation", "test"}),
            (["images/train", "images/validation"], {"train", "validation"}),
            (["Images/train", "Images/val", "Images/test"], {"train", "validation", "test"}),
            (["images/images/train", "images/images/validation"], {"train", "validation"}),
            (["fer2013/train", "fer2013/validation"], {"train", "validation"}),
            (["archive/images/train", "archive/images/valid"], {"train", "validation"}),
            (["train", "test"], {"train", "test"}),
            (["train"], {"train"}),
            (["test"], {"test"}),
            (["."], {"all"}),
            (["images"], {"all"}),
            (["ck+/faces"], {"all"}),
        ],
        ids=lambda value: "+".join(value) if isinstance(value, list) else "",
    )
    def test_splits(self, class_folders, folders, splits):
        root = class_folders(tree(folders))
        found = find(root)
        assert sizes(found) == dict.fromkeys(splits, 4)
        assert labels(root) == ("happy", "sad")
        assert left_out(found) == []

    def test_files_carry_the_label_of_their_folder(self, class_folders):
        part = load(class_folders({"train/Happiness": ["b.png", "a.png"], "train/anger": ["c.png"]}))["train"]
        found = zip(part.names, part.targets.argmax(axis=1), strict=True)
        assert {name.rpartition("/")[2]: part.labels[code] for name, code in found} == {
            "c.png": "angry", "a.png": "happy", "b.png": "happy",
        }  # fmt: skip

    def test_labels_are_alphabetical_whatever_the_folders_are_called(self, class_folders):
        names = ["Surprise", "neutrality", "anger", "happiness", "FEAR", "disgusted", "sadness"]
        assert labels(class_folders(tree(["train"], names))) == SEVEN

    def test_splits_may_use_different_words(self, class_folders):
        root = class_folders({"train/anger": 2, "train/joy": 1, "validation/angry": 1, "validation/Happy": 3})
        assert sizes(find(root)) == {"train": 3, "validation": 4}

    def test_images_in_folders_below_a_class(self, class_folders):
        assert sizes(find(class_folders({"happy/anna": 2, "happy/ben/2024": 1, "sad": 1}))) == {"all": 4}

    def test_non_ascii_names(self, class_folders):
        root = class_folders({"züge/glücklich": ["Füße.png", "笑顔.jpg"], "züge/sad": 1})
        assert load(root, labels="own")["all"].labels == ("glücklich", "sad")
        assert sizes(find(root)) == {"all": 3}


class TestMixedTestFolder:
    """FER2013 as it is commonly passed around: test/ mixes the two official splits, the names tell them apart."""

    def test_prefixes_give_back_the_official_splits(self, class_folders):
        mixed = {
            "test/happy": ["PublicTest_1.jpg", "PrivateTest_2.jpg", "PrivateTest_3.jpg"],
            "test/sad": ["PublicTest_4.jpg"],
        }
        found = find(class_folders({"train/happy": 2, "train/sad": 2} | mixed))
        assert sizes(found) == {"train": 4, "validation": 2, "test": 2}
        rows = zip(found.entries, found.names, found.splits, strict=True)
        assert {(entry.path, name) for entry, name, split in rows if split == "validation"} == {
            ("test/happy/PublicTest_1.jpg", "happy"),
            ("test/sad/PublicTest_4.jpg", "sad"),
        }

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["a.jpg", "b.jpg"], {"train": 2, "test": 2}),
            (["PublicTest_1.jpg", "mine.jpg"], {"train": 2, "test": 2}),
            (["PrivateTest_1.jpg"], {"train": 2, "test": 1}),
            (["PublicTest_1.jpg"], {"train": 2, "validation": 1}),
        ],
        ids=["none", "not on every file", "private only", "public only"],
    )
    def test_other_names(self, class_folders, names, expected):
        assert sizes(find(class_folders({"train/happy": 2, "test/happy": names}))) == expected

    def test_a_stray_image_stays_in_test_and_changes_nothing_else(self, class_folders):
        names = [f"{kind}_{i}.jpg" for kind in ("PublicTest", "PrivateTest") for i in range(8)]
        found = find(class_folders({"train/happy": 2, "test/happy": [*names, "Copy of PublicTest_1.jpg"]}))
        assert sizes(found) == {"train": 2, "validation": 8, "test": 9}
        assert any("stay in test: test/happy/Copy of PublicTest_1.jpg" in note for note in found.notes)

    def test_a_validation_folder_settles_it(self, class_folders):
        found = find(class_folders({"train/happy": 1, "validation/happy": 1, "test/happy": ["PublicTest_1.jpg"]}))
        assert sizes(found) == {"train": 1, "validation": 1, "test": 1}

    def test_strays_of_a_mixed_folder_are_named_once(self, class_folders):
        root = class_folders({"train/happy": 1, "test/happy": ["PublicTest_1.jpg", "PrivateTest_2.jpg"]})
        touch(root, "test/happy/Thumbs.db")
        found = find(root)
        assert left_out(found) == [("test/happy/Thumbs.db", "not an image file")]
        assert found.skipped[0][0] == "validation"


class TestStrays:
    @pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "notes.txt", "._face.jpg", "face.pdf", "face"])
    @pytest.mark.parametrize(
        ("place", "reason"),
        [
            ("", "not in a class folder"),
            ("images", "not in a class folder"),
            ("images/train", "not in a class folder"),
            ("images/train/happy", "not an image file"),
            ("images/train/happy/anna", "not an image file"),
        ],
    )
    def test_files_at_every_level_are_named_once(self, class_folders, place, reason, name):
        root = class_folders({"images/train/happy": 1, "images/train/happy/anna": 1, "images/validation/happy": 1})
        touch(root, f"{place}/{name}" if place else name)
        found = find(root)
        assert left_out(found) == [(f"{place}/{name}".lstrip("/"), reason)]
        assert sizes(found) == {"train": 2, "validation": 1}

    def test_an_image_beside_the_class_folders_is_named(self, class_folders, write, draw):
        root = class_folders({"happy": 1, "sad": 1})
        write(root / "lost.jpg", draw(0))
        assert left_out(find(root)) == [("lost.jpg", "not in a class folder")]

    @pytest.mark.parametrize("inside", ["", "images/", "Images/"])
    def test_folders_beside_the_splits_are_named(self, class_folders, inside):
        splits = tree([f"{inside}train", f"{inside}validation"])
        found = find(class_folders(splits | {"annotations/old": 1, "__MACOSX/train": 1}))
        names = [("__MACOSX", "a hidden folder"), ("annotations", "not in a class folder")]
        assert left_out(found) == names
        assert sizes(found) == {"train": 4, "validation": 4}

    @pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX", ".git"])
    def test_images_in_hidden_folders_do_not_count(self, class_folders, hidden):
        root = class_folders({"happy": 1, f"happy/{hidden}": 1, hidden: 1})
        assert sizes(find(root)) == {"all": 1}
        assert [name for name, _ in left_out(find(root))] == [hidden, f"happy/{hidden}"]

    def test_a_folder_named_like_an_image_is_a_folder(self, class_folders):
        found = find(class_folders({"happy": 1, "happy/x.jpg": 1, "sad": 0}))
        assert [entry.path for entry in found.entries] == ["happy/000.png", "happy/x.jpg/000.png"]

    def test_strays_belong_to_the_split_in_which_they_lie(self, class_folders):
        root = class_folders(tree(["train", "validation"]))
        touch(root, "README.md", "train/.DS_Store", "validation/happy/x.txt")
        assert {split: len(part.skipped) for split, part in load(root).items()} == {"train": 2, "validation": 1}


class TestLinks:
    @pytest.fixture(autouse=True)
    def can_link(self, tmp_path):
        try:
            (tmp_path / "link").symlink_to(tmp_path)
        except OSError:
            pytest.skip("this system makes no links")
        (tmp_path / "link").unlink()

    def test_a_circle_in_a_class(self, class_folders):
        root = class_folders({"happy": 2, "sad": 1})
        (root / "happy" / "round").symlink_to(root, target_is_directory=True)
        (root / "sad" / "self.jpg").symlink_to(root / "sad" / "self.jpg")
        (root / "sad" / "gone.jpg").symlink_to(root / "nothing")
        found = find(root)
        assert sizes(found) == {"all": 5}
        assert left_out(found) == [("happy/round", "a link to a folder above it")]
        reasons = dict(load(root)["all"].skipped)
        assert set(reasons) == {"happy/round", "sad/gone.jpg", "sad/self.jpg"}

    def test_a_circle_around_nothing(self, tmp_path):
        (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
        with pytest.raises(FerError, match="no images"):
            find(tmp_path)

    def test_linked_images_and_classes_are_read(self, class_folders):
        store = class_folders({"smiles": 2}, root="store")
        root = class_folders({"sad": 1})
        (root / "happy").symlink_to(store / "smiles", target_is_directory=True)
        (root / "sad" / "linked.png").symlink_to(store / "smiles" / "000.png")
        assert sizes(find(root)) == {"all": 4}

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
    def test_a_pipe_does_not_block(self, class_folders):
        root = class_folders({"happy": 1})
        os.mkfifo(root / "happy" / "pipe.jpg")
        assert left_out(find(root)) == [("happy/pipe.jpg", "not an image file")]


class TestClasses:
    def test_a_class_empty_in_all_splits_is_no_label(self, class_folders):
        root = class_folders(tree(["train", "validation"]) | {"train/fear": 0, "validation/fear": 0})
        found = find(root)
        assert labels(root) == ("happy", "sad")
        reason = "a class without images"
        assert left_out(found) == [("train/fear", reason), ("validation/fear", reason)]

    @pytest.mark.parametrize("empty", ["train", "validation"])
    def test_a_class_empty_in_one_split_stays_a_label(self, class_folders, empty):
        root = class_folders(tree(["train", "validation"], ["happy", "sad", "fear"]))
        for file in (root / empty / "fear").iterdir():
            file.unlink()
        found = find(root)
        assert labels(root) == ("fear", "happy", "sad")
        assert left_out(found) == [(f"{empty}/fear", "a class without images")]

    def test_a_class_of_stray_files_only_is_empty(self, class_folders):
        root = class_folders({"happy": 1, "sad": 0})
        touch(root, "sad/.DS_Store")
        assert labels(root) == ("happy",)
        assert left_out(find(root)) == [
            ("sad", "a class without images"),
            ("sad/.DS_Store", "not an image file"),
        ]

    @pytest.mark.parametrize(
        ("folders", "said"),
        [
            ({"train/happy": 1, "train/sad": 1, "validation/happy": 1}, "'sad' only in train"),
            ({"train/happy": 1, "validation/happy": 1, "validation/joyless": 1}, "not emotions: joyless beside happy"),
            ({"train/happy": 1, "validation/happy": 1, "test/happy": 1, "test/fear": 1}, "'fear' only in test"),
            ({"anger": 1, "angry": 1, "sad": 1}, "anger/ and angry/ both mean 'angry'; put them together"),
            ({"train/happy": 1, "val/happy": 1, "valid/happy": 1}, "both val/ and valid/ mean validation; keep one"),
            ({"train": 3, "validation": 3}, "no images in class folders"),
            ({"happy": 0, "sad": 0}, "no images and no table of images"),
            ({".": 3}, "no images in class folders"),
            ({".": 0}, "no images and no table of images"),
        ],
    )
    def test_errors(self, class_folders, folders, said):
        root = class_folders(folders)
        with pytest.raises(FerError, match=said) as error:
            load(root)
        assert str(root) in str(error.value)
        assert "\n" not in str(error.value)

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything")
    def test_a_folder_without_permission(self, class_folders):
        root = class_folders({"happy": 1, "sad": 1})
        (root / "sad").chmod(0)
        try:
            with pytest.raises(FerError, match="sad: cannot be read"):
                find(root)
        finally:
            (root / "sad").chmod(0o700)
