"""predict_webcam.py without a window: files whole, cameras lost and found, logs and recordings complete."""

import os
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from support import tiny
from support.mjpeg import Camera

from fer.cli import predict_webcam, terminal
from fer.core.images import InputSpec
from fer.inference import results
from fer.models.classifier import Classifier
from fer.video import writer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "m.keras"
    Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE)).save(path)
    return path


@pytest.fixture(scope="module")
def astronaut_film(tmp_path_factory):
    """A real face for 40 frames, then 15 without, then 25 with it elsewhere and larger; 20 frames a second."""
    data = pytest.importorskip("skimage.data")
    portrait = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[0:260, 100:360]
    path = tmp_path_factory.mktemp("clip") / "astronaut.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20, (480, 360))
    for i in range(80):
        frame = np.full((360, 480, 3), 90, np.uint8)
        if i < 40:
            frame[50:310, 10 + i : 270 + i] = portrait
        elif i >= 55:
            frame[:, 120:480] = cv2.resize(portrait, (360, 360))
        writer.write(frame)
    writer.release()
    return path


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 120))
    for i in range(25):
        writer.write(np.full((120, 160, 3), 10 * i, np.uint8))
    writer.release()
    return path


@pytest.fixture(scope="module")
def long_film(tmp_path_factory):
    """More than a program has labelled when it is told to end."""
    path = tmp_path_factory.mktemp("long") / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for i in range(4000):
        writer.write(np.full((240, 320, 3), i % 250, np.uint8))
    writer.release()
    return path


def run(*arguments, code=0):
    with pytest.raises(SystemExit) as ended:
        terminal.run(predict_webcam.main, lambda: predict_webcam.parse_args([*map(str, arguments), "--headless"]))
    assert ended.value.code == code


def frames(path):
    capture = cv2.VideoCapture(str(path))
    count = 0
    while capture.read()[0]:
        count += 1
    fps = capture.get(cv2.CAP_PROP_FPS)
    capture.release()
    return count, fps


def test_a_video_with_a_real_face_a_gap_and_a_return(astronaut_film, model, tmp_path, capsys):
    log, video, chart = tmp_path / "log.csv", tmp_path / "out.mp4", tmp_path / "time.png"
    run("--source", astronaut_film, "--model", model, "--log", log, "--record", video, "--timeline", chart)
    rows = list(results.read(log))
    assert sorted({int(row["index"]) for row in rows}) == list(range(80))  # no frame is dropped
    assert float(rows[-1]["seconds"]) == pytest.approx(79 / 20, abs=0.06)
    status = {int(row["index"]): row["status"] for row in rows}
    assert [status[i] for i in range(42, 54)] == ["no_face"] * 12
    assert sum(status[i] == "ok" for i in range(40)) >= 38
    assert sum(status[i] == "ok" for i in range(55, 80)) >= 23
    tracks = {row["track"] for row in rows if int(row["index"]) < 40 and row["status"] == "ok"}
    assert len(tracks) == 1
    assert frames(video) == (80, pytest.approx(20))
    assert chart.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    assert said.startswith("80 frames, ")
    assert "face 1, 0.0 to " in said


def test_a_video_without_a_face(clip, model, tmp_path, capsys):
    log, chart = tmp_path / "log.csv", tmp_path / "time.png"
    run("--source", clip, "--model", model, "--log", log, "--timeline", chart)
    assert [row["status"] for row in results.read(log)] == ["no_face"] * 25
    assert capsys.readouterr().out == "25 frames, 25 without a face; 0 faces in 0 tracks\n"
    assert chart.read_bytes().startswith(b"\x89PNG")


def test_frames_that_cannot_be_decoded_at_the_end_have_rows(clip, model, tmp_path, capsys):
    data = bytearray(clip.read_bytes())
    at = data.rindex(b"00dc", 0, data.rindex(b"idx1"))
    data[at + 8 : at + 308] = bytes(300)  # the JPEG of the last frame
    clip.write_bytes(data)
    run("--source", clip, "--model", model, "--log", tmp_path / "log.csv")
    rows = list(results.read(tmp_path / "log.csv"))
    assert [row["status"] for row in rows] == ["no_face"] * 24 + ["unreadable"]
    assert rows[-1]["index"] == "24"
    assert capsys.readouterr().out.startswith("24 frames, 24 without a face, 1 more unreadable;")


