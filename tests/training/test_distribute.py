"""Data-parallel training: two devices, two processes. Whole trainings need JAX and are skipped without it."""

import keras
import numpy as np
import pytest
from support import tiny
from support.distributed_runs import assert_same_history, finish, history, needs_jax, start

from fer import FerError
from fer.models.classifier import Classifier
from fer.training import batches, distribute
from fer.training.batches import Batches, SharedValidationBatches
from fer.training.distribute import Workers

pytestmark = pytest.mark.slow

TWO = [Workers(2, index, 2, distributed=True) for index in (0, 1)]


# --- who gets what, without JAX


@pytest.mark.parametrize("changes", [{}, {"mixup": 0.4, "class_weights": "balanced"}])
def test_the_parts_of_a_batch_make_up_the_batch_of_one_process(changes):
    recipe = tiny.recipe(batch_size=8, **changes)
    whole, *parts = [Batches(tiny.data(50), recipe, 3, workers) for workers in (Workers(), *TWO)]
    for epoch in (0, 1):
        for known in (whole, *parts):
            known.start(epoch)
        for index in range(len(whole)):
            for expected, *found in zip(whole[index], *(part[index] for part in parts), strict=True):
                assert [len(array) for array in found] == [4, 4]
                np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize(("n", "batch_size"), [(23, 8), (24, 8), (23, 100), (1, 8), (7, 3)])
def test_validation_shows_every_image_once(n, batch_size):
    data = tiny.data(n)
    parts = [SharedValidationBatches(data, batch_size, workers) for workers in TWO]
    rows = [parts[i][index] for index in range(len(parts[0])) for i in (0, 1)]
    images, targets, weights = (np.concatenate(arrays) for arrays in zip(*rows, strict=True))
    np.testing.assert_array_equal(images[:n], data.images)
    np.testing.assert_array_equal(targets[:n], data.targets)
    assert not targets[n:].any()
    assert not weights[n:].any()
    np.testing.assert_allclose(weights[:n], len(weights) / n)


def test_padding_changes_neither_loss_nor_accuracy():
    data = tiny.data(23)
    model = tiny.build()
    model.compile(
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=0.1), metrics=[batches.Accuracy(name="accuracy")]
    )
    padded = SharedValidationBatches(data, 8, Workers(1, 0, 8, distributed=True))
    expected = model.evaluate(data.images, data.targets, batch_size=8, verbose=0, return_dict=True)
    assert model.evaluate(padded, verbose=0, return_dict=True) == pytest.approx(expected, rel=1e-5)


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    with pytest.raises(FerError, match="a batch of 15 images cannot be shared evenly by 2 devices"):
        Batches(tiny.data(50), tiny.recipe(batch_size=15), 3, TWO[0])


def test_another_backend_is_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(FerError, match=r"^--distribute needs the JAX backend, not tensorflow: pip install jax, and "):
        distribute.initialize()


# --- whole trainings


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The same trainings on one device, on two devices of a process, and in two processes."""
    place = tmp_path_factory.mktemp("distributed")
    words = ("everything", "stops")
    finish(start(place / "one", *words))
    finish(start(place / "devices", "--distribute", *words, devices=2))
    finish(start(place / "processes", "--distribute", *words, processes=2))
    return place


@needs_jax
@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize("scenario", ["everything", "stops"])
class TestDistributed:
    @pytest.mark.parametrize("way", ["devices", "processes"])
    def test_the_losses_are_those_of_one_device(self, trained, way, scenario):
        expected = history(trained / "one", scenario)
        assert_same_history(history(trained / way, scenario), expected, rel=1e-4, abs=1e-6)

    def test_both_processes_report_the_same_to_the_last_digit(self, trained, scenario):
        first, second = (history(trained / "processes", scenario, index) for index in (0, 1))
        assert first == second

    @pytest.mark.parametrize("way", ["devices", "processes"])
    def test_the_model_predicts_as_that_of_one_device(self, trained, way, scenario):
        images = tiny.data(24, seed=2).images
        found, expected = (
            Classifier.load(trained / folder / scenario / "model.keras").predict(images) for folder in (way, "one")
        )
        np.testing.assert_allclose(found, expected, atol=1e-3)

    def test_one_process_wrote_whole_files(self, trained, scenario):
        names = {path.name for path in (trained / "processes" / scenario).iterdir()}
        assert names == {"run.json", "log.csv", "model.keras", "checkpoint.npz"}
        log = (trained / "processes" / scenario / "log.csv").read_text().splitlines()
        assert len(log) == 1 + len(history(trained / "processes", scenario))


@needs_jax
@pytest.mark.slow
@pytest.mark.backend
def test_early_stopping_ended_a_run_before_its_last_epoch(trained):
    assert len(history(trained / "processes", "stops")) < 30
