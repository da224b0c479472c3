"""Temperature scaling: the planted temperature is found, the labels stay, the file says so."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import log_loss
from support import tiny

from fer.core.images import InputSpec
from fer.models.classifier import Classifier
from fer.training import calibration

pytestmark = pytest.mark.slow


def overconfident(factor, n=20_000, k=4, seed=0):
    """Answers that are `factor` times too sure: targets are drawn from the honest ones."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, k))
    honest = softmax(logits, axis=1)
    codes = (honest.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return softmax(factor * logits, axis=1).astype(np.float32), np.eye(k, dtype=np.float32)[codes]


@pytest.mark.parametrize("factor", [0.5, 1.0, 2.5])
def test_the_planted_temperature_is_found(factor):
    assert calibration.fit_temperature(*overconfident(factor)) == pytest.approx(factor, rel=0.05)


def test_no_other_temperature_gives_a_smaller_loss():
    probabilities, targets = overconfident(1.7, n=2000)
    best = calibration.fit_temperature(probabilities, targets)

    def loss(temperature):
        return log_loss(targets.argmax(axis=1), np.exp(log_softmax(np.log(probabilities) / temperature, axis=1)))

    assert loss(best) <= min(loss(best * 0.99), loss(best * 1.01))


def test_sure_mistakes_leave_the_temperature_finite():
    probabilities = np.eye(2, dtype=np.float32)[[0, 1, 0, 1]]
    targets = np.eye(2, dtype=np.float32)[[0, 1, 1, 1]]
    assert np.isfinite(calibration.fit_temperature(probabilities, targets))


def test_a_calibrated_classifier_says_the_same_labels_less_loudly(learnt, tmp_path):
    sure = Classifier.load(learnt)
    data = tiny.data(40, seed=5)
    before = sure.predict(data.images)
    noisy = np.roll(data.targets, 1, axis=0)  # wrong targets: nothing can be believed
    after = calibration.calibrate(sure, data.images, noisy)
    probabilities = after.predict(data.images)
    np.testing.assert_array_equal(probabilities.argmax(axis=1), before.argmax(axis=1))
    temperature = after.metadata["temperature"]
    assert temperature > 1
    expected = softmax(np.log(np.maximum(before, 1e-30)) / temperature, axis=1)
    np.testing.assert_allclose(probabilities, expected, atol=2e-3)
    after.save(tmp_path / "calibrated.keras")
    loaded = Classifier.load(tmp_path / "calibrated.keras")
    np.testing.assert_allclose(loaded.predict(data.images), probabilities, atol=1e-6)
    assert loaded.metadata["temperature"] == temperature


def test_a_second_calibration_multiplies_the_temperatures():
    classifier = Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE), {"temperature": 2.0})
    data = tiny.data(30)
    once = calibration.fit_temperature(classifier.predict(data.images), data.targets)
    assert calibration.calibrate(classifier, data.images, data.targets).metadata["temperature"] == pytest.approx(
        2 * once, abs=1e-3
    )


def test_shares_of_votes_count_as_the_label_that_leads(tmp_path):
    tiny.fit(tmp_path, epochs=2)
    data = tiny.data(40, seed=5)
    shared = 0.6 * data.targets + 0.4 * np.roll(data.targets, 1, axis=1)
    temperatures = [
        calibration.calibrate(Classifier.load(tmp_path / "model.keras"), data.images, targets).metadata["temperature"]
        for targets in (data.targets, shared.astype(np.float32))
    ]
    assert temperatures[0] == temperatures[1]
