"""What class names mean: emotions however spelt, what the user says of others, and refusals with the way on."""

import re

import pytest
from support import layouts
from support.loading import load, refused

from fer.data import coding


class TestClasses:
    @pytest.mark.parametrize(
        "names",
        [
            ["train/0", "train/1", "train/2"],
            ["S005", "S010", "S011"],
            ["001/take", "002/take"],
            ["cats", "dogs"],
            ["happy", "sad", "20-30"],
            ["men", "women"],
        ],
    )
    def test_what_is_no_emotion_is_refused_with_the_way_on(self, tmp_path, names):
        said = refused(layouts.folders(tmp_path, names))
        assert "class names that are not emotions" in said
        assert "--labels own" in said
        assert "--drop-labels" in said

    def test_own_accepts_the_names(self, tmp_path):
        assert load(layouts.folders(tmp_path, ["cats", "Dogs"]), labels="own")["all"].labels == ("cats", "dogs")

    @pytest.mark.parametrize("labels", ["raf-db", "1=surprise,2=fear,3=disgust", "map"])
    def test_numbers_are_named_by_the_user(self, tmp_path, labels):
        root = layouts.folders(tmp_path / "set", ["train/1", "train/2", "train/3"])
        layouts.text(tmp_path / "map", "1 surprise", "2,fear", "# a comment", "3 = disgust")
        given = str(tmp_path / "map") if labels == "map" else labels
        assert load(root, labels=given)["train"].counts == {"disgust": 2, "fear": 2, "surprise": 2}

    def test_a_mapping_is_read_like_text(self, tmp_path):
        root = layouts.folders(tmp_path, ["Freude", "02", "other"])
        part = load(root, labels={"Freude": "Happiness", 2: "sad", "OTHER": ""})["all"]
        assert part.counts == {"happy": 2, "sad": 2}

    @pytest.mark.parametrize("labels", ["imagenet", "1=angry,1=sad", "none.txt"])
    def test_labels_that_are_none(self, tmp_path, labels):
        assert "labels" in refused(layouts.folders(tmp_path, ["1", "2"]), labels=labels)

    def test_names_with_blanks_in_a_file(self, tmp_path):
        lines = ["very happy=happy", "0 angry;angry", "2 sad", "3\tfear", "8="]
        found = coding.read_coding(str(layouts.text(tmp_path / "map.txt", *lines)))
        expected = {"very happy": "happy", "0 angry": "angry", "2": "sad", "3": "fear", "8": coding.LEFT_OUT}
        assert found == {coding.plain(name): label for name, label in expected.items()}

    @pytest.mark.parametrize(
        ("name", "way"), [("sadd", r"Is sadd sad\? .*--labels sadd=sad,"), ("xyz", "--labels xyz=LABEL,")]
    )
    def test_the_way_on_proposes_no_wrong_label(self, tmp_path, name, way):
        assert re.search(way, refused(layouts.folders(tmp_path, ["happy", name])))

    def test_every_label_left_out(self, tmp_path):
        root = layouts.folders(tmp_path, ["happy"])
        assert "every label is left out" in refused(root, drop_labels="happy")

    def test_typos_and_numbers_before_a_word(self, tmp_path):
        root = layouts.folders(tmp_path, ["0_angry", "1 - suprise", "HAPPINESS ", "3.sadness"])
        assert load(root)["all"].labels == ("angry", "happy", "sad", "surprise")

    def test_some_classes_may_be_dropped(self, tmp_path):
        root = layouts.folders(tmp_path, ["happy", "sad", "other"])
        assert load(root, drop_labels=("other",))["all"].labels == ("happy", "sad")
        assert load(root, drop_labels="other")["all"].labels == ("happy", "sad")  # one name is no list of letters

    def test_a_class_may_be_dropped_by_its_number(self, tmp_path):
        root = layouts.folders(tmp_path, ["1", "4", "7"])
        data = load(root, labels="raf-db", drop_labels=("7",))["all"]
        assert data.labels == ("happy", "surprise")
        assert data.names
        assert not any(name.startswith("7/") for name in data.names)

    def test_a_class_that_nobody_has_cannot_be_dropped(self, tmp_path):
        root = layouts.folders(tmp_path, ["happy", "sad", "contempt"])
        assert "no label 'contmpt' to leave out; there are: contempt, happy, sad" in refused(
            root, drop_labels="contmpt"
        )

    def test_a_known_coding_is_not_filled_up_from_another(self, tmp_path):
        """RAF-DB's codes from 0 where those from 1 are named: 0 would be FER2013's "angry"."""
        root = layouts.folders(tmp_path, ["train/0", "train/1", "train/2"])
        said = refused(root, labels="raf-db")
        assert "class names that are not emotions: 0" in said
