"""Probabilities averaged over time, and labels that do not flicker; the faces are made up."""

import math
from dataclasses import replace

import numpy as np
import pytest
from support.tracked import HAPPY, LABELS, SAD, changes, labels, seen, smoothed, times

from fer.video.tracking import KEEP, MARGIN, SMOOTHING, Tracker

# Smoothing


@pytest.mark.parametrize("fps", [30, 10, 5])
@pytest.mark.parametrize("smoothing", [0.2, SMOOTHING, 1.0])
def test_smoothing_is_the_time_constant_of_an_exponential_average(fps, smoothing):
    tracker = Tracker(smoothing=smoothing, keep=10)
    change = 12 * smoothing
    smoothed(tracker, times(fps, change), lambda now: HAPPY)
    for now, row in smoothed(tracker, times(fps, 2, start=change + 1 / fps), lambda now: SAD).items():
        left = math.exp((change - now) / smoothing)
        np.testing.assert_allclose(row, left * np.array(HAPPY) + (1 - left) * np.array(SAD), atol=1e-5)


def test_smoothing_does_not_depend_on_the_frame_rate():
    def signal(now):
        share = 0.4 * (1 + math.sin(2 * now))
        return (0.2, share, 0.8 - share)

    fast, slow = (smoothed(Tracker(), times(fps, 6), signal) for fps in (30, 10))
    assert set(slow) <= set(fast)
    for now, row in slow.items():
        np.testing.assert_allclose(row, fast[now], atol=0.04)
    late = [row[1] for now, row in slow.items() if now > 1]
    assert max(late) - min(late) > 0.5  # else the above says nothing
    assert max(abs(row[1] - signal(now)[1]) for now, row in slow.items()) > 0.15


def test_after_a_gap_the_new_counts_as_much_as_the_time_that_passed():
    tracker = Tracker(smoothing=0.4)
    smoothed(tracker, times(10, 5), lambda now: HAPPY)
    row = tracker.update([seen(0, probabilities=SAD)], 5.8)[0].distribution
    np.testing.assert_allclose(row, math.exp(-2) * np.array(HAPPY) + (1 - math.exp(-2)) * np.array(SAD), atol=1e-5)


def test_the_first_images_of_a_face_count_as_much_as_those_that_follow():
    rows = np.random.default_rng(5).dirichlet((1, 1, 1), 6)
    tracker = Tracker(smoothing=0.4)
    for n, (now, row) in enumerate(zip(times(30, 0.2), rows, strict=False)):
        found = tracker.update([seen(0, probabilities=row)], now)[0]
        weights = np.exp((np.arange(n + 1) - n) / 30 / 0.4)
        np.testing.assert_allclose(found.distribution, weights @ rows[: n + 1] / weights.sum(), atol=1e-6)


def test_smoothed_probabilities_are_float32_and_sum_to_1_for_ever():
    rng = np.random.default_rng(6)
    tracker = Tracker()
    for now in np.cumsum(rng.exponential(0.05, 1000)):
        found = tracker.update([seen(0, probabilities=rng.dirichlet((0.3, 0.3, 0.3)))], now)[0]
        assert found.distribution.dtype == np.float32
        assert abs(float(found.distribution.astype(float).sum()) - 1) < 1e-6


def test_what_was_returned_does_not_change_later():
    tracker = Tracker()
    found = tracker.update([seen(0, probabilities=HAPPY)], 0)[0]
    tracker.update([seen(0, probabilities=SAD)], 0.5)
    np.testing.assert_array_equal(found.distribution, np.float32(HAPPY))


def test_smoothing_0_lets_everything_through_but_still_follows():
    rng = np.random.default_rng(7)
    tracker = Tracker(smoothing=0)
    for now in times(30, 2):
        given = replace(seen(0, probabilities=rng.dirichlet((1, 1, 1))), chosen=2)
        found = tracker.update([given], now)[0]
        assert found.distribution is given.distribution
        assert found.chosen is None
        assert found.label == LABELS[given.distribution.argmax()]
        assert found.track == 1


def test_two_people_never_share_a_window():
    tracker = Tracker()
    for now in times(30, 4):
        x = 150 * (now - 2)
        faces = [seen(x, probabilities=HAPPY, person=1), seen(-x, 10, probabilities=SAD, person=2)]
        one, two = tracker.update(faces, now)
        np.testing.assert_allclose(one.distribution, HAPPY, atol=1e-6)
        np.testing.assert_allclose(two.distribution, SAD, atol=1e-6)
        assert (one.label, two.label) == ("happy", "sad")


