"""`train.py --folds`: a model for each fold, subjects kept apart, the mean and the spread of the scores."""

import json
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from support import layouts, tiny

import fer
from fer.cli import train
from fer.core.images import InputSpec
from fer.models.classifier import Classifier

pytestmark = pytest.mark.slow


def flags(root, tmp_path):
    return "--data", root, "--epochs", "1", "--run-dir", tmp_path / "run", *tiny.FLAGS


def test_every_fold_has_its_model_and_the_scores_their_mean(tmp_path, capsys):
    with mock.patch("fer.training.curves.learning_curves"):  # which takes longer than the training
        assert tiny.script(train, *flags(layouts.jaffe(tmp_path / "faces"), tmp_path), "--folds", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("2-fold cross-validation, subjects kept apart")
    rows = [line.split() for line in lines[start + 2 : start + 6]]
    assert lines[start + 6].startswith("Each fold chose its epoch")
    assert "all folds together: each image by the model that was not trained on it" in lines
    scores = np.array([row[-3:] for row in rows], float)
    assert sum(int(row[2]) for row in rows[:2]) == 35
    np.testing.assert_allclose(scores[2], scores[:2].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(scores[3], scores[:2].std(axis=0, ddof=1), atol=1e-4)
    for number in (1, 2):
        known = Classifier.load(tmp_path / "run" / f"fold-{number}" / "model.keras")
        assert known.metadata["split"] == {"fold": f"{number} of 2", "split_seed": 42}
    pooled = json.loads((tmp_path / "run" / "pooled.json").read_text())
    assert pooled["images"] == 35
    weights = [int(row[2]) for row in rows[:2]]
    assert pooled["accuracy"] == pytest.approx(np.average(scores[:2, 0], weights=weights), abs=1e-4)
    table = pd.read_csv(tmp_path / "run" / "folds.csv")
    np.testing.assert_allclose(table["accuracy"], scores[:2, 0], atol=1e-4)


def test_earlier_folds_are_kept_and_flags_without_effect_refused(tmp_path, refuse):
    arguments = (*flags(layouts.jaffe(tmp_path / "faces"), tmp_path), "--folds", "2")
    kept = tmp_path / "run" / "fold-2" / "model.keras"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"precious")
    assert "fold-2/model.keras exists" in refuse(train, *arguments)
    assert kept.read_bytes() == b"precious"
    (tmp_path / "run" / "fold-3").mkdir()
    assert "fold-3 is of a cross-validation with more folds" in refuse(train, *arguments, "--overwrite")
    assert "--output does not go with --folds: --run-dir" in refuse(train, *arguments, "--output", tmp_path / "m.keras")
    assert "--tensorboard does not go with --folds" in refuse(train, *arguments, "--tensorboard")


def test_from_python_on_a_data_set_in_memory(tmp_path):
    settings = {
        "network": "tiny",
        "dense_dropout": 0.1,
        "size": tiny.SIZE,
        "batch_size": 16,
        "epochs": 1,
        "run_dir": tmp_path,
    }
    with tiny.known(), mock.patch("fer.training.curves.learning_curves"):
        found = fer.cross_validate(tiny.data(48), "plain", folds=3, keep_best="last", patience=0, **settings)
    assert sum(report.n_images for report in found.reports) == 48
    assert found.pooled.confusion.tolist() == sum(report.confusion for report in found.reports).tolist()
    assert found.values("macro_f1").tolist() == [report.macro_f1 for report in found.reports]
    assert [result.output for result in found.results] == [tmp_path / f"fold-{i}" / "model.keras" for i in (1, 2, 3)]
    assert found.results[0].classifier.metadata["n_images"] == {"train": 32, "validation": 16}
    assert "identical images kept together" in found.summary()
    assert "optimistic" not in found.summary()
    with pytest.raises(fer.FerError, match="without effect on a cross-validation: output, validation_fraction"):
        fer.cross_validate(tiny.data(48), output="m.keras", validation_fraction=0.2)
    with pytest.raises(fer.FerError, match="without effect on a cross-validation: unseen_validation"):
        fer.cross_validate(tiny.data(48), unseen_validation=True)
    with pytest.raises(fer.FerError, match=r"give votes to fer\.load_dataset"):
        fer.cross_validate(tiny.data(48), votes="v.csv")


def test_images_that_were_learnt_from_or_labelled_by_votes_are_not_scored(tmp_path, refuse):
    faces = tiny.folders(tmp_path / "faces")
    seen = tmp_path / "seen.keras"
    Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE), {"data": "faces.csv"}).save(seen)
    for flag in ("--init", "--teacher"):
        said = refuse(train, *flags(faces, tmp_path), "--folds", "2", flag, seen)
        assert "seen.keras was trained on data of this name" in said
    mixed = ("--votes", "v.csv", "--vote-mode", "mixed")
    assert "folds take no labels mixed with votes" in refuse(train, *flags(faces, tmp_path), "--folds", "2", *mixed)
    with pytest.raises(fer.FerError, match="folds take no labels mixed with votes"):
        fer.cross_validate(faces, votes="v.csv", vote_mode="mixed", run_dir=tmp_path / "run")


def test_more_folds_than_subjects_are_refused(tmp_path, refuse):
    arguments = flags(layouts.jaffe(tmp_path / "faces"), tmp_path)
    assert "--folds 6: from 2 to the number of subjects, 5" in refuse(train, *arguments, "--folds", "6")
    assert "--folds 0: from 2 to" in refuse(train, *arguments, "--folds", "0")
