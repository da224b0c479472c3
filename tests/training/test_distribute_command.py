"""train.py --distribute as a command: two processes by Keras' variables, and two by Slurm's with an address each."""

import csv
import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import sys

import pytest
from support import tiny

from fer.training import distribute

pytestmark = [
    pytest.mark.slow,
    pytest.mark.backend,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="jax is not installed"),
]
# SGD: Adam would amplify the rounding of gradients that are zero in exact arithmetic (a bias before batch norm).
FLAGS = (*tiny.FLAGS, "--recipe", "four-block", "--optimizer", "sgd", "--learning-rate", "0.05", "--epochs", "2")
FLAGS += ("--mixup", "0.2", "--no-augment")


def log(folder):
    """The rows of a run's log, without times."""
    with (folder / "log.csv").open(newline="") as file:
        return [{name: float(cell) for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The data, and the log of one process with the images in memory."""
    place = tmp_path_factory.mktemp("alone")
    faces = tiny.folders(place / "faces", train=48, validation=23)
    words = ("--data", faces, "--cache", "memory", "--run-dir", place / "run", *FLAGS)
    tiny.run(*words, **tiny.JAX)
    return faces, log(place / "run")


def assert_same(found, expected):
    assert len(found) == len(expected) == 2
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-4, abs=1e-6)


def test_two_processes_with_images_on_demand_and_in_the_cache(alone, tmp_path):
    faces, expected = alone
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    common = tiny.JAX | {distribute.ADDRESSES: address, distribute.COUNT: "2", "FER_CACHE": str(tmp_path / "cache")}
    words = ("--data", faces, "--run-dir", tmp_path / "run", "--distribute", *FLAGS)
    # Each process reads its own part on its own: one decodes on demand, the other from the cache.
    processes = [
        tiny.start(*words, "--cache", cache, **common, **{distribute.INDEX: str(index)})
        for index, cache in enumerate(("none", "disk"))
    ]
    outputs = [process.communicate(timeout=300) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert_same(log(tmp_path / "run"), expected)
    assert "validation, single crop:" in outputs[0][0]
    assert all(line.startswith("[Gloo]") for line in outputs[1][0].splitlines())  # the first process speaks for all
    assert len(list((tmp_path / "cache").glob("*.npy"))) == 2


# --- Slurm's script in two network namespaces


def run(*words):
    return subprocess.run(list(map(str, words)), capture_output=True, text=True)


@pytest.fixture
def nodes():
    """Two network namespaces with an address and a host name each, as two machines: [(namespace, host, address)]."""
    if not sys.platform.startswith("linux") or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        pytest.skip("needs Linux with ip, nsenter and unshare")
    mine = os.getpid()
    found = [(f"fer-{mine}-{name}", f"fer-node{i}", f"10.213.77.{i + 1}") for i, name in enumerate("ab")]
    if run("ip", "netns", "add", found[0][0]).returncode:
        pytest.skip("this user may not add network namespaces")
    try:
        run("ip", "netns", "add", found[1][0])
        ends = [f"fer{mine % 100000}{name}" for name in "ab"]
        assert not run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1]).returncode
        for end, (namespace, _, address) in zip(ends, found, strict=True):
            inside = ("ip", "-n", namespace)
            assert not run("ip", "link", "set", end, "netns", namespace).returncode
            assert not run(*inside, "addr", "add", f"{address}/24", "dev", end).returncode
            assert not run(*inside, "link", "set", end, "up").returncode
            assert not run(*inside, "link", "set", "lo", "up").returncode
        yield found
    finally:
        for namespace, *_ in found:
            run("ip", "netns", "del", namespace)


def slurm_script() -> str:
    """The script in docs/scaling.md."""
    text = (tiny.ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    block = re.search(r"^    #!/bin/bash\n(?:    .*\n)+", text, re.MULTILINE)
    assert block
    return re.sub(r"^    ", "", block[0], flags=re.MULTILINE)


SRUN = """#!/bin/sh
# What srun does, on two namespaces in place of machines. Its first words are an option, python and train.py.
shift 3
for i in 0 1; do
    set -- "$@"
    namespace=$(sed -n "$((i + 1))p" nodes | cut -d' ' -f1)
    host=$(sed -n "$((i + 1))p" nodes | cut -d' ' -f2)
    SLURM_JOB_ID=77 SLURM_STEP_NODELIST='fer-node[0-1]' SLURM_NTASKS=2 SLURM_PROCID=$i SLURM_LOCALID=0 \\
    SLURM_STEP_NUM_NODES=2 nsenter --net=/run/netns/$namespace unshare --uts --mount sh -c '
        hostname "$0"; mount --bind hosts /etc/hosts; exec "$@"' "$host" {train} "$@" {flags} > out.$i 2>&1 &
    eval "pid$i=$!"
done
wait $pid0; first=$?
wait $pid1; second=$?
exit $((first > second ? first : second))
"""


def test_the_slurm_script_trains_on_two_addresses_and_then_resumes(alone, nodes, tmp_path):
    faces, expected = alone
    (tmp_path / "fer2013").symlink_to(faces)
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n" + "".join(f"{ip} {host}\n" for _, host, ip in nodes))
    (tmp_path / "nodes").write_text("".join(f"{namespace} {host}\n" for namespace, host, _ in nodes))
    srun = tmp_path / "bin" / "srun"
    srun.parent.mkdir()
    command = f"{sys.executable} {tiny.ROOT / 'tests/support/tiny.py'}"
    srun.write_text(SRUN.replace("{train}", command).replace("{flags}", " ".join(FLAGS)))
    srun.chmod(srun.stat().st_mode | stat.S_IEXEC)
    script = tmp_path / "train.sbatch"
    script.write_text(slurm_script())
    environment = os.environ | tiny.JAX | {"PATH": f"{srun.parent}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", str(script)], cwd=tmp_path, env=environment, timeout=300)
    outputs = [(tmp_path / f"out.{i}").read_text() for i in (0, 1)]
    assert done.returncode == 0, outputs
    assert "validation, single crop:" in outputs[0]
    assert_same(log(tmp_path / "runs" / "mine"), expected)
    srun.write_text('#!/bin/sh\necho "$@"\n')
    again = subprocess.run(["bash", str(script)], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    assert again.stdout.endswith("--run-dir runs/mine --distribute --resume\n")
