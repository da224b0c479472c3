"""Boxes, words and bars on a copy."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer.inference import drawing
from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction

LABELS = ("angry", "happy", "verwundert ß", "驚き")


def prediction(box, index=1, track=None):
    probabilities = np.full(len(LABELS), 0.1, np.float32)
    probabilities[index] = 0.7
    return Prediction(Face(box, 1.0), probabilities, LABELS, track)


@pytest.fixture
def image(draw):
    return draw(3, 240, 320)


class TestDraw:
    def test_the_image_itself_is_not_touched(self, image):
        before = image.copy()
        drawn = drawing.draw(image, [prediction(Box(50, 60, 80, 80))], caption="25 fps")
        assert drawn.shape == image.shape
        assert drawn.dtype == np.uint8
        assert not np.array_equal(drawn, image)
        np.testing.assert_array_equal(image, before)

    def test_the_box_is_where_the_face_is(self, image):
        drawn = drawing.draw(image, [prediction(Box(50, 60, 80, 80))], bars=False)
        changed = (drawn != image).any(axis=2)
        for y, x in ((100, 50), (100, 129), (139, 90), (60, 90)):
            assert changed[y, x]
        assert not changed[70:130, 60:120].any()  # the face stays visible

    @pytest.mark.parametrize(
        "box", [Box(0, 0, 320, 240), Box(0, 0, 1, 1), Box(319, 239, 1, 1), Box(300, 0, 20, 20), Box(0, 220, 20, 20)]
    )
    @pytest.mark.parametrize("shape", [(240, 320), (12, 12), (1, 1), (600, 30)])
    def test_anywhere_in_any_image(self, box, shape):
        height, width = shape
        box = Box(min(box.x, width - 1), min(box.y, height - 1), min(box.width, width), min(box.height, height))
        drawn = drawing.draw(np.zeros((*shape, 3), np.uint8), [prediction(box)], caption="30 fps")
        assert drawn.shape == (*shape, 3)

    def test_bars_cover_neither_other_faces_nor_other_bars(self, image):
        def columns(*starts):
            faces = [prediction(Box(x, 60, 40, 60), track=i) for i, x in enumerate(starts, 1)]
            plain, drawn = (drawing.draw(image, faces, bars=bars) for bars in (False, True))
            return (plain != drawn).any(axis=(0, 2))

        width = columns(0).sum()
        apart = columns(0, 180)
        assert apart.sum() == 2 * width
        assert not apart[180:220].any()
        near = columns(0, 130)  # the bars of the first would lie on the second face
        assert near.sum() == width
        assert not near[:170].any()
        crowd = columns(100, 150, 200)  # only the first has room at its left
        assert crowd.sum() == width
        assert not crowd[100:].any()

    def test_no_face_is_said(self, image):
        blank, captioned = drawing.draw(image, []), drawing.draw(image, [], caption="30 fps")
        changed = (blank != image).any(axis=2)
        assert changed[:20].any()
        assert not changed[40:].any()
        assert not np.array_equal(blank, captioned)

    def test_a_bar_is_as_long_as_the_probability(self, image):
        def longest(index):
            drawn = drawing.draw(np.zeros_like(image), [prediction(Box(20, 20, 60, 60), index)])
            color = np.array(drawing.COLORS[0])
            rows = (drawn[:, 90:] == color).all(axis=2).sum(axis=1)
            return int(rows.argmax()), int(rows.max())

        (first, length), (second, same) = longest(0), longest(1)
        assert first < second  # the bar of the second label stands below that of the first
        assert abs(length - same) <= 1
        assert length > 15

    def test_a_track_keeps_its_colour(self, image):
        box = Box(50, 60, 80, 80)

        def color(*predictions):
            return tuple(drawing.draw(image, list(predictions), bars=False)[100, 50])

        alone = color(prediction(box, track=4))
        assert alone == color(prediction(Box(200, 60, 40, 40), track=9), prediction(box, track=4))
        assert alone != color(prediction(box, track=5))

    def test_uncertain_is_drawn_in_place_of_the_label(self, image, monkeypatch):
        texts = []
        monkeypatch.setattr(drawing, "_text", lambda canvas, text, *_, **look: texts.append((text, look.get("color"))))
        sure = prediction(Box(50, 60, 80, 80), 1)
        for below, heading, marked in ((0.0, sure.label, [sure.label]), (1.1, "uncertain", [])):
            texts.clear()
            drawing.draw(image, [replace(sure, uncertain_below=below)])
            assert texts[0][0].startswith(heading)
            colored = [t for t, color in texts[1:] if color not in (None, drawing.PAPER)]
            assert colored == marked  # no bar stands out

    def test_what_the_font_lacks_is_a_question_mark(self):
        assert drawing._ascii("fröhlich ß 驚き") == "frohlich ? ??"

    def test_a_mirror_turns_image_and_boxes_but_not_words(self, image):
        box = Box(50, 60, 80, 80)
        turned, (flipped,) = drawing.mirrored(image, [prediction(box)])
        np.testing.assert_array_equal(turned, image[:, ::-1])
        assert flipped.face.box == Box(190, 60, 80, 80)
        np.testing.assert_array_equal(turned[60:140, 190:270], image[60:140, 50:130][:, ::-1])
        assert drawing.draw(turned, [flipped]).shape == image.shape  # OpenCV draws on whole arrays only


class TestAnnotate:
    def test_a_cropped_face_is_enlarged_and_its_bars_stand_beside_it(self, draw):
        face = draw(1, 48, 48)
        drawn = drawing.annotate(face, [prediction(Box(0, 0, 48, 48))])
        assert drawn.shape[0] == drawing.LEGIBLE
        assert drawn.shape[1] > 1.3 * drawing.LEGIBLE
        enlarged = cv2.resize(face, (drawing.LEGIBLE,) * 2, interpolation=cv2.INTER_LINEAR)
        inner = slice(60, 200)
        np.testing.assert_array_equal(drawn[inner, inner], enlarged[inner, inner])  # the face stays visible

    def test_a_strip_does_not_become_a_giant(self):
        drawn = drawing.annotate(np.zeros((2, 1000, 3), np.uint8), [])
        assert drawn.shape[1] == drawing.LARGEST
        assert drawing.annotate(np.zeros((1, 5000, 3), np.uint8), []).shape[:2] == (1, 5000)

    def test_a_photograph_keeps_its_size(self, image):
        assert drawing.annotate(image, [prediction(Box(50, 60, 80, 80))]).shape == image.shape


def test_the_page_has_the_colours_of_recorded_videos():
    script = (Path(drawing.__file__).parents[1] / "web" / "static" / "draw.js").read_text()
    line = next(line for line in script.splitlines() if line.startswith("const COLORS"))
    found = [tuple(int(code[i : i + 2], 16) for i in (4, 2, 0)) for code in re.findall("#([0-9a-f]{6})", line)]
    assert tuple(found) == drawing.COLORS