def test_a_detector_that_fails_does_not_look_like_success(clip, model, monkeypatch):
    monkeypatch.setattr("fer.inference.detectors.WholeImage.find", lambda self, image: 1 / 0)
    flags = ["--source", clip, "--model", model, "--detector", "none", "--headless"]
    args = predict_webcam.parse_args(list(map(str, flags)))
    with pytest.raises(ZeroDivisionError):
        predict_webcam.main(args)


def test_uncertain_is_written_beside_the_label(clip, model, tmp_path, monkeypatch, capsys):
    answer = np.float32([[0.5, 0.3, 0.2]])
    monkeypatch.setattr(Classifier, "predict", lambda self, x, **_: answer)
    flags = ("--source", clip, "--model", model, "--detector", "none", "--uncertain", "--log", tmp_path / "log.jsonl")
    run(*flags, code=2)
    assert "--fit-threshold" in capsys.readouterr().err
    unsure = tmp_path / "unsure.keras"
    Classifier(tiny.build(), tiny.LABELS, InputSpec(tiny.SIZE), {"uncertain_below": 0.6}).save(unsure)
    run(*flags, "--model", unsure)
    rows = list(results.read(tmp_path / "log.jsonl"))
    assert [(row["label"], row["uncertain"]) for row in rows] == [(tiny.LABELS[0], True)] * 25
    assert "uncertain 100%" in capsys.readouterr().out


def test_skip_analyses_every_second_frame_and_writes_all(clip, model, tmp_path, monkeypatch):
    calls, answer = [], np.eye(3, dtype=np.float32)[:1]
    monkeypatch.setattr(Classifier, "predict", lambda self, x, **_: calls.append(len(x)) or answer)
    places = ["--log", tmp_path / "log.csv", "--record", tmp_path / "out.mp4"]
    run("--source", clip, "--model", model, "--detector", "none", "--skip", 2, *places)
    assert len(calls) == 13
    assert len(list(results.read(tmp_path / "log.csv"))) == 25
    assert frames(tmp_path / "out.mp4")[0] == 25


def test_max_frames(clip, model, tmp_path, capsys):
    run("--source", clip, "--model", model, "--detector", "none", "--max-frames", 7, "--log", tmp_path / "log.csv")
    assert len(list(results.read(tmp_path / "log.csv"))) == 7
    assert capsys.readouterr().out.startswith("7 frames, 0 without a face")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_whole_log_and_a_playable_recording(tmp_path, long_film, light_model, sign):
    log, video = tmp_path / "log.csv", tmp_path / "out.mp4"
    command = [sys.executable, tiny.ROOT / "predict_webcam.py", "--source", long_film, "--model", light_model]
    command += ["--headless", "--detector", "none", "--log", log, "--record", video]
    # A shell that runs the tests in the background has Ctrl-C ignored; the program must hear it all the same.
    process = subprocess.Popen(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    end = time.monotonic() + 60
    while time.monotonic() < end and (not log.exists() or log.read_text().count("\n") < 20):
        time.sleep(0.02)
    process.send_signal(sign)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    rows = list(results.read(log))
    assert 19 <= len(rows) < 4000
    assert [int(row["index"]) for row in rows] == list(range(len(rows)))
    assert output.startswith(f"{len(rows):,} frames")
    assert abs(frames(video)[0] - len(rows)) <= 1


def test_a_camera_that_is_lost_and_comes_back(tmp_path, light_model):
    """The whole program, with a log and a recording that are complete in the end."""
    camera = Camera(lambda i: np.full((120, 160, 3), 40 + i % 150, np.uint8), fps=25)
    camera.start()
    log, video = tmp_path / "log.csv", tmp_path / "out.mp4"
    places = ["--log", log, "--record", video, "--headless", "--detector", "none"]
    process = tiny.start("--source", camera.address(), "--model", light_model, *places, script="predict_webcam.py")
    rows = lambda: log.read_text().count("\n") if log.exists() else 0  # noqa: E731
    try:
        wait(lambda: rows() > 10, "the first frames")
        camera.stop()
        time.sleep(1.5)
        lost = rows()
        camera.start()
        wait(lambda: rows() > lost + 10, "the camera's return")
    finally:
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
        camera.stop()
    assert process.returncode == 0, errors
    assert "lost" in errors
    assert "back" in errors
    written = list(results.read(log))
    assert [int(row["index"]) for row in written] == list(range(len(written)))
    times = [float(row["seconds"]) for row in written]
    assert times == sorted(times)
    assert max(np.diff(times)) > 1  # the outage
    count, fps = frames(video)
    shortened = max(0, max(np.diff(times)) - writer.LONGEST_STILL)
    assert count / fps == pytest.approx(times[-1] - shortened, abs=0.5)  # plays at the right speed
    assert output.startswith(f"{len(written):,} frames, 0 without a face")


def wait(condition, what):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)


