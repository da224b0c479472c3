"""`fer.train`: a training from Python, on files or on data sets in memory, with settings as keywords."""

import dataclasses
import logging
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from support import tiny

import fer
from fer import FerError
from fer.data.splitting import split_off
from fer.models.classifier import Classifier
from fer.training.config import configure

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def quick():
    """The tiny network is known; no time goes into drawing curves."""
    with tiny.known(), mock.patch("fer.training.curves.learning_curves"):
        yield


SETTINGS = {
    "network": "tiny",
    "dense_dropout": 0.1,
    "size": tiny.SIZE,
    "batch_size": 16,
    "epochs": 2,
    "precision": "float32",
}


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
    assert "training tiny (recipe plain) with grey images of 12 x 12 pixels on " in caplog.text
    assert capsys.readouterr().out == ""


def test_class_folders_and_a_recipe_object(tmp_path):
    recipe = tiny.recipe(epochs=1, drop_blank=True)
    result = fer.train(tiny.folders(tmp_path / "faces"), recipe, output=tmp_path / "m.keras", run_dir=tmp_path / "run")
    assert result.classifier.metadata["data"] == "faces"
    assert result.classifier.metadata["n_images"] == {"train": 48, "validation": 24}


def test_validation_on_images_that_training_has_not_seen(tmp_path):
    train, validation = tiny.data(48), tiny.data(24, seed=1)
    pixels = validation.images.copy()
    pixels[:5] = train.images[:5]
    pixels[5] = np.clip(train.images[7].astype(int) + 1, 0, 255)  # a near-duplicate
    sets = {"train": train, "validation": dataclasses.replace(validation, images=pixels)}
    options = {"recipe": tiny.recipe(epochs=1, keep_best="last")}
    for unseen, n in ((False, 24), (True, 18)):
        place = tmp_path / str(unseen)
        result = fer.train(sets, run_dir=place, unseen_validation=unseen, **options)
        assert result.classifier.metadata["n_images"] == {"train": 48, "validation": n}
        left = sets["validation"].select(np.arange(24 - n, 24))
        report = fer.evaluate(result.classifier, left)
        assert result.history[0]["val_accuracy"] == pytest.approx(report.accuracy, abs=1e-6)
    seen = dataclasses.replace(validation, images=train.images[:24])
    with pytest.raises(FerError, match="every validation image has a duplicate or near-duplicate in training"):
        fer.train({"train": train, "validation": seen}, run_dir=tmp_path / "x", unseen_validation=True, **options)


def test_an_earlier_run_is_resumed_or_replaced_only_on_request(tmp_path):
    options = {"run_dir": tmp_path, "keep_best": "last", **SETTINGS}
    first = fer.train(data(), **options)
    with pytest.raises(FerError, match=r"run.json exists: go on with resume=True, start again with overwrite=True"):
        fer.train(data(), **options)
    resumed = fer.train(data(), run_dir=tmp_path, resume=True)
    assert resumed.history == first.history
    again = fer.train(data(), overwrite=True, **options | {"epochs": 1})
    assert len(again.history) == 1


def test_images_of_another_size_than_the_recipe_are_refused(tmp_path):
    with pytest.raises(FerError, match=r"the recipe takes images of \(24, 24, 1\), the data set holds \(12, 12, 1\)"):
        fer.train(data(), run_dir=tmp_path, **SETTINGS | {"size": 24})


def test_a_single_data_set_is_divided(tmp_path):
    whole = tiny.data(60)
    result = fer.train(whole, "plain", run_dir=tmp_path, validation_fraction=0.25, split_seed=3, **SETTINGS)
    train, validation = split_off(whole, 0.25, 3)
    assert result.classifier.metadata["n_images"] == {"train": len(train), "validation": len(validation)}
    expected = fer.evaluate(result.classifier, {"train": train, "validation": validation})
    assert expected.n_images == len(validation)


def test_an_unknown_setting_is_named():
    with pytest.raises(TypeError, match="epoch_count"):
        configure("plain", epoch_count=3)
    with pytest.raises(FerError, match="unknown recipe 'resnet'; there are: quick, plain"):
        configure("resnet")


