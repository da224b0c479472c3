"""Somebody's network becomes a classifier: scaling, colours, softmax, labels, and what is said of what does not fit."""

import json
import shlex

import keras
import numpy as np
import pytest
from support import old, tiny

from fer import FerError
from fer.cli import evaluate, import_model, terminal
from fer.core import labels
from fer.core.images import InputSpec
from fer.data.dataset import Dataset
from fer.data.entry import Entry
from fer.models import convert
from fer.models.classifier import Classifier
from fer.models.model_file import read_info

pytestmark = pytest.mark.slow

NAMES = "angry,happy,sad"
LIMITS = {"0,1": (0, 1), "-1,1": (-1, 1), "0,255": (0, 255)}


def script(*arguments, module=import_model):
    with pytest.raises(SystemExit) as ended:
        terminal.run(module.main, lambda: module.parse_args(list(map(str, arguments))))
    return ended.value.code


def pixels(channels=1, n=9):
    return np.random.default_rng(1).integers(0, 256, (n, old.SIDE, old.SIDE, channels), np.uint8)


def by_hand(weights, images, range, channels=1, activation="softmax", colours="rgb"):
    """What its author's own script gave: scaled with numpy, colours turned, softmax by the formula."""
    low, high = LIMITS[range]
    scaled = images[..., ::-1] if channels == 3 and colours == "rgb" else images
    scaled = low + scaled.astype(np.float32) / 255 * (high - low)
    output = old.today(weights, channels, activation=activation).predict_on_batch(scaled).astype(np.float64)
    if activation == "sigmoid":
        return output / output.sum(axis=1, keepdims=True)
    if activation == "linear":
        output = np.exp(output - output.max(axis=1, keepdims=True))
        return output / output.sum(axis=1, keepdims=True)
    return output


@pytest.mark.parametrize(
    ("range", "activation"),
    [("0,1", "softmax"), ("-1,1", "linear"), ("0,255", "linear"), ("-1,1", "softmax"), ("0,1", "sigmoid")],
)
def test_an_old_file_becomes_a_model_of_ours(tmp_path, capsys, range, activation):
    weights = old.arrays()
    weights["dense"][0] /= 2000 if range == "0,255" else 10  # or the softmax knows no doubt
    path = old.hdf5(tmp_path / "old.h5", old.keras2(activation=activation), weights)
    new = tmp_path / "new.keras"
    assert script(path, "--labels", "Anger, happiness,sad,", "--range", range, "--output", new) == 0
    printed = capsys.readouterr().out
    assert f"outputs: {'logits' if activation == 'linear' else activation}, its last layer, dense, is" in printed
    assert ("softmax added" in printed) == (activation == "linear")
    assert ("divided by their sum" in printed) == (activation == "sigmoid")
    assert "dropped, not supported by Keras 3: norm: virtual_batch_size=8" in printed
    loaded = Classifier.load(new)
    assert (loaded.labels, loaded.spec) == (("angry", "happy", "sad"), InputSpec(old.SIDE))
    assert loaded.metadata["imported"] == "old.h5"
    assert "labels_guessed" not in loaded.metadata
    found = loaded.predict(pixels())
    np.testing.assert_allclose(found, by_hand(weights, pixels(), range, activation=activation), atol=1e-5)
    assert np.ptp(found, axis=0).min() > 1e-4  # images matter


@pytest.mark.parametrize("colours", ["rgb", "bgr"])
def test_colours_are_turned_to_what_it_was_trained_on(tmp_path, colours):
    weights = old.arrays(3)
    path = old.hdf5(tmp_path / "old.h5", old.keras2(3, activation="linear"), weights)
    flags = () if colours == "rgb" else ("--colours", "bgr")
    assert script(path, "--labels", NAMES, "--range", "0,1", *flags, "--output", tmp_path / "new.keras") == 0
    loaded = Classifier.load(tmp_path / "new.keras")
    assert loaded.spec == InputSpec(old.SIDE, 3)
    expected = by_hand(weights, pixels(3), "0,1", 3, "linear", colours)
    np.testing.assert_allclose(loaded.predict(pixels(3)), expected, atol=1e-5)


