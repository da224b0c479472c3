"""Scene cuts, and people who take each other's place. The people are faces of LFW, 25x25 pixels, as scikit-image brings
them; where they are in a frame is given."""

import itertools

import cv2
import numpy as np
import pytest
from sklearn.datasets import load_sample_images
from support.session import FPS, FakeClassifier, FakeDetector

from fer.inference.faces import Box
from fer.inference.recognizer import Recognizer
from fer.video.appearance import CutDetector, likeness, look
from fer.video.frames import Frame
from fer.video.session import Session
from fer.video.tracking import LIKE

WIDTH, HEIGHT, SIDE = 640, 480, 120
CHINA, FLOWER = (cv2.resize(picture[..., ::-1], (960, 720)) for picture in load_sample_images().images)


def clipped(values):
    return np.clip(values, 0, 255).astype(np.uint8)


def shifted(image, x, y=0):
    return cv2.warpAffine(image, np.float32([[1, 0, x], [0, 1, y]]), image.shape[1::-1], borderMode=cv2.BORDER_REFLECT)


LIGHTS = {
    "dark": lambda image: clipped(image * 0.35),
    "bright": lambda image: clipped(image * 1.8 + 20.0),
    "warm": lambda image: clipped(image * np.array([0.5, 0.9, 1.4])),
    "from the side": lambda image: clipped(image * np.linspace(0.25, 1.4, image.shape[1])[None, :, None]),
    "flash": lambda image: clipped(image * 1.2 + 90.0),
}
MOVES = {
    "pan": lambda image: shifted(image, 110),
    "tilt": lambda image: shifted(image, 0, 80),
    "blur": lambda image: cv2.GaussianBlur(image, (0, 0), 4),
    "motion blur": lambda image: cv2.blur(image, (31, 1)),
    "zoom": lambda image: cv2.resize(image[12:-12, 16:-16], image.shape[1::-1]),
    "noise": lambda image: clipped(image + np.random.default_rng(0).normal(0, 20, image.shape)),
    "hand": lambda image: cv2.rectangle(image.copy(), (0, 0), (250, HEIGHT), (90, 120, 180), -1),
}


def view(picture):
    return picture[100 : 100 + HEIGHT, 100 : 100 + WIDTH]


class TestCutDetector:
    @pytest.mark.parametrize("change", [*LIGHTS, *MOVES])
    @pytest.mark.parametrize("picture", [CHINA, FLOWER], ids=["china", "flower"])
    def test_light_and_movement_are_no_cut(self, picture, change):
        detector, before = CutDetector(), view(picture)
        after = (LIGHTS | MOVES)[change](before)
        assert [detector.is_cut(image) for image in (before, after, before)] == [False] * 3

    @pytest.mark.parametrize("change", [None, *LIGHTS])
    def test_another_place_is_a_cut(self, change):
        detector, alter = CutDetector(), LIGHTS.get(change, lambda image: image)
        frames = [view(CHINA), view(CHINA), alter(view(FLOWER)), alter(view(FLOWER)), view(CHINA)]
        assert [detector.is_cut(image) for image in frames] == [False, False, True, False, True]

    def test_black_frames_between_two_scenes_hide_no_cut_and_make_none(self):
        black = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        for after, cut in ((CHINA, False), (FLOWER, True)):
            detector = CutDetector()
            assert [detector.is_cut(image) for image in (view(CHINA), black, black, view(after))] == [False] * 3 + [cut]

    def test_the_size_may_change(self):
        detector = CutDetector()
        assert not detector.is_cut(view(CHINA))
        assert not detector.is_cut(cv2.resize(view(CHINA), (1280, 960)))
        assert detector.is_cut(cv2.resize(view(FLOWER), (160, 120)))


