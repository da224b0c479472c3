"""How many clients are served at once, and how many places one of them may take."""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import HTTPConnection

from fer.web.problems import refuse

IPV6_NETWORK = 64  # bits: a client has a whole network of IPv6 addresses, and could otherwise count as many clients
LONGEST_NAME = 64  # characters: a header of a proxy may hold any text in place of an address


class Slots:
    """A number of places; a client that finds none is told to come back. For one event loop: it takes no lock.

    Args:
        count: places in all.
        what: for the message, as in "8 webcams".
        per_client: places that one client may hold.
        retry: seconds after which a client may try again.
    """

    def __init__(self, count: int, what: str, *, per_client: int, retry: int = 1):
        self.count, self.what, self.per_client, self.retry = count, what, per_client, retry
        self.held: Counter[str] = Counter()

    def check(self, client: str) -> None:
        """Refuses a client for which no place is left; takes none.

        Raises:
            HTTPException: 429, all places are taken, or as many as one client may hold.
        """
        if self.held.total() >= self.count:
            self._refuse(f"{self.count} {self.what} at once")
        if self.held[client] >= self.per_client:
            self._refuse(f"{self.per_client} {self.what} per client")

    def acquire(self, client: str) -> None:
        """Takes a place, or refuses the client as `check` does."""
        self.check(client)
        self.held[client] += 1

    def release(self, client: str) -> None:
        """Frees a place that `acquire` took."""
        self.held[client] -= 1
        self.held += Counter()  # drops clients that hold none

    @contextmanager
    def hold(self, client: str) -> Iterator[None]:
        """Holds a place while the block runs; raises as `acquire` does."""
        self.acquire(client)
        try:
            yield
        finally:
            self.release(client)

    def _refuse(self, limit):
        refuse(429, f"busy: the limit is {limit}; try again in a moment", retry=self.retry)


def client_of(connection: HTTPConnection) -> str:
    """The name under which a client's places are counted: its address, or its network of IPv6 addresses."""
    return name_of(connection.client.host if connection.client else "")


def name_of(host: str) -> str:
    """The same for the address as text; other text is cut to `LONGEST_NAME`."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host[:LONGEST_NAME]
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, IPV6_NETWORK), strict=False))
