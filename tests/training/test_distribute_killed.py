"""A process of a distributed training dies: the other says so and ends, and the run resumes. Needs JAX."""

import json
import shutil
import signal
import time

import numpy as np
import pytest
from support.distributed_runs import assert_same_history, finish, history, needs_jax, start

pytestmark = [pytest.mark.slow, pytest.mark.backend, needs_jax]


def epochs_done(folder):
    try:
        with np.load(folder / "checkpoint.npz") as archive:
            return len(json.loads(str(archive["state"]))["history"])
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="module", params=[0, 1], ids=["first", "second"])
def killed(request, tmp_path_factory):
    """A training of two processes in which one was killed: (folder, output of the other, its seconds)."""
    place = tmp_path_factory.mktemp("killed") / "run"
    processes = start(place, "--distribute", "long", processes=2)
    try:
        deadline = time.monotonic() + 300
        while epochs_done(place / "long") < 2:
            assert time.monotonic() < deadline
            assert all(process.poll() is None for process in processes)
            time.sleep(0.05)
        processes[request.param].send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        survivor = processes[1 - request.param]
        output = "".join(survivor.communicate(timeout=120))
        return place, output, time.monotonic() - killed_at, survivor.returncode
    finally:
        for process in processes:
            process.kill()


class TestKilledProcess:
    def test_the_other_ends_within_a_minute_and_says_why(self, killed):
        place, output, seconds, code = killed
        assert seconds < 60
        assert code != 0
        assert "lost another process of the training" in output or "JAX ended it after another died" in output
        assert f"start all processes again with --resume --run-dir {place / 'long'}" in output

    @pytest.mark.parametrize("killed", [1], ids=["second"], indirect=True)
    def test_the_run_resumes_with_the_same_and_with_another_number_of_processes(self, killed, tmp_path):
        place, *_ = killed
        assert 2 <= epochs_done(place / "long") < 25
        alone = tmp_path / "alone"
        shutil.copytree(place, alone)
        path = alone / "long" / "run.json"
        path.write_text(path.read_text().replace(str(place), str(alone)))
        finish(start(place, "--distribute", "--resume", "long", processes=2))
        finish(start(alone, "--resume", "long"))
        whole = tmp_path / "whole"
        finish(start(whole, "long"))
        assert_same_history(history(place, "long"), history(whole, "long"), rel=1e-4, abs=1e-5)
        assert_same_history(history(alone, "long"), history(whole, "long"), rel=1e-4, abs=1e-5)
