"""predict_folder.py --ray on two Ray nodes of one core each: the rows of the plain run, also when workers die."""

import dataclasses
import os
import re
import secrets
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import pytest
import yaml
from support import objects, portrait, tiny
from support.session import FakeClassifier, FakeDetector

from fer import FerError
from fer.cli import predict_folder, predict_webcam
from fer.distributed import cluster, inputs, parts
from fer.distributed.inputs import Unit
from fer.distributed.labeller import Labeller, prepare_run
from fer.inference import results
from fer.inference.recognizer import Recognizer
from fer.video.session import Session

# Read when Ray is imported. Without a token, anyone in the network could run code on the nodes.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(16)}
os.environ["PYTHONPATH"] = os.pathsep.join([str(tiny.ROOT), os.environ.get("PYTHONPATH", "")])
pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pytest.importorskip("ray", reason="ray is not installed")
pytestmark = pytest.mark.slow

NODE = {"num_cpus": 1, "object_store_memory": 100 << 20}


@pytest.fixture(scope="module")
def nodes():
    """Two Ray nodes on this host, and this process connected to them."""
    from ray.cluster_utils import Cluster

    started = Cluster(initialize_head=True, head_node_args=NODE | {"include_dashboard": False})
    started.add_node(**NODE)
    try:
        with cluster.connect(started.address):
            yield started
    finally:
        started.shutdown()


@pytest.mark.parametrize(
    ("machines", "needs"),
    [
        ([{"CPU": 4.0}, {"CPU": 8.0}], {"num_cpus": 1}),
        ([{"CPU": 16.0, "GPU": 4.0}], {"num_gpus": 1, "num_cpus": 4}),
        ([{"CPU": 16.0}, {"CPU": 4.0, "GPU": 1.0}], {"num_gpus": 1, "num_cpus": 4}),  # 20 cores lie on no machine
        ([{"CPU": 8.0, "GPU": 4.0}, {"CPU": 64.0, "GPU": 1.0}], {"num_gpus": 1, "num_cpus": 2}),
        ([{"GPU": 1.0}], {"num_gpus": 1, "num_cpus": 1}),
    ],
)
def test_worker_fits_on_the_smallest_machine_with_a_gpu(machines, needs):
    assert cluster._needs(machines) == needs


def test_video_that_ends_in_an_error_keeps_its_rows_and_the_run_goes_on(make_video, monkeypatch):
    process = Session.process

    def fail(session, frame):
        if frame.index == 3:
            raise FerError("film: 2500 x 100 pixels are no image")
        return process(session, frame)

    monkeypatch.setattr(Session, "process", fail)
    path = make_video("film.avi", frames=6)
    worker = SimpleNamespace(
        run=SimpleNamespace(base=path.parent), recognizer=Recognizer(FakeClassifier(), FakeDetector())
    )
    notes = []
    rows = list(Labeller._video_rows(worker, Unit(path.name, (path.name,), video=True), notes))
    assert [row["status"] for row in rows] == ["no_face"] * 3 + ["unreadable"]
    assert notes == ["skipped film: 2500 x 100 pixels are no image"]


@pytest.fixture
def faces(tmp_path, draw, write, monkeypatch):
    """Cropped faces in folders named like labels, beside a photograph, a broken file and something else."""
    monkeypatch.chdir(tmp_path)
    for i in range(150):
        write(Path("in", "happy" if i % 3 else "Sad", f"ü {i:03}.png"), draw(i))
    write(Path("in/photo.jpg"), portrait.astronaut())
    Path("in/happy/broken.jpg").write_bytes(b"\xff\xd8\xff")
    Path("in/notes.txt").write_text("not an image")
    return tmp_path / "in"


def text(rows):
    """Rows in an order of their own, all values as a CSV holds them."""
    return sorted(["" if value is None else str(value) for value in row.values()] for row in rows)


