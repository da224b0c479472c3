"""Files of Keras 1 and 2 come out as the networks they were; code inside them does not run."""

import json
import marshal
import zipfile
from base64 import b64encode

import h5py
import keras
import numpy as np
import pytest
from support import old

from fer import FerError
from fer.models import keras_legacy, legacy_layers


def pixels(channels=1):
    return np.random.default_rng(5).random((6, old.SIDE, old.SIDE, channels), np.float32)


def same(network, expected, channels=1):
    np.testing.assert_allclose(
        network.predict_on_batch(pixels(channels)), expected.predict_on_batch(pixels(channels)), atol=1e-6
    )


def refused(*arguments, **options):
    with pytest.raises(FerError) as caught:
        keras_legacy.load(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("activation", ["softmax", "linear"])
@pytest.mark.parametrize("form", [lambda config: config, old.functional], ids=["sequential", "functional"])
def test_an_hdf5_file_of_keras_2(tmp_path, channels, activation, form):
    weights = old.arrays(channels)
    path = old.hdf5(tmp_path / "old.h5", form(old.keras2(channels, activation=activation)), weights)
    network, left_out = keras_legacy.load(path)
    assert left_out == ["norm: virtual_batch_size=8"]
    assert network.input_shape == (None, old.SIDE, old.SIDE, channels)
    same(network, old.today(weights, channels, activation=activation), channels)


def test_plain_keras_refuses_that_file(tmp_path):
    """If this fails, Keras has learnt to read old files, and `legacy` may do less."""
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), old.arrays())
    with pytest.raises(Exception, match=r"BatchNormalizationV1|Kernel shape"):
        keras.saving.load_model(path, compile=False)


def test_an_hdf5_file_of_keras_1(tmp_path):
    weights = old.arrays()
    network, left_out = keras_legacy.load(old.hdf5(tmp_path / "old.hdf5", old.keras1(), weights, version="1.2.2"))
    assert left_out == []
    same(network, old.today(weights))


def test_the_name_of_a_file_does_not_matter(tmp_path):
    weights = old.arrays()
    same(keras_legacy.load(old.hdf5(tmp_path / "model.keras", old.keras2(), weights))[0], old.today(weights))


def test_a_json_with_its_weights(tmp_path):
    weights = old.arrays()
    (tmp_path / "model.json").write_text(json.dumps(old.keras2() | {"keras_version": "2.3.1", "backend": "tensorflow"}))
    apart = old.hdf5(tmp_path / "weights.h5", None, weights)
    whole = old.hdf5(tmp_path / "whole.hdf5", old.keras2(), weights)
    for file in (apart, whole):
        same(keras_legacy.load(tmp_path / "model.json", file)[0], old.today(weights))


def test_files_of_keras_3(tmp_path):
    network = old.today(old.arrays())
    network.save(tmp_path / "new.keras")
    network.save(tmp_path / "new.h5")
    (tmp_path / "new.json").write_text(network.to_json())
    network.save_weights(tmp_path / "new.weights.h5")
    (tmp_path / "new.weights.h5").rename(tmp_path / "renamed.h5")
    for arguments in (("new.keras",), ("new.h5",), ("new.json", "renamed.h5")):
        same(keras_legacy.load(*(tmp_path / name for name in arguments))[0], network)


def test_a_saved_model_is_refused_with_the_way_on(tmp_path):
    (tmp_path / "saved_model.pb").touch()
    message = refused(tmp_path)
    assert "a SavedModel folder, which is not read: save it as .h5 where it was made" in message


# --- code


def with_code(config, marker):
    """A Lambda layer whose code would leave a file behind if it were run or even unpacked and called."""
    code = b64encode(marshal.dumps(compile(f"open({str(marker)!r}, 'w')", "x", "eval"))).decode()
    layer = {"class_name": "Lambda", "config": {"name": "evil", "function": [code, None, None],
             "function_type": "lambda", "arguments": {}}}  # fmt: skip
    config["config"]["layers"].insert(1, layer)
    return config


