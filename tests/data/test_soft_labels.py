"""Labels mixed with votes: as likely as the votes make them, and only in training."""

import numpy as np
import pytest

from fer import FerError
from fer.data.soft_labels import mix

SHARE = 0.4
COPIES = 5
# Of ten votes all for the first word, 80 % of the labels are 0; all for the second, 30 %; else 1 or 2.
CODES = np.concatenate([np.repeat([0, 1], [80, 20]), np.repeat([0, 2], [30, 70])] * (COPIES))
VOTES = np.tile(np.repeat(np.float32([[10, 0], [0, 5]]), 100, axis=0), (COPIES, 1))


def test_a_target_is_the_label_and_what_the_votes_make_of_it():
    targets = mix(CODES, 3, VOTES, np.ones(len(CODES), bool), SHARE)
    assert targets.dtype == np.float32
    shares = {"first": [0.8, 0.2, 0.0], "second": [0.3, 0.0, 0.7]}
    for row, votes in ((0, "first"), (99, "first"), (100, "second"), (199, "second")):
        expected = (1 - SHARE) * np.eye(3)[CODES[row]] + SHARE * np.array(shares[votes])
        np.testing.assert_allclose(targets[row], expected, atol=0.01)  # the regression is a little shy of 0 and 1
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


def test_the_label_stays_the_likeliest():
    np.testing.assert_array_equal(mix(CODES, 3, VOTES, np.ones(len(CODES), bool), SHARE).argmax(axis=1), CODES)


def test_other_images_keep_their_label_and_do_not_count():
    fitted = np.arange(len(CODES)) < 400
    wild = np.where(fitted, CODES, 2)
    targets = mix(wild, 3, VOTES, fitted, SHARE)
    np.testing.assert_array_equal(targets[~fitted], np.eye(3)[wild[~fitted]])
    alone = mix(CODES[fitted], 3, VOTES[fitted], fitted[fitted], SHARE)
    np.testing.assert_allclose(targets[fitted], alone, atol=1e-6)


def test_a_label_that_no_training_image_has_is_never_likely():
    targets = mix(CODES, 4, VOTES, np.ones(len(CODES), bool), SHARE)
    assert targets.shape == (len(CODES), 4)
    assert targets[:, 3].max() == 0


def test_an_image_without_votes_is_no_error():
    votes = VOTES.copy()
    votes[0] = 0
    assert np.isfinite(mix(CODES, 3, votes, np.ones(len(CODES), bool), SHARE)).all()


def test_one_label_is_too_few():
    with pytest.raises(FerError, match="two labels or more"):
        mix(np.zeros(4, int), 7, np.ones((4, 10), np.float32), np.ones(4, bool), SHARE)
