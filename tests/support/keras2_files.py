"""Writes small model files with an older Keras, and the outputs that it gave, into one archive.

    OLD/bin/python tests/support/keras2_files.py tests/support/keras2/keras-2.15.zip
    OLD/bin/python tests/support/keras2_files.py --brief --formats keras -- tests/support/keras2/keras-2.13.zip
    OLD/bin/python tests/support/keras2_files.py --brief --tf-keras tests/support/keras2/tf_keras-2.18.zip

It needs TensorFlow 2.13 to 2.15 (`pip install tensorflow-cpu==2.15.1 "numpy<2"`), or `tf_keras`. The archive holds
`NAME.h5` and `NAME.keras` for each case, and `outputs.npz`: the images `x` and the outputs by name.
"""

import argparse
import os
import sys
import tempfile
import warnings
import zipfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
from keras2_cases import CHANNELS, SIDE, K, layer_cases, model_cases, operation_cases, x_images  # noqa: E402

BRIEF = (
    "attention", "bidirectional_lstm", "conv_lstm_2d", "multi_head_attention", "normalization", "op_nn", "op_scale",
    "op_slices", "rnn_stacked", "separable_conv_2d", "spectral_normalization", "time_distributed",
)  # fmt: skip
GAINS = {"efficientnet": 2.7}  # its many sigmoids would leave nothing of the images


def whole(keras, function):
    """A model around a layer: its output flattened, and a dense layer without activation, so that errors show."""
    x = keras.Input((SIDE, SIDE, CHANNELS))
    y = function(x)
    return keras.Model(x, keras.layers.Dense(K)(keras.layers.Flatten()(y)))


def randomize(model, seed, gain=2.0):
    """Weights away from their initial values, such that no layer saturates.

    Those of Normalization stay: it computes with copies that it took when it was built.
    """
    kept = {
        id(weight)
        for layer in model._flatten_layers()
        if type(layer).__name__ == "Normalization"
        for weight in layer.weights
    }
    rng = np.random.RandomState(seed)
    for weight in model.weights:
        shape = weight.shape
        if id(weight) in kept or not weight.dtype.is_floating:
            continue
        inputs = np.prod(shape[:2] if "depthwise" in weight.name else shape[:-1])
        scale = gain / np.sqrt(max(1, inputs)) if len(shape) > 1 else 0.3
        values = rng.uniform(-scale, scale, shape)
        if any(word in weight.name for word in ("variance", "gamma", "stddev")):
            values = rng.uniform(0.5, 1.5, shape)
        step = np.ptp(values) / 8 + 1e-6  # few different values: the archive stays small
        weight.assign((np.round(values / step) * step).astype(weight.dtype.as_numpy_dtype))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    parser.add_argument("--tf-keras", action="store_true")
    parser.add_argument("--brief", action="store_true", help="whole models, and layers with a tree of weights")
    parser.add_argument("--formats", nargs="+", default=["h5", "keras"])
    args = parser.parse_args()
    if args.tf_keras:
        import tf_keras as keras
    else:
        from tensorflow import keras
    builders = dict(model_cases(keras))
    for name, function in (layer_cases(keras) | operation_cases(keras)).items():
        builders[name] = lambda function=function: whole(keras, function)
    outputs, failed = {"x": x_images}, []
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, build) in enumerate(builders.items()):
            if args.brief and name not in {*model_cases(keras), *BRIEF}:
                continue
            keras.backend.clear_session()
            try:
                model = build()
            except Exception as error:
                failed.append(f"{name}: {str(error).splitlines()[0][:150]}")
                continue
            randomize(model, seed, GAINS.get(name, 2.0))
            outputs[name] = np.asarray(model.predict(x_images, verbose=0))
            for suffix in args.formats:
                path = Path(folder, f"{name}.{suffix}")
                try:
                    model.save(path)
                except Exception as error:  # what this Keras cannot write, nobody can have
                    path.unlink(missing_ok=True)
                    failed.append(f"{path.name}: {str(error).splitlines()[0][:150]}")
        np.savez(Path(folder, "outputs.npz"), **outputs)
        Path(args.output).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(args.output, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
            for path in sorted(Path(folder).iterdir()):
                archive.write(path, path.name)
    print(f"{len(outputs) - 1} cases; {os.path.getsize(args.output) / 2**20:.2f} MB")
    print(*failed, sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
