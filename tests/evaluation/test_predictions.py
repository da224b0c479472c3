"""The library's own way in: predictions of classifiers, and `fer.evaluate`."""

import keras
import numpy as np
import pytest
from support import tiny

import fer
from fer.core.images import InputSpec
from fer.data import loading, unseen
from fer.data.splitting import RULE
from fer.evaluation import leakage, metrics
from fer.evaluation.predictions import evaluate, predict
from fer.models.classifier import Classifier
from fer.training.config import configure

SPEC = InputSpec(tiny.SIZE)


def classifier(seed, labels=tiny.LABELS, metadata=None):
    keras.utils.set_random_seed(seed)
    return Classifier(tiny.build(labels), labels, SPEC, metadata or {})


@pytest.fixture(scope="module")
def pair():
    """Two untrained classifiers with their labels in different orders."""
    return classifier(1), classifier(2, ("sad", "angry", "happy"))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return tiny.folders(tmp_path_factory.mktemp("data") / "faces")


def test_ensemble_is_the_mean_by_label_name(pair):
    data = tiny.data(40)
    found = predict(pair, {SPEC: data}, name="both")
    first, second = (one.predict(data.images) for one in pair)
    np.testing.assert_allclose(found.probabilities, (first + second[:, [1, 2, 0]]) / 2, atol=1e-6)
    assert (found.name, found.labels) == ("both", tiny.LABELS)
    np.testing.assert_array_equal(found.y_pred, found.probabilities.argmax(axis=1))
    assert found.report().accuracy == pytest.approx(np.mean(found.y_pred == found.y_true))


def test_comparison_matches_labels_by_name(pair):
    data = {SPEC: tiny.data(40)}
    first, second = (predict([one], data, name=str(i)) for i, one in enumerate(pair))
    found = first.compare(second)
    assert found.accuracy == pytest.approx((first.report().accuracy, second.report().accuracy))


def test_evaluate_takes_classifiers_files_datasets_and_paths(pair, faces, tmp_path):
    pair[0].save(tmp_path / "a.keras")
    data = loading.load(faces, SPEC)["validation"]
    reports = [
        evaluate(pair[0], data),
        evaluate(tmp_path / "a.keras", faces),
        evaluate([str(tmp_path / "a.keras")], str(faces)),
        fer.evaluate(pair[0], faces),
    ]
    assert {report.nll for report in reports} == {reports[0].nll}
    assert reports[0].n_images == 24
    assert evaluate(pair[0], faces, split="all").n_images == 72
    assert evaluate(pair, faces, tta="flip").nll != reports[0].nll


def test_evaluate_splits_undivided_data_as_in_the_training_of_the_model(faces):
    split = {"validation_fraction": 0.25, "split_seed": 3}
    known = classifier(1, metadata={"split": split})
    expected = loading.load(faces / "train", SPEC, validation_fraction=0.25, seed=3)["validation"]
    assert evaluate(known, faces / "train").n_images == len(expected)
    assert evaluate(known, faces / "train", validation_fraction=0.5).n_images > len(expected)


def test_models_of_different_splits_need_a_choice():
    metadata = [{"split": {"validation_fraction": 0.1, "split_seed": seed}} for seed in (1, 2)]
    with pytest.raises(fer.FerError, match=r"the models differ in --split-seed \(1, 2\); choose one"):
        unseen.validation_split(metadata)
    assert unseen.validation_split(metadata, seed=3) == {"validation_fraction": 0.1, "seed": 3}
    assert unseen.validation_split([{}]) == {}
    of_others = [one | {"data": name} for one, name in zip(metadata, ("faces", "others"), strict=True)]
    assert unseen.validation_split(of_others, source="/a/faces")["seed"] == 1  # those of the other data do not count


