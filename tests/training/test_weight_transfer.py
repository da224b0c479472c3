"""Weights that move: into a network with other labels, other layers, or fewer channels."""

import re

import keras
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.models import networks
from fer.models.classifier import Classifier
from fer.training import weight_transfer

pytestmark = pytest.mark.slow

SPEC = InputSpec(16)


def source(labels=tiny.LABELS, **changes):
    keras.utils.set_random_seed(5)
    model = tiny.build(labels, **changes)
    model.set_weights(
        [
            array + np.random.default_rng(1).normal(0, 1, array.shape).astype(np.float32) ** 2
            for array in model.get_weights()
        ]
    )
    return Classifier(model, labels, tiny.recipe(**changes).spec)


def same(old, new, layer):
    pairs = zip(old.get_layer(layer).get_weights(), new.get_layer(layer).get_weights(), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_init_copies_layers_by_name_and_outputs_by_label():
    old = source(("happy", "angry", "sad"))
    labels = ("sad", "surprise", "happy")
    new = tiny.build(labels)
    fresh = new.get_layer("logits").get_weights()
    weight_transfer.transfer(old, new, labels)
    assert all(same(old.model, new, layer) for layer in ("block1_conv", "block1_norm", "dense1", "dense1_norm"))
    (kernel, bias), (new_kernel, new_bias) = (
        old.model.get_layer("logits").get_weights(),
        new.get_layer("logits").get_weights(),
    )
    np.testing.assert_array_equal(new_kernel[:, [0, 2]], kernel[:, [2, 0]])
    np.testing.assert_array_equal(new_bias[[0, 2]], bias[[2, 0]])
    np.testing.assert_array_equal(new_kernel[:, 1], fresh[0][:, 1])  # a label the old model does not know


def test_init_takes_more_and_fewer_labels():
    for labels in (("sad", "happy"), ("angry", "contempt", "happy", "sad")):
        new = tiny.build(labels)
        weight_transfer.transfer(source(), new, labels)
        assert same(source().model, new, "dense1")


def test_init_skips_what_does_not_fit(caplog):
    old, new = source(size=16), tiny.build()
    fresh = new.get_layer("dense1").get_weights()
    weight_transfer.transfer(old, new, tiny.LABELS)
    assert re.search("start fresh: dense1$", caplog.text, re.MULTILINE)
    assert same(old.model, new, "block1_conv")
    np.testing.assert_array_equal(new.get_layer("dense1").get_weights()[0], fresh[0])


def test_init_from_a_network_without_one_fitting_layer_is_refused():
    pixels = keras.Input((12, 12, 1))
    stranger = keras.Model(
        pixels, keras.layers.Dense(3, activation="softmax", name="logits")(keras.layers.Flatten()(pixels)), name="vgg"
    )
    with pytest.raises(FerError, match="no layer of vgg fits the network tiny; choose the same --network"):
        weight_transfer.transfer(Classifier(stranger, tiny.LABELS, tiny.RECIPE.spec), tiny.build(), tiny.LABELS)


# --- a narrower network


def vgg(width, labels=tiny.LABELS, network="vgg"):
    return networks.build(network, labels, SPEC, width=width)


def filled(network, seed=3):
    rng = np.random.default_rng(seed)
    network.set_weights([rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1]) for array in network.get_weights()])
    return network


def answers(network):
    return network(np.random.default_rng(0).uniform(0, 255, (4, 16, 16, 1)).astype(np.float32), training=False).numpy()


def test_the_strongest_channels_stay(caplog):
    wide, narrow = filled(vgg(4)), vgg(3)
    first = wide.get_layer("block1_a_conv").get_weights()[0]
    first[..., 1] *= 0.01  # the weakest
    wide.get_layer("block1_a_conv").set_weights([first])
    weight_transfer.transfer(Classifier(wide, tiny.LABELS, SPEC), narrow, tiny.LABELS)
    assert re.search("vgg is pruned to its strongest channels", caplog.text, re.MULTILINE)
    kept = [0, 2, 3]
    np.testing.assert_array_equal(narrow.get_layer("block1_a_conv").get_weights()[0], first[..., kept])
    for old, new in zip(*(net.get_layer("block1_a_norm").get_weights() for net in (wide, narrow)), strict=True):
        np.testing.assert_array_equal(new, old[kept])
    second = wide.get_layer("block1_b_conv").get_weights()[0][:, :, kept]
    strength = np.abs(second).sum(axis=(0, 1, 2))
    expected = second[..., sorted(np.argsort(-strength)[:3])]
    np.testing.assert_array_equal(narrow.get_layer("block1_b_conv").get_weights()[0], expected)


def test_channels_without_effect_are_pruned_first(caplog):
    wide, narrow = filled(vgg(4)), vgg(2)
    for layer in wide.layers:
        if isinstance(layer, keras.layers.Conv2D):
            half = layer.filters // 2
            norm = wide.get_layer(layer.name.replace("_conv", "_norm"))
            (kernel,) = layer.get_weights()
            kernel[..., half:] *= 1e-6
            layer.set_weights([kernel])
            silent = [array.copy() for array in norm.get_weights()]
            silent[0][half:] = silent[1][half:] = silent[2][half:] = 0  # scale, offset and mean
            silent[3][...] = 1.0
            norm.set_weights(silent)
    labels = tuple(reversed(tiny.LABELS))
    weight_transfer.transfer(Classifier(wide, tiny.LABELS, SPEC), narrow, labels)
    assert re.search("pruned", caplog.text, re.MULTILINE)
    np.testing.assert_allclose(answers(narrow), answers(wide)[:, ::-1], atol=1e-5)


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        (("vgg", 3), ("vgg", 3)),
        (("vgg", 2), ("vgg", 3)),
        (("vgg", 3), ("four-block", None)),
        (("se-resnet", 4), ("se-resnet", 2)),
    ],
    ids=["as wide", "wider", "another kind", "short cuts"],
)  # fmt: skip
def test_what_cannot_be_cut_down_is_not(wide, narrow):
    wide, narrow = (networks.build(name, tiny.LABELS, SPEC, width=width) for name, width in (wide, narrow))
    assert weight_transfer.pruned(wide, narrow) is None
