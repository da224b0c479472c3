"""Cores as the system, a container or Ray gives them."""

import pytest

from fer.core import system


@pytest.mark.parametrize(("limit", "expected"), [("1", 1), ("0", None), ("", None), ("many", None), ("100000", None)])
def test_cores_are_never_more_than_omp_num_threads(monkeypatch, limit, expected):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    given = system.cores()
    assert given >= 1
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert system.cores() == (expected or given)
