"""Result rows: one schema, whole lines, and going on where a run was stopped."""

from pathlib import Path

import numpy as np
import pytest

from fer import FerError
from fer.inference import results
from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction

LABELS = ("happy", "sad")


def prediction(share=0.75, track=None, chosen=None, below=None):
    probabilities = np.array([share, 1 - share], np.float32)
    return Prediction(Face(Box(1, 2, 30, 40), 1.0), probabilities, LABELS, track, chosen, below)


def write(path, sources, **options):
    with results.Writer(path, LABELS, **options) as writer:
        for source in sources:
            writer.write(results.rows(source, [prediction(), prediction(0.25)]))
        return writer.done


def test_a_row_for_every_face():
    predictions = [prediction(), prediction(0.125, track=7, chosen=0)]
    first, second = results.rows("a.jpg", predictions, index=3, seconds=0.12345)
    assert first == {
        **{"source": "a.jpg", "index": 3, "seconds": 0.123, "status": "ok", "face": 0, "track": None},
        **{"x": 1, "y": 2, "width": 30, "height": 40, "label": "happy", "confidence": 0.75, "happy": 0.75, "sad": 0.25},
    }
    assert (second["face"], second["track"], second["label"], second["confidence"]) == (1, 7, "happy", 0.125)


@pytest.mark.parametrize(("readable", "status"), [(True, "no_face"), (False, "unreadable")])
def test_a_row_without_a_face(readable, status):
    (row,) = results.rows("a.jpg", [], readable=readable)
    assert row == {"source": "a.jpg", "index": 0, "seconds": None, "status": status}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".CSV"])
def test_both_formats_hold_the_same_columns_in_every_row(tmp_path, suffix):
    path = tmp_path / f"deeper/r{suffix}"
    with results.Writer(path, LABELS) as writer:
        writer.write(results.rows("a.jpg", [prediction()]))
        writer.write(results.rows("b.jpg", []))
        before = path.read_text()
    assert path.read_text() == before  # every row was there before the end
    found = list(results.read(path))
    assert [tuple(row) for row in found] == [(*results.COLUMNS, *LABELS)] * 2
    assert float(found[0]["happy"]) == 0.75
    assert found[1]["status"] == "no_face"
    assert found[1]["label"] in ("", None)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize("cut", [0, 1, 30, 100, 200])
def test_resume_equals_a_run_that_was_not_stopped(tmp_path, suffix, cut):
    whole, stopped = tmp_path / f"whole{suffix}", tmp_path / f"stopped{suffix}"
    names = ["a,b.jpg", 'quo"te.jpg', "fröhlich.jpg", "line\nbreak.jpg", "stray\udcff.jpg"]
    write(whole, names)
    write(stopped, names[:4])
    data = stopped.read_bytes()
    stopped.write_bytes(data[: len(data) - cut])
    with results.Writer(stopped, LABELS, resume=True) as writer:
        assert len(writer.done) < 4
        for name in names:
            if not writer.holds(name):
                writer.write(results.rows(name, [prediction(), prediction(0.25)]))
    assert stopped.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_resume_without_a_file_or_with_an_empty_one_begins(tmp_path, suffix):
    path, other = tmp_path / f"r{suffix}", tmp_path / f"other{suffix}"
    assert write(path, ["a"], resume=True) == set()
    other.touch()
    assert write(other, ["a"], resume=True) == set()
    assert other.read_bytes() == path.read_bytes()