def plain(model):
    assert tiny.script(predict_folder, "in", "--model", model, "--output", "plain.csv", "--overwrite") == 0
    return text(results.read("plain.csv"))


def label(model, *flags, code=0, output="out", given=("in",)):
    assert tiny.script(predict_folder, *given, "--ray", "auto", "--model", model, "--output", output, *flags) == code
    return text(parts.read(output))


def test_the_cluster_file_of_the_page_is_one():
    """docs/scaling.md, by the schema and the rules of Ray's own launcher."""
    from ray.autoscaler._private import util

    page = (tiny.ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    config = yaml.safe_load(re.search(r"```yaml\n(.*?)```", page, re.DOTALL)[1])
    util.validate_config(util.prepare_config(config))
    assert len(config["provider"]["worker_ips"]) == config["max_workers"] == 1


def test_rows_and_words_of_the_plain_run(nodes, faces, light_model, capsys):
    expected = plain(light_model)
    said = capsys.readouterr()
    assert label(light_model) == expected
    mine = capsys.readouterr()
    assert mine.out.splitlines()[-1] == said.out.splitlines()[-1].replace("plain.csv", "out")
    assert mine.out.replace("out:", "plain.csv:") == said.out
    assert "broken.jpg" in mine.err
    assert {path.name[:5] for path in Path("out").iterdir()} == {"part-", "_resu"}
    assert len(parts.list_parts("out")) == 5


def small_units(size=4):
    found = [file.name for file in inputs.find_files(["in"])]
    return [Unit("in", tuple(found[i : i + size])) for i in range(0, len(found), size)]


def test_a_killed_worker_is_replaced_and_no_row_is_lost_or_doubled(nodes, faces, light_model):
    expected = plain(light_model)
    units, done = small_units(), []
    with prepare_run("out", light_model) as run:
        for one in cluster.label(iter(units), run, 2):
            done.append(one)
            if len(done) in (5, 12):
                os.kill(one.process, signal.SIGKILL)
    assert sorted(one.unit.names for one in done) == sorted(unit.names for unit in units)
    assert len({one.process for one in done}) >= 3
    assert text(parts.read("out")) == expected
    parts.remove("out", parts=False)
    assert len(parts.list_parts("out")) == len(units) == len(list(Path("out").iterdir()))


def test_a_lost_machine_is_done_without(nodes, faces, light_model):
    expected = plain(light_model)
    third = nodes.add_node(**NODE)
    units, done = small_units(), []
    with prepare_run("out", light_model) as run:
        for one in cluster.label(iter(units), run, 3):
            done.append(one)
            if len(done) == 5:
                nodes.remove_node(third, allow_graceful=False)
    assert len(done) == len(units)
    assert text(parts.read("out")) == expected


def test_a_file_that_ends_every_worker_is_named(nodes, faces, light_model, monkeypatch):
    class Dying(cluster.Labeller):
        def label(self, unit):
            os.kill(os.getpid(), signal.SIGKILL)

    monkeypatch.setattr(cluster, "Labeller", Dying)
    monkeypatch.setattr(cluster, "RETRIES", 0)
    with (
        prepare_run("out", light_model) as run,
        pytest.raises(FerError, match=r"^workers died 1 times with in/photo.jpg to in/x .* leave the file out"),
    ):
        list(cluster.label(iter([Unit("in", ("in/photo.jpg", "in/x"))]), run, 1))


def test_workers_that_do_not_see_the_folder_or_have_another_version(nodes, faces, light_model):
    for said, changes in (
        ("does not see this folder; all machines must share it", {"model_sha256": "0"}),
        ("has fer 1.*, not 0.1: install the same on all machines", {"version": "0.1"}),
    ):
        with prepare_run("out", light_model) as run, pytest.raises(FerError, match=said):
            list(cluster.label(iter(small_units()), dataclasses.replace(run, **changes), 1))


def test_resume_does_the_rest(nodes, faces, light_model, draw, write, capsys):
    label(light_model)
    first, *others = parts.list_parts("out")
    kept = {path: path.stat().st_mtime_ns for path in others}
    first.unlink()
    Path("out", f".7-{first.name}").write_bytes(b"of a killed worker")
    write(Path("in/new.png"), draw(1000))
    capsys.readouterr()
    rows = label(light_model, "--resume")
    assert rows == plain(light_model)
    assert {path: path.stat().st_mtime_ns for path in others} == kept
    assert f"out: {len(rows) - 1} images with faces, 0 without a face, 1 unreadable" in capsys.readouterr().out
    assert label(light_model, "--resume", given=[faces]) == rows  # nothing is left, by any spelling
    assert label(light_model, "--resume", "--detector", "none", code=2) == rows
    assert "(detector auto, now none)" in capsys.readouterr().err


def test_videos_have_the_rows_of_predict_webcam(nodes, tmp_path, light_model, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    face = portrait.astronaut()
    writer = cv2.VideoWriter("film.avi", cv2.VideoWriter.fourcc(*"MJPG"), 10, face.shape[1::-1])
    for i in range(12):
        writer.write(face if i < 8 else face // 9)
    writer.release()
    Path("broken.mp4").write_bytes(b"no video")
    flags = ("--headless", "--model", light_model, "--log", "l.csv")
    assert tiny.script(predict_webcam, "--source", "film.avi", *flags) == 0
    rows = label(light_model, given=["film.avi", "broken.mp4"])
    expected = text(results.read("l.csv"))
    assert {row[3] for row in expected} == {"ok", "no_face"}
    (broken,) = (row for row in rows if row[0] == "broken.mp4")
    assert broken[1:4] == ["0", "", "unreadable"]
    assert [row for row in rows if row != broken] == expected
    said = capsys.readouterr()
    assert "2 videos: 8 frames with faces, 4 without a face, 1 unreadable" in said.out
    assert "skipped broken.mp4: not a video" in said.err


def test_an_object_store_gives_the_rows_of_its_files(nodes, faces, light_model, capsys):
    held = {path.relative_to(faces.parent).as_posix(): path.read_bytes() for path in faces.rglob("*") if path.is_file()}
    with objects.store(held) as url:
        rows = label(light_model, given=[url("in")])
    assert [[row[0].removeprefix("s3://faces/"), *row[1:]] for row in rows] == plain(light_model)
    said = capsys.readouterr()
    assert "secret" not in said.out + said.err + Path("out/_results.meta.json").read_text()


def test_a_ray_of_its_own_and_ctrl_c(nodes, tmp_path, light_model, make_video, monkeypatch, capsys):
    """The whole program: nothing of Ray on the terminal, Ctrl-C keeps the parts, --resume does the rest."""
    monkeypatch.chdir(tmp_path)
    film = make_video("film.avi", frames=15).read_bytes()
    Path("in").mkdir()
    for i in range(20):
        Path(f"in/{i:02}.avi").write_bytes(film)
    flags = ("in", "--ray", "auto", "--workers", "1", "--model", light_model, "--output", "out")
    process = tiny.start(*flags, script="predict_folder.py")
    end = time.monotonic() + 300
    while not parts.list_parts("out"):
        assert time.monotonic() < end
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=120)
    assert output == "stopped; out keeps the finished parts. Continue with --resume\n"
    assert (process.returncode, errors) == (130, "")
    assert 1 <= len(parts.list_parts("out")) < 20
    rows = label(light_model, "--resume", code=1)
    assert [(row[0], int(row[1])) for row in sorted(rows, key=lambda row: (row[0], int(row[1])))] == [
        (f"in/{i:02}.avi", frame) for i in range(20) for frame in range(15)
    ]
    assert "20 videos: 0 frames with faces, 300 without a face, 0 unreadable" in capsys.readouterr().out
