"""Timeouts and counts below the application: clients that never finish a request, that do not read what they asked for,
or that are too many.

uvicorn's own limits do another job: `limit_concurrency` answers 503 to complete requests, and the keep-alive timeout
begins after a response and ends with the next byte. None closes a connection that sends half a head, or nothing at all.
And uvicorn learns of a connection after the handshake of TLS, for which asyncio waits a minute: our socket counts them.
"""

import asyncio
import ipaddress
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from fer.web.limits import Limits
from fer.web.slots import name_of

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOOP = "asyncio:SelectorEventLoop"  # for uvicorn
LINGER = 5.0  # seconds in which the rest of a message arrives that is refused
MOST_PONGS = 2  # times that pongs are added to what waits to be read; a client may send pings for ever


class Listener(socket.socket):
    """A listening socket that turns clients with too many connections away. It needs `LOOP`: others do not ask it.

    Args:
        place: the socket, which is of no use any more.
        limits: those of the server.
        proxies: networks whose connections are not counted per client, for they carry many clients.
    """

    def __init__(self, place: socket.socket, limits: Limits, proxies: tuple[Network, ...] = ()):
        super().__init__(place.family, place.type, place.proto, fileno=place.detach())
        self._limits, self._proxies = limits, proxies
        self._held: list[tuple[str, socket.socket]] = []  # by client; closed ones go with the next that comes

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection and its address; raises ConnectionAbortedError for one too many, as asyncio expects."""
        connection, address = super().accept()
        name = name_of(address[0])
        self._held = [(other, one) for other, one in self._held if one.fileno() != -1]
        alone = not is_within(address[0], self._proxies)
        own = sum(other == name for other, _ in self._held) if alone else 0
        if len(self._held) >= self._limits.connections or own >= self._limits.connections_per_client:
            connection.close()
            raise ConnectionAbortedError
        self._held.append((name, connection))
        return connection, address


class Watched:
    """Of both protocols: ends connections whose client leaves what was sent to it unread.

    Attributes:
        limits: those of the server.
    """

    limits = Limits()
    _stall: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Of asyncio.Protocol, as the methods below."""
        super().connection_made(transport)  # type: ignore[misc]
        # Tells of every byte that waits: by default of 64 kB, and a connection closes only after it has sent all.
        transport.set_write_buffer_limits(high=1, low=0)

    def pause_writing(self) -> None:
        super().pause_writing()  # type: ignore[misc]
        loop, transport = self.loop, self.transport  # type: ignore[attr-defined]
        self._stall = loop.call_later(self.limits.unread_seconds, transport.abort)

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()  # type: ignore[misc]

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_stall()
        super().connection_lost(exc)  # type: ignore[misc]

    def _end_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None


class LimitedProtocol(Watched, H11Protocol):
    """uvicorn's protocol with the limits on request heads and on bodies that nobody waits for."""

    _timer: asyncio.TimerHandle | None = None
    _awaited = 0.0  # seconds that the timer was given

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY:  # else the keep-alive timer runs
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._stop()

    def _watch(self) -> None:
        """Sets the timer for what the client still owes: a head, or the rest of a body that is answered already."""
        theirs, ours = self.conn.their_state, self.conn.our_state
        if theirs is h11.IDLE:
            awaited = self.limits.header_seconds
        elif theirs is h11.SEND_BODY and ours is h11.DONE:
            awaited = self.limits.image_upload_seconds
        else:
            self._stop()
            return
        if self._timer is None or self._awaited != awaited:
            self._stop()
            self._timer, self._awaited = self.loop.call_later(awaited, self.transport.close), awaited

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class LimitedSocket(Watched, WebSocketsSansIOProtocol):
    """uvicorn's protocol of WebSockets, with three differences.

    Pings of a client that does not read are left without an answer. A message that is too large is read for a while: to
    close in the midst of it would reset the connection, and the client would not learn why. A request for a WebSocket
    that `websockets` cannot read gets 400; uvicorn waits for its rest for ever.
    """

    _drains = False
    _pongs = 0  # times that some were added since the client last read all

    def resume_writing(self) -> None:
        super().resume_writing()
        self._pongs = 0

    def data_received(self, data: bytes) -> None:
        if self._drains:
            return
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            self.transport.close()

    def handle_parser_exception(self) -> None:
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        if self.transport.can_write_eof():  # not with TLS
            self.transport.write_eof()
        self.close_sent = self._drains = True
        self.transport.resume_reading()
        self.loop.call_later(LINGER, self.transport.close)

    def handle_ping(self) -> None:
        if self.writable.is_set() or self._pongs < MOST_PONGS:
            self._pongs += not self.writable.is_set()
            super().handle_ping()  # sends the pongs for all pings that arrived together
        else:
            self.conn.data_to_send()  # drops them


def limited_protocols(limits: Limits) -> tuple[type[LimitedProtocol], type[LimitedSocket]]:
    """The protocol classes for uvicorn, which makes one object for each connection, and another for its WebSocket."""
    return (
        type("LimitedProtocol", (LimitedProtocol,), {"limits": limits}),
        type("LimitedSocket", (LimitedSocket,), {"limits": limits}),
    )


def is_within(host: str, networks: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in networks)