def test_what_is_there_is_not_overwritten_unasked(tmp_path):
    path = tmp_path / "r.csv"
    write(path, ["a"])
    with pytest.raises(FerError, match=r"r.csv exists: replace it with --overwrite"):
        results.Writer(path, LABELS)
    write(path, ["b"], overwrite=True)
    assert [row["source"] for row in results.read(path)] == ["b", "b"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no full disk at hand")
def test_a_full_disk_is_one_error(tmp_path):
    (tmp_path / "r.csv").symlink_to("/dev/full")
    with pytest.raises(FerError, match=r"r.csv: cannot be written \(No space left"):  # noqa: SIM117
        with results.Writer(tmp_path / "r.csv", LABELS, overwrite=True) as writer:
            writer.write(results.rows("a", []))


def test_a_table_in_another_encoding_is_not_touched(tmp_path):
    (tmp_path / "r.csv").write_bytes("fröhlich\n".encode("latin-1"))
    with pytest.raises(FerError, match="line 1 is not a row"):
        results.Writer(tmp_path / "r.csv", LABELS, resume=True)


@pytest.mark.parametrize("text", ["name,true\n1,2\n", '{"a": 1}\n', "[]\n", "\n", "\x00\n"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_somebody_elses_table_is_not_touched(tmp_path, suffix, text):
    path = tmp_path / f"r{suffix}"
    path.write_text(text)
    with pytest.raises(FerError, match="line 1 is not a row of this model's columns"):
        results.Writer(path, LABELS, resume=True)
    assert path.read_text() == text


def test_a_model_with_other_labels_cannot_go_on(tmp_path):
    write(tmp_path / "r.csv", ["a"])
    with pytest.raises(FerError, match="line 1 is not a row"):
        results.Writer(tmp_path / "r.csv", ("happy", "sad", "fear"), resume=True)


def test_refused(tmp_path):
    with pytest.raises(FerError, match=r"r.txt: results are written as .csv or .jsonl"):
        results.Writer(tmp_path / "r.txt", LABELS)
    with pytest.raises(FerError, match="labels named like columns: face"):
        results.Writer(tmp_path / "r.csv", ("face", "sad"))
    (tmp_path / "file").touch()
    with pytest.raises(FerError, match="cannot be written"):
        results.Writer(tmp_path / "file" / "r.csv", LABELS)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("é\n", "é\\n"),
        ("\udcff", "\\udcff"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\u2028b", "a\\u2028b"),
        ("ok.jpg", "ok.jpg"),
        *[(name, name) for name in ("9.41.00\u202fAM.png", "写真\u3000東京.jpg", "می\u200cروم.jpg", "a\u00a0b.jpg")],
    ],
)
def test_names_are_one_visible_line(name, shown):
    assert results.visible(name) == shown


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_uncertain_is_a_column_of_its_own_where_it_is_asked_for(tmp_path, suffix):
    path = tmp_path / f"r{suffix}"
    with results.Writer(path, LABELS, uncertain=True) as writer:
        writer.write(results.rows("a.jpg", [prediction(0.75, below=0.75), prediction(0.625, below=0.75)]))
        writer.write(results.rows("b.jpg", []))
    first, second, none = results.read(path)
    assert tuple(first) == (*results.COLUMNS, "uncertain", *LABELS)
    assert [row["label"] for row in (first, second)] == ["happy", "happy"]  # the best guess, in both
    assert [results.is_uncertain(row) for row in (first, second, none)] == [False, True, False]
    assert none["uncertain"] in ("", None)


def test_a_run_with_uncertain_does_not_go_on_in_a_table_without(tmp_path):
    write(tmp_path / "r.csv", ["a", "b"])
    with pytest.raises(FerError, match="not a row of this model's columns"):
        results.Writer(tmp_path / "r.csv", LABELS, resume=True, uncertain=True)
    with pytest.raises(FerError, match="labels named like columns: uncertain"):
        results.Writer(tmp_path / "new.csv", ("uncertain", "sad"), uncertain=True)


def test_uncertain_is_what_people_see_where_it_was_asked_for():
    assert [prediction(0.625, below=below).shown for below in (None, 0.5, 0.625, 0.75)] == [
        *("happy", "happy", "happy", "uncertain")
    ]
    held = prediction(0.25, chosen=0, below=0.5)  # the label that is held counts, not the most probable one
    assert (held.label, held.uncertain, held.shown) == ("happy", True, "uncertain")
