"""Many images: in order, whole, in constant memory, and every one accounted for."""

import signal
import threading
import time
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
from support import tiny

from fer.cli import predict_folder, terminal
from fer.core import images
from fer.core.images import InputSpec
from fer.inference import batch, results
from fer.inference.detectors import WholeImage
from fer.inference.faces import Box, Face
from fer.inference.haar import Haar
from fer.inference.recognizer import Recognizer
from fer.models.classifier import Classifier

SPEC = InputSpec(tiny.SIZE)


@pytest.fixture(scope="module")
def classifier():
    return Classifier(tiny.build(), tiny.LABELS, SPEC)


@pytest.fixture(scope="module")
def model(classifier, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    classifier.save(path)
    return path


class Halves:
    """Finds two faces in every image that is not black; not from two threads at once."""

    name = "halves"

    def __init__(self):
        self.busy = threading.Lock()

    def find(self, image):
        assert self.busy.acquire(blocking=False)
        time.sleep(0.001)
        self.busy.release()
        if not image.any():
            return []
        height, width = image.shape[:2]
        return [Face(Box(0, 0, width // 2, height), 1.0), Face(Box(width // 2, 0, width // 2, height), 0.5)]


@pytest.fixture
def photos(tmp_path, write, draw):
    """30 photographs, some black, one broken, one empty."""
    paths = [tmp_path / f"{i:02}.png" for i in range(30)]
    for i, path in enumerate(paths):
        write(path, draw(i, 60, 200) if i % 7 else np.zeros((60, 200, 3), np.uint8))
    paths[5].write_bytes(paths[5].read_bytes()[:100])
    paths[6].write_bytes(b"")
    return paths


class TestRecognize:
    def test_every_image_in_order_with_the_predictions_of_its_faces(self, photos, classifier):
        results = list(batch.recognize(photos, Recognizer(classifier, [Halves(), Halves(), Halves()])))
        assert [result.path for result in results] == photos
        for i, result in enumerate(results):
            if i in (5, 6):
                assert photos[i].name in result.error
                assert result.predictions == []
            elif i % 7 == 0:
                assert (result.error, result.predictions) == ("", [])
            else:
                image = images.read(photos[i])
                rows = [images.prepare(half, SPEC) for half in (image[:, :100], image[:, 100:])]
                expected = classifier.predict(np.stack(rows))
                np.testing.assert_allclose([p.distribution for p in result.predictions], expected, atol=1e-6)

    def test_batches_larger_and_smaller_than_the_folder_give_the_same(self, photos, classifier, monkeypatch):
        whole = list(batch.recognize(photos, Recognizer(classifier, [Halves(), Halves()])))
        monkeypatch.setattr(batch, "BATCH", 3)
        monkeypatch.setattr(batch, "AHEAD", 4)
        parts = list(batch.recognize(photos, Recognizer(classifier, [Halves(), Halves()])))
        assert [r.path for r in parts] == [r.path for r in whole]
        for one, other in zip(parts, whole, strict=True):
            for p, q in zip(one.predictions, other.predictions, strict=True):
                np.testing.assert_allclose(p.distribution, q.distribution, atol=1e-6)

    def test_paths_are_taken_no_faster_than_they_are_needed(self, photos, classifier, monkeypatch):
        monkeypatch.setattr(batch, "BATCH", 4)
        monkeypatch.setattr(batch, "AHEAD", 8)
        taken = 0

        def endless():
            nonlocal taken
            while True:
                taken += 1
                yield photos[1]

        results = batch.recognize(endless(), Recognizer(classifier, [WholeImage(), WholeImage()]))
        for i in range(100):
            next(results)
            assert taken <= i + 1 + 3 * 8
        results.close()

    def test_leaving_early_ends_the_threads(self, photos, classifier):
        results = batch.recognize(photos * 20, Recognizer(classifier, [Halves(), Halves()]))
        next(results)
        results.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("images")]

    def test_a_slow_detector_does_not_keep_results_back(self, photos, classifier, monkeypatch):
        monkeypatch.setattr(batch, "PATIENCE", 0.1)

        class Slow(Halves):
            def find(self, image):
                time.sleep(0.05)
                return super().find(image)

        begun = time.monotonic()
        results = batch.recognize(photos * 10, Recognizer(classifier, Slow()))
        next(results)
        assert time.monotonic() - begun < 5  # all of them would take 15 s
        results.close()

    def test_auto_takes_small_squares_as_they_stand(self, tmp_path, write, draw, classifier):
        face = write(tmp_path / "face.png", draw(1, 48, 48))
        photo = write(tmp_path / "photo.png", draw(2, 60, 200))
        small, large = batch.recognize([face, photo], Recognizer(classifier, Halves()))
        assert small.cropped
        assert not large.cropped
        assert [p.box for p in small.predictions] == [Box(0, 0, 48, 48)]
        assert len(large.predictions) == 2
        np.testing.assert_allclose(
            small.predictions[0].distribution,
            classifier.predict(images.prepare(images.read(face), SPEC)[None])[0],
            atol=1e-6,
        )

    def test_an_image_of_a_shape_that_opencv_refuses_is_one_row(self, photos, classifier, write):
        odd = write(photos[0].with_name("odd.png"), np.zeros((3, 70_000, 3), np.uint8))
        results = list(batch.recognize([odd, photos[1]], Recognizer(classifier, Haar())))
        assert [bool(result.error) for result in results][1:] == [False]
        assert results[0].predictions == []


# --- predict_folder.py


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        terminal.run(predict_folder.main, lambda: predict_folder.parse_args(list(map(str, arguments))))
    assert ended.value.code == code


@pytest.fixture
def faces(tmp_path, draw, write):
    """Class folders of cropped faces beside other things."""
    root = tmp_path / "in"
    for i in range(12):
        write(root / ("happiness" if i % 2 else "Sad") / f"ü {i}.png", draw(i))
    (root / "happiness" / "notes.txt").write_text("not an image")
    (root / ".hidden.png").write_bytes(b"")
    return root


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_row_for_every_image(faces, model, tmp_path, capsys, suffix):
    (faces / "broken.jpg").write_bytes(b"\xff\xd8\xff")
    output = tmp_path / f"r{suffix}"
    run(faces, "--model", model, "--output", output)
    rows = list(results.read(output))
    assert len(rows) == 13
    assert [Path(row["source"]).name for row in rows if row["status"] == "unreadable"] == ["broken.jpg"]
    for row in rows:
        if row["status"] == "ok":
            assert row["label"] in tiny.LABELS
            assert sum(float(row[label]) for label in tiny.LABELS) == pytest.approx(1, abs=1e-3)
            assert int(row["width"]) == 48
    said = capsys.readouterr()
    assert "broken.jpg" in said.err
    assert "12 small square images taken as cropped faces" in said.out
    assert f"{output}: 12 images with faces, 0 without a face, 1 unreadable" in said.out


def test_class_folders_give_a_table_of_truth_by_prediction(faces, model, tmp_path, capsys):
    run(faces, "--model", model, "--output", tmp_path / "r.csv")
    lines = capsys.readouterr().out.splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith("folder \\ predicted"))
    counts = {line.split()[0]: sum(map(int, line.split()[1:])) for line in lines[begin + 1 : begin + 3]}
    assert counts == {"happy": 6, "sad": 6}


def test_resume_does_the_rest_and_counts_all(faces, model, tmp_path, capsys, monkeypatch):
    whole, output = tmp_path / "whole.csv", tmp_path / "r.csv"
    run(faces, "--model", model, "--output", whole)
    run(faces, "--model", model, "--output", output)
    output.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    looked = []
    monkeypatch.setattr(batch.images, "read", lambda path, read=images.read: looked.append(path) or read(path))
    run(faces, "--model", model, "--output", output, "--resume")
    assert output.read_bytes() == whole.read_bytes()
    assert 2 < len(looked) < 9
    assert "12 images with faces" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_table_of_another_model_is_not_resumed(faces, model, tmp_path, capsys, suffix):
    keras.utils.set_random_seed(11)
    other, output = tmp_path / "other.keras", tmp_path / f"r{suffix}"
    Classifier(tiny.build(), tiny.LABELS, SPEC).save(other)
    run(faces, "--model", other, "--output", output)
    before = output.read_bytes()
    capsys.readouterr()
    run(faces, "--model", model, "--output", output, "--resume", code=2)
    error = capsys.readouterr().err
    assert error.startswith(f"error: {output}: another model or detector wrote it (model_sha256 ")
    assert error.count("\n") == 1
    assert output.read_bytes() == before
    run(faces, "--model", other, "--output", output, "--resume")
    assert output.read_bytes() == before
    run(faces, "--model", other, "--output", output, "--detector", "none", "--resume", code=2)
    assert "(detector auto, now none)" in capsys.readouterr().err


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_was_done(faces, model, tmp_path, capsys, monkeypatch, sign):
    def stop(items, total, text):
        for i, item in enumerate(items):
            if i == 4:
                signal.raise_signal(sign)
            yield item

    monkeypatch.setattr(terminal, "progress", stop)
    run(faces, "--model", model, "--output", tmp_path / "r.csv", code=130)
    assert len(list(results.read(tmp_path / "r.csv"))) == 5
    assert "--resume" in capsys.readouterr().out


def copies(drawn):
    return sorted(path.relative_to(drawn) for path in drawn.rglob("*.png"))


@pytest.mark.parametrize("inside", [False, True])
def test_annotated_copies_mirror_the_folder(faces, model, tmp_path, inside):
    drawn = (faces if inside else tmp_path) / "drawn"
    originals = copies(faces)
    originals.remove(Path(".hidden.png"))
    for _ in range(2):  # the second time copies lie among the photos
        run(faces, "--model", model, "--output", tmp_path / "r.csv", "--annotated", drawn, "--overwrite")
        assert copies(drawn) == originals
        assert min(images.read(drawn / originals[0]).shape[:2]) == 240
    run(faces, "--model", model, "--output", tmp_path / "new.csv", "--annotated", drawn, code=2)


def test_a_copy_that_its_format_cannot_hold_becomes_png(tmp_path, model, draw):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.pgm").write_bytes(cv2.imencode(".pgm", draw(1)[:, :, 0])[1].tobytes())
    run(tmp_path / "in", "--model", model, "--output", tmp_path / "r.csv", "--annotated", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.pgm.png"]


def test_photos_beside_the_copies_are_found(tmp_path, model, draw, write, capsys):
    write(tmp_path / "photos" / "a.png", draw(1))
    run(tmp_path / "photos", "--model", model, "--output", tmp_path / "r.csv", "--annotated", tmp_path, "--overwrite")
    assert (tmp_path / "a.png").exists()
    assert "1 images with faces" in capsys.readouterr().out


def test_resume_knows_an_image_by_any_spelling(faces, model, tmp_path, monkeypatch):
    monkeypatch.chdir(faces.parent)
    run("in", "--model", model, "--output", tmp_path / "r.csv")
    run(faces, "--model", model, "--output", tmp_path / "r.csv", "--resume")
    assert len(list(results.read(tmp_path / "r.csv"))) == 12


def test_the_nearest_folder_that_names_a_label_counts(tmp_path, model, draw, write, capsys):
    write(tmp_path / "happy" / "person 1" / "a.png", draw(1))
    write(tmp_path / "happy" / "sad" / "b.png", draw(2))
    run(tmp_path / "happy", "--model", model, "--output", tmp_path / "r.csv")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith(("happy", "sad"))] == ["happy", "sad"]


def test_nothing_that_succeeds_is_a_failure(tmp_path, model, capsys):
    (tmp_path / "a.jpg").write_bytes(b"no image")
    run(tmp_path, "--model", model, "--output", tmp_path / "r.csv", code=1)
    assert "0 images with faces, 0 without a face, 1 unreadable" in capsys.readouterr().out


def test_a_single_image(faces, model, tmp_path, capsys):
    run(faces / "Sad" / "ü 0.png", "--model", model, "--output", tmp_path / "r.csv", "--annotated", tmp_path / "out")
    assert (tmp_path / "out" / "ü 0.png").is_file()
    assert "1 images with faces" in capsys.readouterr().out


def test_refused_in_one_line(faces, model, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    output = ("--output", tmp_path / "r.csv")
    for said, *arguments in (
        ("no images", tmp_path / "empty", "--model", model, *output),
        ("none: ", tmp_path / "none", "--model", model, *output),
        ("there is no such model file", faces, "--model", "none.keras", *output),
        ("results are written as .csv or .jsonl", faces, "--model", model, "--output", "r.txt"),
        ("would replace the images", faces, "--model", model, *output, "--annotated", faces),
        ("is a file, not a folder", faces, "--model", model, *output, "--annotated", model),
        ("choose one", faces, "--model", model, *output, "--resume", "--overwrite"),
        (
            "none.onnx: there is no such detector model",
            faces,
            "--model",
            model,
            *output,
            "--detector",
            "yunet",
            "--detector-model",
            "none.onnx",
        ),
        (
            "is for --detector auto and yunet",
            faces,
            "--model",
            model,
            *output,
            "--detector",
            "haar",
            "--detector-model",
            "x.onnx",
        ),
    ):
        run(*arguments, code=2)
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert said in error
    assert not (tmp_path / "r.csv").exists()
    (tmp_path / "r.csv").write_text("mine")
    run(faces, "--model", model, *output, code=2)
    assert (tmp_path / "r.csv").read_text() == "mine"
