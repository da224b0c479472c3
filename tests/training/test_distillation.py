"""Distillation: the teachers' answers, the divergence against scipy's, and what a student's loss is made of."""

import dataclasses

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr
from support import tiny

from fer import FerError
from fer.core.images import InputSpec
from fer.models import networks
from fer.models.classifier import Classifier
from fer.training import distillation
from fer.training.augmentation import Augmentation
from fer.training.batches import Batches

pytestmark = pytest.mark.slow

PIXELS = np.random.default_rng(0).integers(0, 256, (6, tiny.SIZE, tiny.SIZE, 1)).astype(np.float32)


def teacher(labels=tiny.LABELS, size=tiny.SIZE, seed=0):
    keras.utils.set_random_seed(seed)
    return Classifier(tiny.build(labels, size=size), labels, InputSpec(size))


def shares(n, k, seed):
    return np.random.default_rng(seed).dirichlet(np.ones(k), n).astype(np.float32)


def test_teachers_answer_with_their_mean_in_the_order_of_the_student():
    first, second = teacher(seed=1), teacher(tiny.LABELS[::-1], seed=2)
    found = distillation.mean_prediction([first, second], tiny.LABELS)(PIXELS)
    images = PIXELS.astype(np.uint8)
    expected = (first.predict(images) + second.predict(images)[:, ::-1]) / 2
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_teachers_also_see_the_mirror_image_if_asked():
    one = teacher()
    found = distillation.mean_prediction([one, teacher(seed=2)], tiny.LABELS, flip=True)(PIXELS)
    expected = np.mean([known.predict(PIXELS.astype(np.uint8), tta="flip") for known in (one, teacher(seed=2))], axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(expected - one.predict(PIXELS.astype(np.uint8))).max() > 1e-3


def test_a_teacher_of_another_size_sees_the_images_resized():
    large = teacher(size=2 * tiny.SIZE)
    flat = np.full_like(PIXELS, 77)
    expected = large.predict(np.full((6, 2 * tiny.SIZE, 2 * tiny.SIZE, 1), 77, np.uint8))
    np.testing.assert_allclose(distillation.mean_prediction([large], tiny.LABELS)(flat), expected, atol=1e-6)


def test_teachers_compute_under_the_policy_of_the_training(monkeypatch):
    one = teacher()
    used = []
    recast = networks.recast
    monkeypatch.setattr(networks, "recast", lambda *args: used.append(recast(*args)) or used[0])
    found = distillation.mean_prediction([one], tiny.LABELS, dtype="mixed_bfloat16")(PIXELS)
    assert {layer.name: layer.compute_dtype for layer in used[0].layers if layer.weights} == {
        "block1_conv": "bfloat16", "block1_norm": "bfloat16", "dense1": "bfloat16", "dense1_norm": "bfloat16",
        "logits": "float32",
    }  # fmt: skip
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    expected = one.predict(PIXELS.astype(np.uint8))
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert np.abs(np.asarray(found) - expected).max() > 0  # or nothing was computed in less


@pytest.mark.parametrize("kind", ["sequential", "functional"])
def test_probabilities_of_an_imported_teacher_stay_in_float32(kind):
    """import_model.py puts the old network into another one, which scales the pixels."""
    layers = [keras.Input((tiny.SIZE, tiny.SIZE, 1)), keras.layers.Flatten(), keras.layers.Dense(3, "softmax")]
    inner = keras.Sequential(layers)
    if kind == "functional":
        inner = keras.Model(inner.inputs, inner.outputs)
    pixels = keras.Input((tiny.SIZE, tiny.SIZE, 1))
    found = inner(keras.layers.Rescaling(1 / 255)(pixels))
    one = Classifier(keras.Model(pixels, found), tiny.LABELS, InputSpec(tiny.SIZE))
    train = tiny.data(20)
    softened = distillation.with_teacher_targets(train, [one], 0.6, dtype="mixed_bfloat16")
    np.testing.assert_allclose(softened.targets.sum(axis=1), 1, atol=1e-6)


def test_an_imported_teacher_with_operations_in_its_graph_can_teach():
    """import_model.py turns colours and outputs by keras.ops, which have no policy."""
    pixels = keras.Input((tiny.SIZE, tiny.SIZE, 1))
    found = keras.ops.maximum(tiny.build()(pixels), 1e-6)
    found = found / keras.ops.sum(found, axis=1, keepdims=True)
    one = Classifier(keras.Model(pixels, found), tiny.LABELS, InputSpec(tiny.SIZE))
    for dtype in ("float32", "mixed_bfloat16"):
        answer = distillation.mean_prediction([one], tiny.LABELS, dtype=dtype)(PIXELS)
        assert keras.backend.standardize_dtype(answer.dtype) == "float32"
        np.testing.assert_allclose(answer, one.predict(PIXELS.astype(np.uint8)), atol=0.02)


def test_a_teacher_with_other_labels_is_refused():
    with pytest.raises(FerError, match="a teacher knows a, b, but the data have angry, happy, sad"):
        distillation.mean_prediction([teacher(("a", "b"))], tiny.LABELS)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_the_divergence_agrees_with_scipy(temperature):
    teachers, students = shares(20, 5, 1), shares(20, 5, 2)
    p, q = (np.exp(log_softmax(np.log(x) / temperature, axis=1)) for x in (teachers, students))
    expected = temperature**2 * rel_entr(p, q).sum(axis=1).mean()
    assert float(distillation.divergence(teachers, students, temperature)) == pytest.approx(expected, rel=1e-4)


def test_equal_answers_diverge_by_nothing_even_where_they_are_sure():
    sure = np.eye(3, dtype=np.float32)
    assert float(distillation.divergence(sure, sure, 2.0)) == pytest.approx(0, abs=1e-6)


def student(share):
    network = tiny.build(**tiny.NO_DROPOUT)
    layers = [keras.Input(network.input_shape[1:]), Augmentation(seed=0), network]
    one = teacher(seed=3)
    model = distillation.Student(layers, distillation.mean_prediction([one], tiny.LABELS), share=share, temperature=2.0)
    model.compile(optimizer=keras.optimizers.SGD(0.0), loss="categorical_crossentropy")
    return model, network, one


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_the_loss_in_training_is_the_weighted_sum_of_both(share):
    model, network, one = student(share)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    answers = network(PIXELS, training=True)
    hard = float(keras.ops.mean(keras.losses.categorical_crossentropy(targets, answers)))
    soft = float(distillation.divergence(one.predict(PIXELS.astype(np.uint8)), answers, 2.0))
    found = model.train_on_batch(PIXELS, targets)
    assert float(np.ravel(found)[0]) == pytest.approx((1 - share) * hard + share * soft, rel=1e-3)


def test_the_loss_in_validation_is_that_of_the_labels_alone():
    model, network, _ = student(0.6)
    targets = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]
    hard = float(keras.ops.mean(keras.losses.categorical_crossentropy(targets, network(PIXELS))))
    assert float(np.ravel(model.test_on_batch(PIXELS, targets))[0]) == pytest.approx(hard, rel=1e-4)


