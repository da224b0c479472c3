"""Class folders in every arrangement that is passed around, and everything that lies about in them."""

import os
from pathlib import Path

import pytest

from fer import FerError
from fer.data.class_folders import find, find_images

SEVEN = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")


def tree(splits, classes=("happy", "sad"), pictures=2):
    return {f"{split}/{name}": pictures for split in splits for name in classes}


def sizes(found):
    return {split: len(files) for split, files in found.files.items()}


def left_out(found, root):
    """Every entry of `skipped` as (path below root, reason)."""
    entries = [entry for part in found.skipped.values() for entry in part]
    return sorted((os.path.relpath(path, root).replace(os.sep, "/"), reason) for path, reason in entries)


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
        assert found.labels == ("happy", "sad")
        assert left_out(found, root) == []

    def test_files_carry_the_label_of_their_folder(self, class_folders):
        found = find(class_folders({"train/Happiness": ["b.png", "a.png"], "train/anger": ["c.png"]}))
        assert [(file.name, label) for file, label in found.files["train"]] == [
            ("c.png", "angry"),
            ("a.png", "happy"),
            ("b.png", "happy"),
        ]

    def test_labels_are_alphabetical_whatever_the_folders_are_called(self, class_folders):
        names = ["Surprise", "neutrality", "anger", "happiness", "FEAR", "disgusted", "sadness"]
        assert find(class_folders(tree(["train"], names))).labels == SEVEN

    def test_splits_may_use_different_words(self, class_folders):
        root = class_folders({"train/anger": 2, "train/joy": 1, "validation/angry": 1, "validation/Happy": 3})
        assert sizes(find(root)) == {"train": 3, "validation": 4}

    def test_pictures_in_folders_below_a_class(self, class_folders):
        assert sizes(find(class_folders({"happy/anna": 2, "happy/ben/2024": 1, "sad": 1}))) == {"all": 4}

    def test_non_ascii_names(self, class_folders):
        root = class_folders({"züge/glücklich": ["Füße.png", "笑顔.jpg"], "züge/sad": 1})
        assert find(root).labels == ("glücklich", "sad")
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
        assert {(file.name, label) for file, label in found.files["validation"]} == {
            ("PublicTest_1.jpg", "happy"),
            ("PublicTest_4.jpg", "sad"),
        }

    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            (["a.jpg", "b.jpg"], {"train": 2, "test": 2}),
            (["PublicTest_1.jpg", "mine.jpg"], {"train": 2, "test": 2}),
            (["PrivateTest_1.jpg"], {"train": 2, "test": 1}),
            (["PublicTest_1.jpg"], {"train": 2, "validation": 1, "test": 0}),
        ],
        ids=["none", "not on every file", "private only", "public only"],
    )
    def test_other_names(self, class_folders, names, expected):
        assert sizes(find(class_folders({"train/happy": 2, "test/happy": names}))) == expected

    def test_a_validation_folder_settles_it(self, class_folders):
        found = find(class_folders({"train/happy": 1, "validation/happy": 1, "test/happy": ["PublicTest_1.jpg"]}))
        assert sizes(found) == {"train": 1, "validation": 1, "test": 1}

    def test_strays_of_a_mixed_folder_are_named_once(self, class_folders):
        root = class_folders({"train/happy": 1, "test/happy": ["PublicTest_1.jpg", "PrivateTest_2.jpg"]})
        touch(root, "test/happy/Thumbs.db")
        found = find(root)
        assert left_out(found, root) == [("test/happy/Thumbs.db", "not an image file")]
        assert found.skipped["validation"]


