"""predict_folder.py --ray: what it refuses, in one line and before a cluster is needed."""

import socket
import sys

import pytest

from fer.cli import predict_folder
from fer.distributed import cluster


@pytest.fixture
def needs_ray():
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    pytest.importorskip("ray", reason="ray is not installed")


@pytest.fixture
def faces(tmp_path, draw, write, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "in" / "a.png", draw(1))
    return tmp_path / "in"


def test_without_ray_the_extra_is_named(faces, light_model, refuse, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    said = refuse(predict_folder, "in", "--ray", "auto", "--model", light_model)
    assert said.startswith('--ray needs Ray and pyarrow: pip install ".[ray]"')


@pytest.mark.parametrize("arguments", [("in", "other"), ("s3://bucket/faces",), ("in", "--workers", "2")])
def test_what_needs_ray(faces, light_model, refuse, arguments):
    assert refuse(predict_folder, *arguments, "--model", light_model).endswith("need --ray auto")


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("no images and no videos found", ["empty"]),
        ("none: no such file or folder", ["in", "none"]),
        ("--output is a folder of Parquet files", ["in", "--output", "r.csv"]),
        ("--annotated works without --ray only", ["in", "--annotated", "drawn"]),
        ("choose one", ["in", "--resume", "--overwrite"]),
        ("full exists: continue with --resume, replace it with --overwrite", ["in", "--output", "full"]),
        ("holds other Parquet files (mine.parquet)", ["in", "--output", "full", "--overwrite"]),
        ("cannot be read, so the model that wrote the table is unknown", ["in", "--output", "empty/..", "--resume"]),
        ("cannot be written", ["in", "--output", "in/a.png/results"]),
        ("is for --detector auto and yunet", ["in", "--detector", "haar", "--detector-model", "x.onnx"]),
        ("there is no such model file", ["in", "--model", "none.keras"]),
    ],
)
def test_refused_in_one_line(needs_ray, faces, light_model, refuse, said, arguments):
    for folder in ("empty", "full"):
        (faces.parent / folder).mkdir()
    (faces.parent / "full" / "mine.parquet").write_bytes(b"PAR1")
    assert said in refuse(predict_folder, "--ray", "auto", "--model", light_model, *arguments)
    assert not (faces.parent / "results").exists()
    assert (faces.parent / "full" / "mine.parquet").exists()


@pytest.mark.parametrize("address", ["ray://10.0.0.1:10001", "here", "here:port", "http://here:1"])
def test_an_address_of_another_kind(needs_ray, faces, light_model, refuse, address):
    said = refuse(predict_folder, "in", "--ray", address, "--model", light_model)
    assert said == f"--ray {address}: expected auto, or HOST:PORT of a cluster that this machine belongs to"


def test_an_address_where_nothing_answers(needs_ray, faces, light_model, refuse, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for ray in (address, "auto"):
        monkeypatch.setenv("RAY_ADDRESS", address)
        said = refuse(predict_folder, "in", "--ray", ray, "--model", light_model)
        assert said.startswith(f"--ray {address}: no cluster answers there (")


def test_problems_of_ray_are_a_line_each_and_once(log_lines):
    stream = cluster._Problems()
    for _ in range(2):
        print("\x1b[33m(raylet)\x1b[0m A worker died or was killed. To troubleshoot, read 20 lines.\n", file=stream)
    assert log_lines == ["Ray: A worker died or was killed"]
