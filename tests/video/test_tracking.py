"""Who is who from frame to frame; the faces are made up."""

import math
import time

import numpy as np
import pytest
from support.tracked import HAPPY, LABELS, SAD, SIDE, labels, numbers, seen, smoothed, times

from fer import FerError
from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction
from fer.video.tracking import COAST, KEEP, Tracker


@pytest.mark.parametrize("fps", [60, 30, 10, 5])
def test_a_face_on_its_way_keeps_its_number(fps):
    path = [(now, [seen(300 * now, 100 * now, SIDE * 1.3**now)]) for now in times(fps, 4)]
    assert numbers(Tracker(), path) == {1: [1]}


def test_uneven_frame_times_do_not_matter():
    rng = np.random.default_rng(0)
    when = np.cumsum(rng.choice([0.005, 0.03, 0.1, 0.3], 200))
    assert numbers(Tracker(), [(now, [seen(250 * now)]) for now in when]) == {1: [1]}


@pytest.mark.parametrize("fps", [30, 10, 6])
@pytest.mark.parametrize("speed", [75, 150, 250])
def test_people_who_cross_keep_their_numbers(fps, speed):
    def frames(lag):
        for now in times(fps, 4, start=lag):
            x = speed * (now - 2)
            yield now, [seen(x, person=1), seen(-x, 10, person=2)]

    for lag in np.linspace(0, 1 / fps, 5):
        assert numbers(Tracker(), frames(lag)) == {1: [1], 2: [2]}


def test_shaking_boxes_do_not_make_people_swap_numbers_when_they_cross_slowly():
    rng = np.random.default_rng(12)
    kept = 0
    for _ in range(20):
        tracker = Tracker()
        for now in times(30, 2):  # for some frames the boxes are nearer to each other than they shake
            one, two = rng.normal([(40 * (now - 1), 0), (40 * (1 - now), 5)], 3)
            found = tracker.update([seen(*one), seen(*two)], now)
        kept += [prediction.track for prediction in found] == [1, 2]
    assert kept >= 18


@pytest.mark.parametrize("hidden", ["one", "both", "joined"])
@pytest.mark.parametrize("fps", [30, 10])
def test_people_who_cross_keep_their_numbers_though_the_detector_loses_them(fps, hidden):
    rng = np.random.default_rng(1)
    kept = 0
    for _ in range(8):
        frames = []
        for now in times(fps, 2.4, start=rng.uniform(0, 1 / fps)):
            x = 125 * (now - 1.2)
            one, two = (seen(*(place + rng.normal(0, 2, 2)), person=n) for n, place in ((1, [x, 0]), (2, [-x, 15])))
            if abs(x) < 30:  # 0.48 s
                frames.append((now, {"one": [one], "both": [], "joined": [seen(0, 7, 110, person="?")]}[hidden]))
            else:
                frames.append((now, [one, two]))
        given = numbers(Tracker(), frames)
        kept += given[1] == [1] and given[2] == [2]
    assert kept >= 7


def test_people_side_by_side_in_shaking_boxes_with_missed_frames_keep_their_numbers():
    rng = np.random.default_rng(2)
    frames = []
    for now in times(15, 10):
        shaken = [(110 * n + rng.normal(0, 4), rng.normal(0, 4), SIDE * rng.normal(1, 0.04)) for n in range(6)]
        faces = [seen(*place, person=n) for n, place in enumerate(shaken)]
        frames.append((now, [face for face in faces if rng.random() > 0.3]))
    assert all(len(tracks) == 1 for tracks in numbers(Tracker(), frames).values())


@pytest.mark.parametrize(("gap", "expected"), [(0.9 * KEEP, [1]), (1.1 * KEEP, [2])])
def test_a_gap_ends_a_track_only_if_it_is_long(gap, expected):
    tracker = Tracker()
    tracker.update([seen(0)], 0)
    for now in times(30, gap - 0.05, start=0.03):
        assert tracker.update([], now) == []
    assert numbers(tracker, [(gap, [seen(0)])]) == {1: expected}


def test_keep_sets_how_long_a_gap_may_be():
    for keep, expected in ((2.5, [1]), (1.5, [1, 2])):
        assert numbers(Tracker(keep=keep), [(0, [seen(0)]), (2, [seen(0)])]) == {1: expected}


def test_a_moving_face_is_found_again_further_on():
    when = [now for now in times(30, 4) if not 1.5 < now < 2.2]
    assert numbers(Tracker(), [(now, [seen(200 * now)]) for now in when]) == {1: [1]}  # 140 along, more than a jump


def test_a_face_that_stopped_or_turned_round_out_of_sight_is_found_again():
    away = [(now, [seen(250 * now)]) for now in times(30, 1)]
    for back in (250, 175):
        assert numbers(Tracker(), [*away, (1.8, [seen(back)])]) == {1: [1]}


