"""Grad-CAM by its definition in NumPy, by planted evidence, and by the sanity check of Adebayo et al. 2018."""

import importlib.util

import cv2
import keras
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.models import networks
from fer.models.classifier import Classifier
from fer.models.gradcam import grad_cam, overlay
from fer.models.runtimes import Onnx

pytestmark = pytest.mark.slow

SPEC = InputSpec(tiny.SIZE)


def correlation(a, b):
    """Mean correlation of the maps of the same images."""
    return np.mean([np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(a, b, strict=True)])


def planted(n, seed):
    """Noise with one 8 x 8 patch of stripes, whose direction is the label: images, codes, centres of the patches."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((8, 8))
    patterns = [200 * (pattern // 2 % 2) for pattern in (rows, columns, rows + columns)]
    images, codes = rng.integers(100, 140, (n, 32, 32, 1), np.uint8), np.arange(n) % 3
    corners = rng.integers(0, 24, (n, 2))
    for image, code, (y, x) in zip(images, codes, corners, strict=True):
        image[y : y + 8, x : x + 8, 0] = patterns[code]
    return images, codes, corners + 3.5


@pytest.fixture(scope="module")
def stripes():
    """A network that has learnt to tell such patches apart."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((32, 32, 1))
    x = keras.layers.Rescaling(1 / 64, offset=-2)(pixels)
    for filters in (8, 16):
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(keras.layers.Conv2D(filters, 5, padding="same")(x)))
        x = keras.layers.MaxPooling2D()(x)
    logits = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(pixels, keras.layers.Softmax()(logits))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    images, codes, _ = planted(480, 0)
    model.fit(images.astype(np.float32), codes, batch_size=32, epochs=8, verbose=0)
    return Classifier(model, tiny.LABELS, InputSpec(32))


def test_maps_mark_the_patch_that_carries_the_label(stripes):
    images, codes, centres = planted(60, 1)
    correct = stripes.predict(images).argmax(axis=1) == codes
    assert correct.mean() > 0.9
    maps = grad_cam(stripes, images, codes)
    peaks = np.array([np.unravel_index(heat.argmax(), heat.shape) for heat in maps])
    distance = np.abs(peaks - centres).max(axis=1)
    assert (distance[correct] <= 6).mean() > 0.9  # pixels, of 32


@pytest.mark.parametrize("name", networks.NETWORKS)
def test_maps_of_every_network(name):
    keras.utils.set_random_seed(0)
    spec = InputSpec(48, 3 if name == "four-block-rgb" else 1)
    known = Classifier(networks.build(name, tiny.LABELS, spec), tiny.LABELS, spec)
    images = np.random.default_rng(0).integers(0, 256, (3, *spec.shape), np.uint8)
    maps = grad_cam(known, images)
    assert (maps.dtype, maps.shape) == (np.float32, (3, 48, 48))
    assert maps.min() >= 0
    assert maps.max() <= 1


def test_a_map_follows_its_definition():
    """Global average pooling and one dense layer: the gradient is the layer's weight over the number of places."""
    keras.utils.set_random_seed(1)
    pixels = keras.Input(SPEC.shape)
    features = keras.layers.Conv2D(5, 3, activation="relu")(pixels)
    scores = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling2D()(features))
    model = keras.Model(pixels, keras.layers.Softmax()(scores))
    images = tiny.data(4).images
    activations = np.asarray(keras.Model(pixels, features)(images.astype(np.float32)))
    weights = model.layers[-2].get_weights()[0]  # (5, 3)
    maps = grad_cam(Classifier(model, tiny.LABELS, SPEC), images, np.array([2, 0, 1, 2]))
    for heat, activation, code in zip(maps, activations, (2, 0, 1, 2), strict=True):
        expected = cv2.resize(np.maximum(activation @ weights[:, code], 0), (tiny.SIZE, tiny.SIZE))
        np.testing.assert_allclose(heat, expected / max(expected.max(), 1e-9), atol=1e-4)


def test_softmax_inside_the_dense_layer_gives_the_same_maps():
    keras.utils.set_random_seed(3)
    pixels = keras.Input(SPEC.shape)
    features = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(pixels))
    inside = keras.Model(pixels, keras.layers.Dense(3, activation="softmax")(features))
    apart = keras.Model(pixels, keras.layers.Softmax()(keras.layers.Dense(3)(features)))
    weights = [9 * array for array in inside.get_weights()]  # a network that is sure
    expected, found = [], []
    for model, maps in ((apart, expected), (inside, found)):
        model.set_weights(weights)
        maps.append(grad_cam(Classifier(model, tiny.LABELS, SPEC), tiny.data(4).images))
    assert found[0].max() == pytest.approx(1)
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)