def test_who_is_gone_leaves_nothing_to_who_comes():
    tracker = Tracker()
    smoothed(tracker, times(30, 1), lambda now: HAPPY)
    found = tracker.update([seen(0, probabilities=SAD)], 1 + 1.05 * KEEP)[0]
    np.testing.assert_array_equal(found.distribution, np.float32(SAD))
    assert (found.label, found.track) == ("sad", 2)


def test_reset_forgets_faces_and_times_but_not_the_numbers():
    tracker = Tracker()
    smoothed(tracker, times(30, 1, start=50), lambda now: HAPPY)
    tracker.reset()
    assert tracker.expected(51) == []
    found = tracker.update([seen(0, probabilities=SAD)], 0)[0]
    np.testing.assert_array_equal(found.distribution, np.float32(SAD))
    assert found.track == 2


# The label shown


@pytest.mark.parametrize("fps", [30, 15, 10, 5, 2])
def test_alternating_labels_do_not_flicker(fps):
    when = times(fps, 10)
    rows = [((0, 1, 0), (0, 0, 1))[i % 2] for i in range(len(when))]
    assert changes(labels(Tracker(), when, rows)) == 0
    assert changes(labels(Tracker(smoothing=0), when, rows)) == len(when) - 1


@pytest.mark.parametrize(("fps", "times_fewer"), [(30, 40), (10, 10)])
def test_noise_about_a_tie_seldom_changes_the_label(fps, times_fewer):
    rng = np.random.default_rng(8)
    when = times(fps, 40)
    powers = np.exp(rng.normal(0, 1, (len(when), 3)))
    rows = powers / powers.sum(axis=1, keepdims=True)
    raw = changes(labels(Tracker(smoothing=0), when, rows))
    assert changes(labels(Tracker(), when, rows)) < raw / times_fewer


@pytest.mark.parametrize(("fps", "within"), [(60, 0.6), (30, 0.6), (10, 0.6), (5, 0.65), (2, 1.05)])
def test_a_real_change_is_shown_soon_and_once(fps, within):
    when = times(fps, 8)
    shown = labels(Tracker(), when, [HAPPY if now < 4 else SAD for now in when])
    assert changes(shown) == 1
    changed = when[shown.index("sad")] - 4
    assert 0 < changed <= within


@pytest.mark.parametrize("fps", [30, 10])
def test_a_small_lead_is_shown_too_but_later(fps):
    lead = MARGIN / 2
    before, after = (0.1, 0.6, 0.3), (0.1, 0.45 - lead / 2, 0.45 + lead / 2)
    when = times(fps, 12)
    shown = labels(Tracker(), when, [before if now < 4 else after for now in when])
    assert changes(shown) == 1
    behind = SMOOTHING * math.log(0.3 / lead + 1)  # until the averages cross: 0.3 e^(-t / S) = lead (1 - e^(-t / S))
    changed = when[shown.index("sad")] - 4
    assert behind + 3 * SMOOTHING <= changed <= behind + 3 * SMOOTHING + 2.5 / fps


def test_a_label_is_not_held_because_two_others_take_turns_ahead_of_it():
    when = times(30, 10)
    turns = ((0.39, 0.28, 0.33), (0.33, 0.28, 0.39))  # a second each: too short and too little ahead to be shown alone
    shown = labels(Tracker(), when, [(0.3, 0.4, 0.3) if now < 2 else turns[int(now) % 2] for now in when])
    assert shown[when.tolist().index(2)] == "happy"
    assert "happy" not in shown[when.tolist().index(5) :]


def test_one_image_does_not_change_the_label_however_short_the_memory():
    when = times(10, 3)
    rows = [SAD if i == 15 else HAPPY for i in range(len(when))]
    assert set(labels(Tracker(smoothing=0.01), when, rows)) == {"happy"}


def test_a_longer_memory_holds_the_label_longer():
    def delay(smoothing):
        when = times(30, 13)
        shown = labels(Tracker(smoothing=smoothing), when, [HAPPY if now < 10 else SAD for now in when])
        return when[shown.index("sad")] - 10

    assert delay(0.1) < 0.2 < delay(0.4) < 0.6 < delay(2) < 3


def test_confidence_is_that_of_the_label_shown():
    tracker = Tracker()
    when = times(30, 4.2)
    shown = [tracker.update([seen(0, probabilities=HAPPY if now < 4 else SAD)], now)[0] for now in when]
    assert shown[-1].label == "happy"
    assert shown[-1].confidence == shown[-1].distribution[1] < HAPPY[1]