class TestStrays:
    @pytest.mark.parametrize("name", [".DS_Store", "Thumbs.db", "notes.txt", "._face.jpg", "face.xyz", "face"])
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
        assert left_out(found, root) == [(f"{place}/{name}".lstrip("/"), reason)]
        assert sizes(found) == {"train": 2, "validation": 1}

    def test_a_picture_beside_the_class_folders_is_named(self, class_folders, write, draw):
        root = class_folders({"happy": 1, "sad": 1})
        write(root / "lost.jpg", draw(0))
        assert left_out(find(root), root) == [("lost.jpg", "not in a class folder")]

    @pytest.mark.parametrize("inside", ["", "images/", "Images/"])
    def test_folders_beside_the_splits_are_named(self, class_folders, inside):
        splits = tree([f"{inside}train", f"{inside}validation"])
        found = find(root := class_folders(splits | {"annotations/old": 1, "__MACOSX/train": 1}))
        names = [("__MACOSX", "not in a class folder"), ("annotations", "not in a class folder")]
        assert left_out(found, root) == names
        assert sizes(found) == {"train": 4, "validation": 4}

    @pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "__MACOSX", ".git"])
    def test_pictures_in_hidden_folders_do_not_count(self, class_folders, hidden):
        root = class_folders({"happy": 1, f"happy/{hidden}": 1, hidden: 1})
        assert sizes(find(root)) == {"all": 1}
        assert [name for name, _ in left_out(find(root), root)] == [hidden, f"happy/{hidden}"]

    def test_a_folder_named_like_a_picture_is_a_folder(self, class_folders):
        found = find(class_folders({"happy": 1, "happy/x.jpg": 1, "sad": 0}))
        assert sorted(file.name for file, _ in found.files["all"]) == ["000.png", "000.png"]

    def test_strays_belong_to_the_split_in_which_they_lie(self, class_folders):
        root = class_folders(tree(["train", "validation"]))
        touch(root, "README.md", "train/.DS_Store", "validation/happy/x.txt")
        assert {split: len(entries) for split, entries in find(root).skipped.items()} == {"train": 2, "validation": 1}


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
        assert sizes(found) == {"all": 3}
        assert left_out(found, root) == [
            ("happy/round", "a link to a folder"),
            ("sad/gone.jpg", "not an image file"),
            ("sad/self.jpg", "not an image file"),
        ]

    def test_a_circle_around_nothing(self, tmp_path):
        (tmp_path / "again").symlink_to(tmp_path, target_is_directory=True)
        with pytest.raises(FerError, match="no images"):
            find(tmp_path)

    def test_linked_pictures_and_classes_are_read(self, class_folders):
        store = class_folders({"smiles": 2}, root="store")
        root = class_folders({"sad": 1})
        (root / "happy").symlink_to(store / "smiles", target_is_directory=True)
        (root / "sad" / "linked.png").symlink_to(store / "smiles" / "000.png")
        assert sizes(find(root)) == {"all": 4}

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes")
    def test_a_pipe_does_not_block(self, class_folders):
        root = class_folders({"happy": 1})
        os.mkfifo(root / "happy" / "pipe.jpg")
        assert left_out(find(root), root) == [("happy/pipe.jpg", "not an image file")]


class TestClasses:
    def test_a_class_empty_in_all_splits_is_no_label(self, class_folders):
        root = class_folders(tree(["train", "validation"]) | {"train/fear": 0, "validation/fear": 0})
        found = find(root)
        assert found.labels == ("happy", "sad")
        reason = "a class without images"
        assert left_out(found, root) == [("train/fear", reason), ("validation/fear", reason)]

    @pytest.mark.parametrize("empty", ["train", "validation"])
    def test_a_class_empty_in_one_split_stays_a_label(self, class_folders, empty):
        root = class_folders(tree(["train", "validation"], ["happy", "sad", "fear"]))
        for file in (root / empty / "fear").iterdir():
            file.unlink()
        found = find(root)
        assert found.labels == ("fear", "happy", "sad")
        assert left_out(found, root) == [(f"{empty}/fear", "a class without images")]

    def test_a_class_of_stray_files_only_is_empty(self, class_folders):
        root = class_folders({"happy": 1, "sad": 0})
        touch(root, "sad/.DS_Store")
        assert find(root).labels == ("happy",)
        assert left_out(find(root), root) == [
            ("sad", "a class without images"),
            ("sad/.DS_Store", "not an image file"),
        ]

    @pytest.mark.parametrize(
        ("folders", "said"),
        [
            ({"train/happy": 1, "train/sad": 1, "validation/happy": 1}, "'sad' only in train"),
            ({"train/happy": 1, "validation/happy": 1, "validation/joyless": 1}, "'joyless' only in validation"),
            ({"train/happy": 1, "validation/happy": 1, "test/happy": 1, "test/fear": 1}, "'fear' only in test"),
            ({"anger": 1, "angry": 1, "sad": 1}, "anger/ and angry/ both mean 'angry'; put them together"),
            ({"train/happy": 1, "val/happy": 1, "valid/happy": 1}, "both val/ and valid/ mean validation; keep one"),
            ({"train": 3, "validation": 3}, "no images in class folders"),
            ({"happy": 0, "sad": 0}, "no images in class folders"),
            ({".": 3}, "no images in class folders"),
            ({".": 0}, "no images in class folders"),
        ],
    )
    def test_errors(self, class_folders, folders, said):
        root = class_folders(folders)
        with pytest.raises(FerError, match=said) as error:
            find(root)
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


