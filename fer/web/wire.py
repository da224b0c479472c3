"""The wire below the application: connections that never finish a request's head, or are too many, are closed."""

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_TIME = 10.0  # seconds for a request's line and headers; uvicorn itself would wait for ever
CONNECTIONS = 500  # at once, WebSockets included; systems allow a process 1,024 files


class Punctual(H11Protocol):
    """uvicorn's own protocol with these two limits."""

    timer = None

    def connection_made(self, transport):
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
        else:
            self._watch()

    def data_received(self, data):
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._stop()

    def _watch(self):
        if self.conn.their_state is not h11.IDLE:  # the head is complete
            self._stop()
        elif self.timer is None:
            self.timer = self.loop.call_later(HEAD_TIME, self.transport.close)

    def _stop(self):
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
