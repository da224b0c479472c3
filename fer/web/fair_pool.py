"""Threads that clients share fairly: whoever sends much waits behind whoever sends little."""

import threading
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

ACTIVE = 10.0  # seconds after its last task for which a client counts as active


class FairPool:
    """Threads that take the clients' tasks in turn, one of each.

    A plain pool works first come, first served: the tenth image of one client would delay the first image of another.
    While several clients are active, none may hold the last thread as well: one image can take seconds.

    Args:
        threads: number of threads; they start with the first task.
        name: of the threads.
    """

    def __init__(self, threads: int, name: str):
        self._queues: OrderedDict[str, deque[tuple[Future, Callable, tuple]]] = OrderedDict()  # the next client first
        self._news = threading.Condition()  # guards the queues and what follows
        self._running: Counter[str] = Counter()
        self._seen: dict[str, float] = {}  # when a client last sent a task
        self._closed = False
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}_{number}", daemon=True) for number in range(threads)
        ]
        self._started = False

    def submit(self, client: str, function: Callable, *arguments: object) -> Future:
        """Queues a call behind the earlier ones of the same client.

        Returns:
            The future of its result.
        """
        future: Future = Future()
        with self._news:
            if self._closed:
                raise RuntimeError("the pool is closed")
            if not self._started:
                self._started = True
                for thread in self._threads:
                    thread.start()
            self._seen[client] = time.monotonic()
            self._queues.setdefault(client, deque()).append((future, function, arguments))
            self._news.notify()
        return future

    def close(self) -> None:
        """Drops what waits and ends the threads after what they are at."""
        with self._news:
            self._closed = True
            for queue in self._queues.values():
                for future, _, _ in queue:
                    future.cancel()
            self._queues.clear()
            self._news.notify_all()
        if self._started:
            for thread in self._threads:
                thread.join()

    def _next(self) -> tuple[str, Future, Callable, tuple] | None:
        with self._news:
            while (client := self._pick()) is None and not self._closed:
                self._news.wait(ACTIVE / 10 if self._queues else None)
            if client is None or self._closed:
                return None
            queue = self._queues.pop(client)
            future, function, arguments = queue.popleft()
            if queue:
                self._queues[client] = queue  # behind the others
            self._running[client] += 1
            return client, future, function, arguments

    def _pick(self) -> str | None:
        """The client whose turn it is; None where nobody waits, or only one that holds all threads but the last."""
        now = time.monotonic()
        self._seen = {client: seen for client, seen in self._seen.items() if now - seen < ACTIVE}
        for client in self._queues:
            alone = not self._seen.keys() - {client}
            if alone or len(self._threads) == 1 or self._running[client] < len(self._threads) - 1:
                return client
        return None

    def _work(self) -> None:
        while task := self._next():
            client, future, function, arguments = task
            if future.set_running_or_notify_cancel():
                try:
                    result: Any = function(*arguments)
                except BaseException as error:  # who waits for the result raises it
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del task, future, function, arguments  # an idle thread must not keep an image
            with self._news:
                self._running[client] -= 1
                self._running += Counter()  # drops clients that run nothing
                self._news.notify()
