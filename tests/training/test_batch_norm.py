"""The fused batch norm computes what the layer of Keras computes, and stays out of model files."""

import keras
import numpy as np
import pytest
from support import tiny

from fer.core.images import InputSpec
from fer.models import networks
from fer.models.classifier import Classifier
from fer.training.batch_norm import FusedBatchNormalization, fused

ONLY_TENSORFLOW = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="one operation of TensorFlow")
SHAPE = (6, 5, 4, 3)


def norm_pair(dtype="float32"):
    """The layer of Keras and ours, with the same weights, none of them neutral."""
    layers = [kind(momentum=0.7, dtype=dtype) for kind in (keras.layers.BatchNormalization, FusedBatchNormalization)]
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0.5, 2.0, SHAPE[-1:]) for _ in range(4)]
    for layer in layers:
        layer.build(SHAPE)
        layer.set_weights(weights)
    return layers


@ONLY_TENSORFLOW
@pytest.mark.parametrize("training", [True, False])
def test_outputs_gradients_and_statistics_are_those_of_keras(training):
    import tensorflow as tf

    x = tf.constant(np.random.default_rng(1).normal(3.0, 2.0, SHAPE), tf.float32)
    found = []
    for layer in norm_pair():
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = layer(x, training=training)
            loss = tf.reduce_sum(outputs**3)
        gradients = tape.gradient(loss, [x, layer.gamma.value, layer.beta.value])
        found.append([outputs, *gradients, *layer.get_weights()])
    for expected, value in zip(*found, strict=True):
        np.testing.assert_allclose(value, expected, rtol=2e-4, atol=2e-4)


@ONLY_TENSORFLOW
def test_a_layer_that_is_not_trainable_keeps_its_statistics():
    x = np.random.default_rng(1).normal(3.0, 2.0, SHAPE).astype(np.float32)
    keras_layer, layer = norm_pair()
    keras_layer.trainable = layer.trainable = False
    before = layer.get_weights()
    np.testing.assert_allclose(layer(x, training=True), keras_layer(x, training=True), rtol=1e-5, atol=1e-5)
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(new, old)


@ONLY_TENSORFLOW
def test_statistics_of_bfloat16_images_are_float32():
    x = np.random.default_rng(1).normal(3.0, 2.0, SHAPE).astype(np.float32)
    layer, exact = norm_pair("mixed_bfloat16")[1], norm_pair()[0]
    outputs, expected = layer(x, training=True), exact(x, training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    np.testing.assert_allclose(keras.ops.cast(outputs, "float32"), expected, atol=0.03)
    for found, wanted in zip(layer.get_weights()[-2:], exact.get_weights()[-2:], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-3)  # bfloat16 statistics would be off by up to 4e-3


@ONLY_TENSORFLOW
@pytest.mark.parametrize("options", [{"scale": False}, {"center": False}, {"axis": 1}])
def test_a_layer_that_the_operation_does_not_compute_stays(options):
    network = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.BatchNormalization(**options)])
    copy = fused(network)
    assert type(copy.layers[0]) is keras.layers.BatchNormalization
    images = np.random.default_rng(0).normal(size=(2, 4, 4, 3)).astype(np.float32)
    np.testing.assert_array_equal(copy(images, training=True), network(images, training=True))


@pytest.mark.parametrize("name", ["four-block", "vgg-slim", "se-resnet"])
def test_a_fused_network_has_the_weights_and_predictions_of_the_network(name):
    network = networks.build(name, ("a", "b"), InputSpec(32, 1), width=8)
    copy = fused(network)
    images = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 1)).astype(np.float32)
    np.testing.assert_allclose(copy(images), network(images), atol=1e-5)
    assert [v.name for v in copy.variables] == [v.name for v in network.variables]
    of_images = [layer for layer in copy.layers if layer.name.endswith("_norm") and len(layer.output.shape) == 4]
    on_tensorflow = keras.backend.backend() == "tensorflow"
    assert {isinstance(layer, FusedBatchNormalization) for layer in of_images} == {on_tensorflow}


def test_a_model_file_holds_the_layer_of_keras(tmp_path):
    tiny.fit(tmp_path, epochs=1)
    layers = Classifier.load(tmp_path / "model.keras").model.layers
    norms = {type(layer) for layer in layers if isinstance(layer, keras.layers.BatchNormalization)}
    assert norms == {keras.layers.BatchNormalization}
