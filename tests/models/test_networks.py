"""The networks: sizes, shapes, names, and what is refused."""

import keras
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.core.labels import FER2013
from fer.models import networks
from fer.training import fit, recipe
from fer.training.recipes import RECIPES

EIGHT = (*FER2013, "contempt")
PARAMETERS = {
    "plain": (FER2013, 4_232_199),
    "four-block": (FER2013, 3_535_879),
    "four-block-rgb": (FER2013, 8_674_183),
    "five-conv": (FER2013, 4_444_423),
    "four-block-wide": (EIGHT, 4_479_240),
}


def layers(model, kind):
    return [layer for layer in model.layers if isinstance(layer, kind)]


@pytest.fixture(scope="module")
def four_block():
    return fit.build(RECIPES["four-block"], FER2013)


@pytest.mark.parametrize("name", PARAMETERS)
def test_the_reference_recipes_have_the_published_number_of_parameters(name):
    labels, expected = PARAMETERS[name]
    assert fit.build(RECIPES[name], labels).count_params() == expected


def test_width_scales_every_layer_of_four_block(four_block):
    narrow = fit.build(RECIPES["quick"], FER2013)
    assert [layer.name for layer in narrow.layers] == [layer.name for layer in four_block.layers]
    for name in ("block1_conv", "block4_conv", "dense1", "dense3"):
        shapes = [model.get_layer(name).get_weights()[1].shape[0] for model in (narrow, four_block)]
        assert shapes[0] * 4 == shapes[1]


def test_earlier_names_are_understood():
    assert networks.build("rgb", FER2013, InputSpec(48, 3)).count_params() == PARAMETERS["four-block-rgb"][1]


@pytest.mark.parametrize(
    ("name", "size", "channels", "k"),
    [
        ("four-block", 32, 1, 2),
        ("plain", 48, 3, 7),
        ("four-block-rgb", 64, 3, 8),
        ("five-conv", 96, 1, 3),
        ("four-block-wide", 33, 3, 5),
        ("vgg", 40, 3, 7),
        ("se-resnet", 24, 1, 8),
    ],
)
def test_any_size_channels_and_number_of_labels(name, size, channels, k):
    model = networks.build(name, tuple("abcdefgh"[:k]), InputSpec(size, channels))
    assert model.input_shape == (None, size, size, channels)
    pixels = np.random.default_rng(0).integers(0, 256, (2, size, size, channels), np.uint8)
    probabilities = keras.ops.convert_to_numpy(model(pixels))
    assert probabilities.shape == (2, k)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities[0] != probabilities[1]).any()


@pytest.mark.parametrize(
    ("name", "size"),
    [("plain", 45), ("four-block", 15), ("four-block-rgb", 35), ("five-conv", 31), ("four-block-wide", 15)],
)
def test_an_image_one_pixel_too_small_is_refused_and_one_larger_is_not(name, size):
    with pytest.raises(FerError, match=rf"an image of {size} pixels is too small for the network '{name}'"):
        networks.build(name, ("a", "b"), InputSpec(size))
    networks.build(name, ("a", "b"), InputSpec(size + 1))


def test_a_crop_can_make_an_image_too_small():
    with pytest.raises(FerError, match="15 pixels is too small"):
        networks.build("four-block", ("a", "b"), InputSpec(48), crop=15)


@pytest.mark.parametrize("crop", [0, -1, 49])
def test_a_crop_outside_the_image_is_refused(crop):
    with pytest.raises(FerError, match=f"crop must lie between 1 and the image size 48, not {crop}"):
        networks.build("four-block", ("a", "b"), InputSpec(48), crop=crop)


def test_a_crop_looks_at_the_centre_only():
    model = tiny.build(crop=8)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 12, 12, 1)).astype(np.float32)
    border, inside = pixels.copy(), pixels.copy()
    border[:, :2], border[:, -2:], border[:, :, :2], border[:, :, -2:] = 0, 0, 0, 0
    inside[:, 2, 2] = 255 - inside[:, 2, 2]
    first, second, third = (keras.ops.convert_to_numpy(model(images)) for images in (pixels, border, inside))
    np.testing.assert_array_equal(first, second)
    assert (first != third).any()