def test_recall_of_a_label_without_an_image_is_no_zero_in_the_table():
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]]
    targets = np.eye(3, dtype=np.float32)[[0, 1, 1, 0]]
    report = metrics.compute_report(probabilities, targets, ("angry", "happy", "sad"))
    (row,) = (line.split() for line in report.table().splitlines() if line.startswith("sad"))
    assert row == ["sad", "0", "0", "0", "1", "3", "0.000", "-", "0.750", "-", "-"]


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ({"keep_best": "val_accuracy", "calibrate": True}, "The epoch and the temperature were chosen on this split,"),
        (
            {"keep_best": "val_loss", "schedule": "plateau", "calibrate": True},
            "The epoch, the learning rate and the temperature were chosen on this split,",
        ),
        ({"keep_best": "last", "calibrate": True}, "The temperature was chosen on this split,"),
        (
            {"keep_best": "val_loss", "unseen_validation": True},
            "The epoch was chosen on the images of this split without a duplicate in training,",
        ),
        ({"keep_best": "last"}, ""),
    ],
)
def test_what_validation_images_decided_is_said(recipe, said):
    metadata = {"data": "faces", "recipe": recipe}
    assert unseen.optimism(metadata, "/a/faces", "validation").partition(" so the")[0] == said
    assert unseen.optimism(metadata, "/a/faces", "test") == ""
    assert unseen.optimism(metadata, "/a/others", "validation") == ""


@pytest.mark.parametrize(("by_epoch", "by_threshold"), [(True, True), (True, False), (False, True)])
def test_a_fitted_threshold_is_said_too(by_epoch, by_threshold):
    fitted = {"data": "faces"} | ({"unseen": True} if by_threshold else {})
    recipe = {"keep_best": "val_loss", "unseen_validation": by_epoch}
    metadata = {"data": "faces", "recipe": recipe, "uncertain_chosen_on": fitted}
    where = "the images of this split without a duplicate in training" if by_epoch and by_threshold else "this split"
    assert f"The epoch and the confidence threshold were chosen on {where}, so" in unseen.optimism(
        metadata, "faces", "validation"
    )


def test_the_persons_of_the_training_are_those_of_the_evaluation_of_the_same_data():
    split = {"validation_fraction": 0.1, "split_seed": 1}
    metadata = [{"data": "faces", "split": split | {"group": "none"}}]
    assert unseen.validation_split(metadata, source="/a/faces")["group"] == "none"
    assert unseen.validation_split(metadata, group="person", source="/a/faces")["group"] == "person"
    assert "group" not in unseen.validation_split(metadata, source="/a/others")
    with pytest.raises(fer.FerError, match="the models differ in --group"):
        unseen.validation_split([*metadata, {"data": "faces", "split": split}], source="faces")


def test_leakage_needs_no_command_line(pair):
    data = tiny.data(40)
    seen = leakage.find_seen(data.images, data.images[:10])
    found = leakage.measure_leakage(predict(pair[:1], {SPEC: data}), seen, "train")
    assert (found.n_training, found.with_duplicate.n_images, found.without_duplicate.n_images) == (10, 10, 30)
    assert found.to_dict()["with_duplicate"]["accuracy_ci95"] == list(found.with_duplicate.accuracy_ci95)
    assert "against the 10 training images of train" in found.summary()


DRAWN = {"validation_fraction": 0.1, "split_seed": 3, "rule": RULE, "drawn": True}


def score(known, source, **options):
    return evaluate(known, source, **options).n_images


def trained_on(source, **metadata):
    split = DRAWN | {"validation_fraction": 0.25}
    return classifier(1, metadata={"data": source.name, "split": split} | metadata)


def test_a_keep_list_does_not_move_images_between_training_and_validation(faces, tmp_path):
    options = {"validation_fraction": 0.25, "seed": 3}
    whole = loading.load(faces / "train", SPEC, **options)
    kept = tmp_path / "keep.csv"
    kept.write_text("\n".join(["name", *(name for part in whole.values() for name in part.names[::2])]))
    listed = loading.load(faces / "train", SPEC, keep_list=kept, **options)
    for split, part in listed.items():
        assert 0 < len(part) < len(whole[split])
        assert set(part.names) <= set(whole[split].names)
        assert {name for name, why in part.skipped} == set(whole[split].names) - set(part.names)