def test_a_missing_camera_is_one_line_at_once(model):
    command = [sys.executable, tiny.ROOT / "predict_webcam.py", "--source", "87", "--model", model, "--headless"]
    begun = time.monotonic()
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=60)
    assert process.returncode == 2
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    assert process.stderr.count("\n") == 1
    assert "87" in process.stderr
    assert time.monotonic() - begun < 20  # Keras alone would take longer on a busy machine


def test_refused_in_one_line(clip, model, tmp_path, capsys):
    (tmp_path / "taken.csv").write_text("mine")
    (tmp_path / "taken.mp4").write_text("mine")
    same = clip.with_suffix(".mp4")
    for said, *arguments in (
        ("results are written as .csv or .jsonl", "--log", "log.txt"),
        ("videos are written as .mp4", "--record", "out.gif"),
        ("taken.csv exists", "--log", tmp_path / "taken.csv"),
        ("taken.mp4 exists", "--record", tmp_path / "taken.mp4"),
        ("there is no such model file", "--model", "none.keras"),
        ("--detector-model", "--detector-model", "yunet.onnx", "--detector", "haar"),
        ("are the same file", "--record", same, "--overwrite", "--source", same),
        ("are the same file", "--record", tmp_path / "x.mp4", "--log", tmp_path / "x.mp4"),
        ("cannot write a figure", "--timeline", tmp_path / "t.foo"),
        ("cannot be written", "--log", tmp_path / "taken.csv" / "log.csv"),
    ):
        run("--source", clip, "--model", model, *arguments, code=2)
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        assert said in error
    same = ("--log", tmp_path / "x.csv", "--timeline", tmp_path / "x.csv")
    run("--source", "rtsp://admin:secret@camera/1", "--model", model, *same, code=2)
    assert "secret" not in capsys.readouterr().err
    assert (tmp_path / "taken.csv").read_text() == (tmp_path / "taken.mp4").read_text() == "mine"


@pytest.mark.parametrize(
    "flag", [("--skip", "0"), ("--smoothing", "-1"), ("--max-frames", "x"), ("--smoothing", "nan")]
)
def test_numbers_out_of_range_are_explained(flag, capsys):
    with pytest.raises(SystemExit) as ended:
        predict_webcam.parse_args(["--model", "m.keras", *flag])
    assert ended.value.code == 2
    assert flag[0] in capsys.readouterr().err


@pytest.mark.skipif(bool(os.environ.get("DISPLAY")), reason="this machine has a screen")
@pytest.mark.skipif(sys.platform != "linux", reason="only on Linux is the screen asked for")
def test_without_a_screen_headless_is_named(clip, model, capsys):
    with pytest.raises(SystemExit) as ended:
        terminal.run(
            predict_webcam.main, lambda: predict_webcam.parse_args(["--source", str(clip), "--model", str(model)])
        )
    assert ended.value.code == 2
    assert "use --headless" in capsys.readouterr().err
