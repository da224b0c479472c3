"""Cores and memory as the system, a container, a cluster's job or Ray gives them."""

import pytest

from fer.core import system


@pytest.mark.parametrize(("limit", "expected"), [("1", 1), ("0", None), ("", None), ("many", None), ("100000", None)])
def test_cores_are_never_more_than_omp_num_threads(monkeypatch, limit, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = system.cores()
    assert given >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert system.cores() == (expected or given)


@pytest.fixture
def group(tmp_path, monkeypatch):
    """The own control group, two below the root of the tree, without a limit."""
    place = tmp_path / "groups" / "job" / "task"
    place.mkdir(parents=True)
    (tmp_path / "own").write_text("1:cpu:/elsewhere\n0::/job/task\n")
    monkeypatch.setattr(system, "GROUPS", tmp_path / "groups")
    monkeypatch.setattr(system, "OWN_GROUP", tmp_path / "own")
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for one in (place, place.parent):
        (one / "cpu.max").write_text("max 100000\n")
        (one / "memory.max").write_text("max\n")
        (one / "memory.current").write_text("3000\n")
        (one / "memory.stat").write_text("anon 1\ninactive_file 500\n")
    return place


@pytest.mark.parametrize(("quota", "expected"), [("200000 100000", 2), ("150000 100000", 2), ("1000 100000", 1)])
@pytest.mark.parametrize("above", [False, True])
def test_the_processor_time_of_a_container_limits_the_cores(group, quota, expected, above):
    assert system.cores() == 64
    (group.parent if above else group).joinpath("cpu.max").write_text(quota)
    assert system.cores() == expected


@pytest.mark.parametrize("above", [False, True])
def test_the_memory_of_a_job_is_what_its_tightest_group_leaves(group, above):
    free = system.available_memory()
    (group.parent if above else group).joinpath("memory.max").write_text("10000")
    assert system.available_memory() == 10000 - 3000 + 500 < free


def test_a_group_that_is_not_to_be_seen_is_no_limit(group, tmp_path):
    (tmp_path / "own").write_text("0::/../../above\n")
    assert system.cores() == 64
    (tmp_path / "own").unlink()
    assert system.cores() == 64