def test_labels_left_out_in_training_are_left_out_of_the_validation(faces):
    known = trained_on(faces / "train", drop_labels=["sad"])
    with pytest.raises(fer.FerError, match="was trained with --drop-labels sad: with others"):
        evaluate(known, faces / "train")
    assert score(known, faces / "train", drop_labels=("sad",)) == 8
    with pytest.raises(fer.FerError, match="was trained with no --drop-labels"):
        evaluate(trained_on(faces / "train"), faces / "train", drop_labels=("sad",))
    assert score(trained_on(faces / "train"), faces, drop_labels=("sad",)) == 16  # the data's own split


def test_a_fold_is_not_scored_on_the_images_of_its_training(faces):
    known = classifier(1, metadata={"data": "faces", "split": {"fold": "2 of 5", "split_seed": 42}})
    with pytest.raises(fer.FerError, match="fold 2 of 5 was trained on every split of data of this name"):
        evaluate(known, faces)
    assert score(known, faces, split="train") == 48
    others = classifier(2, metadata={"data": "others", "split": DRAWN})
    options = unseen.validation_split([known.metadata, others.metadata])
    assert options == {"validation_fraction": 0.1, "seed": 3}


@pytest.mark.parametrize(
    ("metadata", "options", "said"),
    [
        ({}, {}, "does not say which images it was trained on"),
        ({"split": DRAWN}, {"seed": 4}, "trained with split_seed 3"),
        ({"split": DRAWN | {"group": "none"}}, {"group": r"(\d)\.png"}, "trained with group none"),
        ({"split": DRAWN | {"rule": 1}}, {}, "an earlier version may have split the data"),
        ({"split": DRAWN | {"drawn": False}}, {}, "with a validation split of their own"),
        ({"split": {"fold": "1 of 2", "split_seed": 3}, "data": "in memory"}, {}, "does not say which images"),
        ({"split": DRAWN}, {}, None),
    ],
)
def test_a_split_that_may_hold_training_images_is_warned_about(faces, caplog, metadata, options, said):
    evaluate(classifier(1, metadata={"data": "train"} | metadata), faces / "train", **options)
    warnings = [line for line in caplog.messages if line.startswith("warning")]
    assert [said in line for line in warnings] == ([True] if said else [])


def test_a_fold_of_data_in_memory_is_warned_about_on_any_split(faces, caplog):
    known = classifier(1, metadata={"data": "in memory", "split": {"fold": "1 of 2", "split_seed": 3}})
    assert score(known, faces) == 24
    assert "does not say which images" in caplog.text


def test_data_of_one_name_are_the_same_wherever_they_lie():
    for trained in ("fer2013", "fer2013.csv", "kaggle:msambare/fer2013"):
        for source in ("data/fer2013/", "fer2013.csv", "kaggle:msambare/fer2013"):
            assert unseen.is_of({"data": trained}, source)
        assert unseen.is_of({"data": trained}, "kaggle:msambare/fer2013/versions/1")
        assert not unseen.is_of({"data": trained}, "kaggle:msambare/fer2013plus")
    assert not unseen.is_of({"data": "kaggle:a/x/versions/1"}, "kaggle:b/y/versions/1")
    assert not unseen.is_of({"data": "hf:alice/emotions"}, "hf:bob/emotions")


def test_the_current_folder_has_a_name(faces, monkeypatch):
    monkeypatch.chdir(faces / "train")
    metadata = configure("plain", data=".").metadata()
    assert metadata["data"] == "train"
    for source in (".", faces / "train", f"{faces}/train/", "train.csv"):
        assert unseen.is_of(metadata, source)
    assert not unseen.is_of(metadata, faces)


def test_nothing_is_ignored(pair):
    with pytest.raises(TypeError, match="without effect on a Dataset that is loaded already: ttta"):
        evaluate(pair[0], tiny.data(9), ttta="flip")
    with pytest.raises(fer.FerError, match="no model"):
        evaluate([], tiny.data(9))