@pytest.fixture(scope="module")
def people():
    """Twelve faces of different people, uint8 (120, 120, 3)."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the faces")
    faces = data.lfw_subset()[:100:8]
    return [cv2.cvtColor(cv2.resize(clipped(255 * face), (SIDE, SIDE)), cv2.COLOR_GRAY2BGR) for face in faces[:12]]


PLACE = Box(260, 180, SIDE, SIDE)


STREET, MEADOW = (cv2.blur(view(picture), (9, 9)) for picture in (CHINA, FLOWER))


def scene(face, background=STREET, place=PLACE):
    image = background.copy()
    image[place.y : place.y + place.height, place.x : place.x + place.width] = face
    return image


class TestLikeness:
    @pytest.mark.parametrize("change", [None, *LIGHTS, "blur", "motion blur", "noise"])
    def test_a_person_is_like_himself_in_another_light_and_in_a_box_that_jitters(self, people, change):
        alter = (LIGHTS | MOVES).get(change, lambda image: image)
        for face in people:
            before = look(scene(face), PLACE)
            for x, y, side in ((0, 0, 0), (8, -6, 4), (-6, 8, -10)):
                box = Box(PLACE.x + x, PLACE.y + y, SIDE + side, SIDE + side)
                assert likeness(before, look(alter(scene(face)), box)) > LIKE

    def test_two_people_are_not(self, people):
        looks = [look(scene(face), PLACE) for face in people]
        pairs = [likeness(a, b) for a in looks for b in looks if a is not b]
        assert np.mean(np.array(pairs) < LIKE) > 0.75  # in sharper images 98 %

    def test_a_face_at_the_edge(self, people):
        corner = Box(0, 0, SIDE, SIDE)
        image = scene(people[0], place=corner)
        assert look(image, corner).shape == look(image, PLACE).shape
        assert likeness(look(scene(people[0]), PLACE), look(image, corner)) > LIKE


def session_of(detector, **options):
    return Session(Recognizer(FakeClassifier(), detector), smoothing=0.4, thorough=True, **options)


def tracks(frames, skip=1):
    """The number of the one face of each frame; frames are (image, box)."""
    detector = FakeDetector()
    session = session_of(detector, skip=skip)
    numbers = []
    for i, (image, box) in enumerate(frames):
        detector.boxes = [box]
        (prediction,) = session.process(Frame(image, "video", i, i / FPS))
        numbers.append(prediction.track)
    return numbers


def alternating(people, backgrounds, length=10):
    for face, background in zip(people, backgrounds, strict=True):
        for i in range(length):
            yield scene(face, background), Box(PLACE.x + i % 3, PLACE.y, SIDE, SIDE)


class TestPeople:
    def test_people_who_alternate_at_one_place_after_cuts_get_new_numbers(self, people):
        frames = list(alternating([people[0], people[1]] * 2, [STREET, MEADOW] * 2))
        assert tracks(frames) == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10

    def test_even_one_person_gets_a_new_number_after_a_cut(self, people):
        assert tracks(alternating([people[0]] * 2, [STREET, MEADOW])) == [1] * 10 + [2] * 10

    def test_people_who_alternate_before_one_background_get_new_numbers(self, people):
        assert (
            tracks(alternating([*people[:2], *people[:2]], [STREET] * 4)) == [1] * 10 + [2] * 10 + [3] * 10 + [4] * 10
        )

    def test_smoothing_does_not_reach_over_a_cut(self, people):
        session = session_of(FakeDetector([PLACE]))
        white, black = np.full((SIDE, SIDE, 3), 255, np.uint8), np.zeros((SIDE, SIDE, 3), np.uint8)
        for i in range(20):
            session.process(Frame(scene(white, STREET), "video", i, i / FPS))
        (prediction,) = session.process(Frame(scene(black, MEADOW), "video", 20, 20 / FPS))
        assert prediction.label == "sad"
        assert prediction.confidence == pytest.approx(1, abs=0.01)

    def test_a_cut_between_two_analysed_frames_is_seen_at_once(self, people):
        frames = alternating(people[:2], [STREET, MEADOW])
        assert tracks(frames, skip=7) == [1] * 10 + [2] * 10

    @pytest.mark.parametrize("change", [*LIGHTS, "blur", "motion blur", "noise"])
    def test_sudden_light_and_blur_do_not_split_a_person(self, people, change):
        alter = (LIGHTS | MOVES)[change]
        for face in people[:2]:
            image = scene(face)
            assert set(tracks([(alter(image) if i // 8 % 2 else image, PLACE) for i in range(24)])) == {1}

    def test_gradual_light_does_not_split_a_person(self, people):
        frames = [(clipped(scene(people[0]) * (0.6 + 0.4 * np.cos(i / 10))), PLACE) for i in range(90)]
        assert set(tracks(frames)) == {1}

    def test_fast_movement_does_not_split_a_person(self, people):
        places = [
            Box(round(250 + 250 * np.sin(i / 5)), round(180 + 100 * np.cos(i / 5)), SIDE, SIDE) for i in range(90)
        ]
        frames = [(cv2.blur(scene(people[0], place=place), (9, 1)), place) for place in places]
        assert max(abs(a.x - b.x) for a, b in itertools.pairwise(places)) > 0.4 * SIDE
        assert set(tracks(frames)) == {1}

    @pytest.mark.parametrize("speed", [10, 60])
    def test_camera_that_pans_does_not_split_a_person(self, people, speed):
        def pans():
            for i in range(60):
                x = round(160 * np.sin(i * speed / 160))
                yield shifted(scene(people[0]), x), Box(PLACE.x + x, PLACE.y, SIDE, SIDE)

        assert set(tracks(pans())) == {1}

    def test_a_person_who_turns_away_for_a_moment_keeps_the_number(self, people):
        detector = FakeDetector([PLACE])
        session = session_of(detector)
        for i in range(40):
            detector.boxes = [] if 10 <= i < 25 else [PLACE]
            face = people[0] if i < 25 else cv2.flip(people[0], 1)  # back in another pose
            shown = session.process(Frame(scene(face), "video", i, i / FPS))
        assert [prediction.track for prediction in shown] == [1]

    def test_somebody_who_passes_in_front_ends_nobody(self, people):
        detector = FakeDetector()
        session = session_of(detector)
        numbers = set()
        for i in range(60):
            passing = Box(20 * i - 200, PLACE.y, SIDE, SIDE)
            inside = 0 <= passing.x <= WIDTH - SIDE
            hides = inside and passing.overlap(PLACE) > 0.1
            image = scene(people[0])
            if inside:
                image[passing.y : passing.y + SIDE, passing.x : passing.x + SIDE] = people[1]
            detector.boxes = [*([] if hides else [PLACE]), *([passing] if inside else [])]
            numbers |= {prediction.track for prediction in session.process(Frame(image, "video", i, i / FPS))}
        assert numbers == {1, 2}
