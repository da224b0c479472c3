"""Model files as the savers of Keras 1 and Keras 2 wrote them, made by hand: configuration keys, groups, attributes."""

import json

import h5py
import keras
import numpy as np

SIDE = 12


def arrays(channels=1, k=3, seed=0):
    """Weights of one convolution, its batch normalization and one dense layer, as every Keras keeps them."""
    rng = np.random.default_rng(seed)
    shapes = {
        "conv": [(3, 3, channels, 4), (4,)],
        "norm": [(4,)] * 4,
        "dense": [(5 * 5 * 4, k), (k,)],
    }
    return {name: [rng.uniform(0.1, 0.9, shape).astype(np.float32) - 0.3 * (len(shape) > 1) for shape in parts]
            for name, parts in shapes.items()}  # fmt: skip


def today(weights, channels=1, k=3, activation="softmax"):
    """The same network built with Keras 3: what every old file must come out as."""
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, channels)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(epsilon=0.01),
            layers.LeakyReLU(0.2),
            layers.MaxPooling2D(2),
            layers.Dropout(0.3),
            layers.Flatten(),
            layers.Dense(k, activation=activation),
        ]
    )
    model.set_weights([array for name in ("conv", "norm", "dense") for array in weights[name]])
    return model


def keras2(channels=1, k=3, activation="softmax"):
    """The description by Keras 2.2 to 2.12 of that network, with what Keras 3 refuses in it."""
    glorot = {"class_name": "VarianceScaling",
              "config": {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None}}  # fmt: skip
    l2 = {"class_name": "L1L2", "config": {"l1": 0.0, "l2": 0.01}}
    usual = {"trainable": True, "dtype": "float32"}
    layers = [
        ("Conv2D", {"name": "conv", **usual, "batch_input_shape": [None, SIDE, SIDE, channels], "filters": 4,
                    "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid", "data_format": "channels_last",
                    "dilation_rate": [1, 1], "groups": 1, "activation": "linear", "use_bias": True,
                    "kernel_initializer": glorot, "bias_initializer": {"class_name": "Zeros", "config": {}},
                    "kernel_regularizer": l2, "bias_regularizer": None, "kernel_constraint": None}),
        ("BatchNormalizationV1", {"name": "norm", **usual, "axis": [3], "momentum": 0.99, "epsilon": 0.01,
                                  "center": True, "scale": True, "renorm": False,
                                  "virtual_batch_size": 8, "fused": True,
                                  "gamma_initializer": {"class_name": "Ones", "config": {"dtype": "float32"}}}),
        ("LeakyReLU", {"name": "leaky", **usual, "alpha": 0.2}),
        ("MaxPooling2D", {"name": "pool", **usual, "pool_size": [2, 2], "padding": "valid", "strides": [2, 2],
                          "data_format": "channels_last"}),
        ("Dropout", {"name": "dropout", **usual, "rate": 0.3, "noise_shape": None, "seed": None}),
        ("Flatten", {"name": "flatten", **usual, "data_format": "channels_last"}),
        ("Dense", {"name": "dense", **usual, "units": k, "activation": activation, "use_bias": True,
                   "kernel_initializer": glorot}),
    ]  # fmt: skip
    return {"class_name": "Sequential", "config": {"name": "sequential_1", "layers": _nodes(layers)}}


def keras1(channels=1, k=3):
    """The description by Keras 1.2: other names for nearly everything, and a plain list of layers."""
    layers = [
        ("Convolution2D", {"name": "conv", "trainable": True, "batch_input_shape": [None, SIDE, SIDE, channels],
                           "input_dtype": "float32", "nb_filter": 4, "nb_row": 3, "nb_col": 3,
                           "init": "glorot_uniform", "activation": "linear", "border_mode": "valid",
                           "subsample": [1, 1], "dim_ordering": "tf",
                           "bias": True, "W_regularizer": None, "b_regularizer": None, "W_constraint": None}),
        ("BatchNormalization", {"name": "norm", "trainable": True, "mode": 0, "axis": -1, "epsilon": 0.01,
                                "momentum": 0.99, "gamma_regularizer": None}),
        ("LeakyReLU", {"name": "leaky", "trainable": True, "alpha": 0.2}),
        ("MaxPooling2D", {"name": "pool", "trainable": True, "pool_size": [2, 2], "strides": [2, 2],
                          "border_mode": "valid", "dim_ordering": "tf"}),
        ("Dropout", {"name": "dropout", "trainable": True, "p": 0.3}),
        ("Flatten", {"name": "flatten", "trainable": True}),
        ("Dense", {"name": "dense", "trainable": True, "output_dim": k, "init": "glorot_uniform",
                   "activation": "softmax", "W_regularizer": None, "bias": True, "input_dim": 100}),
    ]  # fmt: skip
    return {"class_name": "Sequential", "config": _nodes(layers)}


def _nodes(layers):
    return [{"class_name": kind, "config": config} for kind, config in layers]


def functional(config):
    """A description of a Sequential as the Model it is, with the input layer and the links that Keras 2 wrote."""
    nodes, shape = config["config"]["layers"], config["config"]["layers"][0]["config"].pop("batch_input_shape")
    first = {"name": "input_1", "batch_input_shape": shape, "dtype": "float32", "sparse": False, "ragged": False}
    nodes = [{"class_name": "InputLayer", "config": first}, *nodes]
    for before, node in zip([None, *nodes], nodes, strict=False):
        node["name"] = node["config"]["name"]
        node["inbound_nodes"] = [[[before["name"], 0, 0, {}]]] if before else []
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [[nodes[-1]["name"], 0, 0]]}
    return {"class_name": "Functional", "config": {"name": "model_1", "layers": nodes, **ends}}


def hdf5(path, config, weights, version="2.3.1"):
    """One file with network and weights, as model.save wrote it; without `config` as save_weights did."""
    with h5py.File(path, "w") as file:
        group = file
        if config is not None:
            file.attrs["model_config"] = json.dumps(config).encode()
            optimizer = {"class_name": "Adam", "config": {"lr": 0.001, "decay": 1e-6}}
            training = {"optimizer_config": optimizer, "loss": "mse"}
            file.attrs["training_config"] = json.dumps(training).encode()
            group = file.create_group("model_weights")
        group.attrs["layer_names"] = [name.encode() for name in weights]
        group.attrs["backend"], group.attrs["keras_version"] = b"tensorflow", version.encode()
        for name, parts in weights.items():
            layer = group.create_group(name)
            names = [f"{name}/weight_{i}:0" for i in range(len(parts))]
            layer.attrs["weight_names"] = [name.encode() for name in names]
            for part, array in zip(names, parts, strict=True):
                layer[part] = array
    return path
