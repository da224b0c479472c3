"""Subjects, each on one side of a split: from file names, folders, columns and patterns."""

from collections import Counter
from pathlib import PurePosixPath

import numpy as np
import pytest
from support import layouts
from support.layouts import CK
from support.loading import counts, labelled, load, refused

from fer import FerError
from fer.core.labels import FER2013
from fer.data import readers
from fer.data.dataset import Dataset
from fer.data.splitting import folds, split_off
from fer.data.walk import Tree


class TestSubjects:
    def test_ck48_keeps_subjects_apart(self, tmp_path):
        data = load(layouts.ck48(tmp_path), ("train", "validation"))
        train, validation = ({entry.path.split("/")[-1][:4] for entry in part.entries} for part in data.values())
        assert train
        assert validation
        assert not train & validation

    def test_a_random_split_does_not(self, tmp_path):
        data = load(layouts.ck48(tmp_path), ("train", "validation"), group="none")
        train, validation = ({entry.path.split("/")[-1][:4] for entry in part.entries} for part in data.values())
        assert train & validation

    def test_raw_ck_takes_the_peaks_of_labelled_sequences(self, tmp_path, caplog):
        caplog.set_level("INFO")
        part = load(layouts.ck_raw(tmp_path))["all"]
        assert len(part) == 8 * 2 * 3
        assert ("cohn-kanade-images/S001/001/00000004.png", CK[2]) in labelled(part)
        assert not any(entry.path.endswith("00000001.png") for entry in part.entries)
        assert set(part.groups) == {f"S{i:03}" for i in range(8)}
        assert "not used: 8 sequences without a label" in caplog.text

    def test_jaffe_and_kdef_names(self, tmp_path):
        jaffe, kdef = load(layouts.jaffe(tmp_path / "a"))["all"], load(layouts.kdef(tmp_path / "b"))["all"]
        assert jaffe.counts == kdef.counts | dict.fromkeys(jaffe.labels, 5)
        assert ("KA.HA1.3.tiff", "happy") in labelled(jaffe)
        assert ("BF01/BF01AFS.JPG", "fear") in labelled(kdef)
        assert set(kdef.groups) == {"F01", "F02", "M01", "M02"}  # sessions A and B are one subject

    def test_jaffe_sorted_into_splits_and_classes(self, tmp_path):
        for i, path in enumerate(sorted(layouts.jaffe(tmp_path / "a").iterdir())):
            target = tmp_path / "b" / ("train", "validation", "test")[i % 3] / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        data = load(tmp_path / "b")
        assert counts(data) == {"train": 12, "validation": 12, "test": 11}
        assert set(data["test"].groups) <= {"KA", "KL", "KM", "KR", "MK"}
        for path in (tmp_path / "b").rglob("*.HA1.*"):
            target = tmp_path / "c" / path.parent.name / "sad" / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            path.rename(target)
        assert readers.find_reader(Tree.of(tmp_path / "c")).name == "class-folders"  # the folder is the label
        said = refused(tmp_path / "c", format="jaffe")
        assert "its name says happy, and it lies in another folder" in said

    def test_oulu_folders_above_the_classes_are_subjects(self, tmp_path):
        part = load(layouts.oulu(tmp_path))["all"]
        assert {PurePosixPath(group).name for group in part.groups} == {f"P{i:03}" for i in range(1, 6)}
        assert part.counts["happy"] == 10

    def test_faces_of_one_photograph_stay_together(self, tmp_path):
        part = load(layouts.expw(tmp_path))["all"]
        assert len(part) == 14
        assert ("image/origin/photo_2.jpg row 1", FER2013[3]) in labelled(part)
        assert Counter(part.groups) == dict.fromkeys([f"image/origin/photo_{i}.jpg" for i in range(7)], 2)

    def test_a_column_and_a_pattern(self, tmp_path, caplog):
        caplog.set_level("INFO")
        root = layouts.table(tmp_path)
        table = root / "labels.csv"
        part = load(root / "pictures", labels_csv=table)["all"]
        assert set(part.groups) == {"p0", "p1", "p2", "p3"}
        part = load(root / "pictures", labels_csv=table, group=r"(\d)\.jpg")["all"]
        assert len(set(part.groups)) == 10
        assert "10 subjects or sequences by --group" in caplog.text
        said = refused(root / "pictures", labels_csv=table, group=r"^(\d)\.jpg")
        assert "fits 10 of 14 images, and not 10.jpg, which would be of no subject" in said
        assert "neither a column (subject) nor a pattern" in refused(root / "pictures", labels_csv=table, group="xyz")

    def test_every_subject_is_validated_once(self, tmp_path):
        part = load(layouts.jaffe(tmp_path))["all"]
        seen = []
        for train, validation in folds(part, 5, seed=1):
            assert not set(train.groups) & set(validation.groups)
            seen += validation.names
        assert sorted(seen) == sorted(part.names)
        with pytest.raises(FerError, match="from 2 to the number of subjects, 5"):
            next(folds(part, 6, seed=1))

    @pytest.mark.parametrize("sizes", [[200, *[10] * 30], [50, 30, 20], [30, *[8] * 9]])
    def test_the_subject_with_most_images_is_not_validation(self, sizes):
        groups = np.repeat([f"p{i}" for i in range(len(sizes))], sizes)
        images = np.random.default_rng(0).integers(0, 256, (len(groups), 4, 4, 1), np.uint8)
        labels = [("happy", "sad")[i % 2] for i in range(len(groups))]
        data = Dataset.from_arrays(images, labels, groups=groups)
        train, validation = split_off(data, 0.1, seed=1)
        assert "p0" in train.groups
        assert not set(train.groups) & set(validation.groups)
        smallest = min(sizes) / len(groups)
        assert min(0.05, smallest) <= len(validation) / len(groups) <= max(0.15, smallest)

    def test_few_images_of_each_label(self):
        groups = np.repeat([f"p{i}" for i in range(30)], 3)
        images = np.random.default_rng(0).integers(0, 256, (90, 4, 4, 1), np.uint8)
        data = Dataset.from_arrays(images, [FER2013[i % 7] for i in range(90)], groups=groups)
        train, validation = split_off(data, 0.1, seed=1)
        assert not set(train.groups) & set(validation.groups)
        with pytest.raises(FerError, match="from 2 to the number of images of the commonest label, 13"):
            next(folds(data, 14, seed=1))
