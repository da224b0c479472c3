"""Frame after frame: what is searched and when, what is skipped, and the summary."""

import os
import sys
import threading
from concurrent.futures import Executor, Future, ThreadPoolExecutor

import numpy as np
import pytest
from support import tiny
from support.session import FPS, LABELS, FakeClassifier, FakeDetector

from fer.core.images import InputSpec
from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction, Recognizer
from fer.models.classifier import Classifier
from fer.video import face_finder
from fer.video import session as live
from fer.video.face_finder import FaceFinder
from fer.video.frames import Frame
from fer.video.session import Session, track


class InlineExecutor(Executor):
    """Runs what is submitted at once, so that tests see the searches of a camera in order."""

    def __init__(self, *_):
        pass

    def submit(self, function, *arguments):
        future = Future()
        future.set_result(function(*arguments))
        return future


class HeldExecutor(Executor):
    """Ends a search when it is told to."""

    def __init__(self):
        self.held = []

    def submit(self, function, *arguments):
        self.held.append((Future(), function, arguments))
        return self.held[-1][0]

    def release(self, error=None):
        future, function, arguments = self.held.pop()
        if error:
            future.set_exception(error)
        else:
            future.set_result(function(*arguments))


@pytest.fixture(autouse=True)
def _searches_in_order(monkeypatch):
    monkeypatch.setattr(face_finder, "ThreadPoolExecutor", InlineExecutor)


def frame(index, level=255, shape=(120, 160, 3)):
    return Frame(np.full(shape, level, np.uint8), "fake", index, index / FPS)


def session(detector, uncertain_below=None, **options):
    recognizer = Recognizer(FakeClassifier(), detector, uncertain_below=uncertain_below)
    return Session(recognizer, **{"smoothing": 0} | options)


A, B = Box(10, 10, 40, 40), Box(100, 60, 40, 40)


def test_frames_lost_at_the_end_are_counted_and_have_rows():
    class Source:
        name, lost = "fake", 3

    watched = session(FakeDetector([A]))
    for i in (0, 2):  # one is lost between them, two are after the last
        watched.process(frame(i))
    assert [(row["index"], row["status"]) for row in watched.finish(Source())] == [(3, "unreadable"), (4, "unreadable")]
    assert watched.history.lost == 3
    assert "2 frames, 0 without a face, 3 more unreadable" in watched.history.summary()
    assert watched.finish(Source()) == []