def test_a_student_owns_none_of_its_teachers_weights():
    model, network, _ = student(0.6)
    assert len(model.weights) == len(network.weights)


def test_teachers_that_see_each_image_once_become_part_of_the_targets():
    data = tiny.data(10)
    first, second = teacher(seed=1), teacher(tiny.LABELS[::-1], seed=2)
    found = distillation.with_teacher_targets(data, [first, second], 0.25, flip=True)
    answers = [first.predict(data.images, tta="flip"), second.predict(data.images, tta="flip")[:, ::-1]]
    np.testing.assert_allclose(found.targets, 0.75 * data.targets + 0.25 * np.mean(answers, axis=0), atol=1e-6)
    assert found.targets.dtype == np.float32
    assert found.images is data.images
    with pytest.raises(FerError, match="a teacher knows a, b, but the data have angry, happy, sad"):
        distillation.with_teacher_targets(data, [teacher(("a", "b"))], 0.25)
    with pytest.raises(FerError, match="the network takes images"):
        distillation.with_teacher_targets(data, [teacher(size=2 * tiny.SIZE)], 0.25)


@pytest.mark.parametrize("once", [False, True])
def test_a_student_learns_from_teachers_alone(learnt, tmp_path, once):
    """Labels say nothing here: what the student knows in the end it has from its teacher."""
    train, validation = tiny.data(64), tiny.data(24, seed=1)
    blind = np.full_like(train.targets, 1 / 3)
    run = tiny.fit(
        tmp_path,
        data_sets=(dataclasses.replace(train, targets=blind), validation),
        teachers=[Classifier.load(learnt)],
        epochs=8,
        teacher_share=1.0,
        teacher_once=once,
        keep_best="last",
    )
    assert run.history[-1]["val_accuracy"] > 0.8


# --- self-distillation


