"""Starts support/distributed.py in one process or several, and compares the histories that they write."""

import importlib.util
import json
import socket

import pytest

from fer.training import distribute
from support import tiny

needs_jax = pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed")
SCRIPT = "tests/support/distributed.py"


def start(folder, *words, processes=1, devices=1):
    """Starts support/distributed.py in that many processes."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    environment = tiny.JAX | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"}
    if processes > 1:
        environment |= {distribute.ADDRESSES: address, distribute.COUNT: str(processes)}
    return [
        tiny.start(folder, *words, script=SCRIPT, **environment, **{distribute.INDEX: str(index)})
        for index in range(processes)
    ]


def finish(processes):
    for process in processes:
        output = "".join(process.communicate(timeout=500))
        assert process.returncode == 0, output


def history(folder, scenario, index=0):
    rows = json.loads((folder / f"{scenario}-{index}.json").read_text())
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_history(found, expected, **tolerance):
    assert [row["epoch"] for row in found] == [row["epoch"] for row in expected]
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, **tolerance)