def test_evaluate_takes_what_was_imported(tmp_path, capsys):
    faces = tiny.folders(tmp_path / "faces", train=6, validation=12)
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), old.arrays())
    assert script(path, "--labels", NAMES, "--range", "0,1", "--output", tmp_path / "new.keras") == 0
    assert script("--model", tmp_path / "new.keras", "--data", faces, module=evaluate) == 0
    assert "accuracy" in capsys.readouterr().out


def test_the_command_that_a_refused_file_names_repairs_it(tmp_path):
    path = old.hdf5(tmp_path / "an old.h5", old.keras2(), old.arrays())
    with pytest.raises(FerError) as caught:
        read_info(path)
    command = str(caught.value).partition("python import_model.py ")[2].replace("A,B,C", NAMES)
    *words, _ = shlex.split(command)
    assert script(*words, tmp_path / "new.keras") == 0
    assert Classifier.load(tmp_path / "new.keras").labels == tiny.LABELS


# --- what comes out of it


def ends(*layers):
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("function", "expected", "why"),
    [
        (keras.ops.softmax, "softmax", ", is softmax"),
        (keras.ops.sigmoid, "sigmoid", ", is sigmoid"),
        (keras.ops.log_softmax, "logits", ", is log_softmax"),
        (keras.ops.hard_sigmoid, "sigmoid", "on random images"),
        (lambda x: 5 * keras.ops.tanh(x), "logits", "on random images"),
    ],
)
def test_a_function_after_the_last_layer(function, expected, why, nested):
    """`tf.nn.softmax` behind a dense layer: a second softmax would flatten the probabilities without a word."""
    x = keras.Input((4, 4, 1))
    model = keras.Model(x, function(keras.layers.Dense(3)(keras.layers.Flatten()(x))))
    model = keras.Sequential([keras.Input((4, 4, 1)), model]) if nested else model
    kind, reason = convert.output_kind(model, InputSpec(4))
    assert kind == expected
    assert why in reason


@pytest.mark.parametrize(
    ("scales", "named"), [((1 / 255,), True), ((2.0, 1 / 127.5), True), ((2.0,), False), ((255.0, 1 / 255), False)]
)
def test_a_network_that_scales_its_pixels_itself_is_known(scales, named):
    layers = [keras.layers.Rescaling(scale, name=f"own_{i}") for i, scale in enumerate(scales)]
    found = convert.own_scaling(keras.Sequential([keras.Input((4, 4, 1)), keras.Sequential(layers)]))
    assert found == (layers[-1].name if named else None)


@pytest.mark.parametrize("range", ["0,1", "0,255"])
def test_a_network_that_scales_its_pixels_itself_is_named(tmp_path, capsys, range):
    network = ends(keras.layers.Dense(3, "softmax"))
    keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Rescaling(1 / 255, name="own"), network]).save(
        tmp_path / "a.keras"
    )
    assert script(tmp_path / "a.keras", "--labels", NAMES, "--range", range, "--output", tmp_path / "new.keras") == 0
    note = "note: own in the network scales pixels of 0 to 255 itself; is --range 0,255 meant?"
    assert (note in capsys.readouterr().out) == (range == "0,1")


