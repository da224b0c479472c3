"""`fer.train`: a training from Python, on files or on data sets in memory, with settings as keywords."""

import logging
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from support import tiny

import fer
from fer import FerError
from fer.models.classifier import Classifier
from fer.training.config import configure

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick():
    """The tiny network is known; no time goes into drawing curves."""
    with tiny.known(), mock.patch("fer.training.curves.learning_curves"):
        yield


SETTINGS = {"network": "tiny", "size": tiny.SIZE, "batch_size": 16, "epochs": 2, "precision": "float32"}


def data():
    return {"train": tiny.data(64), "validation": tiny.data(24, seed=1)}


def test_data_sets_in_memory(tmp_path, caplog, capsys):
    caplog.set_level(logging.INFO)
    result = fer.train(data(), "plain", run_dir=tmp_path / "run", keep_best="last", **SETTINGS)
    assert result.output == tmp_path / "run" / "model.keras"
    assert (result.best_epoch, len(result.history)) == (2, 2)
    assert pd.read_csv(result.run_dir / "log.csv")["val_loss"].tolist() == [row["val_loss"] for row in result.history]
    assert result.seconds == pytest.approx(sum(row["seconds"] for row in result.history))
    images = data()["validation"].images
    np.testing.assert_array_equal(Classifier.load(result.output).predict(images), result.classifier.predict(images))
    assert result.classifier.metadata["data"] == "in memory"
    assert "training tiny (recipe plain) on " in caplog.text
    assert capsys.readouterr().out == ""


def test_class_folders_and_a_recipe_object(tmp_path):
    recipe = tiny.recipe(epochs=1, drop_blank=True)
    result = fer.train(tiny.folders(tmp_path / "faces"), recipe, output=tmp_path / "m.keras", run_dir=tmp_path / "run")
    assert result.classifier.metadata["data"] == "faces"
    assert result.classifier.metadata["n_images"] == {"train": 48, "validation": 24}


def test_an_earlier_run_is_resumed_or_replaced_only_on_request(tmp_path):
    options = {"run_dir": tmp_path, "keep_best": "last", **SETTINGS}
    first = fer.train(data(), **options)
    with pytest.raises(FerError, match=r"run.json exists: pass resume=True or overwrite=True"):
        fer.train(data(), **options)
    resumed = fer.train(data(), run_dir=tmp_path, resume=True)
    assert resumed.history == first.history
    again = fer.train(data(), overwrite=True, **options | {"epochs": 1})
    assert len(again.history) == 1


def test_images_of_another_size_than_the_recipe_are_refused(tmp_path):
    with pytest.raises(FerError, match=r"the recipe takes images of \(24, 24, 1\), the data set holds \(12, 12, 1\)"):
        fer.train(data(), run_dir=tmp_path, **SETTINGS | {"size": 24})


def test_an_unknown_setting_is_named():
    with pytest.raises(TypeError, match="epoch_count"):
        configure("plain", epoch_count=3)
    with pytest.raises(FerError, match="unknown recipe 'resnet'; there are: quick, plain"):
        configure("resnet")
