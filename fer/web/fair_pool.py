"""Threads that clients share fairly: whoever sends much waits behind whoever sends little."""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any


class FairPool:
    """Threads that take the clients' tasks in turn, one of each.

    A plain pool works first come, first served: the tenth image of one client would delay the first image of another.

    Args:
        threads: number of threads; they start with the first task.
        name: of the threads.
    """

    def __init__(self, threads: int, name: str):
        self._queues: OrderedDict[str, deque[tuple[Future, Callable, tuple]]] = OrderedDict()  # the next client first
        self._news = threading.Condition()  # guards the queues and what follows
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

    def _next(self) -> tuple[Future, Callable, tuple] | None:
        with self._news:
            while not self._queues and not self._closed:
                self._news.wait()
            if self._closed:
                return None
            client, queue = self._queues.popitem(last=False)
            task = queue.popleft()
            if queue:
                self._queues[client] = queue  # behind the others
            return task

    def _work(self) -> None:
        while task := self._next():
            future, function, arguments = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result: Any = function(*arguments)
            except BaseException as error:  # who waits for the result raises it
                future.set_exception(error)
            else:
                future.set_result(result)
            del task, future, function, arguments  # an idle thread must not keep an image