@pytest.mark.parametrize(("x", "expected"), [(90, [1]), (-90, [1]), (110, [1, 2]), (400, [1, 2])])
def test_a_face_that_jumps_is_another_person(x, expected):
    assert numbers(Tracker(), [(0, [seen(0)]), (0.03, [seen(0)]), (0.06, [seen(x)])]) == {1: expected}


@pytest.mark.parametrize(("factor", "expected"), [(1.9, [1]), (1 / 1.9, [1]), (2.1, [1, 2]), (1 / 2.1, [1, 2])])
def test_a_face_of_another_size_is_another_person(factor, expected):
    assert numbers(Tracker(), [(0, [seen(0)]), (0.03, [seen(0, side=SIDE * factor)])]) == {1: expected}


def test_size_tells_who_is_in_front_when_two_meet():
    frames = [(now, [seen(0, 5, 160, person=1), seen(60 - 60 * now, 0, person=2)]) for now in times(10, 1)]
    assert numbers(Tracker(), frames) == {1: [1], 2: [2]}


def test_people_come_and_go():
    frames = []
    for now in times(10, 9):
        here = {1: now < 6, 2: 1 <= now < 3, 3: now >= 5, 4: now >= 4.5}  # the fourth sits where the second sat
        places = {1: 0, 2: 300, 3: 600, 4: 300}
        frames.append((now, [seen(places[person], person=person) for person, here in here.items() if here]))
    assert numbers(Tracker(), frames) == {1: [1], 2: [2], 4: [3], 3: [4]}


def test_all_faces_are_matched_at_once_and_not_the_nearest_pair_first():
    # 40 is nearer to the person from 50, but then the one from 0 would have to be at 95.
    frames = [(0, [seen(0, person=1), seen(50, person=2)]), (0.2, [seen(40, person=1), seen(95, person=2)])]
    assert numbers(Tracker(), frames) == {1: [1], 2: [2]}


def test_a_leaver_and_a_newcomer_do_not_shift_the_numbers_between_them():
    frames = [(0, [seen(0, person=1), seen(60, person=2)]), (0.1, [seen(60, person=2), seen(125, person=3)])]
    assert numbers(Tracker(), frames) == {1: [1], 2: [2], 3: [3]}


def test_somebody_far_away_has_no_say_in_who_is_who():
    frames = [(0, [seen(0, person=1), seen(600, person=2)]), (0.1, [seen(40, person=1), seen(-50, person=3)])]
    assert numbers(Tracker(), frames) == {1: [1], 2: [2], 3: [3]}


def test_two_faces_in_one_place_get_two_numbers():
    tracker = Tracker()
    for now in times(10, 1):
        tracks = [prediction.track for prediction in tracker.update([seen(0), seen(0), seen(2)], now)]
        assert sorted(tracks) == [1, 2, 3]


def test_predictions_come_back_in_their_order_with_their_faces():
    rng = np.random.default_rng(3)
    tracker = Tracker()
    for now in times(10, 2):
        given = [seen(200 * n, person=n) for n in rng.permutation(5)]
        returned = tracker.update(given, now)
        assert all(new.face is old.face and new.labels is old.labels for new, old in zip(returned, given, strict=True))
        if now == 0:
            number = {prediction.face.score: prediction.track for prediction in returned}
            assert sorted(number.values()) == [1, 2, 3, 4, 5]
        assert [prediction.track for prediction in returned] == [number[old.face.score] for old in given]


def test_what_was_given_is_not_changed():
    tracker = Tracker()
    first, second = seen(0, probabilities=HAPPY), seen(0, probabilities=SAD)
    tracker.update([first], 0)
    tracker.update([second], 0.3)
    assert first.track is None
    np.testing.assert_array_equal(first.distribution, np.float32(HAPPY))
    np.testing.assert_array_equal(second.distribution, np.float32(SAD))


def test_boxes_of_no_size_are_followed_as_well():
    nothing = Prediction(Face(Box(5, 5, 0, 0), 1), np.float32(HAPPY), LABELS)
    assert numbers(Tracker(), [(0, [nothing]), (0.1, [nothing, seen(500, person=2)])]) == {1: [1], 2: [2]}


# Where a face should be


def test_expected_boxes_lead_a_moving_face():
    tracker = Tracker()
    assert tracker.expected(0) == []
    for now in times(30, 2):
        tracker.update([seen(200 * now, 50 * now, SIDE * 1.2**now), seen(0, -500)], now)
    moving, still = tracker.expected(2.1)
    assert moving.centre == pytest.approx((420, 105), abs=4)
    assert moving.width == pytest.approx(SIDE * 1.2**2.1, abs=3)
    assert still == seen(0, -500).box
    assert all(type(value) is int for value in (moving.x, moving.y, moving.width, moving.height))


def test_expected_boxes_follow_whoever_is_out_of_sight_but_not_who_is_gone():
    tracker = Tracker()
    tracker.update([seen(0), seen(300)], 0)
    for now in (0.3, 0.6, 0.9):
        tracker.update([seen(300)], now)
        assert [box.centre for box in tracker.expected(now)] == [(0, 0), (300, 0)]
    assert [box.centre for box in tracker.expected(0.9 * KEEP + 0.2)] == [(300, 0)]
    assert len(tracker.expected(0.9)) == 2  # asking ahead changes nothing


