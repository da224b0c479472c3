"""Network builders: one function for each network, and a dict of them.

Every network takes uint8-valued pixels (n, size, size, channels) and returns probabilities float32 (n, k). Scaling is
its first layer, so a saved model needs no preprocessing code.
"""

import inspect
from collections.abc import Callable
from pathlib import Path

import keras

from fer.core.errors import FerError
from fer.core.files import replacing
from fer.core.images import InputSpec
from fer.core.renamed import current_name


def plain(pixels, *, dropout=0.4, dense_dropout=(0.4, 0.3)):
    """Four unpadded convolutions 128-256-512-512, no batch normalization, dense 512-256."""
    x = pixels
    for i, filters in enumerate((128, 256, 512, 512)):
        x = _conv_block(x, f"block{i + 1}", filters, padding="valid", batch_norm=None, dropout=_rate(dropout, i))
    return _dense_head(x, (512, 256), batch_norm=None, dropout=dense_dropout)


def four_block(pixels, *, width=64, dropout=0.25, dense_dropout=0.25):
    """Four convolution blocks 64/3, 128/5, 256/3, 512/3 with batch normalization, dense 256-512-1024.

    Another `width` than 64 scales every layer by width / 64.
    """
    x = pixels
    for i, kernel in enumerate((3, 5, 3, 3)):
        x = _conv_block(x, f"block{i + 1}", width * 2**i, kernel=kernel, dropout=_rate(dropout, i))
    return _dense_head(x, (4 * width, 8 * width, 16 * width), dropout=dense_dropout)


def four_block_rgb(pixels, *, dropout=0.25, dense_dropout=0.25):
    """A colour network with two wide 5x5 blocks, batch normalization after ReLU, dense 256-512."""
    x = pixels
    for i, (filters, kernel, pool) in enumerate(((64, 3, 2), (128, 5, 2), (512, 5, 3), (512, 5, 3))):
        rate = _rate(dropout, i)
        x = _conv_block(x, f"block{i + 1}", filters, kernel=kernel, pool=pool, batch_norm="after", dropout=rate)
    return _dense_head(x, (256, 512), batch_norm="after", dropout=dense_dropout)


def five_conv(pixels, *, dropout=0.25, dense_dropout=0.25):
    """Five 3x3 convolutions 64-128-256-512-512 with batch normalization, dense 512-512 without."""
    x = pixels
    for i, filters in enumerate((64, 128, 256, 512, 512)):
        x = _conv_block(x, f"block{i + 1}", filters, dropout=_rate(dropout, i))
    return _dense_head(x, (512, 512), batch_norm=None, dropout=dense_dropout)


def four_block_wide(pixels, *, dropout=0.25, dense_dropout=0.25):
    """64/3, 128/5, 512/3, 512/3 with batch normalization, dense 256-512."""
    x = pixels
    for i, (filters, kernel) in enumerate(((64, 3), (128, 5), (512, 3), (512, 3))):
        x = _conv_block(x, f"block{i + 1}", filters, kernel=kernel, dropout=_rate(dropout, i))
    return _dense_head(x, (256, 512), dropout=dense_dropout)


def vgg(pixels, *, width=32, dropout=(0.1, 0.15, 0.2, 0.25), dense_dropout=0.3):
    """Four blocks of two 3x3 convolutions, each block twice as wide as the one before; global average pooling."""
    x = pixels
    for i in range(4):
        for j in range(2):
            name = f"block{i + 1}_{'ab'[j]}"
            x = _normed_conv(x, name, width * 2**i)
            x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.MaxPooling2D(name=f"block{i + 1}_pool")(x)
        x = keras.layers.Dropout(_rate(dropout, i), name=f"block{i + 1}_dropout")(x)
    return _pooled(x, dense_dropout)


