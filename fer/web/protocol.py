"""Timeouts and counts below the application: connections that never finish a request's head, or are too many.

uvicorn's own limits do another job: `limit_concurrency` answers 503 to complete requests, and the keep-alive timeout
begins after a response. Neither closes a connection that sends half a head, or nothing at all.
"""

import asyncio
import ipaddress

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from fer.web.limits import Limits

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class LimitedProtocol(H11Protocol):
    """uvicorn's protocol with the limits on connections and request heads; see `limited_protocol`.

    Attributes:
        limits: those of the server.
        proxies: networks whose connections are not counted per client, for they carry many clients.
    """

    limits = Limits()
    proxies: tuple[Network, ...] = ()
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections or self._is_one_too_many():
            transport.abort()
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _is_one_too_many(self) -> bool:
        host = self.client[0] if self.client else ""
        if is_within(host, self.proxies):
            return False
        clients = (getattr(one, "client", None) for one in self.connections)
        return sum(client is not None and client[0] == host for client in clients) > self.limits.connections_per_client

    def _watch(self) -> None:
        if self.conn.their_state is not h11.IDLE:  # the head is complete
            self._stop()
        elif self._timer is None:
            self._timer = self.loop.call_later(self.limits.header_seconds, self.transport.close)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def limited_protocol(limits: Limits, proxies: tuple[Network, ...] = ()) -> type[LimitedProtocol]:
    """The protocol class for uvicorn, which makes one object of it for each connection."""
    return type("LimitedProtocol", (LimitedProtocol,), {"limits": limits, "proxies": proxies})


def is_within(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