def test_what_a_crop_cuts_off_has_no_heat():
    keras.utils.set_random_seed(0)
    spec = InputSpec(48)
    known = Classifier(networks.build("four-block", tiny.LABELS, spec, crop=24), tiny.LABELS, spec)
    images = tiny.noise(3, size=48)
    maps = grad_cam(known, images)
    inner = np.zeros((48, 48), bool)
    inner[12:36, 12:36] = True
    assert maps[:, inner].max() == pytest.approx(1)
    assert not maps[:, ~inner].any()
    alone = np.where(inner[..., None], images, 0)
    np.testing.assert_allclose(grad_cam(known, alone), maps, atol=1e-4)


def test_randomized_weights_change_the_maps(stripes):
    """Adebayo et al. 2018, "Sanity checks for saliency maps": a map that stays explains the image, not the model."""
    images, codes, _ = planted(60, 1)
    trained = grad_cam(stripes, images, codes)
    fresh = keras.models.clone_model(stripes.model)
    randomized = grad_cam(Classifier(fresh, tiny.LABELS, stripes.spec), images, codes)
    varied = randomized.std(axis=(1, 2)) > 0
    assert varied.sum() > 20
    assert correlation(trained[varied], randomized[varied]) < 0.5
    assert correlation(trained, grad_cam(stripes, images, codes)) == pytest.approx(1)


def test_repeated_calls_leave_nothing_in_the_network():
    """A network built on old layers adds a node to each of them: a server would grow with every request."""
    known = Classifier(tiny.build(), tiny.LABELS, SPEC)
    grad_cam(known, tiny.data(1).images)

    def nodes():
        return sum(len(layer._inbound_nodes) + len(layer._outbound_nodes) for layer in known.model.layers)

    before = nodes()
    for _ in range(3):
        grad_cam(known, tiny.data(1).images)
    assert nodes() == before


def test_no_images():
    known = Classifier(tiny.build(), tiny.LABELS, SPEC)
    assert grad_cam(known, np.zeros((0, *SPEC.shape), np.uint8)).shape == (0, tiny.SIZE, tiny.SIZE)


def test_networks_without_gradients_or_feature_maps_are_refused():
    exported = Onnx.__new__(Onnx)
    exported.input_shape, exported.output_shape = (None, *SPEC.shape), (None, 3)
    with pytest.raises(FerError, match="an exported model does not give"):
        grad_cam(Classifier(exported, tiny.LABELS, SPEC), tiny.data(2).images)
    pixels = keras.Input(SPEC.shape)
    dense = keras.layers.Dense(3, activation="softmax")(keras.layers.Flatten()(pixels))
    with pytest.raises(FerError, match="no feature maps"):
        grad_cam(Classifier(keras.Model(pixels, dense), tiny.LABELS, SPEC), tiny.data(2).images)


@pytest.mark.parametrize("channels", [1, 3])
def test_overlay_colours_only_where_the_map_is_not_zero(channels):
    image = np.random.default_rng(0).integers(0, 256, (12, 12, channels), np.uint8)
    heat = np.zeros((12, 12), np.float32)
    heat[4:8, 4:8] = 1
    drawn = overlay(image, heat)
    assert (drawn.dtype, drawn.shape) == (np.uint8, (12, 12, 3))
    np.testing.assert_array_equal(drawn[heat == 0], np.broadcast_to(image, drawn.shape)[heat == 0])
    assert np.abs(drawn[heat == 1].astype(int) - image[heat == 1]).mean() > 20


CODE = """
import sys, keras, numpy as np
from support import tiny
from fer.models.classifier import Classifier
from fer.models.gradcam import grad_cam
np.save(sys.argv[2], grad_cam(Classifier.load(sys.argv[1]), tiny.data(8, seed=1).images))
"""


@pytest.mark.backend
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_every_backend_draws_the_same_map(backend, learnt, tmp_path):
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    (tmp_path / "draw.py").write_text(CODE)
    tiny.run(learnt, tmp_path / "maps.npy", script=tmp_path / "draw.py", KERAS_BACKEND=backend)
    here = grad_cam(Classifier.load(learnt), tiny.data(8, seed=1).images)
    np.testing.assert_allclose(np.load(tmp_path / "maps.npy"), here, atol=1e-3)
