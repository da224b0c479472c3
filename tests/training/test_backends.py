"""The same code on TensorFlow, JAX and PyTorch: whichever is installed trains, resumes, and writes what all read."""

import importlib.util
import io
from contextlib import redirect_stdout

import keras
import numpy as np
import pytest
from support import on_backend, tiny
from support.on_backend import AMOUNTS

from fer.models.classifier import Classifier
from fer.training.augmentation import Augmentation

pytestmark = pytest.mark.backend


@pytest.fixture(scope="module", params=["tensorflow", "jax", "torch"])
def done(request, tmp_path_factory):
    """The folder of everything that on_backend.py writes, and what it prints."""
    if importlib.util.find_spec(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    folder = tmp_path_factory.mktemp(request.param)
    layer = Augmentation(seed=5, **AMOUNTS)
    np.save(folder / "maps.npy", keras.ops.convert_to_numpy(layer._affine(tiny.data(8, channels=3).images)))
    if request.param == keras.backend.backend():
        with redirect_stdout(io.StringIO()) as printed:
            on_backend.main(folder)
        output = printed.getvalue()
    else:
        fast = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        fast |= {"JAX_COMPILATION_CACHE_DIR": str(folder / "compiled")}  # its six trainings compile the same steps
        output = tiny.run(folder, script="tests/support/on_backend.py", KERAS_BACKEND=request.param, **fast)
    assert f"backend: {request.param}\n" in output
    return folder, output


def with_other_runs(done):
    """The folder, if it has them."""
    if not (done[0] / "resumed").exists():
        pytest.skip("test_resume.py and test_fit.py show it on this backend")
    return done[0]


def test_it_learns(done):
    folder, _ = done
    notes = Classifier.load(folder / "whole" / "model.keras").metadata
    assert notes["validation_while_training"]["val_accuracy"] > 0.6


def test_a_saved_file_predicts_the_same_here(done):
    folder, _ = done
    here = Classifier.load(folder / "whole" / "model.keras").predict(tiny.data(24, seed=1).images, tta="ten-crop")
    np.testing.assert_allclose(here, np.load(folder / "predicted.npy"), atol=1e-4)


def test_geometry_is_the_same_here(done):
    folder, _ = done
    pixels = tiny.data(8, channels=3).images.astype(np.float32)
    here = keras.ops.image.affine_transform(pixels, np.load(folder / "maps.npy"), fill_mode="nearest")
    here, there = keras.ops.convert_to_numpy(here), np.load(folder / "moved.npy")
    assert np.abs(here - pixels).mean() > 5
    np.testing.assert_allclose(there, here, atol=0.05)


def test_augmentation_runs_and_stays_in_range(done):
    there = np.load(done[0] / "augmented.npy")
    assert there.dtype == np.float32
    assert there.min() >= 0
    assert there.max() <= 255
    assert np.abs(there - tiny.data(8, channels=3).images).mean() > 5


@pytest.mark.parametrize("name", ["on demand", "resumed"])
def test_images_on_demand_give_the_weights_of_images_in_memory_also_when_resumed(done, name):
    folder = with_other_runs(done)
    found, expected = (tiny.weights(folder / run / "checkpoint.npz") for run in (name, "whole"))
    assert found.keys() == expected.keys()
    for key, array in expected.items():
        np.testing.assert_array_equal(found[key], array, err_msg=key)


def test_averaged_weights_are_in_the_file_and_not_in_the_training(done):
    folder = with_other_runs(done)
    averaged, plain = (tiny.weights(folder / name / "checkpoint.npz") for name in ("whole", "not averaged"))
    for name in (name for name in plain if name.startswith("weights")):
        np.testing.assert_allclose(averaged[name], plain[name], rtol=1e-4, atol=1e-5, err_msg=name)
    files = [Classifier.load(folder / name / "model.keras").model.get_weights() for name in ("whole", "not averaged")]
    assert any(np.abs(a - b).max() > 1e-3 for a, b in zip(*files, strict=True))


def test_outputs_are_transferred_by_label(done):
    with np.load(done[0] / "transferred.npz") as kernels:
        np.testing.assert_array_equal(kernels["new"][:, [0, 2]], kernels["old"][:, [2, 1]])


def test_an_image_that_is_too_small_is_refused(done):
    assert "refused: an image of 15 pixels is too small for the network 'four-block'" in done[1]