def test_a_face_out_of_sight_coasts_to_a_stop():
    tracker = Tracker(keep=60)
    for now in times(30, 2):
        tracker.update([seen(200 * now)], now)
    centres = [tracker.expected(2 + passed)[0].centre[0] - 400 for passed in (0.1, 0.3, 1, 5, 50)]
    assert centres[0] == pytest.approx(20, abs=3)
    assert centres[1] == pytest.approx(50, abs=6)
    assert centres[-2] == pytest.approx(centres[-1], abs=1) == pytest.approx(200 * COAST, rel=0.1)


def test_shaking_boxes_of_a_still_face_do_not_drift_away_in_a_gap():
    rng = np.random.default_rng(4)
    for _ in range(20):
        tracker = Tracker()
        for now in times(30, 1):
            tracker.update([seen(*rng.normal(0, 3, 2), side=SIDE * rng.normal(1, 0.03))], now)
        box = tracker.expected(1.9)[0]
        assert np.hypot(*box.centre) < 50
        assert 0.6 < box.width / SIDE < 1.6


# Clocks, crowds, mistakes


def test_a_clock_that_goes_back_stops_nothing():
    tracker = Tracker()
    smoothed(tracker, times(30, 2, start=100), lambda now: HAPPY)
    rows = smoothed(tracker, times(30, 2), lambda now: SAD)
    np.testing.assert_allclose(rows[2.0], SAD, atol=0.01)
    np.testing.assert_allclose(rows[0.0], HAPPY, atol=0.01)  # no time had passed
    assert tracker.update([seen(0)], 2.03)[0].track == 1


def test_a_clock_that_stands_still_stops_nothing():
    tracker = Tracker()
    rng = np.random.default_rng(9)
    for _ in range(300):
        found = tracker.update([seen(*rng.normal(0, 10, 2), probabilities=rng.dirichlet((1, 1, 1)))], 7.5)[0]
        assert np.isfinite(found.distribution).all()
    assert found.track == 1
    box = tracker.expected(7.5)[0]
    assert np.hypot(*box.centre) < SIDE
    when = [7.5] * 1000
    assert labels(tracker, when, [SAD] * 1000)[-1] == "sad"


def test_whatever_comes_the_promises_hold():
    rng = np.random.default_rng(10)
    tracker = Tracker()
    clock, highest, last_seen = 0.0, 0, {}
    places, sides = rng.uniform(0, 1500, (30, 2)), rng.choice([1, 20, 80, 100, 300], 30)
    ever = 0
    for _ in range(200):
        step = rng.choice([0.0, 0.001, 0.03, 0.03, 0.1, 0.5, 2.0, -1.0])
        clock += step
        places += rng.normal(0, 10, places.shape)
        here = rng.permutation(30)[: rng.integers(0, 31)]
        given = [seen(*places[n], sides[n], rng.dirichlet((0.2, 0.2, 0.2)), person=n) for n in here]
        expected = tracker.expected(clock)
        assert all(box.width > 0 and box.height > 0 for box in expected)
        found = tracker.update(given, clock)
        assert [prediction.face for prediction in found] == [prediction.face for prediction in given]
        tracks = [prediction.track for prediction in found]
        assert len(set(tracks)) == len(tracks)
        new = [track for track in tracks if track not in last_seen]
        assert new == list(range(highest + 1, highest + 1 + len(new)))
        highest += len(new)
        last_seen = {track: age + max(step, 0) for track, age in last_seen.items()}  # a number once dropped is not new
        assert all(last_seen.get(track, 0) <= KEEP for track in tracks)
        last_seen |= dict.fromkeys(tracks, 0.0)
        for prediction in found:
            assert prediction.distribution.dtype == np.float32
            assert np.isfinite(prediction.distribution).all()
            assert abs(prediction.distribution.sum() - 1) < 1e-5
            assert prediction.label in LABELS
        ever += len(tracks)
    assert 30 < highest < ever / 2  # faces did keep numbers, and did lose them


def test_twenty_faces_take_little_time():
    rng = np.random.default_rng(11)
    seats = [(150 * (n % 5), 150 * (n // 5)) for n in range(20)]
    crowd = [[seen(*place) for place in rng.normal(seats, 3)] for _ in range(9)]
    tracker = Tracker()
    start = time.process_time()
    for i in range(200):
        found = tracker.update(crowd[i % 9], i / 30)
    assert time.process_time() - start < 2  # 0.2 as measured
    assert sorted(prediction.track for prediction in found) == list(range(1, 21))


@pytest.mark.parametrize("name", ["smoothing", "keep"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_times_that_are_none_are_refused(name, value):
    with pytest.raises(FerError, match=f"{name} is a time in seconds, 0 or more; found {value}"):
        Tracker(**{name: value})
