"""Files that Keras 2.13, 2.15 and tf_keras 2.18 wrote give the outputs that these gave, or are refused in one line.

The archives in tests/support/keras2/ come from tests/support/keras2_files.py, which says how.
"""

import io
import zipfile
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.models import keras_legacy

ARCHIVES = sorted((tiny.ROOT / "tests" / "support" / "keras2").glob("*.zip"))
REFUSED = {
    "lambda": "layer lambda: Lambda holds code, which is not run",
    "locally_connected_1d": "layer locally_connected1d: LocallyConnected1D is not a Keras 3 layer",
    "locally_connected_2d": "layer locally_connected2d: LocallyConnected2D is not a Keras 3 layer",
    "op_random": "the TensorFlow operation nn.dropout is not translated",
    "op_shape": "the TensorFlow operation compat.v1.shape is not translated",
    "op_space": "the TensorFlow operation nn.space_to_depth is not translated",
    "op_unknown": "the TensorFlow operation math.erf is not translated",
}
TOLERANCES = {"mixed_precision": 2e-3}  # computed in float16 there, in float32 here


def members():
    for archive in ARCHIVES:
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if name != "outputs.npz"]
        for name in names:
            # Whole models of every version; the layers one by one take a minute.
            quick = not name.startswith(("op_", "activation_")) and (
                "nested" in name or "shared" in name or "sequ" in name
            )
            yield pytest.param(archive, name, id=f"{archive.stem}-{name}", marks=() if quick else pytest.mark.slow)


@cache
def outputs(archive: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(archive) as opened:
        return dict(np.load(io.BytesIO(opened.read("outputs.npz"))))


def extracted(archive: Path, name: str, folder: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        return Path(opened.extract(name, folder))


def has_twin(archive: Path, path: Path) -> bool:
    """Whether the network of this .h5 file is there as a .keras file, too."""
    with zipfile.ZipFile(archive) as opened:
        return path.suffix == ".h5" and f"{path.stem}.keras" in opened.namelist()


def called(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """The outputs without a graph, which would take as long as all the rest."""
    return keras.ops.convert_to_numpy(network(images, training=False))


@pytest.mark.parametrize(("archive", "name"), list(members()))
def test_a_file_gives_the_outputs_of_the_keras_that_wrote_it(archive, name, tmp_path):
    path = extracted(archive, name, tmp_path)
    if path.stem in REFUSED:
        with pytest.raises(FerError) as caught:
            keras_legacy.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert REFUSED[path.stem] in str(caught.value)
        assert "where it was made" in str(caught.value)
        assert "\n" not in str(caught.value)
        return
    network, dropped = keras_legacy.load(path)
    assert dropped == []
    images, expected = outputs(archive)["x"], outputs(archive)[path.stem]
    tolerance = TOLERANCES.get(path.stem, 1e-4)
    found = called(network, images) if has_twin(archive, path) else network.predict_on_batch(images)
    np.testing.assert_allclose(found, expected, atol=tolerance, rtol=0)
    # Saved as Keras 3 saves it, and loaded without running code.
    network.save(tmp_path / "new.keras")
    again = keras.saving.load_model(tmp_path / "new.keras", compile=False, safe_mode=True)
    np.testing.assert_allclose(called(again, images), expected, atol=tolerance, rtol=0)


def test_outputs_differ_between_images():
    """Otherwise the comparison above would say little."""
    for archive in ARCHIVES:
        for name, values in outputs(archive).items():
            assert np.ptp(values, axis=0).max() > 1e-3, name