def test_a_network_predicts_its_targets_every_few_epochs():
    data, network = tiny.data(48), tiny.varied()
    recipe = tiny.recipe(epochs=10, self_distillation=0.5, self_distillation_every=2, flip=True, label_smoothing=0.1)
    batches = Batches(data, recipe, seed=1)
    callback = distillation.SelfDistillation(network, batches)
    views = (data.images, data.images[:, :, ::-1])
    expected = np.mean([network.predict_on_batch(view) for view in views], axis=0)
    found = []
    for epoch in range(4):
        callback.on_epoch_begin(epoch)
        batches.start(epoch)
        found.append(batches.targets)
        callback.on_test_end()
        if epoch == 1:
            network.set_weights([0 * array for array in network.get_weights()])  # seen in the fifth epoch, not before
    for epoch, share in enumerate((0, 0, 0.15, 0.2)):
        own = (1 - share) * data.targets + share * expected
        np.testing.assert_allclose(found[epoch], 0.9 * own + 0.1 / 3, atol=1e-6)
        assert found[epoch].dtype == np.float32
    callback.on_epoch_begin(4)
    np.testing.assert_allclose(batches.own_predictions, 1 / 3, atol=1e-6)


def test_it_predicts_images_of_the_size_of_the_training():
    data = tiny.data(8, size=16)
    options = {"size": 16, "progressive_sizes": (8,), "epochs": 4}
    recipe = tiny.recipe(**options, self_distillation=0.5, self_distillation_every=1)
    seen = []

    class Network(keras.Model):
        def predict_on_batch(self, images):
            seen.append(images)
            return np.full((len(images), 3), 1 / 3, np.float32)

    callback = distillation.SelfDistillation(Network(), Batches(data, recipe, seed=1))
    for epoch in range(3):
        callback.on_epoch_begin(epoch)
        callback.on_test_end()
    assert [images.shape for images in seen] == [(8, 8, 8, 1), (8, 8, 8, 1), (8, 16, 16, 1)]
    np.testing.assert_array_equal(seen[2], data.images)
    means = data.images.reshape(8, 8, 2, 8, 2).mean(axis=(2, 4))  # bilinear at half the size is the mean of four pixels
    np.testing.assert_allclose(seen[0][..., 0], means, atol=1)


def test_it_predicts_with_the_averaged_weights(tmp_path):
    data_sets = tiny.data(64), tiny.data(24, seed=1)
    options = {"ema": 0.8, "keep_best": "last", "self_distillation": 0.5, "self_distillation_every": 1}
    tiny.fit_one_epoch(tmp_path, data_sets=data_sets, **options)
    kept = tiny.weights(tmp_path / "checkpoint.npz")["kept_0"]
    averaged = Classifier.load(tmp_path / "model.keras").predict(data_sets[0].images)
    np.testing.assert_allclose(kept, averaged, atol=1e-5)


def test_the_last_chunk_of_predictions_has_the_size_of_the_others(tmp_path, monkeypatch):
    options = {"epochs": 3, "self_distillation": 0.5, "self_distillation_every": 1, "keep_best": "last"}
    options["optimizer"] = "sgd"  # Adam makes large steps of gradients that are only rounding
    tiny.fit(tmp_path / "whole", **options)
    sizes = []
    predict = distillation.SelfDistillation._predict
    monkeypatch.setattr(distillation, "CHUNK", 20)
    watch = lambda self, images: (sizes.append(len(images)), predict(self, images))[1]  # noqa: E731
    monkeypatch.setattr(distillation.SelfDistillation, "_predict", watch)
    tiny.fit(tmp_path / "chunks", **options)
    assert sizes == [20] * 4 * 2  # of 64 images, after each epoch but the last
    whole, chunks = (tiny.weights(tmp_path / name / "checkpoint.npz") for name in ("whole", "chunks"))
    for name, array in whole.items():
        np.testing.assert_allclose(chunks[name], array, atol=1e-5)


def test_wrong_labels_lose_their_weight(tmp_path, monkeypatch):
    """A quarter of the labels are wrong; at the end the targets say what the images show more often than at first."""
    train, validation = tiny.data(96), tiny.data(24, seed=1)
    shown = train.targets.argmax(axis=1)
    wrong = np.flatnonzero(np.random.default_rng(3).random(96) < 0.25)
    targets = train.targets.copy()
    targets[wrong] = np.roll(targets[wrong], 1, axis=1)
    last = []
    start = Batches.start
    monkeypatch.setattr(Batches, "start", lambda self, epoch: (start(self, epoch), last.append(self.targets))[0])
    options = {"epochs": 12, "self_distillation": 0.9, "self_distillation_every": 2, "ema": 0.8}
    tiny.fit(tmp_path, data_sets=(dataclasses.replace(train, targets=targets), validation), **options)
    assert (last[0].argmax(axis=1) == shown).mean() < 0.8
    assert (last[-1].argmax(axis=1) == shown).mean() > 0.85