def vgg_slim(pixels, *, width=64, dropout=(0.0, 0.05, 0.1, 0.15), dense_dropout=0.2):
    """A vgg whose first stage is one convolution of half the `width`; the others have two: width x 1, 2 and 4.

    Convolutions of few channels on the whole image take a CPU as long as all the others together: this network of
    1.17 M parameters trains a third faster than `vgg` of width 32 with its 1.18 M.
    """
    x = pixels
    for i, filters in enumerate((width // 2, width, 2 * width, 4 * width)):
        for part in "ab" if i else "a":
            name = f"block{i + 1}_{part}"
            x = keras.layers.ReLU(name=f"{name}_relu")(_normed_conv(x, name, filters))
        x = keras.layers.MaxPooling2D(name=f"block{i + 1}_pool")(x)
        x = keras.layers.Dropout(_rate(dropout, i), name=f"block{i + 1}_dropout")(x)
    return _pooled(x, dense_dropout)


def se_resnet(pixels, *, width=64, dropout=0.2, dense_dropout=0.2):
    """A narrow ResNet with squeeze-and-excitation: stages of width x 1, 2, 4 and 4, two residual blocks each."""
    x = keras.layers.ReLU(name="stem_relu")(_normed_conv(pixels, "stem", width))
    for i, factor in enumerate((1, 2, 4, 4)):
        for j in range(2):
            name = f"block{i + 1}_{'ab'[j]}"
            x = _residual(x, name, width * factor, strides=2 if i and not j else 1)
            x = keras.layers.Dropout(_rate(dropout, i), name=f"{name}_dropout")(x)
    return _pooled(x, dense_dropout)


NETWORKS: dict[str, Callable] = {
    "plain": plain,
    "four-block": four_block,
    "four-block-rgb": four_block_rgb,
    "five-conv": five_conv,
    "four-block-wide": four_block_wide,
    "vgg": vgg,
    "vgg-slim": vgg_slim,
    "se-resnet": se_resnet,
}


def build(
    name: str,
    labels: tuple[str, ...],
    spec: InputSpec,
    *,
    crop: int | None = None,
    width: int | None = None,
    any_size: bool = False,
    dropout: float | tuple[float, ...] | None = None,
    dense_dropout: float | tuple[float, ...] | None = None,
    dtype: str = "float32",
) -> keras.Model:
    """Builds a network by name.

    Args:
        name: a key of `NETWORKS`, or its name in an earlier version.
        labels: k names, in the order of the outputs.
        spec: size and channels of the input.
        crop: side of the central crop that the network sees, in pixels; None for the whole image. Shifted images
            then give exactly the classic corner crops (see `tta.views`).
        width: channels of the first block (vgg-slim: of the second), for networks that have this parameter; None for
            the default.
        any_size: leave height and width of the input undefined, for networks that end in global pooling.
        dropout: rate after each convolution block, or one rate per block; None for the default.
        dense_dropout: the same for the dense layers.
        dtype: Keras dtype policy, such as "float32" or "mixed_bfloat16"; the output is always float32.

    Returns:
        A Keras model from uint8-valued pixels (n, size, size, channels) to probabilities float32 (n, k).

    Raises:
        FerError: an unknown name, a width or `any_size` for a network that does not support it, or an image too small
            for the network's pooling.
    """
    name = current_name(name)
    if name not in NETWORKS:
        raise FerError(f"unknown network {name!r}; there are: {', '.join(NETWORKS)}")
    if crop is not None and not 0 < crop <= spec.size:
        raise FerError(f"crop must lie between 1 and the image size {spec.size}, not {crop}")
    options = {"width": width, "dropout": dropout, "dense_dropout": dense_dropout}
    options = {key: option for key, option in options.items() if option is not None}
    if width is not None and "width" not in inspect.signature(NETWORKS[name]).parameters:
        raise FerError(f"the network {name!r} has no width parameter")
    if any_size and crop is not None:
        raise FerError("a network with a crop takes images of one size only")
    previous = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        pixels = keras.Input((None, None, spec.channels) if any_size else spec.shape, name="pixels", dtype="float32")
        x = pixels
        if crop is not None and crop < spec.size:
            x = keras.layers.CenterCrop(crop, crop, name="crop", dtype="float32")(x)
        x = keras.layers.Rescaling(1 / 255, name="scale", dtype="float32")(x)
        x = NETWORKS[name](x, **options)
        x = keras.layers.Dense(len(labels), name="logits", dtype="float32")(x)
        probabilities = keras.layers.Softmax(name="probabilities", dtype="float32")(x)
    except ValueError as error:
        if any_size and "defined" in str(error):  # dense layers need a fixed number of inputs
            raise FerError(f"the network {name!r} takes images of one size only") from error
        if "`filters`" in str(error):
            raise FerError(f"a width of {width} is too small for the network {name!r}") from error
        if "negative dimension" in str(error).lower() or "computed output size" in str(error).lower():
            raise FerError(f"an image of {crop or spec.size} pixels is too small for the network {name!r}") from error
        raise
    finally:
        keras.config.set_dtype_policy(previous)
    return keras.Model(pixels, probabilities, name=name.replace("-", "_"))


def check_rates(network: keras.Model, *, dropout: tuple[float, ...], dense_dropout: tuple[float, ...]) -> None:
    """Refuses more rates than a network of `build` has blocks: the last ones would have no effect.

    Args:
        network: its dropout layers are named after their blocks.
        dropout, dense_dropout: rates of the blocks of convolutions, and of the dense layers.

    Raises:
        FerError: more rates than blocks.
    """
    places = {layer.name.partition("_")[0] for layer in network.layers if isinstance(layer, keras.layers.Dropout)}
    blocks = {place for place in places if place.startswith("block")}
    known = (("dropout", dropout, len(blocks)), ("dense_dropout", dense_dropout, len(places - blocks)))
    for name, rates, n in known:
        if len(rates) > max(1, n):
            raise FerError(f"{name}: {len(rates)} rates, but the network has {n}: give as many, or one for all")


def recast(model: keras.Model, dtype: str) -> keras.Model:
    """The same network with the same weights under another Keras dtype policy.

    As in `build`, the scaling, the logits and the last layer stay in float32.
    """
    exact = {keras.layers.InputLayer, keras.layers.CenterCrop, keras.layers.Rescaling}
    last = model
    while isinstance(last, keras.Model):  # an imported network may hold another one
        last = last.layers[-1]

    def clone(layer):
        if not isinstance(layer, keras.Layer):  # an operation of keras.ops has no weights and no policy
            return layer
        policy = "float32" if type(layer) in exact or layer.name == "logits" or layer is last else dtype
        return layer.__class__.from_config(layer.get_config() | {"dtype": policy})

    copy = keras.models.clone_model(model, clone_function=clone, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def diagram(model: keras.Model, path: str | Path) -> None:
    """Draws the layers and shapes of a network.

    Args:
        path: a .png, .svg, .pdf or .jpg file.

    Raises:
        FerError: Graphviz or pydot is not installed, another suffix, or the file cannot be written.
    """
    formats = (".png", ".svg", ".pdf", ".jpg")
    if Path(path).suffix.lower() not in formats:
        raise FerError(f"{path}: a diagram is written as one of {', '.join(formats)}")
    try:
        with replacing(path) as temporary:
            keras.utils.plot_model(model, temporary, show_shapes=True, show_layer_names=True)
    except ImportError as error:
        needed = "pip install pydot, and the program itself (apt install graphviz)"
        raise FerError(f"{path}: drawing needs Graphviz: {needed}") from error


def _conv_block(x, name, filters, *, kernel=3, pool=2, padding="same", batch_norm="before", dropout):
    """Conv -> (BN) -> ReLU -> MaxPool -> Dropout; `batch_norm` is "before" or "after" ReLU, or None."""
    x = keras.layers.Conv2D(filters, kernel, padding=padding, name=f"{name}_conv")(x)
    x = _relu(x, name, batch_norm)
    x = keras.layers.MaxPooling2D(pool, name=f"{name}_pool")(x)
    return keras.layers.Dropout(dropout, name=f"{name}_dropout")(x)


def _normed_conv(x, name, filters, *, kernel=3, strides=1):
    """Conv -> BN. The convolution has no bias: batch normalization adds an offset."""
    x = keras.layers.Conv2D(
        filters, kernel, strides=strides, padding="same", use_bias=False, kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(x)  # fmt: skip
    return keras.layers.BatchNormalization(name=f"{name}_norm")(x)


def _residual(x, name, filters, *, strides, ratio=16):
    """Two 3x3 convolutions with squeeze-and-excitation (Hu et al. 2018), and a shortcut."""
    shortcut = x
    if strides > 1 or x.shape[-1] != filters:
        shortcut = _normed_conv(x, f"{name}_short", filters, kernel=1, strides=strides)
    y = _normed_conv(x, f"{name}_1", filters, strides=strides)
    y = _normed_conv(keras.layers.ReLU(name=f"{name}_1_relu")(y), f"{name}_2", filters)
    weights = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(y)
    weights = keras.layers.Conv2D(max(8, filters // ratio), 1, activation="relu", name=f"{name}_narrow")(weights)
    weights = keras.layers.Conv2D(filters, 1, activation="sigmoid", name=f"{name}_excite")(weights)
    y = keras.layers.Multiply(name=f"{name}_weigh")([y, weights])
    return keras.layers.ReLU(name=f"{name}_relu")(keras.layers.Add(name=f"{name}_add")([shortcut, y]))


def _pooled(x, dropout):
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.layers.Dropout(_rate(dropout, 0), name="pool_dropout")(x)


def _dense_head(x, units, *, batch_norm="before", dropout):
    x = keras.layers.Flatten(name="flatten")(x)
    for i, width in enumerate(units):
        name = f"dense{i + 1}"
        x = keras.layers.Dense(width, name=name)(x)
        x = _relu(x, name, batch_norm)
        x = keras.layers.Dropout(_rate(dropout, i), name=f"{name}_dropout")(x)
    return x


def _relu(x, name, batch_norm):
    relu = keras.layers.ReLU(name=f"{name}_relu")
    if batch_norm is None:
        return relu(x)
    norm = keras.layers.BatchNormalization(name=f"{name}_norm")
    return relu(norm(x)) if batch_norm == "before" else norm(relu(x))


def _rate(dropout, index):
    """The rate of block `index`. One number applies to all blocks; the last of a shorter tuple is repeated."""
    if isinstance(dropout, (int, float)):
        return dropout
    return dropout[min(index, len(dropout) - 1)]
