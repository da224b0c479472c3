"""train.py with teachers, a fitted temperature, and the validation images: what it prints, keeps and refuses."""

import json
import shutil
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pytest
from scipy.special import softmax
from support import tiny
from support.tiny import script

from fer.cli import train
from fer.core.images import InputSpec
from fer.data.loading import load
from fer.models.classifier import Classifier
from fer.models.model_file import read_info
from fer.training.calibration import fit_temperature

pytestmark = pytest.mark.slow

SPEC = InputSpec(tiny.SIZE)


@pytest.fixture
def faces(tmp_path):
    return tiny.folders(tmp_path / "faces")


@pytest.fixture
def trained(faces, tmp_path, capsys):
    """trained("name", *flags): the path of a model, and what was printed."""

    def run(name, *flags, code=0):
        model, quick = tmp_path / f"{name}.keras", ("--epochs", 2, "--schedule", "constant", "--patience", 0)
        places = ("--output", model, "--run-dir", tmp_path / name)
        with mock.patch("fer.training.curves.learning_curves"):
            assert script(train, "--data", faces, *tiny.FLAGS, *quick, *places, *flags) == code, capsys.readouterr()
        return model, capsys.readouterr().out

    return run


def test_the_temperature_is_fitted_on_the_validation_images_and_kept(trained, faces, tmp_path, monkeypatch, caplog):
    few, _ = trained("few", "--calibrate")
    assert "not calibrated: 24 validation images are too few (100)" in caplog.text
    assert "temperature" not in read_info(few).metadata
    monkeypatch.setattr("fer.training.calibration.FEWEST", 24)
    plain, _ = trained("plain")
    calibrated, printed = trained("calibrated", "--calibrate")
    pictures = load(faces, SPEC)["validation"].align(read_info(plain).labels)
    before = Classifier.load(plain).predict(pictures.images)
    temperature = read_info(calibrated).metadata["temperature"]
    assert temperature == pytest.approx(fit_temperature(before, pictures.targets), abs=1e-3)
    once = Classifier.load(calibrated)
    np.testing.assert_allclose(once.predict(pictures.images), softmax(np.log(before) / temperature, axis=1), atol=1e-3)
    assert f"temperature {temperature:.2f}" in printed
    assert script(train, "--resume", "--run-dir", tmp_path / "calibrated") == 0  # does not calibrate a second time
    for old, new in zip(once.model.get_weights(), Classifier.load(calibrated).model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("flag", ["--init", "--teacher"])
def test_an_exported_model_is_refused_before_anything_is_written(flag, faces, tmp_path, capsys):
    exported = "fer2013-fast.tflite"
    places = ("--output", tmp_path / "m.keras", "--run-dir", tmp_path / "run")
    assert script(train, "--data", faces, *tiny.FLAGS, *places, flag, exported) == 2
    assert "fer2013-fast.tflite: an exported model can be neither --init nor --teacher" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_teachers_are_named_in_the_model_and_found_again_on_resume(learnt, trained, tmp_path):
    teacher = shutil.copy(learnt, tmp_path / "teacher.keras")
    first = Path(shutil.copy(learnt, tmp_path / "first.keras"))
    student, _ = trained("student", "--teacher", teacher, "--teacher-share", 0.5, "--init", first)
    notes = read_info(student).metadata
    assert (notes["teachers"], notes["init"]) == (["teacher.keras"], "first.keras")
    first.unlink()  # only the first leg begins with it
    assert script(train, "--resume", "--run-dir", tmp_path / "student") == 0
    kept = json.loads((tmp_path / "student" / "run.json").read_text())["configuration"]
    assert kept["teacher"] == [str(teacher)]


def test_a_teacher_that_is_not_there_is_refused_before_the_data_are_read(faces, tmp_path, refuse):
    flags = ("--teacher", tmp_path / "none.keras", "--run-dir", tmp_path / "run")
    assert refuse(train, "--data", faces, *tiny.FLAGS, *flags).endswith("none.keras: there is no such model file")
    assert not (tmp_path / "run").exists()


def test_blank_images_and_duplicates_are_seen_to_where_the_recipe_says_so(trained, faces):
    picture = next((faces / "train" / "happy").glob("*.png"))
    (faces / "train" / "sad" / "twin.png").write_bytes(picture.read_bytes())
    blank = cv2.imencode(".png", np.full((12, 12), 7, np.uint8))[1].tobytes()
    (faces / "train" / "sad" / "blank.png").write_bytes(blank)
    for flags, count, words in (
        ((), 50, "1 blank"),
        (("--drop-blank", "--average-duplicates"), 49, "0 blank, 1 skipped"),
    ):
        with mock.patch("fer.training.fit.fit", side_effect=KeyboardInterrupt) as fit:
            _, printed = trained(f"of {count}", *flags, code=130)
        assert len(fit.call_args.args[0]) == count
        assert f"train: {count} images" in printed
        assert words in printed
