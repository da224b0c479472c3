"""Folders of Parquet parts: the rows of the one schema, whole parts only, counts in their footers."""

import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.distributed import parts
from fer.distributed.parts import Counts
from fer.inference import results
from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction

pytest.importorskip("pyarrow")


def rows():
    prediction = Prediction(Face(Box(1, 2, 3, 4), 1.0), np.float32([0.1, 0.7, 0.2]), tiny.LABELS, track=None)
    yield from results.rows("a.png", [prediction, prediction])
    yield from results.rows("b.png", [])
    yield from results.rows("c.mp4", [], index=7, seconds=0.28)
    yield from results.rows("broken\n.png", [], readable=False)


def write(folder, names=("a.png", "b.png"), labels=tiny.LABELS, **counts):
    columns = parts.schema(labels, uncertain=False)
    parts.write(folder / parts.part_name(names), rows(), columns, Counts(**counts))


def test_the_rows_of_a_table(tmp_path):
    write(tmp_path)
    with results.Writer(tmp_path / "r.jsonl", tiny.LABELS) as table:
        table.write(rows())
    assert list(parts.read(tmp_path)) == list(results.read(tmp_path / "r.jsonl"))


def test_pandas_reads_the_folder(tmp_path):
    import pandas

    write(tmp_path)
    (tmp_path / "_results.meta.json").write_text("{}")
    table = pandas.read_parquet(tmp_path)
    assert list(table.columns) == [*results.COLUMNS, *tiny.LABELS]
    assert table["x"].dropna().tolist() == [1, 1]
    assert table["happy"].dropna().tolist() == [0.7, 0.7]


def test_a_part_written_twice_is_one_part(tmp_path):
    write(tmp_path)
    write(tmp_path)
    assert len(parts.list_parts(tmp_path)) == 1
    write(tmp_path, names=("a.png",))
    assert len(parts.list_parts(tmp_path)) == 2


def test_parts_of_other_programs_are_left_alone(tmp_path):
    write(tmp_path)
    spark = tmp_path / "part-00000-1f0c7c9e-0d5c-4a63-a1b7-5d5c5d1e2f3a-c000.snappy.parquet"
    spark.write_bytes(b"PAR1")
    assert spark not in parts.list_parts(tmp_path)
    parts.remove(tmp_path, parts=True)
    assert list(tmp_path.iterdir()) == [spark]


def test_a_part_that_fails_leaves_nothing(tmp_path):
    def broken():
        yield from rows()
        raise FerError("the worker's end")

    with pytest.raises(FerError, match="end"):
        parts.write(tmp_path / parts.part_name(["a"]), broken(), parts.schema(tiny.LABELS, uncertain=False), Counts())
    assert list(tmp_path.iterdir()) == []


def test_counts_of_a_folder(tmp_path):
    write(tmp_path, images={"ok": 2, "no_face": 1}, table={("sad", "happy"): 2})
    write(tmp_path, names=("c",), images={"ok": 1}, frames={"ok": 5}, videos=1, table={("sad", "happy"): 1})
    held = parts.count(tmp_path)
    assert (held.images, held.frames, held.videos) == ({"ok": 3, "no_face": 1}, {"ok": 5}, 1)
    assert held.table == {("sad", "happy"): 3}
    assert held.sources == 5
    assert parts.sources(tmp_path, parts.schema(tiny.LABELS, uncertain=False)) == {
        "a.png",
        "b.png",
        "c.mp4",
        "broken\\n.png",
    }


def test_other_files_are_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(FerError, match="does not have this model's columns; choose another --output"):
        parts.sources(tmp_path, parts.schema(("x", "y"), uncertain=False))
    (tmp_path / f"part-{'0' * 20}.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(FerError, match=r"part-0+.parquet: not a part of these results"):
        parts.count(tmp_path)


def test_what_killed_workers_left_is_removed(tmp_path):
    write(tmp_path)
    (part,) = parts.list_parts(tmp_path)
    (tmp_path / f".123-{part.name}").write_bytes(b"half")
    (tmp_path / "mine.txt").write_text("kept")
    parts.remove(tmp_path, parts=False)
    assert {path.name for path in tmp_path.iterdir()} == {part.name, "mine.txt"}
    parts.remove(tmp_path, parts=True)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