def test_a_lambda_is_refused_in_every_form_and_does_not_run(tmp_path, monkeypatch):
    monkeypatch.setattr("keras.src.utils.python_utils.func_load", lambda *_, **__: pytest.fail("code was read"))
    marker, weights = tmp_path / "it ran", old.arrays()
    config = with_code(old.keras2(), marker)
    paths = [old.hdf5(tmp_path / "old.h5", config, weights)]
    (tmp_path / "model.json").write_text(json.dumps(config))
    today = keras.Sequential([keras.Input((2,)), keras.layers.Lambda(lambda x: x * 2, name="evil")])
    today.save(tmp_path / "new.keras")
    for arguments in ((paths[0],), (tmp_path / "model.json", paths[0]), (tmp_path / "new.keras",)):
        message = refused(*arguments)
        assert message.startswith(f"{arguments[0]}: ")
        assert "layer evil: " in message
        assert "ambda holds code, which is not run" in message
    assert not marker.exists()


# --- refusals


def test_what_is_missing_is_said(tmp_path):
    path = tmp_path / "model.json"
    assert refused(path) == f"{path}: there is no such file or folder"
    path.write_text(json.dumps(old.keras2()))
    assert refused(path) == f"{path}: a network without its weights: give them with --weights FILE.h5"
    assert refused(path, tmp_path / "none.h5") == f"{path}: there is no file {tmp_path / 'none.h5'}"
    weights = old.hdf5(tmp_path / "w.h5", None, old.arrays())
    assert refused(weights).endswith("weights without their network: give its model.json, with --weights w.h5")
    assert "--weights belongs to a model.json" in refused(weights, weights)
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path / "folder").endswith("a folder, not a model file")


def test_a_layer_that_keras_3_does_not_have(tmp_path):
    config = old.keras2()
    config["config"]["layers"].insert(
        3, {"class_name": "TFOpLambda", "config": {"name": "tf.math.erf", "function": "math.erf"}}
    )
    message = refused(old.hdf5(tmp_path / "old.h5", config, old.arrays()))
    assert "layer tf.math.erf: the TensorFlow operation math.erf is not translated: use Keras" in message


@pytest.mark.parametrize("registered", [False, True])
def test_a_layer_of_its_author_in_a_new_file(tmp_path, registered):
    class Mine(keras.layers.Layer):
        def call(self, x):
            return x

    kind = keras.saving.register_keras_serializable("theirs")(Mine) if registered else Mine
    keras.Sequential([keras.Input((4, 4, 1)), kind(), keras.layers.Flatten()]).save(tmp_path / "own.keras")
    keras.saving.get_custom_objects().clear()  # another process knows nothing of it
    assert "own.keras: Mine is not a Keras 3 layer: rebuild the network" in refused(tmp_path / "own.keras")


@pytest.mark.parametrize("damage", ["weights", "config", "cut", "text", "zip"])
def test_a_file_that_is_damaged_is_one_line(tmp_path, damage):
    weights = old.arrays()
    if damage == "weights":
        weights["dense"][0] = weights["dense"][0][:50]
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), weights)
    if damage == "config":
        with h5py.File(path, "a") as file:
            file.attrs["model_config"] = b"{"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:3000])
    if damage == "text":
        path.write_text("hello")
    if damage == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x", "y")
    assert refused(path).startswith(f"{path}: ")


# --- operations of TensorFlow 2.0 to 2.3, and old defaults


def test_an_operation_of_tensorflow_2_3(tmp_path):
    """`x / 2` as TensorFlowOpLayer, before there was TFOpLambda."""
    weights = old.arrays()
    config = old.functional(old.keras2())
    node_def = {"name": "RealDiv", "op": "RealDiv", "input": ["input_1", "RealDiv/y"]}
    operation = {"name": "tf_op_layer_RealDiv", "node_def": node_def, "constants": {"1": 2.0}}
    node = {"class_name": "TensorFlowOpLayer", "config": operation, "inbound_nodes": [[["input_1", 0, 0, {}]]]}
    layers = config["config"]["layers"]
    layers[1]["inbound_nodes"] = [[["tf_op_layer_RealDiv", 0, 0, {}]]]
    layers.insert(1, node | {"name": operation["name"]})
    network, _ = keras_legacy.load(old.hdf5(tmp_path / "old.h5", config, weights))
    expected = old.today(weights).predict_on_batch(pixels() / 2)
    np.testing.assert_allclose(network.predict_on_batch(pixels()), expected, atol=1e-6)


def test_a_model_of_its_author_is_refused_with_the_way_on(tmp_path):
    config = {"class_name": "MyModel", "config": {"name": "mine"}, "keras_version": "2.15.0"}
    (tmp_path / "model.json").write_text(json.dumps(config))
    message = refused(tmp_path / "model.json", old.hdf5(tmp_path / "w.h5", None, old.arrays()))
    assert "its class MyModel is neither a Sequential nor a functional model: rebuild it as one" in message


