"""How often a client may ask: a token bucket for each of them."""

import math
import time
from collections.abc import Callable

from fer.web.problems import refuse

MOST_CLIENTS = 10_000  # buckets; full ones are dropped when there are more


class RateLimit:
    """Allows a number of events per minute for each client, and no more than that many at once.

    A token bucket: it holds `per_minute` tokens and is refilled steadily. For one event loop: it takes no lock.

    Args:
        per_minute: events.
        what: for the message, as in "1,200 requests".
        clock: seconds that only grow.
    """

    def __init__(self, per_minute: int, what: str, clock: Callable[[], float] = time.monotonic):
        self.per_minute, self.what, self.clock = per_minute, what, clock
        self.buckets: dict[str, tuple[float, float]] = {}  # client -> tokens at a time

    def take(self, client: str) -> None:
        """Takes one of the client's tokens.

        Raises:
            HTTPException: 429, with the seconds until the next token in Retry-After.
        """
        tokens = self._tokens(client)
        if tokens < 1:
            wait = math.ceil((1 - tokens) * 60 / self.per_minute)
            refuse(429, f"the limit is {self.per_minute:,} {self.what} per minute; try again later", retry=wait)
        self.buckets[client] = (tokens - 1, self.clock())
        if len(self.buckets) > MOST_CLIENTS:
            self._drop_full()

    def _tokens(self, client: str) -> float:
        tokens, then = self.buckets.get(client, (self.per_minute, self.clock()))
        return min(self.per_minute, tokens + (self.clock() - then) * self.per_minute / 60)

    def _drop_full(self) -> None:
        used = {client: bucket for client, bucket in self.buckets.items() if self._tokens(client) < self.per_minute}
        if len(used) > MOST_CLIENTS:  # the emptiest are those that matter
            used = dict(sorted(used.items(), key=lambda item: item[1][0])[: MOST_CLIENTS // 2])
        self.buckets = used
