"""Attributes of images: from the data's own CSV, from folders, from a table of names; never of the wrong image."""

import numpy as np
import pytest

from fer import FerError
from fer.core.images import InputSpec
from fer.data import attributes, loading
from fer.data.dataset import Dataset
from fer.data.entry import Entry

SPEC = InputSpec(12)


def load(source, split="validation"):
    return loading.load(source, SPEC, splits=(split,))[split]


class TestTheDatasOwnTable:
    @pytest.fixture
    def table(self, write_csv):
        rows = [
            (3, "f", 0, "Training"), (3, "m", 1, "PublicTest"), (4, "f", 2, "Training"), (4, " f ", 3, "PublicTest"),
            (3, "", 4, "PublicTest"), (0, "NA", 5, "PublicTest"), (0, "x", 6, "Training"),
        ]  # fmt: skip
        return write_csv(rows, "emotion, Gender ,pixels,Usage", pixels_at=2)

    def test_a_column_by_row(self, table):
        pictures = load(table)
        assert attributes.read("gender", pictures).tolist() == ["m", "f", "", "NA"]
        assert attributes.read("GENDER", load(table, "train")).tolist() == ["f", "f", "x"]

    def test_images_in_another_order_keep_their_own(self, table):
        pictures = load(table).select(np.array([3, 0]))
        assert attributes.read("gender", pictures).tolist() == ["NA", "m"]

    def test_in_a_folder_that_holds_it(self, table):
        assert load(table.parent).root == str(table)
        assert attributes.read("gender", load(table.parent)).tolist()[:2] == ["m", "f"]

    def test_no_such_column(self, table):
        with pytest.raises(FerError, match=r"it has no column 'age'; found \['emotion', 'gender', 'pixels', 'usage'\]"):
            attributes.read("age", load(table))


class TestFolders:
    def test_the_folder_inside_the_class_folder(self, class_folders):
        root = class_folders({
            "train/happy": 1, "train/Sadness": 1, "validation/happy/women": 2, "validation/happy/men/old": 1,
            "validation/happy": ["x.png"], "validation/Sadness/women": 1,
        })  # fmt: skip
        pictures = load(root)
        found = dict(zip(pictures.names, attributes.read("folder", pictures), strict=True))
        by_file = {name.removeprefix("validation/"): group for name, group in found.items()}
        assert by_file == {
            "happy/women/000.png": "women", "happy/women/001.png": "women", "happy/men/old/000.png": "men",
            "happy/x.png": "", "Sadness/women/000.png": "women",
        }  # fmt: skip

    def test_a_root_named_like_a_label_is_no_class_folder(self, class_folders):
        root = class_folders({"happy/women": 2, "happy/men": 2, "sad/women": 2}, root="happy")
        pictures = load(root, "all")
        groups = attributes.read("folder", pictures)
        assert sorted(groups.tolist()) == ["men", "men", "women", "women", "women", "women"]

    def test_classes_that_a_mapping_names(self, class_folders):
        root = class_folders({"1/women": 1, "1/men": 1, "2/men": 1, "2": ["x.png"]})
        pictures = loading.load(root, SPEC, splits="all", labels={"1": "happy", "2": "sad"})["all"]
        found = dict(zip(pictures.names, attributes.read("folder", pictures).tolist(), strict=True))
        assert found == {"1/women/000.png": "women", "1/men/000.png": "men", "2/men/000.png": "men", "2/x.png": ""}

    def test_drawn_faces_have_no_folders(self):
        targets = np.eye(2, dtype=np.float32)
        entries = Entry("demo 0"), Entry("demo 1")
        pictures = Dataset(np.zeros((2, 2, 2, 1), np.uint8), targets, ("a", "b"), entries, root="demo")
        with pytest.raises(FerError, match=r"^demo: --group-by folder is for class folders with folders inside them$"):
            attributes.read("folder", pictures)

    def test_a_column_needs_a_table(self, class_folders):
        root = class_folders({"happy": 2, "sad": 2})
        with pytest.raises(FerError, match=r"no column 'gender'; give a table with --attributes .* --group-by folder"):
            attributes.read("gender", load(root, "all"))


class TestATableOfNames:
    @pytest.fixture
    def root(self, class_folders):
        return class_folders({"happy": ["a.png", "b.png"], "sad": ["a.png", "c.png"]})

    def read(self, root, text, attribute="gender"):
        path = root.parent / "attributes.csv"
        path.write_text(text, encoding="utf-8")
        pictures = load(root, "all")
        found = attributes.read(attribute, pictures, path)
        return dict(zip(pictures.names, found.tolist(), strict=True))

    @pytest.mark.parametrize("head", ["name,gender", " File , GENDER", "path,gender"])
    def test_names_of_any_length(self, root, head):
        text = f"{head}\nhappy/a.png,f\nb.png,m\n{root}/sad/a.png,f\nnot/here.png,m\n"
        assert self.read(root, text) == {"happy/a.png": "f", "happy/b.png": "m", "sad/a.png": "f", "sad/c.png": ""}

    def test_backslashes_and_other_columns(self, root):
        found = self.read(root, "age,name,gender\n31,happy\\a.png,f\n,sad\\c.png, m \n", "gender")
        assert found == {"happy/a.png": "f", "happy/b.png": "", "sad/a.png": "", "sad/c.png": "m"}

    def test_a_longer_name_counts_before_a_shorter_one(self, root):
        found = self.read(root, "name,gender\na.png,m\nhappy/a.png,f\n")
        assert (found["happy/a.png"], found["sad/a.png"]) == ("f", "m")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("name,gender\na.png,f\n", r"a\.png may mean .*happy/a\.png and .*sad/a\.png; give more of their paths"),
            ("name,gender\nb.png,f\nb.png,m\n", r"b\.png is listed twice, with different gender"),
            (
                "picture,gender\nb.png,f\n",
                r"expected a column of file names \(file, file_name, .* found \['picture', 'gender'\]",
            ),
            ("name,age\nb.png,3\n", r"it has no column 'gender'; found \['name', 'age'\]"),
            (
                "name,gender\nq.png,f\n",
                r"none of its names is an image of this split \(first: 'q\.png', where an image",
            ),
            ("name,gender\n", r"none of its names .* no rows"),
            ("", "the file is empty"),
        ],
    )
    def test_what_cannot_be_told_is_refused(self, root, text, said):
        with pytest.raises(FerError, match=said):
            self.read(root, text)

    def test_a_table_that_is_not_there(self, root):
        with pytest.raises(FerError, match=r"none\.csv: cannot be opened"):
            attributes.read("gender", load(root, "all"), root / "none.csv")