@pytest.mark.parametrize(
    ("layers", "expected", "why"),
    [
        (lambda: [keras.layers.Dense(3, "softmax")], "softmax", "its last layer"),
        (lambda: [keras.layers.Dense(3), keras.layers.Softmax()], "softmax", "its last layer"),
        (lambda: [keras.layers.Dense(3), keras.layers.Activation("softmax")], "softmax", "its last layer"),
        (lambda: [ends(keras.layers.Dense(3, "softmax")).layers[-1]], "softmax", "its last layer"),
        (lambda: [keras.Sequential([keras.layers.Dense(3, "sigmoid")])], "sigmoid", "its last layer"),
        (lambda: [keras.layers.Dense(3)], "logits", "its last layer"),
        (lambda: [keras.layers.Dense(3, "softmax"), keras.layers.Dropout(0.1)], "softmax", "sum to 1"),
        (lambda: [keras.layers.Dense(3, "sigmoid"), keras.layers.Dropout(0.1)], "sigmoid", "do not sum to 1"),
        (lambda: [keras.layers.Dense(3), keras.layers.Rescaling(9)], "logits", "below 0 or above 1"),
    ],
)
def test_the_ending_is_seen_or_probed(layers, expected, why):
    found, reason = convert.output_kind(ends(*layers()), InputSpec(4))
    assert found == expected
    assert why in reason


def test_the_ending_can_be_said(tmp_path):
    weights = old.arrays()
    path = old.hdf5(tmp_path / "old.h5", old.keras2(activation="linear"), weights)
    flags = ("--ends-in", "softmax", "--labels", NAMES, "--range", "0,1", "--output", tmp_path / "new.keras")
    assert script(path, *flags) == 0
    raw = old.today(weights, activation="linear").predict_on_batch(pixels() / np.float32(255))
    found = Classifier.load(tmp_path / "new.keras").predict(pixels())
    np.testing.assert_allclose(found, raw, rtol=1e-4)


# --- refusals


def refusal(capsys, *arguments):
    assert script(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("error: ")


def test_what_was_not_said_is_asked_for(tmp_path, capsys):
    path, output = tmp_path / "old.h5", ("--output", tmp_path / "new.keras")
    assert "old.h5: there is no such file" in refusal(capsys, path, *output)
    path.touch()
    assert "give the labels with --labels A,B,C, or have them guessed" in refusal(capsys, path, *output)
    both = ("--labels", NAMES, "--guess-labels", "demo")
    assert "give the labels with --labels" in refusal(capsys, path, *both, *output)
    assert "give the pixel range of its training with --range" in refusal(capsys, path, "--labels", NAMES, *output)
    flags = ("--labels", NAMES, "--range", "0,1", "--output")
    assert "must end in .keras, .onnx, .tflite" in refusal(capsys, path, *flags, tmp_path / "new.h5")
    (tmp_path / "new.keras").write_text("precious")
    assert "new.keras exists: replace it with --overwrite" in refusal(capsys, path, *flags, tmp_path / "new.keras")
    assert (tmp_path / "new.keras").read_text() == "precious"


def test_a_network_that_gives_no_numbers_is_refused(tmp_path, capsys):
    weights = old.arrays()
    weights["norm"][3][:] = -1  # a variance below zero
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), weights)
    flags = ("--labels", NAMES, "--range", "0,1", "--output", tmp_path / "new.keras")
    assert "the network's outputs are NaN" in refusal(capsys, path, *flags)
    assert not (tmp_path / "new.keras").exists()


def test_a_wrong_number_of_labels_is_one_line(tmp_path, capsys):
    path = old.hdf5(tmp_path / "old.h5", old.keras2(), old.arrays())
    flags = ("--range", "0,1", "--output", tmp_path / "new.keras")
    message = refusal(capsys, path, "--labels", "angry,happy", *flags)
    assert message == "the network's output shape is (None, 3), but there are 2 labels: angry, happy"
    assert "duplicate label in" in refusal(capsys, path, "--labels", "sad,sadness,happy", *flags)
    assert not (tmp_path / "new.keras").exists()


def network(shape, *layers, ends=1):
    pixels = keras.Input(shape)
    x = pixels
    for layer in layers:
        x = layer(x)
    return keras.Model(pixels, [x] * ends if ends > 1 else x)


