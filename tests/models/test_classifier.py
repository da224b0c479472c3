"""The model file, what is refused as one, and the one path from images to probabilities."""

import io
import json
import pickle
import re
import zipfile
from unittest import mock

import keras
import numpy as np
import pytest
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.models.classifier import BATCH_SIZE, Classifier
from fer.models.model_file import ModelInfo, read_info
from fer.models.runtimes import MEMBER

SPEC = InputSpec(tiny.SIZE, 1)
METADATA = {"data": "Gesichter für Tests", "scores": {"accuracy": 0.5}, "list": [1, None, True]}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.keras"
    original = Classifier(tiny.varied(), tiny.LABELS, SPEC, METADATA)
    original.save(path)
    return original, path


# --- save and load


def test_a_file_gives_back_what_was_saved(saved):
    original, path = saved
    loaded = Classifier.load(path)
    assert (loaded.labels, loaded.spec, loaded.metadata) == (tiny.LABELS, SPEC, METADATA)
    np.testing.assert_array_equal(loaded.predict(tiny.noise(9)), original.predict(tiny.noise(9)))


def test_plain_keras_opens_it_and_gives_the_same_output(saved):
    """Keras ignores the member that we add to its zip: rule 1 of the house stands on this."""
    original, path = saved
    model = keras.models.load_model(path)
    found = keras.ops.convert_to_numpy(model(tiny.noise(9).astype(np.float32)))
    np.testing.assert_allclose(found, original.predict(tiny.noise(9)), atol=1e-6)


def test_it_describes_itself_without_keras(saved):
    assert read_info(saved[1]) == ModelInfo(tiny.LABELS, SPEC, METADATA)


def test_the_keys_on_disk_are_those_of_every_earlier_file(saved):
    with zipfile.ZipFile(saved[1]) as archive:
        content = json.loads(archive.read("fer.json"))
    assert content == {"labels": list(tiny.LABELS), "spec": {"size": 12, "channels": 1}, "notes": METADATA}


def test_an_earlier_file_with_a_margin_of_zero_loads(saved, tmp_path):
    path = tmp_path / "earlier.keras"
    path.write_bytes(with_member(saved[1], MEMBER, about()))
    assert Classifier.load(path).spec == SPEC


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(saved, tmp_path):
    path = tmp_path / "new folder" / "model.keras"
    Classifier(tiny.varied(), tiny.LABELS, SPEC).save(path)
    saved[0].save(path)
    assert Classifier.load(path).metadata == METADATA
    assert list(path.parent.iterdir()) == [path]


