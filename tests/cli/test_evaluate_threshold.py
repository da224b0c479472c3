"""evaluate.py --fit-threshold: what it finds, what it stores in the model, and what predict_folder.py makes of it."""

import shutil
import zipfile
from unittest import mock

import keras
import numpy as np
import pytest
from support import tiny
from support.scored import predictions
from support.tiny import script

from fer.cli import evaluate, predict_folder
from fer.inference import results
from fer.models.model_file import read_info

pytestmark = pytest.mark.slow


class TestThreshold:
    @pytest.fixture
    def model(self, models, tmp_path):
        return shutil.copy(models[0], tmp_path / "mine.keras")

    def wanted(self, model, faces):
        """An accuracy between that of all images and that of the most confident ones."""
        data, probabilities = predictions([model], faces)
        right = probabilities.argmax(axis=1) == data.targets.argmax(axis=1)
        order = np.argsort(-probabilities.max(axis=1))
        best = max(right[order[:n]].mean() for n in range(40, 120))
        return round((right.mean() + best) / 2, 4), probabilities.max(axis=1), right

    def test_it_is_stored_in_the_model_and_nothing_else_changes(self, evaluated, faces, model, tmp_path):
        accuracy, confidence, right = self.wanted(model, faces)
        before, weights = read_info(model), stored(model)
        flags = ("--fit-threshold", accuracy, "--risk-coverage", tmp_path / "rc.png")
        printed, report = evaluated(*flags, model=[model])
        below = read_info(model).metadata["uncertain_below"]
        assert right[confidence >= below].mean() >= accuracy > right.mean()
        assert report["threshold"]["uncertain_below"] == below
        assert f'confidence below {below:.4f} is "uncertain"' in printed
        assert (tmp_path / "rc.png").read_bytes().startswith(b"\x89PNG")
        after = read_info(model)
        how = after.metadata.pop("uncertain_chosen_on")
        assert (how["data"], how["images"], how["asked"]) == ("faces", 120, accuracy)
        assert after.metadata.pop("uncertain_below") == below
        assert after == before
        assert stored(model) == weights
        assert keras.saving.load_model(model, compile=False).count_params() > 0

    def test_a_failure_leaves_the_old_file(self, faces, model, capsys):
        data = model.read_bytes()
        assert script(evaluate, "--model", model, "--data", faces, "--fit-threshold", "0.9999") == 2
        assert "no threshold keeps 30 or more images" in capsys.readouterr().err
        with mock.patch("zipfile.ZipFile.writestr", side_effect=OSError(28, "No space left on device")):
            assert script(evaluate, "--model", model, "--data", faces, "--fit-threshold", "0.1") == 2
        assert "cannot be written" in capsys.readouterr().err
        assert model.read_bytes() == data
        assert [path.name for path in model.parent.iterdir()] == [model.name]

    @pytest.mark.parametrize(
        "flags", [("--split", "train"), ("--split", "test"), ("--split", "all"), ("--tta", "flip")]
    )
    def test_only_validation_images_are_used(self, faces, model, capsys, flags):
        data = model.read_bytes()
        assert script(evaluate, "--model", model, "--data", faces, "--fit-threshold", "0.5", *flags) == 2
        assert "--fit-threshold goes with --split validation" in capsys.readouterr().err
        assert model.read_bytes() == data

    def test_not_of_an_average(self, faces, models, capsys):
        assert script(evaluate, "--model", *models, "--data", faces, "--fit-threshold", "0.5") == 2
        assert "a single --model" in capsys.readouterr().err

    def test_images_of_the_training_do_not_count(self, evaluated, faces, model):
        """A quarter of these validation images are in the training split."""
        accuracy, *_ = self.wanted(model, faces)
        printed, report = evaluated("--fit-threshold", accuracy, "--leakage-against", faces, model=[model])
        clean = report["leakage"]["without_near_duplicate"]["images"]
        known = read_info(model).metadata["uncertain_chosen_on"]
        assert (known["images"], known["unseen"]) == (clean, True)
        assert clean < 120
        assert f" of {clean:,} images (coverage" in printed

    def test_not_into_a_file_of_a_download_cache(self, faces, model, tmp_path, capsys):
        link = tmp_path / "snapshot.keras"
        link.symlink_to(model)
        assert script(evaluate, "--model", link, "--data", faces, "--fit-threshold", "0.5") == 2
        assert "would change a downloaded file, or a link; copy it first" in capsys.readouterr().err
        assert link.is_symlink()

    def test_not_into_an_exported_file(self, faces, tmp_path, capsys):
        assert script(evaluate, "--model", tmp_path / "m.onnx", "--data", faces, "--fit-threshold", "0.5") == 2
        assert "--fit-threshold writes into a .keras file" in capsys.readouterr().err

    @pytest.mark.parametrize("text", ["0", "1", "80", "nan", "x"])
    def test_an_accuracy_lies_between_0_and_1(self, text, capsys):
        with pytest.raises(SystemExit):
            evaluate.parse_args(["--model", "m", "--data", "d", "--fit-threshold", text])
        assert "--fit-threshold" in capsys.readouterr().err

    def test_the_folder_shows_uncertain_and_keeps_the_label(self, evaluated, faces, model, tmp_path, capsys):
        accuracy, *_ = self.wanted(model, faces)
        evaluated("--fit-threshold", accuracy, model=[model])
        below = read_info(model).metadata["uncertain_below"]
        plain, marked = tmp_path / "plain.csv", tmp_path / "marked.csv"
        for path, flags in ((plain, ()), (marked, ("--uncertain",))):
            flags = ("--model", model, "--detector", "none", "--output", path, *flags)
            assert script(predict_folder, faces / "validation", *flags) == 0
        rows, doubted = list(results.read(plain)), list(results.read(marked))
        assert list(doubted[0]) == [*results.COLUMNS, "uncertain", *tiny.LABELS]
        assert "uncertain" not in rows[0]  # off by default
        assert [row | {"uncertain": None} for row in doubted] == [row | {"uncertain": None} for row in rows]
        for row in doubted:
            assert row["label"] in tiny.LABELS
            if abs(float(row["confidence"]) - below) > 1e-4:
                assert (row["uncertain"] == "True") == (float(row["confidence"]) < below)
        assert {row["uncertain"] for row in doubted} == {"True", "False"}
        first, second = capsys.readouterr().out.split("plain.csv: ")
        assert "uncertain" not in first
        head = next(line for line in second.splitlines() if line.startswith("folder \\ predicted"))
        assert head.split()[3:] == [*[label for label in tiny.LABELS if label in head], "uncertain"]

    def test_without_a_threshold_uncertain_is_refused(self, faces, model, tmp_path, capsys):
        arguments = ("--model", model, "--output", tmp_path / "x.csv", "--uncertain")
        assert script(predict_folder, faces / "validation", *arguments) == 2
        error = capsys.readouterr().err
        assert "it has no confidence threshold" in error
        assert f"evaluate.py --model {model} --data DATA --fit-threshold 0.8" in error
        assert not (tmp_path / "x.csv").exists()


def stored(path):
    """CRC of the weights in a model file."""
    with zipfile.ZipFile(path) as archive:
        return archive.getinfo("model.weights.h5").CRC
