"""`import fer` as a user writes it: one line to load, one to label, and the example file to its end."""

import runpy
import sys
from unittest import mock

import cv2
import numpy as np
import pytest
from PIL import Image
from support import tiny

import fer
from fer.data import loading
from fer.video.face_finder import FaceFinder

SAMPLES = tiny.ROOT / "data" / "samples"


@pytest.fixture(scope="module")
def recognizer(light_model):
    return fer.load(light_model)


def test_path_array_and_pil_image_give_the_same_prediction(recognizer):
    path = SAMPLES / "happy.png"
    given = (path, str(path), cv2.imread(str(path)), Image.open(path))
    first, *others = [[prediction.probabilities for prediction in recognizer(image)] for image in given]
    assert len(first) == 1
    assert tuple(first[0]) == tiny.LABELS
    assert sum(first[0].values()) == pytest.approx(1, abs=1e-5)
    assert all(other == first for other in others)


def test_grey_arrays_are_images_too(recognizer):
    grey = cv2.imread(str(SAMPLES / "happy.png"), cv2.IMREAD_GRAYSCALE)
    first, *others = [recognizer(image)[0].probabilities for image in (SAMPLES / "happy.png", grey, grey[..., None])]
    assert all(other == first for other in others)
    with pytest.raises(fer.FerError, match="takes an image uint8"):
        recognizer(grey / 255.0)


def test_objects_say_in_a_line_what_they_are(recognizer):
    data = fer.Dataset.from_arrays(tiny.data(3).images, ["happy", "sad", "sad"])
    assert repr(data) == "Dataset(3 images of 12 x 12 x 1, 2 labels: happy, sad)"
    assert repr(recognizer.classifier).startswith("Classifier(")
    assert repr(recognizer).startswith("Recognizer(Classifier(")
    assert "\n" not in repr(recognizer)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda images: fer.train((images, [0, 1]), "plain"), "data must be a path, a Dataset or a dict of two"),
        (lambda images: fer.Dataset.from_arrays(images, [0, 1, 2]), r"labels are names, .*, not int \(0\)"),
        (lambda images: fer.Dataset.from_arrays(images, ["happy", "sad"]), "3 images, but 2 labels"),
        (lambda images: fer.evaluate("fer2013", {"train": None}), "there is no validation split among train"),
    ],
)
def test_arguments_of_another_kind_are_refused_in_a_line(call, said):
    with pytest.raises(fer.FerError, match=said):
        call(tiny.data(3).images)


def test_classifier_asks_for_images_not_a_data_set(recognizer):
    with pytest.raises(fer.FerError, match="received Dataset"):
        recognizer.classifier.predict(tiny.data(3))


def test_prediction_has_label_confidence_and_box(recognizer):
    (prediction,) = recognizer(SAMPLES / "sad.png")
    height, width = cv2.imread(str(SAMPLES / "sad.png")).shape[:2]
    assert prediction.label in tiny.LABELS
    assert prediction.confidence == max(prediction.probabilities.values())
    assert prediction.box == fer.Box(0, 0, width, height)
    assert tuple(prediction.box) == (0, 0, width, height)


def test_bundled_model_is_loaded_by_name():
    (prediction,) = fer.load("fer2013-fast")(SAMPLES / "happy.png")
    assert prediction.label == "happy"


def test_threshold_of_the_model_marks_uncertain_predictions(light_model):
    below = fer.Classifier.load("fer2013-fast").metadata["uncertain_below"]
    (prediction,) = fer.load("fer2013-fast", uncertain=True)(SAMPLES / "happy.png")
    assert prediction.uncertain == (prediction.confidence < below)
    assert prediction.uncertain_below == below
    with pytest.raises(fer.FerError, match="no confidence threshold"):
        fer.load(light_model, uncertain=True)


def test_unknown_model_is_refused():
    with pytest.raises(fer.FerError, match="no-such-model"):
        fer.load("no-such-model")


def test_unknown_detector_is_refused(light_model):
    with pytest.raises(fer.FerError, match="detector"):
        fer.load(light_model, detector="eyes")


def test_track_yields_every_frame(light_model, make_video):
    tracked = list(fer.load(light_model, detector="none").track(make_video(frames=5)))
    assert [frame.index for frame, _ in tracked] == [0, 1, 2, 3, 4]
    assert all(frame.image.dtype == np.uint8 for frame, _ in tracked)
    assert {prediction.track for _, predictions in tracked for prediction in predictions} == {1}


def test_videos_and_images_share_no_detector(light_model, make_video):
    recognizer = fer.load(light_model)
    with mock.patch("fer.video.session.FaceFinder", wraps=FaceFinder) as made:
        for _ in range(2):
            next(recognizer.track(make_video(frames=2)))
    used = [call.args[0] for call in made.call_args_list]
    assert len({id(one) for one in (*used, *recognizer.detectors)}) == 3
    with pytest.raises(fer.FerError, match="skip must be 1 or more, not 0"):
        next(recognizer.track(make_video(frames=2), skip=0))


def test_load_dataset_gives_splits_of_the_wanted_size(class_folders):
    root = class_folders({"train/happy": 6, "train/sad": 6, "validation/happy": 2, "validation/sad": 2})
    data = fer.load_dataset(root, size=12, channels=3)
    assert {split: part.images.shape for split, part in data.items()} == {
        "train": (12, 12, 12, 3),
        "validation": (4, 12, 12, 3),
    }


@pytest.mark.slow
def test_example_runs_to_its_end(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(loading, "DEMO_COUNTS", {"train": 210, "validation": 70, "test": 7})  # else half a minute
    monkeypatch.setattr(sys, "argv", ["python_api.py", str(tmp_path)])
    runpy.run_path(str(tiny.ROOT / "examples" / "python_api.py"), run_name="__main__")
    output = capsys.readouterr().out
    assert "happy, 9" in output
    assert "accuracy" in output
    assert (tmp_path / "demo.keras").is_file()
