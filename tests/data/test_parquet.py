"""Hugging Face's parquet files: class names of the metadata, splits of file names; needs pyarrow."""

import json

import cv2
import pytest
from support import layouts

from fer import FerError
from fer.core.images import InputSpec
from fer.data import loading
from fer.data.loading import AS_IS

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

SPEC = InputSpec(12)
NAMES = ["anger", "surprise", "contempt", "happy"]  # an order of its own, as every copy has


def png():
    return cv2.imencode(".png", layouts.face())[1].tobytes()


def write(path, labels, names=(), **columns):
    features = {"image": {"_type": "Image"}, "label": {"names": list(names), "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if names else {}
    rows = [{"bytes": png(), "path": None} for _ in labels]
    table = pyarrow.table({"image": rows, "label": labels} | columns).replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)
    return path


def load(root, **options):
    return loading.load(root, SPEC, splits=AS_IS, **options)


def test_names_of_the_metadata_and_splits_of_the_file_names(tmp_path):
    for split in ("train", "validation", "test"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", [0, 1, 2, 3], NAMES)
    data = load(tmp_path)
    assert {split: len(part) for split, part in data.items()} == {"train": 4, "validation": 4, "test": 4}
    assert data["test"].counts == {"angry": 1, "contempt": 1, "happy": 1, "surprise": 1}
    assert data["test"].names[1] == "data/test-00000-of-00001.parquet row 1"
    part = data["test"]
    assert [part.labels[code] for code in part.targets.argmax(axis=1)] == ["angry", "surprise", "contempt", "happy"]


def test_numbers_without_names_are_not_guessed(tmp_path):
    path = write(tmp_path / "faces.parquet", [0, 1, 2])
    with pytest.raises(FerError, match="class names that are not emotions: 0, 1, 2"):
        load(path)
    assert load(path, labels="0=happy,1=sad,2=fear")["all"].counts == {"fear": 1, "happy": 1, "sad": 1}


def test_names_are_those_of_the_column_of_labels(tmp_path):
    path = write(tmp_path / "faces.parquet", [0, 1], NAMES, expression=[1, 0])
    table = parquet.read_table(path).select(["image", "expression", "label"])
    features = {"expression": {"names": ["surprise", "angry"]}, "label": {"names": NAMES}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    parquet.write_table(table.replace_schema_metadata(metadata), path)
    assert load(path)["all"].counts == {"angry": 1, "surprise": 1}


def test_two_columns_of_emotions_that_differ_are_refused(tmp_path):
    path = write(tmp_path / "faces.parquet", ["happy", "sad"], emotion=["happy", "fear"])
    with pytest.raises(FerError, match="the columns label and emotion differ"):
        load(path)
    path = write(tmp_path / "faces.parquet", [3, 0], emotion=["happy", "fear"])  # numbers without names
    assert load(path)["all"].counts == {"fear": 1, "happy": 1}


def test_a_file_without_a_split_beside_files_with_one_is_refused(tmp_path):
    write(tmp_path / "train-00000-of-00001.parquet", ["happy", "sad"] * 4)
    write(tmp_path / "extra.parquet", ["happy", "sad"] * 4)
    with pytest.raises(FerError, match="some images belong to train, others to no split"):
        loading.load(tmp_path, SPEC, splits=("train", "validation"))


def test_words_and_rows_that_cannot_be_used(tmp_path):
    data = load(write(tmp_path / "faces.parquet", ["Happy", None, "sad"]))["all"]
    assert data.names == ("row 0", "row 2")
    assert data.skipped == (("row 1", "no label"),)


def test_other_columns_are_refused(tmp_path):
    parquet.write_table(pyarrow.table({"pixels": [1], "label": [1]}), tmp_path / "a.parquet")
    with pytest.raises(FerError, match="expected the columns image and label; found pixels, label"):
        load(tmp_path)
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(FerError, match="not a parquet file"):
        load(tmp_path)


def test_a_folder_through_the_package_datasets(tmp_path):
    pytest.importorskip("datasets")
    for split in ("train", "test"):
        write(tmp_path / "data" / f"{split}-00000-of-00001.parquet", [0, 1, 2, 3], NAMES)
    data = load(f"hf:{tmp_path}")
    assert {split: part.counts["surprise"] for split, part in data.items()} == {"train": 1, "test": 1}