def test_a_crop_of_the_whole_image_is_no_layer():
    names = [layer.name for layer in tiny.build(crop=12).layers]
    assert "crop" not in names


def test_an_unknown_network_is_refused_with_the_names_there_are():
    with pytest.raises(
        FerError,
        match="unknown network 'lenet'; there are: plain, four-block, four-block-rgb, five-conv, four-block-wide, vgg",
    ):
        networks.build("lenet", ("a", "b"), InputSpec())


@pytest.mark.parametrize(("width", "expected"), [(32, 1_176_360), (16, 296_200)])
def test_the_width_of_a_vgg_scales_every_layer(width, expected):
    """Weights by hand: 9 x in x out for each of eight convolutions, four a channel of normalization, a dense layer."""
    widths = [width * factor for factor in (1, 1, 2, 2, 4, 4, 8, 8)]
    convolutions = sum(9 * a * b + 4 * b for a, b in zip([1, *widths[:-1]], widths, strict=True))
    model = networks.build("vgg", FER2013, InputSpec(), width=width)
    assert model.count_params() == convolutions + widths[-1] * 7 + 7
    assert model.count_params() == pytest.approx(expected, rel=0.01)


def test_a_network_without_a_width_refuses_one():
    with pytest.raises(FerError, match="the network 'plain' has no width parameter"):
        networks.build("plain", ("a", "b"), InputSpec(), width=32)


@pytest.mark.parametrize("name", ["vgg", "se-resnet"])
def test_pooled_networks_take_images_of_any_size_with_the_same_weights(name):
    fixed = networks.build(name, ("a", "b"), InputSpec(48), width=8)
    free = networks.build(name, ("a", "b"), InputSpec(48), width=8, any_size=True)
    free.set_weights(fixed.get_weights())
    pixels = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 1), np.uint8)
    np.testing.assert_allclose(fixed(pixels), free(pixels), atol=1e-6)
    assert free(pixels[:, :32, :32]).shape == (2, 2)


def test_networks_with_dense_layers_take_one_size_only():
    with pytest.raises(FerError, match="the network 'four-block' takes images of one size only"):
        networks.build("four-block", ("a", "b"), InputSpec(), any_size=True)
    with pytest.raises(FerError, match="a network with a crop takes images of one size only"):
        networks.build("vgg", ("a", "b"), InputSpec(), crop=44, any_size=True)


def test_squeeze_and_excitation_weighs_channels():
    """With the last layer before the sigmoid at -100 every residual vanishes, and the short cuts alone remain."""
    model = networks.build("se-resnet", ("a", "b"), InputSpec(16), width=8)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 16, 16, 1), np.uint8)
    inside = keras.Model(model.input, [model.get_layer(f"block1_a_{part}").output for part in ("weigh", "add")])
    model.get_layer("block1_a_excite").bias.assign([-100.0] * 8)
    weighed, added = inside(pixels)
    stem = keras.Model(model.input, model.get_layer("stem_relu").output)(pixels)
    assert np.abs(weighed).max() < 1e-6
    np.testing.assert_allclose(added, stem, atol=1e-6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, [0.25] * 4),
        (0.1, [0.1] * 4),
        ((0.3,), [0.3] * 4),
        ((0.1, 0.2), [0.1, 0.2, 0.2, 0.2]),
        ((0.1, 0.2, 0.3), [0.1, 0.2, 0.3, 0.3]),
    ],
)
def test_dropout_is_one_rate_or_one_a_block(given, expected):
    model = networks.build("four-block", ("a", "b"), InputSpec(16), dropout=given, dense_dropout=given)
    rates = {layer.name: layer.rate for layer in layers(model, keras.layers.Dropout)}
    assert [rates[f"block{i}_dropout"] for i in (1, 2, 3, 4)] == expected
    assert [rates[f"dense{i}_dropout"] for i in (1, 2, 3)] == expected[:3]


def test_the_help_of_train_names_every_network():
    assert tuple(networks.NETWORKS) == recipe.NETWORKS


def test_more_rates_than_blocks_are_refused():
    network = networks.build("vgg", ("a", "b"), InputSpec(16), width=4)
    networks.check_rates(network, dropout=(0.1,) * 4, dense_dropout=(0.3,))
    for dropout, dense, said in (
        ((0.1,) * 5, (0.3,), "^dropout: 5 rates, but the network has 4: give as many"),
        ((0.1,), (0.3, 0.5), "^dense_dropout: 2 rates, but the network has 1: give as many"),
    ):
        with pytest.raises(FerError, match=said):
            networks.check_rates(network, dropout=dropout, dense_dropout=dense)