class TestFaceFinder:
    def test_known_face_is_searched_near_its_place_and_everywhere_at_intervals(self):
        detector = FakeDetector([A])
        watched = session(detector)
        for i in range(4 * FPS):
            (prediction,) = watched.process(frame(i))
            assert prediction.box == A
        assert detector.searches.count("near") == 4 * FPS
        everywhere = [search for search in detector.searches if search != "near"]
        assert everywhere == [0, 0, 0, 0, 0, 0, 1]  # at first, then now and then

    @pytest.mark.parametrize("thorough", [False, True])
    def test_lost_face_is_searched_everywhere_at_once(self, thorough):
        detector = FakeDetector([A])
        watched = session(detector, thorough=thorough)
        watched.process(frame(0))
        detector.boxes = [B]
        (prediction,) = watched.process(frame(1))
        assert prediction.box == B
        assert prediction.track == 2

    def test_face_that_only_the_local_search_finds_is_kept(self):
        detector = FakeDetector([A])
        watched = session(detector)
        watched.process(frame(0))
        detector.boxes, detector.hidden = [B], [A]  # the whole frame shows another one only
        boxes = [p.box for i in range(1, FPS) for p in watched.process(frame(i))]
        assert A in boxes
        assert B in boxes

    @pytest.mark.parametrize("leaves", [False, True])
    def test_face_in_profile_stays_though_another_leaves_or_it_was_missed_for_a_frame(self, leaves):
        class Profile(FakeDetector):
            """A face that later passes alone find."""

            profiles = ()

            def find_near(self, image, box, later_passes=True):
                seen = super().find_near(image, box)
                return seen if later_passes or seen is None or seen.box not in self.profiles else None

            def find_in_pass(self, image, turn):
                faces = super().find_in_pass(image, turn)
                return [face for face in faces if face.box not in self.profiles or (turn % 2 and turn > 1)]

        detector = Profile([A, B] if leaves else [A])
        watched = session(detector)
        watched.process(frame(0))
        detector.profiles, detector.boxes = (A,), [A] if leaves else []
        watched.process(frame(1))
        detector.boxes = [A]
        shown = [[p.track for p in watched.process(frame(i)) if p.box == A] for i in range(2, 2 * FPS)]
        first = next(i for i, tracks in enumerate(shown) if tracks)
        assert first == 0 if leaves else first < FPS
        assert shown[first:] == [[1]] * (2 * FPS - 2 - first)

    def test_box_that_the_local_search_does_not_confirm_is_dropped(self):
        detector = FakeDetector([A])
        detector.find_near = lambda image, box, **_: None
        assert session(detector).process(frame(0)) == []

    @pytest.mark.parametrize("thorough", [False, True])
    def test_a_new_face_needs_the_opinion_of_the_other_detector_once(self, thorough):
        asked = []

        class Two(FakeDetector):
            """A detector with a second opinion: it believes B alone."""

            def confirms(self, image, face):
                asked.append(face.box)
                return face.box == B

        watched = session(Two([A, B]), thorough=thorough)
        assert [p.box for i in range(10) for p in watched.process(frame(i))] == [B] * 10
        assert asked.count(B) == 1
        assert asked.count(A) > 1  # it may be seen better in a later frame

    def test_one_face_is_not_reported_twice(self):
        detector = FakeDetector([A])
        watched = session(detector)
        watched.process(frame(0))
        shifted = Box(A.x + 3, A.y, A.width, A.height)
        detector.find_in_pass = lambda image, turn: [Face(shifted, 1.0)]
        assert all(len(watched.process(frame(i))) == 1 for i in range(1, FPS))

    def test_two_faces_expected_at_one_place_are_one(self):
        finder = FaceFinder(FakeDetector([A]))
        finder.find(frame(0).image, [], 0.0)
        assert [face.box for face in finder.find(frame(1).image, [A, A], 0.03)] == [A]

    def test_without_faces_a_camera_runs_one_pass_per_frame(self):
        detector = FakeDetector()
        watched = session(detector)
        for i in range(20):
            assert watched.process(frame(i)) == []
        assert detector.searches == list(range(20))

    def test_without_faces_a_file_runs_the_first_pass_and_another(self):
        detector = FakeDetector()
        watched = session(detector, thorough=True)
        for i in range(3):
            watched.process(frame(i))
        assert detector.searches == ["whole", 0, "whole", 1, "whole", 2]

    def test_with_a_face_in_sight_no_profile_pass_runs(self):
        detector = FakeDetector([A])
        finder = FaceFinder(detector)
        for i in range(10):
            finder.find(frame(i).image, [A, B], i / FPS)  # B is gone
        assert set(detector.searches) == {"near", 0, 1}

    def test_no_frame_of_a_camera_waits_for_the_search_of_another(self):
        executor = HeldExecutor()
        detector = FakeDetector()
        finder = FaceFinder(detector, executor=executor)
        finder._begun = True
        assert [finder.find(frame(i).image, [], i / FPS) for i in range(5)] == [[]] * 5
        detector.boxes = [A]
        assert len(executor.held) == 1  # the next search waits for this one
        executor.release()
        assert [face.box for face in finder.find(frame(5).image, [], 5 / FPS)] == [A]
        assert len(executor.held) == 1
        executor.release(ZeroDivisionError())
        with pytest.raises(ZeroDivisionError):
            finder.find(frame(6).image, [A], 6 / FPS)

    @pytest.mark.skipif(sys.platform != "linux", reason="a thread has a priority of its own on Linux only")
    def test_frames_have_the_processor_before_the_search(self, monkeypatch):
        class Watched(FakeDetector):
            def find_in_pass(self, image, number):
                priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
                return []

        monkeypatch.setattr(face_finder, "ThreadPoolExecutor", ThreadPoolExecutor)
        priorities, before = [], os.getpriority(os.PRIO_PROCESS, 0)
        finder = FaceFinder(Watched())
        for i in range(2):  # the first frame is searched at once
            finder.find(frame(i).image, [], i / FPS)
        finder._executor.shutdown()
        assert priorities == [before, min(before + 10, 19)]
        assert os.getpriority(os.PRIO_PROCESS, 0) == before

    def test_what_a_search_found_is_confirmed_in_the_frame_at_hand(self):
        executor, detector = HeldExecutor(), FakeDetector()
        finder = FaceFinder(detector, executor=executor)
        finder._begun = True
        finder.find(frame(0).image, [], 0.0)
        detector.boxes = [A]
        executor.release()
        detector.boxes = []  # gone by now
        assert finder.find(frame(1).image, [], 1 / FPS) == []

    def test_detector_without_local_search_searches_every_frame(self):
        class Simple:
            name = "simple"
            searches = 0

            def find(self, image):
                self.searches += 1
                return [Face(A, 1.0)]

        detector = Simple()
        watched = session(detector)
        for i in range(10):
            watched.process(frame(i))
        assert detector.searches == 10


