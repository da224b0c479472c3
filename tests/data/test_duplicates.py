"""Duplicates against brute force: what is planted is found, what is not is not."""

import numpy as np
import pytest
from support.similar import faces, nearly

from fer import FerError
from fer.data import duplicates

N = 300


def brute(pictures, threshold):
    weights = (0.114, 0.587, 0.299) if pictures.shape[-1] == 3 else (1,)  # ITU-R BT.601
    grey = [np.round(picture @ weights).astype(np.uint8) for picture in pictures]
    small = [part.reshape(16, 3, 16, 3).mean(axis=(1, 3)).ravel() for part in grey]
    r = np.corrcoef(small)
    return {(i, j): r[i, j] for i in range(len(grey)) for j in range(i + 1, len(grey)) if r[i, j] >= threshold}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("threshold", [0.85, 0.95])
def test_pairs_are_those_of_brute_force(channels, threshold, monkeypatch):
    monkeypatch.setattr(duplicates, "BLOCK", 64)
    pictures = np.concatenate([faces(channels=channels), nearly(faces(60, channels=channels))])
    i, j, r = duplicates.near_duplicates(pictures, threshold)
    expected = brute(pictures, threshold)
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == set(expected)
    assert len(i) == len(expected) >= 60
    rounding = 5e-4  # of OpenCV, to whole grey levels
    np.testing.assert_allclose(r, list(expected.values()), atol=rounding)


def test_every_pair_of_a_large_group_is_found_and_too_many_are_refused(monkeypatch):
    pictures = nearly(np.repeat(faces(1), 80, axis=0))  # all are near-duplicates of all
    monkeypatch.setattr(duplicates, "BLOCK", 32)
    i, _, _ = duplicates.near_duplicates(pictures)
    assert len(i) == 80 * 79 // 2
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 1000)
    with pytest.raises(FerError, match=r"more than 1,000 pairs correlate above 0.95: choose a higher"):
        duplicates.near_duplicates(pictures)


def test_duplicates_in_others_exact_and_near():
    ours, others = faces(40), faces(50, seed=5)
    ours[3], ours[7] = others[10], nearly(others[[20]])[0]
    exact = duplicates.duplicates_in(ours, others)
    assert exact.dtype == bool
    assert np.flatnonzero(exact).tolist() == [3]
    assert np.flatnonzero(duplicates.duplicates_in(ours, others, near=True)).tolist() == [3, 7]


def test_flat_images_are_no_near_duplicates():
    pictures = np.full((6, 48, 48, 1), 90, np.uint8)
    pictures[:, 0, 0, 0] = range(6)
    assert len(duplicates.near_duplicates(pictures)[0]) == 0
    assert not duplicates.duplicates_in(pictures[:3], pictures[3:], near=True).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images(count):
    pictures = faces(count) if count else faces(1)[:0]
    assert len(duplicates.near_duplicates(pictures)[0]) == 0
    assert duplicates.duplicates_in(pictures, pictures, near=True).tolist() == [True] * count
    assert not duplicates.duplicates_in(pictures, pictures[:0], near=True).any()


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(FerError, match=r"one shape, not \(48, 48, 1\) and \(32, 32, 1\)"):
        duplicates.duplicates_in(faces(2), faces(2, side=32))
    with pytest.raises(FerError, match=r"from 0.8 to below 1, not 1"):
        duplicates.near_duplicates(faces(2), 1.0)


def test_groups_connect_over_others():
    group = duplicates.connected(np.array([0, 1, 4]), np.array([1, 3, 5]), 7)
    assert group[0] == group[1] == group[3]
    assert group[4] == group[5]
    assert len(set(group.tolist())) == 4
