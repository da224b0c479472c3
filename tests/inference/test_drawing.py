"""Boxes, words and bars on a copy; recorded videos play at the speed at which their frames came."""

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from fer import FerError
from fer.inference import drawing
from fer.inference.faces import Box, Face
from fer.inference.recognizer import Prediction
from fer.video import writer

LABELS = ("angry", "happy", "verwundert ß", "驚き")


def prediction(box, index=1, track=None):
    probabilities = np.full(len(LABELS), 0.1, np.float32)
    probabilities[index] = 0.7
    return Prediction(Face(box, 1.0), probabilities, LABELS, track)


@pytest.fixture
def image(draw):
    return draw(3, 240, 320)


class TestDraw:
    def test_the_picture_itself_is_not_touched(self, image):
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
    def test_anywhere_in_any_picture(self, box, shape):
        height, width = shape
        box = Box(min(box.x, width - 1), min(box.y, height - 1), min(box.width, width), min(box.height, height))
        drawn = drawing.draw(np.zeros((*shape, 3), np.uint8), [prediction(box)], caption="30 fps")
        assert drawn.shape == (*shape, 3)

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

    def test_a_mirror_turns_picture_and_boxes_but_not_words(self, image):
        box = Box(50, 60, 80, 80)
        turned, (flipped,) = drawing.mirrored(image, [prediction(box)])
        np.testing.assert_array_equal(turned, image[:, ::-1])
        assert flipped.face.box == Box(190, 60, 80, 80)
        np.testing.assert_array_equal(turned[60:140, 190:270], image[60:140, 50:130][:, ::-1])
        assert drawing.draw(turned, [flipped]).shape == image.shape  # OpenCV draws on whole arrays only


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif"])
def test_encode(image, suffix):
    decoded = cv2.imdecode(np.frombuffer(drawing.encode(image, suffix), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - image).mean() < 4


@pytest.mark.parametrize("suffix", [".gif2", "", ".txt"])
def test_encode_refuses(image, suffix):
    with pytest.raises(FerError, match="pictures cannot be written as"):
        drawing.encode(image, suffix)


def levels(path):
    """Mean grey of every frame of a video, and its frames a second."""
    capture = cv2.VideoCapture(str(path))
    found = []
    while (read := capture.read())[0]:
        found.append(int(read[1].mean()))
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return found, fps


def grey(level, shape=(48, 64)):
    return np.full((*shape, 3), level, np.uint8)


class TestRecorder:
    @pytest.mark.parametrize("suffix", [".mp4", ".avi", ".mkv"])
    @pytest.mark.parametrize("fps", [12.5, 29.97, 90.123])
    def test_evenly_spaced_frames_are_written_once_each(self, tmp_path, suffix, fps):
        path = tmp_path / f"deeper/out{suffix}"
        with writer.Recorder(path, fps) as recorder:
            for i in range(25):
                recorder.write(grey(10 * i), 7.0 + i / fps)
        found, written = levels(path)
        assert written == pytest.approx(fps, rel=1e-3)
        assert len(found) == 25
        assert np.abs(np.array(found) - np.arange(0, 250, 10)).max() <= 6

    def test_a_cameras_frames_stand_at_their_time(self, tmp_path):
        times = [0.0, 0.1, 0.5, 0.54, 1.0]
        with writer.Recorder(tmp_path / "out.avi", 10) as recorder:
            for i, seconds in enumerate(times):
                recorder.write(grey(50 * i), seconds)
        found, _ = levels(tmp_path / "out.avi")
        assert [round(level / 50) for level in found] == [0, 1, 1, 1, 1, 2, 3, 3, 3, 3, 4]

    def test_every_frame_is_there_even_when_two_share_a_moment(self, tmp_path):
        with writer.Recorder(tmp_path / "out.avi", 10) as recorder:
            for i in range(5):
                recorder.write(grey(50 * i), i / 1000)
        assert [round(level / 50) for level in levels(tmp_path / "out.avi")[0]] == [0, 1, 2, 3, 4]

    @pytest.mark.parametrize(("camera", "video"), [(60, 60), (15, 30), (1000, 120)])
    @pytest.mark.parametrize("count", [4, 40])
    def test_the_rate_of_a_camera_is_measured(self, tmp_path, camera, video, count):
        with writer.Recorder(tmp_path / "out.avi") as recorder:
            for i in range(count):
                recorder.write(grey(100), i / camera)
        found, fps = levels(tmp_path / "out.avi")
        assert fps == pytest.approx(video)
        assert len(found) == max(count, 1 + round((count - 1) * video / camera))

    @pytest.mark.parametrize("count", [0, 1])
    def test_hardly_any_frames(self, tmp_path, count):
        with writer.Recorder(tmp_path / "out.avi") as recorder:
            for _ in range(count):
                recorder.write(grey(100), 0.0)
        assert (tmp_path / "out.avi").exists() == bool(count)
        assert len(levels(tmp_path / "out.avi")[0]) == count

    def test_an_outage_is_shortened(self, tmp_path):
        with writer.Recorder(tmp_path / "out.avi", 10) as recorder:
            for seconds in (0, 3600, 3600.1, 3600.5):
                recorder.write(grey(100), seconds)
        assert abs(len(levels(tmp_path / "out.avi")[0]) - 10 * (writer.LONGEST_STILL + 0.5)) <= 3

    def test_a_frame_of_another_size_is_fitted_in(self, tmp_path):
        with writer.Recorder(tmp_path / "out.avi", 10) as recorder:
            recorder.write(grey(200), 0.0)
            recorder.write(grey(200, (96, 96)), 0.1)
        found, _ = levels(tmp_path / "out.avi")
        assert found[0] == pytest.approx(200, abs=4)
        assert found[1] == pytest.approx(150, abs=4)  # three quarters of the width

    def test_refused(self, tmp_path):
        with pytest.raises(FerError, match=r"out.gif: videos are written as .mp4, .avi, .mkv"):
            writer.Recorder(tmp_path / "out.gif", 10)
        (tmp_path / "file").touch()
        with pytest.raises(FerError, match="cannot be written"):
            writer.Recorder(tmp_path / "file" / "out.mp4", 10)


class TestAnnotate:
    def test_a_cropped_face_is_enlarged_and_its_bars_stand_beside_it(self, draw):
        face = draw(1, 48, 48)
        drawn = drawing.annotate(face, [prediction(Box(0, 0, 48, 48))])
        assert drawn.shape[0] == drawing.LEGIBLE
        assert drawn.shape[1] > 1.3 * drawing.LEGIBLE
        enlarged = cv2.resize(face, (drawing.LEGIBLE,) * 2, interpolation=cv2.INTER_LINEAR)
        inner = slice(60, 200)
        np.testing.assert_array_equal(drawn[inner, inner], enlarged[inner, inner])  # the face stays visible

    def test_a_photograph_keeps_its_size(self, image):
        assert drawing.annotate(image, [prediction(Box(50, 60, 80, 80))]).shape == image.shape


def test_the_page_has_the_colours_of_recorded_videos():
    script = (Path(drawing.__file__).parents[1] / "web" / "static" / "draw.js").read_text()
    line = next(line for line in script.splitlines() if line.startswith("const COLORS"))
    found = [tuple(int(code[i : i + 2], 16) for i in (4, 2, 0)) for code in re.findall("#([0-9a-f]{6})", line)]
    assert tuple(found) == drawing.COLORS