def test_weights_in_another_order_are_refused(tmp_path):
    """Arrays of one shape that were swapped would otherwise be read without a word."""
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), old.arrays())
    with h5py.File(path, "a") as file:
        group = file["model_weights/norm"]
        for i, name in enumerate(("beta", "gamma", "moving_mean", "moving_variance")):
            group.move(f"norm/weight_{i}:0", f"norm/{name}:0")
        group.attrs["weight_names"] = [f"norm/{name}:0" for name in ("beta", "gamma", "moving_mean", "moving_variance")]
    assert "layer norm: the file has beta where the network has gamma" in refused(path)


# --- Theano, and what Keras 3 does not have


def flipped(weights):
    return weights | {"conv": [weights["conv"][0][::-1, ::-1], weights["conv"][1]]}


@pytest.mark.parametrize("backend", [b"theano", b"tensorflow", b"cntk"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_kernels_that_theano_trained_are_flipped(tmp_path, backend, wrapped):
    """Theano computes convolutions, the others correlations: the shapes fit, and all answers would be wrong."""
    weights = old.arrays()
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), flipped(weights) if backend == b"theano" else weights)
    if wrapped:  # weights beside a model.json
        (tmp_path / "model.json").write_text(json.dumps(old.keras2()))
        path = old.hdf5(tmp_path / "weights.h5", None, flipped(weights) if backend == b"theano" else weights)
    with h5py.File(path, "a") as file:
        file.get("model_weights", file).attrs["backend"] = backend
    arguments = (tmp_path / "model.json", path) if wrapped else (path,)
    same(keras_legacy.load(*arguments)[0], old.today(weights))


@pytest.mark.parametrize("mode", [1, 2])
def test_a_batch_normalization_of_keras_1_without_statistics(tmp_path, mode):
    config = old.keras1()
    config["config"][1]["config"]["mode"] = mode
    message = refused(old.hdf5(tmp_path / "old.h5", config, old.arrays(), version="1.2.2"))
    assert f"layer norm: Keras 3 has no BatchNormalization with mode={mode}: rebuild the network" in message


def test_an_activation_of_its_author(tmp_path):
    config = old.keras2()
    config["config"]["layers"][0]["config"]["activation"] = "mine"
    message = refused(old.hdf5(tmp_path / "old.h5", config, old.arrays()))
    assert "layer conv: mine is not a Keras 3 activation: rebuild the network" in message


def test_channels_first_is_the_reason_that_is_given(tmp_path):
    """Keras 1 stores such kernels in another order: "copy the file again" would help nobody."""
    weights, config = old.arrays(), old.keras1()
    weights["conv"][0] = weights["conv"][0].transpose(3, 2, 0, 1)
    config["config"][0]["config"] |= {"dim_ordering": "th", "batch_input_shape": [None, 1, old.SIDE, old.SIDE]}
    message = refused(old.hdf5(tmp_path / "old.h5", config, weights, version="1.2.2"))
    assert "layer conv: channels-first networks are not supported: rebuild it channels last" in message


def test_the_dropout_of_the_package_efficientnet(tmp_path):
    weights, config = old.arrays(), old.keras2()
    config["config"]["layers"][4]["class_name"] = "FixedDropout"
    same(keras_legacy.load(old.hdf5(tmp_path / "old.h5", config, weights))[0], old.today(weights))


@pytest.mark.parametrize("how", ["external", "virtual", "link"])
def test_arrays_that_lie_in_other_files_are_refused(tmp_path, how):
    """Whoever publishes the imported model would publish these files."""
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), old.arrays())
    (tmp_path / "secret").write_bytes(b"s" * 16)
    name = "model_weights/conv/conv/weight_1:0"
    with h5py.File(path, "a") as file:
        del file[name]
        if how == "external":
            file.create_dataset(name, (4,), "f4", external=[(str(tmp_path / "secret"), 0, 16)])
        elif how == "virtual":
            layout = h5py.VirtualLayout((4,), "f4")
            layout[:] = h5py.VirtualSource(tmp_path / "other.h5", "x", (4,))
            file.create_virtual_dataset(name, layout)
        else:
            file[name] = h5py.ExternalLink("other.h5", "/x")
    assert "lies in another file" in refused(path)


def test_an_embedding_keeps_its_width():
    rename = legacy_layers._rename
    assert rename("Embedding", "output_dim", 5) == ("output_dim", 5)
    assert rename("Dense", "output_dim", 5) == ("units", 5)
