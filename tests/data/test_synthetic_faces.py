"""Synthetic faces: the same for everyone, balanced, and a task for a convolutional network, not for a linear one."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from fer.core.images import prepare, read
from fer.data import synthetic_faces
from fer.models.classifier import Classifier

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "data" / "samples"


@pytest.fixture(scope="module")
def train():
    return synthetic_faces.faces(700, seed=1)


def test_shapes_and_types(train):
    images, codes = train
    assert (images.shape, images.dtype) == ((700, 48, 48), np.uint8)
    assert (codes.shape, codes.dtype) == ((700,), np.int64)


def test_every_label_has_its_row_in_the_table_of_movements():
    assert tuple(synthetic_faces.EXPRESSIONS) == synthetic_faces.LABELS
    assert not any(synthetic_faces.EXPRESSIONS["neutral"])


def test_same_arguments_give_the_same_images():
    first, again = synthetic_faces.faces(20, seed=5), synthetic_faces.faces(20, seed=5)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])


def test_another_seed_gives_other_people(train):
    others, _ = synthetic_faces.faces(50, seed=2)
    known = {image.tobytes() for image in train[0]}
    assert not any(image.tobytes() in known for image in others)


@pytest.mark.parametrize("count", [0, 1, 7, 10, 71])
def test_classes_are_balanced(count):
    images, codes = synthetic_faces.faces(count, seed=3, size=16)
    support = np.bincount(codes, minlength=len(synthetic_faces.LABELS))
    assert len(images) == len(codes) == support.sum() == count
    assert np.ptp(support) <= 1


def test_order_is_shuffled(train):
    _, codes = train
    assert np.mean(np.diff(codes) == 1) < 0.3  # 6 of 7 in the order of the table


def test_no_image_is_blank_or_twice_there(train):
    images, _ = train
    assert images.std(axis=(1, 2)).min() > 5
    assert len({image.tobytes() for image in images}) == len(images)


def test_a_larger_size_draws_the_same_people_sharper():
    small, codes = synthetic_faces.faces(14, seed=4)
    large, same_codes = synthetic_faces.faces(14, seed=4, size=96)
    assert large.shape == (14, 96, 96)
    np.testing.assert_array_equal(codes, same_codes)
    for one, other in zip(small, large, strict=True):
        halved = cv2.resize(other, (48, 48), interpolation=cv2.INTER_AREA)
        assert np.corrcoef(one.ravel(), halved.ravel())[0, 1] > 0.85
    detail = [np.mean([cv2.Laplacian(cv2.resize(i, (96, 96)), cv2.CV_32F).var() for i in s]) for s in (small, large)]
    assert detail[1] > detail[0]


def test_a_linear_model_learns_something_but_not_the_task(train):
    """Chance is 1 in 7. Well above half, pose and light would be too tame to need a convolutional network."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    images, codes = train
    unseen, unseen_codes = synthetic_faces.faces(350, seed=2)
    model = linear_model.RidgeClassifier(alpha=100.0).fit(images.reshape(700, -1) / 255, codes)
    assert 0.25 < model.score(unseen.reshape(350, -1) / 255, unseen_codes) < 0.6


def test_samples_of_the_repository_are_what_write_samples_draws(tmp_path):
    synthetic_faces.write_samples(tmp_path)
    for label in synthetic_faces.LABELS:
        drawn, kept = (cv2.imread(str(folder / f"{label}.png"), 0) for folder in (tmp_path, SAMPLES))
        assert np.abs(drawn.astype(int) - kept).max() <= 2  # another processor may round otherwise


@pytest.mark.parametrize("name", ["fer2013", "fer2013-fast"])
def test_default_models_label_all_samples_right(name):
    model = Classifier.load(ROOT / "models" / f"{name}.keras")
    images = [prepare(read(SAMPLES / f"{label}.png"), model.spec) for label in synthetic_faces.LABELS]
    assert (
        tuple(model.labels[code] for code in model.predict(np.stack(images)).argmax(axis=1)) == synthetic_faces.LABELS
    )
