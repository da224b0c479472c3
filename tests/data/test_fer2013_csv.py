"""fer2013.csv and the FER+ votes: every spelling that is passed around, every damage, the rules by hand."""

import lzma

import numpy as np
import pytest

from fer import FerError
from fer.data import fer2013_csv
from fer.data.fer2013_csv import EMOTIONS, OTHER_VOTES, read, read_votes

BLANK = " ".join(["7"] * 48 * 48)
VOTES_HEADER = ",".join(["Usage", "Image name", *EMOTIONS, *OTHER_VOTES])


def cut(pixels=0, first=""):
    """An image's pixels with `pixels` missing, its first one replaced by `first`."""
    values = BLANK.split()[pixels:]
    return " ".join([first, *values[1:]]) if first else " ".join(values)


class TestRead:
    def test_pixels_codes_and_splits(self, write_csv):
        ramp = " ".join(str(i % 256) for i in range(48 * 48))
        table = read(write_csv([(6, ramp, "Training"), (0, BLANK, "PublicTest"), (3, BLANK, "PrivateTest")]))
        assert table.images.shape == (3, 48, 48)
        assert table.images.dtype == np.uint8
        np.testing.assert_array_equal(table.images[0].ravel(), np.arange(48 * 48) % 256)  # row by row
        assert table.codes.tolist() == [6, 0, 3]
        assert table.splits.tolist() == ["train", "validation", "test"]

    def test_without_usage(self, write_csv):
        table = read(write_csv([(1, 0), (2, 1)], "emotion,pixels", "train.csv"))
        assert table.splits is None
        assert table.codes.tolist() == [1, 2]

    @pytest.mark.filterwarnings("ignore:Length of header or names")
    @pytest.mark.parametrize(
        ("header", "row"),
        [
            ("emotion,pixels,Usage", "3,{},Training"),
            ("emotion,Usage,pixels", "3,Training,{}"),
            ("emotion, Usage, pixels", "3,Training,{}"),  # icml_face_data.csv
            (" Usage , pixels , emotion ", "Training,{},3"),
            ("EMOTION,Pixels,usage", "3,{},training"),
            ("emotion,pixels,Usage", " 3 ,  {}  , Training "),
            ("emotion,pixels,Usage", '"3","{}","Training"'),
            ("emotion,pixels,Usage", '3, "{}", "Training"'),
            ("id,emotion,pixels,Usage,comment", "9,3,{},Training,good"),
            ("emotion,pixels,Usage", "3,{},Training,"),
            ("\ufeffemotion,pixels,Usage", "3,{},Training"),
            ("emotion,pixels,Usage\r", "3,{},Training\r"),
        ],
    )
    def test_spellings(self, tmp_path, header, row):
        path = tmp_path / "fer2013.csv"
        path.write_text(f"{header}\n{row.format(BLANK)}\n\n", encoding="utf-8", newline="")
        table = read(path)
        assert (table.images == 7).all()
        assert table.codes.tolist() == [3]
        assert table.splits.tolist() == ["train"]

    def test_several_spaces_between_pixels(self, write_csv):
        assert (read(write_csv([(3, BLANK.replace(" ", "  "), "Training")])).images == 7).all()

    @pytest.mark.parametrize("rows", [3, 4, 5])
    def test_chunks_are_put_together_in_order(self, write_csv, monkeypatch, rows):
        monkeypatch.setattr(fer2013_csv, "CHUNK", 2)
        table = read(write_csv([(i, cut(first=str(i)), "Training") for i in range(rows)]))
        assert table.codes.tolist() == table.images[:, 0, 0].tolist() == list(range(rows))

    @pytest.mark.parametrize("row", [(0, cut(1), "Training"), (9, BLANK, "Training"), (0, BLANK, "Holiday")])
    def test_a_late_row_is_named_by_its_place_in_the_file(self, write_csv, monkeypatch, row):
        monkeypatch.setattr(fer2013_csv, "CHUNK", 2)
        with pytest.raises(FerError, match=r"row 5 \(line 7\): "):
            read(write_csv([(0, BLANK, "Training")] * 5 + [row]))

    @pytest.mark.parametrize(
        ("row", "said"),
        [
            ((0, cut(1), "Training"), "2,303 pixels instead of 2,304"),
            ((0, BLANK + " 7", "Training"), "2,305 pixels instead of 2,304"),
            ((0, "", "Training"), "0 pixels instead of 2,304"),
            ((0, cut(first="256"), "Training"), "a pixel outside 0..255"),
            ((0, cut(first="-1"), "Training"), "a pixel outside 0..255"),
            ((0, cut(first="4294967303"), "Training"), "a pixel outside 0..255"),  # 7 + 2**32
            ((0, cut(first="9" * 30), "Training"), "a pixel outside 0..255"),
            ((0, cut(first="seven"), "Training"), "pixels must be integers"),
            ((0, cut(first="7.5"), "Training"), "pixels must be integers"),
            ((0, cut(first="nan"), "Training"), "pixels must be integers"),
            ((7, BLANK, "Training"), "emotion must be 0 to 6, not '7'"),
            ((-1, BLANK, "Training"), "emotion must be 0 to 6, not '-1'"),
            (("happy", BLANK, "Training"), "emotion must be 0 to 6, not 'happy'"),
            (("3.0", BLANK, "Training"), "emotion must be 0 to 6, not '3.0'"),
            (("", BLANK, "Training"), "emotion must be 0 to 6, not ''"),
            ((0, BLANK, "Holiday"), "Usage must be Training, PublicTest or PrivateTest, not 'Holiday'"),
            ((0, BLANK, ""), "Usage must be Training, PublicTest or PrivateTest, not ''"),
            ((0, BLANK), "Usage must be Training, PublicTest or PrivateTest"),
            ((BLANK, "3", "Training"), "emotion must be 0 to 6"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_rows_with_errors(self, write_csv, row, said):
        path = write_csv([(0, BLANK, "Training"), row, (0, BLANK, "Training")])
        with pytest.raises(FerError, match=r"row 1 .line 3.: ") as error:
            read(path)
        assert said in str(error.value)
        assert str(path) in str(error.value)
        assert len(str(error.value)) < len(str(path)) + 200

    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "the file is empty"),
            (b"\n\n", "the file is empty"),
            (b"emotion,pixels,Usage\n", "no rows"),
            (b"emotion,pixels\n", "no rows"),
            (b"label,image\n3,7\n", r"no column emotion, pixels; found \['label', 'image'\]"),
            (b"label,image\n", "no column|two columns"),
            (b"emotion;pixels;Usage\n3;7;Training\n", "no column|two columns"),
            (f"3,{BLANK},Training\n3,{BLANK},Training\n".encode(), "no column|two columns"),
            (f"emotion,pixels,Usage,usage\n3,{BLANK},Training,Training\n".encode(), "no column|two columns"),
            (f"emotion,pixels\n3,{BLANK}\n3,{BLANK},Training,\n".encode(), "not a CSV file"),
            (f'emotion,pixels\n3,"{BLANK}\n'.encode(), "not a CSV file"),
            (f"emotion,pixels,Usage\n3,{BLANK},Training\n".encode("utf-16"), "not a CSV file"),
            ("emotion,pixels,Gebrauch für\n".encode("latin-1"), "not a CSV file"),
            (bytes(5000), "no column|two columns"),
            (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "not a CSV file"),
            (lzma.compress(b"emotion,pixels,Usage\n"), "not a CSV file"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_files_that_are_no_such_table(self, tmp_path, content, said):
        path = tmp_path / "fer2013.csv"
        path.write_bytes(content)
        with pytest.raises(FerError, match=said) as error:
            read(path)
        message = str(error.value)
        assert message.startswith(str(path))
        assert "\n" not in message
        assert len(message) < len(str(path)) + 300

    @pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()], ids=["missing", "a folder"])
    def test_what_cannot_be_opened(self, tmp_path, make):
        make(tmp_path / "fer2013.csv")
        with pytest.raises(FerError, match=r"fer2013\.csv: cannot be opened"):
            read(tmp_path / "fer2013.csv")


@pytest.fixture
def votes(tmp_path):
    """votes([("Training", {"anger": 3}), ...]): a fer2013new.csv; answers not named got no vote."""

    def write(rows, header=VOTES_HEADER):
        lines = [
            ",".join([usage, f"fer{i:07}.png", *(str(given.get(name, 0)) for name in (*EMOTIONS, *OTHER_VOTES))])
            for i, (usage, given) in enumerate(rows)
        ]
        path = tmp_path / "fer2013new.csv"
        path.write_text("\n".join([header, *lines, ""]))
        return path

    return write


class TestReadVotes:
    @pytest.mark.parametrize(
        ("given", "shares"),
        [
            ({"happiness": 10}, {"happy": 1}),
            # 9 + 1: the single vote is an outlier, so all of what remains is happiness.
            ({"happiness": 9, "sadness": 1}, {"happy": 1}),
            # 4 neutral, 3 anger, 2 disgust; the single sadness goes: 4 of 9 is not more than half.
            ({"neutral": 4, "anger": 3, "disgust": 2, "sadness": 1}, {}),
            ({"neutral": 5, "anger": 3, "disgust": 2}, {}),  # exactly half is not more than half
            ({"neutral": 6, "anger": 4}, {"neutral": 0.6, "angry": 0.4}),
            # 5 of 10, but two outliers go: 5 of 8.
            ({"fear": 5, "surprise": 3, "sadness": 1, "anger": 1}, {"fear": 5 / 8, "surprise": 3 / 8}),
            # "unknown" counts when more than half is asked for, but is no emotion: shares of the 8 remaining votes.
            ({"contempt": 6, "disgust": 2, "unknown": 2}, {"contempt": 0.75, "disgust": 0.25}),
            ({"contempt": 5, "unknown": 5}, {}),
            ({"sadness": 4, "unknown": 3, "nf": 3}, {}),
            ({"sadness": 4, "unknown": 1, "nf": 1}, {"sad": 1}),  # single ones are outliers too
            ({"unknown": 8, "happiness": 2}, {}),
            ({"nf": 10}, {}),
            ({"anger": 1, "fear": 1, "neutral": 1}, {}),  # nothing remains
            ({}, {}),
        ],
    )
    def test_rules_by_hand(self, votes, given, shares):
        found = read_votes(votes([("Training", given)]), np.array(["train"]))
        expected = [shares.get(label, 0) for label in found.labels]
        np.testing.assert_allclose(found.shares, [expected], atol=1e-6)
        assert found.shares.dtype == np.float32

    def test_labels_are_canonical_in_the_order_of_the_columns(self, votes):
        found = read_votes(votes([("Training", {"contempt": 2})]), np.array(["train"]))
        assert found.labels == ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt")

    def test_rows_match_by_position_and_rows_behind_the_csv_do_not_matter(self, votes):
        rows = [("Training", {"anger": 9}), ("PublicTest", {"fear": 9}), ("PrivateTest", {"sadness": 9})]
        found = read_votes(votes(rows), np.array(["train", "validation"]))
        assert [found.labels[i] for i in found.shares.argmax(axis=1)] == ["angry", "fear"]

    def test_stray_spaces(self, votes):
        path = votes([(" Training ", {"anger": " 9 "})], VOTES_HEADER.replace(",", " , "))
        assert read_votes(path, np.array(["train"])).shares.max() == 1

    @pytest.mark.parametrize(
        ("rows", "header", "said"),
        [
            ([("Training", {"fear": 9})] * 2, VOTES_HEADER, "2 rows of votes for 3 images"),
            (
                [("Training", {})] * 3,
                VOTES_HEADER,
                r"row 2 \(line 4\): Usage Training beside an image of validation",
            ),
            ([("", {})] * 3, VOTES_HEADER, r"row 0 \(line 2\): Usage  beside an image of train"),
            ([("Training", {})] * 3, VOTES_HEADER.replace("contempt", "boredom"), "no column contempt"),
            (
                [("Training", {}), ("Training", {"fear": "many"}), ("PublicTest", {})],
                VOTES_HEADER,
                r"row 1 \(line 3\): a vote is missing or not a number",
            ),
            ([("Training", {"nf": ""})] * 2 + [("PublicTest", {})], VOTES_HEADER, "row 0 .line 2.: a vote is missing"),
            ([("Training", {"nf": -3})] * 2 + [("PublicTest", {})], VOTES_HEADER, "row 0 .line 2.: a vote is missing"),
        ],
    )
    def test_errors(self, votes, rows, header, said):
        with pytest.raises(FerError, match=said):
            read_votes(votes(rows, header), np.array(["train", "train", "validation"]))

    @pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'"open'], ids=["empty", "binary", "open quote"])
    def test_files_that_are_no_votes(self, tmp_path, content):
        path = tmp_path / "votes.csv"
        path.write_bytes(content)
        with pytest.raises(FerError, match=r"not a CSV file|the file is empty|no column"):
            read_votes(path, np.array(["train"]))

    def test_a_missing_file(self, tmp_path):
        with pytest.raises(FerError, match="cannot be opened"):
            read_votes(tmp_path / "none.csv", np.array(["train"]))

    def test_a_folder(self, tmp_path):
        with pytest.raises(FerError, match="cannot be opened"):
            read_votes(tmp_path, np.array(["train"]))

    @pytest.mark.parametrize(("shift", "refused"), [(0, False), (1, True)])
    def test_votes_of_other_rows_agree_by_chance(self, votes, shift, refused):
        labels = np.array([("angry", "happy", "sad", "fear")[i % 4] for i in range(80)])
        words = dict(zip(("angry", "happy", "sad", "fear"), ("anger", "happiness", "sadness", "fear"), strict=True))
        path = votes([("Training", {words[labels[(i + shift) % 80]]: 10}) for i in range(80)])
        splits = np.array(["train"] * 80)
        if refused:
            with pytest.raises(FerError, match="the votes agree with 0% of the labels, as by chance"):
                read_votes(path, splits, labels)
            assert len(read_votes(path, splits[:40], labels[:40]).shares) == 40  # too few to say
        else:
            assert len(read_votes(path, splits, labels).shares) == 80

    def test_a_csv_without_usage_cannot_be_matched(self, votes):
        with pytest.raises(FerError, match="no Usage column"):
            read_votes(votes([("Training", {"fear": 9})]), None)
