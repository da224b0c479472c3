"""The pool takes clients' tasks in turn."""

import threading

import pytest

pytest.importorskip("support.web", reason="requirements-app.txt is not installed")

from fer.web.fair_pool import FairPool


@pytest.fixture
def pool():
    pool = FairPool(1, "test")
    yield pool
    pool.close()


def test_clients_are_served_in_turn(pool):
    go, order = threading.Event(), []
    pool.submit("x", go.wait, 10)
    futures = [pool.submit(client, order.append, client) for client in "aaaabbc"]
    go.set()
    for future in futures:
        future.result(10)
    assert "".join(order) == "abcabaa"


def test_tasks_of_one_client_keep_their_order(pool):
    order = []
    futures = [pool.submit("a", order.append, number) for number in range(20)]
    for future in futures:
        future.result(10)
    assert order == list(range(20))


def test_result_and_error_reach_the_caller(pool):
    assert pool.submit("a", divmod, 7, 2).result(10) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        pool.submit("a", divmod, 1, 0).result(10)
    assert pool.submit("a", abs, -1).result(10) == 1


def test_cancelled_task_does_not_run(pool):
    go, order = threading.Event(), []
    pool.submit("a", go.wait, 10)
    first, second = pool.submit("a", order.append, 1), pool.submit("a", order.append, 2)
    assert first.cancel()
    go.set()
    second.result(10)
    assert order == [2]


def test_several_threads_work_at_once():
    pool, both = FairPool(2, "test"), threading.Barrier(2)
    futures = [pool.submit("a", both.wait, 10) for _ in range(2)]
    assert sorted(future.result(10) for future in futures) == [0, 1]
    pool.close()


def test_last_thread_is_kept_for_others():
    pool, go = FairPool(2, "test"), threading.Event()
    pool.submit("honest", abs, 1).result(10)
    heavy = [pool.submit("heavy", go.wait, 10) for _ in range(3)]
    assert pool.submit("honest", abs, -2).result(5) == 2  # although the other client sent first
    assert sum(future.running() for future in heavy) == 1
    go.set()
    assert all(future.result(10) for future in heavy)
    pool.close()


def test_close_drops_what_waits():
    pool, go = FairPool(1, "test"), threading.Event()
    running, waiting = pool.submit("a", go.wait, 10), pool.submit("a", abs, 1)
    while not running.running():
        pass
    threading.Timer(0.2, go.set).start()
    pool.close()
    assert running.result(1)
    assert waiting.cancelled()
    with pytest.raises(RuntimeError):
        pool.submit("a", abs, 1)