class TestFindPictures:
    @pytest.fixture
    def lines(self):
        return []

    @pytest.fixture
    def tree(self, tmp_path):
        def build(*names):
            for name in names:
                (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / name).touch()
            return tmp_path

        return build

    @pytest.fixture
    def find(self, lines):
        return lambda root: [path.relative_to(root).as_posix() for path in find_images(root, on_error=lines.append)]

    def test_files_by_name_then_folders_by_name(self, tree, find, lines):
        root = tree("z.jpg", "b/2.PNG", "b/a/1.webp", "b/10.png", "a/x.JpEg", "c/d/e/f.bmp", "A.tif", "readme.txt", "n")
        (root / "empty").mkdir()
        assert find(root) == ["A.tif", "z.jpg", "a/x.JpEg", "b/10.png", "b/2.PNG", "b/a/1.webp", "c/d/e/f.bmp"]
        assert lines == []

    def test_hidden_ones_are_left_out(self, tree, find, lines):
        root = tree("a.jpg", ".b.jpg", "._a.jpg", ".git/c.jpg", "__MACOSX/._a.jpg", "x/.y/z.jpg", "x/.jpg")
        assert find(root) == ["a.jpg"]
        assert lines == []

    def test_a_hidden_folder_asked_for(self, tree, find):
        assert find(tree(".cache/a.jpg") / ".cache") == ["a.jpg"]

    def test_a_single_file(self, tree, find):
        path = tree("face.gif") / "face.gif"
        assert list(find_images(str(path), on_error=print)) == [path]

    def test_a_missing_path_is_told_at_once(self, tmp_path):
        with pytest.raises(FerError, match="none: no such file or folder"):
            find_images(tmp_path / "none", on_error=print)

    def test_links(self, tree, find, lines):
        root = tree("a/1.jpg", "b/2.jpg")
        (root / "a" / "up").symlink_to(root, target_is_directory=True)
        (root / "a" / "self").symlink_to("self")
        (root / "c").symlink_to(root / "b", target_is_directory=True)
        (root / "b" / "3.jpg").symlink_to(root / "a" / "1.jpg")
        (root / "b" / "4.jpg").symlink_to("gone.jpg")
        assert find(root) == ["a/1.jpg", "b/2.jpg", "b/3.jpg", "b/4.jpg"]
        assert lines == [f"{root / name}: a link to a folder is not followed" for name in ("a/up", "c")]
        assert find(root / "c") == ["2.jpg", "3.jpg", "4.jpg"]  # it was asked for

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
    def test_a_pipe_is_no_picture(self, tree, find):
        root = tree("a.jpg", "c.jpg")
        os.mkfifo(root / "b.jpg")
        assert find(root) == ["a.jpg", "c.jpg"]

    def test_a_folder_that_cannot_be_read_is_named(self, tree, find, lines, monkeypatch):
        root = tree("a/1.jpg", "b/2.jpg", "c/3.jpg")

        def scandir(path, _original=os.scandir):
            if Path(path).name == "b":
                raise PermissionError(13, "Permission denied")
            return _original(path)

        monkeypatch.setattr(os, "scandir", scandir)
        assert find(root) == ["a/1.jpg", "c/3.jpg"]
        assert lines == [f"{root / 'b'}: cannot be read (Permission denied)"]
        with pytest.raises(FerError, match="b: cannot be read"):
            find_images(root / "b", on_error=print)

    def test_one_at_a_time(self, tree, lines):
        root = tree("a/1.jpg", "b/2.jpg")
        found = find_images(root, on_error=lines.append)
        assert next(found).name == "1.jpg"
        (root / "b" / "3.jpg").touch()  # b has not been listed yet
        assert [path.name for path in found] == ["2.jpg", "3.jpg"]