class TestSession:
    def test_all_faces_of_a_frame_are_one_call_of_the_network(self):
        watched = session(FakeDetector([A, B]))
        for i in range(3):
            assert [p.label for p in watched.process(frame(i))] == ["happy", "happy"]
        assert watched.recognizer.classifier.calls == [2, 2, 2]

    def test_no_face_is_no_call(self):
        watched = session(FakeDetector())
        assert watched.process(frame(0)) == []
        assert watched.recognizer.classifier.calls == []

    def test_skip_analyses_every_third_frame_and_carries_boxes_over(self):
        watched = session(FakeDetector([A]), skip=3)
        levels = [255, 0, 0, 0, 255, 255, 255]
        shown = [watched.process(frame(i, level))[0].label for i, level in enumerate(levels)]
        assert shown == ["happy", "happy", "happy", "sad", "sad", "sad", "happy"]
        assert len(watched.recognizer.classifier.calls) == 3
        assert watched.history.frames == 7

    def test_a_face_missed_once_is_the_same_however_few_frames_are_analysed(self):
        detector = FakeDetector([A])
        watched = session(detector, skip=30)  # one every two seconds
        for i in range(150):
            detector.boxes = [] if i == 60 else [A]
            shown = watched.process(Frame(frame(0).image, "fake", i, i / 15))
        assert [p.track for p in shown] == [1]

    @pytest.mark.parametrize("smoothing", [0, 0.4])
    def test_smoothing(self, smoothing):
        watched = session(FakeDetector([A]), smoothing=smoothing)
        for i in range(30):
            watched.process(frame(i, 255))
        (prediction,) = watched.process(frame(30, 0))
        assert prediction.label == ("sad" if smoothing == 0 else "happy")
        assert prediction.distribution.sum() == pytest.approx(1)

    def test_uncertain_is_told_by_the_smoothed_probabilities_and_counted(self):
        watched = session(FakeDetector([A]), smoothing=0.4, uncertain_below=0.8)
        shown = [watched.process(frame(i, 255 if i < 30 else 140))[0] for i in range(90)]
        assert [p.label for p in shown] == ["happy"] * 90
        turned = next(i for i, p in enumerate(shown) if p.uncertain)
        assert 33 < turned < 60  # at once without smoothing
        assert {p.shown for p in shown[turned:]} == {"uncertain"}
        assert "happy" in watched.history.summary()
        assert f"uncertain {(90 - turned) / 89:.0%}" in watched.history.summary()

    def test_track_labels_a_video_frame_by_frame(self, make_video):
        recognizer = Recognizer(FakeClassifier(), FakeDetector([A]))
        found = list(track(recognizer, str(make_video(frames=5))))
        assert [frame.index for frame, _ in found] == [0, 1, 2, 3, 4]
        assert [[(p.track, p.box) for p in predictions] for _, predictions in found] == [[(1, A)]] * 5

    def test_a_real_classifier_serves(self):
        classifier = Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE))
        watched = Session(Recognizer(classifier, FakeDetector([A, B])))
        predictions = watched.process(frame(0))
        assert [p.track for p in predictions] == [1, 2]
        assert predictions[0].labels == tiny.LABELS

    def test_frames_a_second(self, monkeypatch):
        now = iter(np.arange(0, 100, 0.05))
        monkeypatch.setattr(live.time, "monotonic", lambda: next(now))
        watched = session(FakeDetector())
        for i in range(50):
            watched.process(frame(i))
        assert watched.fps == pytest.approx(20)
        assert len(watched.times) <= live.FPS_WINDOW + 1


def prediction(track, share):
    return Prediction(Face(A, 1.0), np.array([share, 1 - share], np.float32), LABELS, track)


class TestHistory:
    def test_shares_of_time(self):
        history = live.History(LABELS)
        for i in range(11):
            history.add(i / 10, [prediction(1, 1.0 if i <= 8 else 0.0)])
        assert history.summary().splitlines() == [
            "11 frames, 0 without a face; 11 faces in 1 track",
            "  face 1, 0.0 to 1.0 s: happy 80%, sad 20%",
        ]

    def test_a_lost_camera_adds_a_second_at_most(self):
        history = live.History(LABELS)
        for seconds, share in ((0, 1.0), (1, 1.0), (500, 0.0)):
            history.add(seconds, [prediction(1, share)])
        assert history.shown[1] == {"happy": 1.0, "sad": 1.0}

    def test_time_that_runs_backwards_takes_nothing_away(self):
        history = live.History(LABELS)
        for seconds in (5, 6, 0, 1):
            history.add(seconds, [prediction(1, 1.0)])
        assert history.shown[1]["happy"] == 2

    def test_frames_without_a_face_are_counted(self):
        history = live.History(LABELS)
        history.add(0, [])
        history.add(1, [prediction(1, 1.0), prediction(2, 1.0)])
        assert history.summary().startswith("2 frames, 1 without a face; 2 faces in 2 tracks")

    def test_many_faces_are_not_all_listed(self):
        history = live.History(LABELS)
        for number in range(1, 40):
            for i in range(number):
                history.add(100 * number + i / 10, [prediction(number, 1.0)])
        lines = history.summary().splitlines()
        assert len(lines) == 2 + live.MOST_TRACKS
        assert lines[-1] == "  ... and 19 seen for a shorter time"
        assert lines[1].startswith("  face 20,")

    def test_the_timeline_is_thinned_out(self):
        history = live.History(LABELS)
        for i in range(3000):
            history.add(i / 100, [prediction(1, 0.75)])
        times, probabilities = history.timeline()[1]
        assert len(times) <= 301
        assert np.diff(times).min() >= live.SAMPLE - 1e-9
        assert probabilities.shape == (len(times), 2)
        assert (probabilities == np.float32([0.75, 0.25])).all()
