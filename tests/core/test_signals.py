"""Signals as a question, for loops that an exception in the wrong place would break."""

import signal
from concurrent.futures import ThreadPoolExecutor

import pytest

from fer.core.signals import stoppable


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_loop_is_asked_to_stop_once_and_interrupted_the_second_time(sign):
    before = signal.getsignal(sign)
    with stoppable() as stopped:
        assert not stopped()
        signal.raise_signal(sign)
        assert stopped()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(sign)
    assert stopped()
    assert signal.getsignal(sign) == before


def test_only_the_signals_asked_for_are_heard():
    before = signal.getsignal(signal.SIGTERM)
    with stoppable((signal.SIGINT,)):
        assert signal.getsignal(signal.SIGTERM) == before


def test_an_ignored_signal_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable() as stopped:
            signal.raise_signal(signal.SIGINT)
            assert not stopped()
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_asks_in_vain():
    before = signal.getsignal(signal.SIGINT)

    def ask():
        with stoppable() as stopped:
            return stopped(), signal.getsignal(signal.SIGINT)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(ask).result() == (False, before)
