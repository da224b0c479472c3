"""Pixels as an imported network was trained on them: ranges, means of channels, scaling within it, a single output."""

import zipfile

import keras
import numpy as np
import pytest
from support import old

from fer import FerError
from fer.cli import import_model
from fer.core.images import InputSpec
from fer.models import convert, keras_legacy
from fer.models.legacy_layers import make_layer

L = keras.layers
PIXELS = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), np.uint8)  # BGR


def identity(channels=3):
    """A network that shows its input: the mean of each channel, as logits."""
    return keras.Sequential([keras.Input((4, 4, channels)), L.GlobalAveragePooling2D()])


def seen(range, colours):
    """The means of the channels that a network gets."""
    model = convert.to_classifier(
        identity(), ("a", "b", "c"), InputSpec(4, 3), range=range, colours=colours, outputs="softmax"
    )
    return model.predict(PIXELS)


class TestRanges:
    def test_the_modes_of_preprocess_input(self):
        rgb = PIXELS[..., ::-1].astype(np.float32)
        for mode, module in (("caffe", keras.applications.vgg16), ("torch", keras.applications.densenet)):
            expected = module.preprocess_input(rgb.copy()).mean(axis=(1, 2))
            np.testing.assert_allclose(seen(mode, convert.MODES[mode][2]), expected, atol=1e-3)

    @pytest.mark.parametrize(("range", "low", "high"), [("-0.5,0.5", -0.5, 0.5), ("-2.1,2.6", -2.1, 2.6)])
    def test_values_of_black_and_white(self, range, low, high):
        expected = (PIXELS / 255 * (high - low) + low).mean(axis=(1, 2))
        np.testing.assert_allclose(seen(range, "bgr"), expected, atol=1e-5)

    @pytest.mark.parametrize("text", ["0,1", "-1,1", "-0.5,0.5", "caffe"])
    def test_a_negative_value_is_no_flag(self, text):
        args = import_model.parse_args(["a.h5", "--range", text, "--labels", "a,b", "--output", "b.keras"])
        assert args.range == text

    @pytest.mark.parametrize("text", ["0", "0,1,2", "tf", "1,0", "0,nan", "a,b", "0,0"])
    def test_no_range(self, text):
        with pytest.raises(FerError, match=r"^--range .*(is one of 0,1, -1,1, 0,255, caffe, torch, or|must be below)"):
            convert.scaling(text, 3)

    def test_means_of_three_channels_for_a_grey_network(self):
        with pytest.raises(FerError, match="--range caffe has a mean for each of three channels; the network takes 1"):
            convert.scaling("caffe", 1)


def normalization():
    layer = L.Normalization()
    layer.adapt(np.random.default_rng(0).normal(120, 60, (50, 4, 4, 3)))
    return layer


@pytest.mark.parametrize(
    ("steps", "scales"),
    [
        (lambda x: x / 127.5 - 1, True),
        (lambda x: x * (1 / 255), True),
        (lambda x: (x - 127.5) / 64, True),
        (lambda x: L.Rescaling(1.0, offset=[-103.9, -116.8, -123.7])(x), True),
        (lambda x: normalization()(x), True),
        (lambda x: keras.Sequential([keras.Input((4, 4, 3)), L.Rescaling(1 / 255)])(x), True),
        (lambda x: x * 255 - 127.5, False),  # from 0 to 1, and back again
        (lambda x: (x + 1) * 127.5 - 120, False),
        (lambda x: x - 0.5, False),
        (lambda x: x, False),
    ],
)
def test_every_way_to_scale_pixels_is_known(steps, scales):
    x = keras.Input((4, 4, 3))
    features = L.GlobalAveragePooling2D()(steps(x))
    network = keras.Model(x, L.Dense(3, "softmax")(features / 100))  # which scales no image
    assert (convert.own_scaling(network) is not None) == scales
    assert (convert.own_scaling(keras.Sequential([keras.Input((4, 4, 3)), network])) is not None) == scales


