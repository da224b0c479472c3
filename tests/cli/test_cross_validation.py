"""`train.py --folds`: a model for each fold, persons kept apart, the mean and the spread of the scores."""

from unittest import mock

import numpy as np
import pytest
from support import layouts, tiny

from fer.cli import train
from fer.models.classifier import Classifier

pytestmark = pytest.mark.slow


def flags(root, tmp_path):
    return "--data", root, "--epochs", "1", "--run-dir", tmp_path / "run", *tiny.FLAGS


def test_every_fold_has_its_model_and_the_scores_their_mean(tmp_path, capsys):
    with mock.patch("fer.training.curves.learning_curves"):  # which takes longer than the training
        assert tiny.script(train, *flags(layouts.jaffe(tmp_path / "faces"), tmp_path), "--folds", "2") == 0
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("2-fold cross-validation, persons kept apart")
    rows = [line.split() for line in lines[start + 2 :]]
    scores = np.array([row[-3:] for row in rows], float)
    assert sum(int(row[2]) for row in rows[:2]) == 35
    np.testing.assert_allclose(scores[2], scores[:2].mean(axis=0), atol=1e-4)
    np.testing.assert_allclose(scores[3], scores[:2].std(axis=0, ddof=1), atol=1e-4)
    for number in (1, 2):
        Classifier.load(tmp_path / "run" / f"fold-{number}" / "model.keras")


def test_more_folds_than_persons_are_refused(tmp_path, refuse):
    arguments = flags(layouts.jaffe(tmp_path / "faces"), tmp_path)
    assert "--folds 6: from 2 to the number of persons, 5" in refuse(train, *arguments, "--folds", "6")