LAYERS = keras.layers


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: network((4, 4, 1), LAYERS.Conv2D(3, 3)), "not one vector for each image"),
        (lambda: network((16,), LAYERS.Dense(3)), r"input shape is \(None, 16\), not images"),
        (
            lambda: network((4, 4, 2), LAYERS.Flatten(), LAYERS.Dense(3)),
            r"input shape is \(None, 4, 4, 2\), not images",
        ),
        (lambda: network((1, 4, 4), LAYERS.Flatten(), LAYERS.Dense(3)), r"not images .*channels-first"),
        (lambda: network((4, 6, 1), LAYERS.Flatten(), LAYERS.Dense(3)), "images of 4x6 pixels, not square images"),
        (
            lambda: network((None, None, 1), LAYERS.GlobalMaxPool2D(), LAYERS.Dense(3)),
            "of any size: give the size of its training images with --size",
        ),
        (lambda: keras.Model([a := keras.Input((4, 4, 1)), b := keras.Input((4, 4, 1))], a + b), "it has 2 inputs"),
        (lambda: keras.Model(a := keras.Input((4, 4, 1)), [a + 1, a + 2]), "it has 2 outputs"),
    ],
)
def test_what_is_no_classifier_of_images_is_refused(build, message):
    with pytest.raises(FerError, match=rf"^old\.h5: .*{message}"):
        convert.input_spec(build(), "old.h5")


def test_the_size_of_a_network_for_any_size():
    model = network((None, None, 3), LAYERS.GlobalMaxPool2D(), LAYERS.Dense(3, "softmax"))
    spec = convert.input_spec(model, "old.h5", 20)
    assert spec == InputSpec(20, 3)
    new = convert.to_classifier(model, ("a", "b", "c"), spec, range="0,1", outputs="softmax")
    assert new.predict(np.zeros((2, 20, 20, 3), np.uint8)).shape == (2, 3)
    with pytest.raises(FerError, match="4x4 pixels, not images of 20 pixels"):
        convert.input_spec(network((4, 4, 1), LAYERS.Flatten(), LAYERS.Dense(3)), "old.h5", 20)


# --- candidates


def knowing(order, limits, channels=1):
    """A network that names the bright column of seven, trained on pixels in `limits`, outputs in `order`; and data."""
    names = labels.FER2013
    side, rng = 14, np.random.default_rng(3)
    codes = rng.integers(0, 7, 400)
    images = rng.integers(0, 90, (400, side, side, channels))
    for image, code in zip(images, codes, strict=True):
        image[:, 2 * code : 2 * code + 2] += 80 * np.arange(1, channels + 1)[::-1]  # blue first: colours matter
    entries = tuple(Entry(row=row) for row in range(400))
    data = Dataset(images.astype(np.uint8), np.eye(7, dtype=np.float32)[codes], names, entries)
    # By hand: the mean of each column, less than what every image outside the range would give.
    low, high = limits
    kernel, weights = np.zeros((side, side, channels, 7)), np.array([0, 0, 1]) if channels == 3 else np.array([1])
    for code, name in enumerate(names):
        kernel[:, 2 * code : 2 * code + 2, :, order.index(name)] = weights
    model = keras.Sequential(
        [keras.Input((side, side, channels)), keras.layers.Rescaling(1 / (high - low), -low / (high - low)),
         keras.layers.ReLU(max_value=1.0), keras.layers.Flatten(), keras.layers.Dense(7)]
    )  # fmt: skip
    model.layers[-1].set_weights([kernel.reshape(-1, 7), np.zeros(7)])
    return model, data


@pytest.mark.parametrize("order", ["FER2013's codes", "alphabetical", "AffectNet's", "ResEmoteNet's"])
@pytest.mark.parametrize("range", LIMITS)
def test_the_order_is_found_again(order, range):
    model, data = knowing(labels.ORDERS[order], LIMITS[range])
    candidates = convert.rank_candidates(model, data)
    assert candidates[0].order == order
    assert candidates[0].score > 0.9
    assert convert.is_clear(candidates, len(data))
    # A second way: the recall of each label, from the confusion counted by hand.
    low, high = LIMITS[candidates[0].range]
    chosen = model.predict(low + data.images / 255 * (high - low), verbose=0).argmax(axis=1)
    true = data.targets.argmax(axis=1)
    named = np.array([labels.FER2013.index(labels.ORDERS[order][i]) for i in chosen])
    assert candidates[0].score == pytest.approx(np.mean([(named[true == i] == i).mean() for i in np.unique(true)]))
    runner_up = max(other.score for other in candidates if other.order != order)
    assert convert.lead(candidates) == pytest.approx(candidates[0].score - runner_up)