def test_what_the_loading_of_data_decides_is_refused_beside_loaded_data(tmp_path):
    settings = {"run_dir": tmp_path, **SETTINGS}
    for late in ({"votes": "v.csv"}, {"keep_list": "k.csv"}, {"validation_fraction": 0.2}):
        with pytest.raises(FerError, match=f"already: give {next(iter(late))} to fer.load_dataset"):
            fer.train(data(), **settings, **late)
    with pytest.raises(FerError, match="missing: validation"):
        fer.train({"train": tiny.data(64)}, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_model_of_loaded_data_does_not_claim_to_know_their_split(tmp_path):
    result = fer.train(data(), run_dir=tmp_path, **SETTINGS | {"epochs": 1})
    assert "split" not in result.classifier.metadata


def test_a_refused_training_leaves_nothing_behind(tmp_path, learnt):
    place, teacher = tmp_path / "run", {"teacher": learnt, "teacher_once": True}
    other = {split: tiny.data(24, seed=1, size=24) for split in ("train", "validation")}
    for given, changes, said in (
        (data(), {"size": 24}, "the data set holds"),
        (data(), {"dropout": (0.1, 0.1)}, "dropout: 2 rates, but the network has 1"),
        (other, {"size": 24} | teacher, "teacher_once: the teachers must take the images of the recipe"),
    ):
        with pytest.raises(FerError, match=said):
            fer.train(given, run_dir=place, **SETTINGS | changes)
        assert list(tmp_path.iterdir()) == []
    fer.train(data(), run_dir=place, **SETTINGS | {"epochs": 1})


def test_two_trainings_that_begin_at_once_do_not_share_a_folder(tmp_path):
    other = mock.patch("fer.training.config.TrainingConfig.existing", return_value=None)  # asked before it began
    fer.train(data(), run_dir=tmp_path, **SETTINGS | {"epochs": 1})
    kept = (tmp_path / "run.json").read_bytes()
    with other, pytest.raises(FerError, match=r"run\.json: another training has begun here meanwhile"):
        fer.train(data(), run_dir=tmp_path, **SETTINGS | {"epochs": 1, "seed": 1})
    assert (tmp_path / "run.json").read_bytes() == kept


def test_a_start_from_a_model_that_may_have_seen_the_validation_images_is_warned_about(tmp_path, caplog):
    faces = tiny.folders(tmp_path / "faces") / "train"
    options = SETTINGS | {"epochs": 1}
    first = fer.train(faces, run_dir=tmp_path / "a", **options).output
    caplog.clear()
    fer.train(faces, run_dir=tmp_path / "b", init=first, **options)
    assert "trained" not in caplog.text
    fer.train(faces, run_dir=tmp_path / "c", init=first, split_seed=1, **options)
    assert "a model was trained with split_seed 42, these are split otherwise" in caplog.text


def test_a_recipe_without_the_models_that_it_counts_on_is_warned_about(tmp_path, learnt, caplog):
    options = SETTINGS | {"epochs": 1, "dropout": 0.1, "width": 0}
    fer.train(data(), "vgg-distill", run_dir=tmp_path / "a", **options)
    assert "the recipe vgg-distill counts on --init and --teacher: expect a weaker model" in caplog.text
    caplog.clear()
    fer.train(data(), "vgg-distill", run_dir=tmp_path / "b", init=learnt, **options)
    assert "counts on --teacher:" in caplog.text
    caplog.clear()
    fer.train(data(), "vgg-distill", run_dir=tmp_path / "c", init=learnt, teacher=learnt, **options)
    assert "counts on" not in caplog.text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"focal_gamma": 3.0}, "focal_gamma has no effect without loss='focal'"),
        ({"teacher_share": 0.5}, "teacher_share has no effect without teacher"),
        ({"vote_mode": "mjority"}, "vote_mode must be one of shares, majority, mixed, not 'mjority'"),
        ({"precision": "fp8"}, "precision must be one of auto"),
        ({"validation_fraction": 7}, "validation_fraction must be between 0 and 1, not 7"),
        ({"init": tiny}, "init must be a path, not module"),
    ],
)
def test_settings_without_effect_or_meaning_are_refused(settings, said, tmp_path):
    with pytest.raises(FerError, match=f"^{said}"):
        fer.train("demo", "plain", run_dir=tmp_path / "run", **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_new_start_removes_tensorboard_logs_only_where_it_may(tmp_path):
    log = tmp_path / "tensorboard" / "events"
    log.parent.mkdir()
    log.touch()
    fer.train(data(), run_dir=tmp_path, **SETTINGS | {"epochs": 1})
    assert log.exists()
    fer.train(data(), run_dir=tmp_path, overwrite=True, **SETTINGS | {"epochs": 1})
    assert not log.exists()


def test_the_sides_of_progressive_resizing_keep_their_shares_of_the_size():
    assert configure("vgg").recipe.progressive_sizes == (32, 40)
    assert configure("vgg", size=96).recipe.progressive_sizes == (64, 80)
    assert configure("vgg", size=96, progressive_sizes=(48,)).recipe.progressive_sizes == (48,)
    assert configure("plain", size=96).recipe.progressive_sizes == ()


def test_one_value_stands_for_a_tuple_of_one():
    config = configure("vgg", teacher="fer2013", drop_labels="contempt", dropout=0.3, progressive_sizes=32)
    assert (config.teacher, config.drop_labels) == (("fer2013",), ("contempt",))
    assert (config.recipe.dropout, config.recipe.progressive_sizes) == ((0.3,), (32,))


def test_resuming_refuses_what_contradicts_the_run(tmp_path):
    fer.train(data(), run_dir=tmp_path, **SETTINGS | {"epochs": 1})
    again = {"run_dir": tmp_path, "resume": True}
    with pytest.raises(FerError, match=r"epochs=5 contradicts the run in .* which has 1"):
        fer.train(data(), epochs=5, **again)
    with pytest.raises(FerError, match=r"had data sets in memory: resume it with fer\.train and the same data sets"):
        fer.train("demo", **again)
    with pytest.raises(FerError, match="choose one"):
        fer.train(data(), overwrite=True, **again)
    with pytest.raises(FerError, match="contradicts the run in"):
        fer.train(data(), tiny.recipe(learning_rate=0.5), **again)
    fer.train(data(), precision="auto", **again)


@pytest.mark.parametrize(
    ("given", "said"), [(("demo",), "data='demo'"), (("faces", "four-block"), "recipe='four-block'")]
)
def test_resuming_takes_what_is_given_even_where_it_is_the_default(given, said, tmp_path):
    configure("plain", data="faces", run_dir=tmp_path).write()
    with pytest.raises(FerError, match=f"^{said} contradicts the run in"):
        fer.train(*given, run_dir=tmp_path, resume=True)
