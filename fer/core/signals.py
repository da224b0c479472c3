"""Ctrl-C and the other signals that end a command, as a question that a loop asks between its steps."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# SIGHUP: a closed terminal; Windows has none.
ENDS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))


@contextmanager
def stoppable(numbers: tuple[int, ...] = ENDS) -> Iterator[Callable[[], bool]]:
    """Yields a function that tells whether one of the signals has come; a second one interrupts at once.

    An exception raised inside TensorFlow may turn into another one or get lost: loops with networks poll instead.
    Outside the main thread, which alone receives signals, the answer stays False.
    """
    asked = False

    def ask(*_):
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    # Ignored signals stay ignored: Ctrl-C by jobs in the background, the closed terminal under nohup.
    heard = {number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    in_main_thread = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, ask) for number in heard} if in_main_thread else {}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