def test_what_is_known_is_not_guessed():
    model, data = knowing(labels.FER2013, (0, 1), channels=3)
    candidates = convert.rank_candidates(model, data, range="-1,1", colours="bgr")
    assert {(one.range, one.colours) for one in candidates} == {("-1,1", "bgr")}
    assert {one.order for one in candidates} == {name for name, order in labels.ORDERS.items() if len(order) == 7}
    assert len(convert.rank_candidates(model, data)) == len(candidates) * len(convert.RANGES) * len(convert.COLOURS)


@pytest.mark.parametrize("range", ["-0.5,0.5", "caffe"])
def test_a_range_that_is_not_guessed_may_be_given(range):
    model, data = knowing(labels.FER2013, (0, 1), channels=3)
    candidates = convert.rank_candidates(model, data, range=range)
    assert {one.range for one in candidates} == {range}


def test_a_sample_holds_images_of_all(monkeypatch):
    _, data = knowing(labels.FER2013, (0, 1))
    monkeypatch.setattr(convert, "SAMPLE", 50)
    chosen = convert.draw_sample(data)
    assert len(set(chosen.names)) == 50
    assert set(chosen.names) < set(data.names)
    assert chosen.targets.any(axis=0).all()


def test_a_guess_is_marked_as_one(tmp_path, capsys, monkeypatch):
    model, data = knowing(labels.ORDERS["AffectNet's"], (0, 1))
    model.save(tmp_path / "old.h5")
    monkeypatch.setattr("fer.data.loading.load", lambda *_, splits, **__: {splits[0]: data})
    assert script(tmp_path / "old.h5", "--guess-labels", "faces", "--output", tmp_path / "new.keras") == 0
    printed = capsys.readouterr().out
    assert "GUESSED, it leads the next order by" in printed
    assert "labels, GUESSED: neutral, happy, sad, surprise, fear, disgust, angry" in printed
    notes = Classifier.load(tmp_path / "new.keras").metadata
    assert notes["labels_guessed"]["order"] == "AffectNet's"
    assert notes["labels_guessed"]["margin"] > 0.3
    json.dumps(notes)


def test_a_network_that_knows_nothing_is_not_given_labels(tmp_path, capsys, monkeypatch):
    model, data = knowing(labels.FER2013, (0, 1))
    model.layers[-1].set_weights([np.random.default_rng(0).normal(size=(196, 7)), np.zeros(7)])
    model.save(tmp_path / "old.h5")
    monkeypatch.setattr("fer.data.loading.load", lambda *_, splits, **__: {splits[0]: data})
    message = refusal(capsys, tmp_path / "old.h5", "--guess-labels", "faces", "--output", tmp_path / "new.keras")
    assert message.startswith("no label order stands out: the best leads the next by ")
    assert not (tmp_path / "new.keras").exists()


def test_labels_that_no_published_order_has_are_refused():
    _, data = knowing(labels.FER2013, (0, 1))
    five = keras.Sequential([keras.Input((14, 14, 1)), keras.layers.Flatten(), keras.layers.Dense(5)])
    with pytest.raises(FerError, match="no published order has 5 labels that include angry, disgust"):
        convert.rank_candidates(five, data)


def test_every_published_order_has_other_names_or_another_order():
    orders = list(labels.ORDERS.values())
    assert len(set(orders)) == len(orders)
    assert {frozenset(order) - {"contempt"} for order in orders} == {frozenset(labels.FER2013)}
    assert all(labels.canonical(name) == name for order in orders for name in order)