def test_layers_are_named_after_their_block_in_order(four_block):
    block = ["conv", "norm", "relu", "pool", "dropout"]
    expected = ["pixels", "scale"] + [f"block{i}_{part}" for i in (1, 2, 3, 4) for part in block] + ["flatten"]
    for i in (1, 2, 3):
        expected += [f"dense{i}", *(f"dense{i}_{part}" for part in ("norm", "relu", "dropout"))]
    assert [layer.name for layer in four_block.layers] == [*expected, "logits", "probabilities"]
    assert four_block.name == "four_block"


def test_the_first_layer_scales_the_pixels(four_block):
    scale = four_block.get_layer("scale")
    np.testing.assert_allclose(keras.ops.convert_to_numpy(scale(np.float32([[0, 51, 255]]))), [[0, 0.2, 1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [("four-block", "norm", "relu"), ("four-block-rgb", "relu", "norm"), ("four-block-wide", "norm", "relu")],
)
def test_batch_normalization_stands_where_the_originals_have_it(name, first, second):
    names = [layer.name for layer in fit.build(RECIPES[name], FER2013).layers]
    for block in ("block1", "dense2"):
        assert names.index(f"{block}_{first}") + 1 == names.index(f"{block}_{second}")


def test_a_slim_vgg_has_as_many_parameters_as_a_vgg_and_one_convolution_less():
    slim, whole = (fit.build(RECIPES[name], FER2013) for name in ("fer2013-fast", "vgg"))
    assert [layer.filters for layer in layers(slim, keras.layers.Conv2D)] == [32, 64, 64, 128, 128, 256, 256]
    assert [layer.filters for layer in layers(whole, keras.layers.Conv2D)] == [32, 32, 64, 64, 128, 128, 256, 256]
    assert slim.count_params() == 1_167_015 < whole.count_params()
    any_size = networks.build("vgg-slim", FER2013, InputSpec(48), width=8, any_size=True)
    assert any_size(np.zeros((2, 32, 32, 1))).shape == (2, 7)


def test_the_two_networks_without_full_batch_normalization():
    assert not layers(fit.build(RECIPES["plain"], FER2013), keras.layers.BatchNormalization)
    five = layers(fit.build(RECIPES["five-conv"], FER2013), keras.layers.BatchNormalization)
    assert [layer.name for layer in five] == [f"block{i}_norm" for i in (1, 2, 3, 4, 5)]


def test_mixed_precision_computes_inside_and_speaks_float32_outside():
    model = tiny.build(dtype="mixed_bfloat16")
    assert model.get_layer("block1_conv").compute_dtype == "bfloat16"
    assert {variable.dtype for variable in model.weights} == {"float32"}
    assert model.output.dtype == "float32"
    assert keras.config.dtype_policy().name == "float32"


def test_a_failed_build_leaves_the_global_precision_alone():
    with pytest.raises(FerError, match="too small"):
        networks.build("four-block", ("a", "b"), InputSpec(8), dtype="mixed_bfloat16")
    assert keras.config.dtype_policy().name == "float32"


def test_a_diagram_needs_an_image_suffix(four_block, tmp_path):
    with pytest.raises(FerError, match=r"diagram.txt: a diagram is written as one of .png"):
        networks.diagram(four_block, tmp_path / "diagram.txt")


def test_a_diagram_is_written_or_the_missing_program_is_named(four_block, tmp_path, monkeypatch):
    path = tmp_path / "diagram.png"
    monkeypatch.setattr(keras.utils, "plot_model", lambda model, to, **options: to.write_bytes(b"drawn"))
    networks.diagram(four_block, path)
    assert path.read_bytes() == b"drawn"

    def missing(*args, **options):
        raise ImportError("You must install pydot")

    monkeypatch.setattr(keras.utils, "plot_model", missing)
    with pytest.raises(FerError, match="pip install pydot"):
        networks.diagram(four_block, path)
    assert path.read_bytes() == b"drawn"
    assert list(tmp_path.iterdir()) == [path]