def test_scaling_as_calls_of_tensorflow_is_known(tmp_path):
    """`x / 127.5 - 1` in a file of Keras 2."""
    config = old.functional(old.keras2())
    layers = config["config"]["layers"]
    before = "input_1"
    for i, (name, number) in enumerate((("math.truediv", 127.5), ("math.subtract", 1.0))):
        layers.insert(
            i + 1,
            {"class_name": "TFOpLambda", "name": f"tf.{name}", "config": {"name": f"tf.{name}", "function": name},
             "inbound_nodes": [[before, 0, 0, {"y": number}]]},
        )  # fmt: skip
        before = f"tf.{name}"
    layers[3]["inbound_nodes"] = [[[before, 0, 0, {}]]]
    network, _ = keras_legacy.load(old.hdf5(tmp_path / "old.h5", config, old.arrays()))
    assert convert.own_scaling(network)


class TestSingleOutput:
    """Smile detectors: one sigmoid for two labels. Divided by its sum it would always be 1."""

    @pytest.mark.parametrize("activation", ["sigmoid", "linear"])
    def test_two_labels(self, activation):
        network = keras.Sequential([keras.Input((4, 4, 3)), L.Flatten(), L.Dense(1, activation)])
        network.layers[-1].set_weights([np.full((48, 1), 0.05), np.full(1, -1.2)])
        kind, _ = convert.output_kind(network, InputSpec(4, 3))
        model = convert.to_classifier(
            network, ("neutral", "happy"), InputSpec(4, 3), range="0,1", colours="bgr", outputs=kind
        )
        raw = network.predict_on_batch(PIXELS / np.float32(255))[:, 0]
        happy = raw if activation == "sigmoid" else 1 / (1 + np.exp(-raw))
        assert 0.2 < happy.min() < happy.max() < 0.8
        np.testing.assert_allclose(model.predict(PIXELS), np.stack([1 - happy, happy], axis=1), atol=1e-5)

    @pytest.mark.parametrize(
        ("names", "outputs", "message"),
        [
            (("happy",), "sigmoid", "give two labels, that of outputs near 0 and that near 1, not happy"),
            (("a", "b", "c"), "logits", "give two labels"),
            (("a", "b"), "softmax", "which is always 1"),
        ],
    )
    def test_what_tells_nothing_is_refused(self, names, outputs, message):
        network = keras.Sequential([keras.Input((4, 4, 3)), L.Flatten(), L.Dense(1)])
        with pytest.raises(FerError, match=message):
            convert.to_classifier(network, names, InputSpec(4, 3), range="0,1", outputs=outputs)


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("LeakyReLU", {"alpha": {"type": "ndarray", "value": 0.2}}),
        ("LeakyReLU", {"alpha": {"type": "float32", "value": 0.2}}),
        ("ReLU", {"max_value": None, "negative_slope": {"type": "ndarray", "value": 0.2}, "threshold": 0.0}),
    ],
)
def test_numbers_as_keras_2_0_wrote_them(kind, config):
    dropped = []
    layer, _ = make_layer(kind, {"name": "a", **config}, dropped)
    assert (layer.negative_slope, dropped) == (0.2, [])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.h5", b"version https://git-lfs.github.com/spec/v1\noid", "a pointer of Git LFS, .* git lfs pull"),
        ("a.h5", b"\n<!DOCTYPE html><html>", "a web page, not a model"),
        ("a.h5", b"\x1c\0\0\0TFL3", "a LiteRT"),
        ("a.h5", b"\x08\x07onnx", "neither an HDF5 file nor a .keras file"),
        ("a.pth", {"archive/data.pkl": ""}, "a PyTorch file, not one of Keras"),
        ("a.zip", {"model.h5": ""}, "a zip, but no .keras file: unpack it first"),
        (
            "model.json",
            b'{"modelTopology": {}}',
            "a model of TensorFlow.js: convert",
        ),
    ],
)
def test_what_is_no_model_of_keras_is_named(tmp_path, name, content, message):
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            for member, text in content.items():
                archive.writestr(member, text)
    with pytest.raises(FerError, match=rf"^.*{name}: {message}"):
        keras_legacy.load(path)