def test_a_save_that_fails_leaves_the_old_file_and_no_other(saved, tmp_path):
    path = tmp_path / "model.keras"
    saved[0].save(path)
    before = path.read_bytes()
    unwritable = Classifier(tiny.varied(), tiny.LABELS, SPEC, {"oops": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        unwritable.save(path)
    full = mock.patch.object(keras.Model, "save", side_effect=OSError(28, "No space left on device"))
    with full, pytest.raises(FerError, match=r"model.keras: cannot be written: No space left on device"):
        saved[0].save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["model.h5", "model", "model.KERAS"])
def test_another_suffix_is_refused(saved, tmp_path, name):
    with pytest.raises(FerError, match=f"{name}: a model file must end in .keras"):
        saved[0].save(tmp_path / name)


def test_a_place_that_cannot_be_written_is_named(saved, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(FerError, match=r"file/model.keras: cannot be written"):
        saved[0].save(tmp_path / "file" / "model.keras")


@pytest.mark.parametrize(
    ("labels", "spec", "message"),
    [
        (("a", "b"), SPEC, r"the network's output shape is \(None, 3\), but there are 2 labels: a, b"),
        (("a", "b", "a"), SPEC, "duplicate label in a, b, a"),
        (
            tiny.LABELS,
            InputSpec(13),
            r"the network's input shape is \(12, 12, 1\), but its InputSpec says \(13, 13, 1\)",
        ),
        (
            tiny.LABELS,
            InputSpec(12, 3),
            r"the network's input shape is \(12, 12, 1\), but its InputSpec says \(12, 12, 3\)",
        ),
    ],
)
def test_labels_and_input_must_fit_the_network(labels, spec, message):
    with pytest.raises(FerError, match=message):
        Classifier(tiny.varied(), labels, spec)


# --- files that are refused


def refused(path):
    """The message of the refusal, which must be one line that begins with the file."""
    with pytest.raises(FerError) as caught:
        Classifier.load(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def with_member(path, name, content):
    """The bytes of the file with one member replaced, or left out where there is no content."""
    out = io.BytesIO()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for member in old.namelist():
            if member != name:
                new.writestr(member, old.read(member))
            elif content is not None:
                new.writestr(member, content)
    return out.getvalue()


def about(**changes):
    return json.dumps(
        {"labels": list(tiny.LABELS), "spec": {"size": 12, "channels": 1, "margin": 0.0}, "notes": {}} | changes
    )


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert refused(tmp_path / "none.keras") == "there is no such model file"
    assert refused(tmp_path) == "there is no such model file"
    expected = "there is no such model file; bundled: fer2013, fer2013-fast, ferplus, four-block"
    assert refused("unknown") == expected


def test_a_plain_keras_file_is_refused_with_the_way_to_repair_it(tmp_path, saved):
    path = tmp_path / "plain.keras"
    saved[0].model.save(path)
    message = refused(path)
    assert "it holds no labels" in message
    command = f"python import_model.py {path} --labels A,B,C --range 0,1 --output NEW.keras"  # test_convert.py runs it
    assert message.endswith(command)


def test_an_h5_file_is_refused_with_the_same_hint(tmp_path, saved):
    path = tmp_path / "old.h5"
    saved[0].model.save(path)
    assert "HDF5 file of older Keras, which holds no labels" in refused(path)


@pytest.mark.parametrize("share", [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_short_is_refused(saved, tmp_path, share):
    data = saved[1].read_bytes()
    path = tmp_path / "cut.keras"
    path.write_bytes(data[: int(share * len(data))])
    assert "truncated, or not a Keras file" in refused(path)


@pytest.mark.parametrize(
    "data",
    [b"angry, happy\n", bytes(1000), pickle.dumps({"labels": ["a"]}), b"PK\x03\x04" + bytes(50)],
    ids=["text", "zeros", "pickle", "zip"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, data):
    path = tmp_path / "other.keras"
    path.write_bytes(data)
    assert "truncated, or not a Keras file" in refused(path)


def test_one_wrong_byte_anywhere_is_found_or_harmless(saved, tmp_path):
    data, path = saved[1].read_bytes(), tmp_path / "flipped.keras"
    refusals = 0
    for at in range(0, len(data), 37):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :])
        try:
            read_info(path)
        except FerError:
            refusals += 1
    assert refusals > 0.95 * len(range(0, len(data), 37))


def test_damaged_weights_are_named(saved, tmp_path):
    data, path = bytearray(saved[1].read_bytes()), tmp_path / "damaged.keras"
    with zipfile.ZipFile(saved[1]) as archive:
        data[archive.getinfo("model.weights.h5").header_offset + 5000] ^= 255
    path.write_bytes(data)
    assert refused(path) == "damaged inside (model.weights.h5); copy or download it again"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "its fer.json is not JSON"),
        (b"\xff\xfe\xff", "its fer.json is not JSON"),
        ("[]", "its fer.json lacks labels, spec or notes"),
        ('{"labels": ["a"]}', "its fer.json lacks labels, spec or notes"),
        (about(labels="abc"), "its fer.json lacks labels, spec or notes"),
        (about(labels=[1, 2, 3]), "its fer.json lacks labels, spec or notes"),
        (about(spec={"side": 12}), "its fer.json lacks labels, spec or notes"),
        (about(spec={"size": "big"}), "its fer.json lacks a usable spec"),
        (about(spec={"size": 12.5}), "its fer.json lacks a usable spec: image size must be a whole number"),
        (about(spec={"size": 10_000_000}), "its fer.json lacks a usable spec: image size must be a whole number"),
        (about(labels=["a", "\x1b[2Jb"]), "its fer.json has labels with control characters"),
        (about(labels=["a", "\u202eb"]), "its fer.json has labels with control characters"),
        (about(notes={"recipe": "x"}), "its fer.json has the wrong type for recipe: 'x'"),
        (about(notes={"uncertain_below": "0.5"}), "its fer.json has the wrong type for uncertain_below"),
        (about(notes={"uncertain_below": 2}), "its fer.json has an uncertain_below that is no probability"),
        (about(notes={"x": "1" * 2**21}), "its fer.json has more than 1,048,576 bytes"),
        (about(labels=["a", "b"]), "the network's output shape is (None, 3), but there are 2 labels: a, b"),
        (about(labels=["a", "b", "b"]), "duplicate label in a, b, b"),
        (about(spec={"size": 48}), "the network's input shape is (12, 12, 1), but its InputSpec says (48, 48, 1)"),
    ],
)
def test_what_a_file_says_of_itself_must_be_whole_and_fit(saved, tmp_path, content, message):
    path = tmp_path / "odd.keras"
    path.write_bytes(with_member(saved[1], MEMBER, content))
    assert refused(path).startswith(message)


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5"])
@pytest.mark.parametrize("content", [None, "", "{}", "[3]"])
def test_a_file_that_keras_cannot_read_is_refused(saved, tmp_path, name, content):
    path = tmp_path / "odd.keras"
    path.write_bytes(with_member(saved[1], name, content))
    assert refused(path).startswith(f"Keras {keras.__version__} cannot load it: ")


def test_code_inside_a_file_does_not_run(tmp_path):
    """Keras' safe mode: a Lambda layer is Python code in a model file."""
    pixels = keras.Input((12, 12, 1))
    x = keras.layers.Lambda(
        lambda values: keras.ops.mean(values, axis=(1, 2, 3), keepdims=False)[:, None] * [1.0, 2.0, 3.0]
    )(pixels)
    Classifier(keras.Model(pixels, x), tiny.LABELS, SPEC).save(tmp_path / "code.keras")
    message = refused(tmp_path / "code.keras")
    assert "cannot load it" in message
    assert "Lambda" in message or "lambda" in message


# --- predict


@pytest.fixture(scope="module")
def single(saved):
    """513 images, and the probabilities of each computed alone."""
    images = tiny.noise(513)
    one_by_one = keras.ops.convert_to_numpy(saved[0].model.predict(images, batch_size=1, verbose=0))
    return images, one_by_one


@pytest.mark.parametrize("n", [0, 1, 2, 3, 255, 256, 257, 513])
def test_the_number_of_images_changes_no_row(saved, single, n):
    images, expected = single
    found = saved[0].predict(images[:n])
    assert found.shape == (n, 3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected[:n], atol=1e-6)


def test_rows_are_probabilities(saved, single):
    found = saved[0].predict(single[0], tta="flip")
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert len(np.unique(found.round(5), axis=0)) > 400


def test_a_handful_of_shapes_reaches_the_network():
    """Every new shape is compiled anew, which takes seconds: a stream of changing numbers of faces must not stutter."""
    seen = set()
    model = mock.Mock(output_shape=(None, 3), input_shape=(None, 12, 12, 1))
    model.predict_on_batch = lambda images: seen.add(images.shape[0]) or np.full((len(images), 3), 1 / 3)
    fake = Classifier(model, tiny.LABELS, SPEC)
    for n in range(2 * BATCH_SIZE + 3):
        assert len(fake.predict(np.zeros((n, 12, 12, 1), np.uint8))) == n
    assert seen == {1 << i for i in range(9)}


def test_large_images_reach_the_network_in_smaller_numbers():
    """The network's own copies of 256 colour images of 224 pixels would take half a gigabyte."""
    seen = []
    model = mock.Mock(output_shape=(None, 3), input_shape=(None, 224, 224, 3))
    model.predict_on_batch = lambda images: seen.append(images.shape[0]) or np.full((len(images), 3), 1 / 3)
    images = np.zeros((150, 224, 224, 3), np.uint8)
    assert Classifier(model, tiny.LABELS, InputSpec(224, 3)).predict(images).shape == (150, 3)
    assert seen == [64, 64, 32]


@pytest.mark.parametrize(
    ("images", "received"),
    [
        (np.zeros((2, 13, 12, 1), np.uint8), "uint8 (2, 13, 12, 1)"),
        (np.zeros((2, 12, 12, 3), np.uint8), "uint8 (2, 12, 12, 3)"),
        (np.zeros((12, 12, 1), np.uint8), "uint8 (12, 12, 1)"),
        (np.zeros((0, 48, 48, 1), np.uint8), "uint8 (0, 48, 48, 1)"),
        (np.zeros((2, 12, 12, 1), np.float32), "float32 (2, 12, 12, 1)"),
    ],
)
def test_images_of_another_shape_or_type_are_refused(saved, images, received):
    with pytest.raises(
        FerError, match=re.escape(f"the network takes images uint8 (n, 12, 12, 1), received {received}")
    ):
        saved[0].predict(images)


def test_outputs_that_are_no_numbers_are_no_label(tmp_path):
    """A training that diverged: argmax would name the first label for every image."""
    network = tiny.varied()
    network.set_weights([np.full_like(weights, np.nan) for weights in network.get_weights()])
    Classifier(network, tiny.LABELS, SPEC).save(tmp_path / "nan.keras")
    with pytest.raises(FerError, match="outputs are NaN: its training diverged"):
        Classifier.load(tmp_path / "nan.keras").predict(tiny.noise(3))


def test_a_small_file_that_unpacks_to_a_large_one_is_refused(saved, tmp_path):
    path = tmp_path / "bomb.keras"
    path.write_bytes(saved[1].read_bytes())
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("more", bytes(10_000_000))
    assert refused(path).startswith("unpacks to 10 MB")
