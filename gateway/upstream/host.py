"""The connections to one place, and the queue of the calls that wait for one."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.upstream.call import HttpCall
from gateway.upstream.connection import Connection
from gateway.upstream.opening import open_connection
from gateway.upstream.target import Destination
from gateway.upstream.tls import TlsContexts
from gateway.upstream.transport import Aborted, TimedOut, TransportError, Unreachable


class HostPool:
    """Keeps idle connections last in, first out: the warm ones work, the surplus ages away.

    Calls that find none wait first in, first out. Each makes one connection be opened while the limit allows; the first
    that becomes free, new or returned, serves the call that has waited longest.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, destination: Destination, contexts: TlsContexts) -> None:
        self.connections: set[Connection] = set()
        """All that are open, busy or idle."""
        self.idle: list[Connection] = []
        self.waiting: deque[HttpCall] = deque()
        self.openings: set[asyncio.Task[None]] = set()
        self._closed = False
        self._contexts = contexts
        self._destination = destination
        self._drained: asyncio.Future[None] | None = None
        self._loop = loop

    def dispatch(self, call: HttpCall) -> None:
        """Send the call on an idle connection, or let it wait for one."""
        idle = self.idle
        if idle:
            now = self._loop.time()
            while idle:
                connection = idle.pop()
                if connection.is_fresh(now):
                    connection.send(call)
                    return
        if self._closed:
            call.fail(Unreachable("the transport is closed", sent=False))
            return
        self.waiting.append(call)
        call.wait_in(self)
        self._open_for(call)

    def release(self, connection: Connection, keepalive_s: float) -> None:
        """A connection has become free."""
        if self._closed:
            connection.close()
        elif self.waiting:
            self._serve(connection)
        else:
            connection.park(keepalive_s)
            self.idle.append(connection)

    def retire(self, connection: Connection) -> None:
        """A connection is being closed: use it no more."""
        if connection in self.idle:
            self.idle.remove(connection)

    def connection_lost(self, connection: Connection) -> None:
        """A connection is gone: there may be room for another."""
        self.connections.discard(connection)
        self._open_more()
        self._check_drained()

    def forget(self, call: HttpCall) -> None:
        """A call waits no longer. A connection being opened for it goes on, and serves the next."""
        if call in self.waiting:
            self.waiting.remove(call)

    async def close(self) -> None:
        """Fail what waits, break off what runs, and return when every socket is closed."""
        self._closed = True
        for call in list(self.waiting):
            call.fail(Unreachable("the transport was closed", sent=False))
        for opening in self.openings:
            opening.cancel()
        for connection in list(self.connections):
            connection.fail(Aborted("the transport was closed", sent=True))
        if self.connections or self.openings:
            self._drained = self._loop.create_future()
            await self._drained

    def _serve(self, connection: Connection) -> None:
        call = self.waiting.popleft()
        call.host = None
        connection.send(call)

    def _open_for(self, call: HttpCall) -> None:
        if len(self.connections) + len(self.openings) < call.endpoint.max_connections:
            call.opening = self._loop.create_task(self._open(call))
            self.openings.add(call.opening)
            call.opening.add_done_callback(self._opening_done)

    def _open_more(self) -> None:
        """Give the longest-waiting call without an opening one of its own, if there is room."""
        if self._closed or len(self.openings) >= len(self.waiting):
            return
        for call in self.waiting:
            if call.opening is None or call.opening.done():
                self._open_for(call)
                return

    async def _open(self, call: HttpCall) -> None:
        """Open a connection; on failure fail the call it was for, if that still waits."""
        connection = Connection(self._loop, self)
        connect_s = call.endpoint.timeouts.connect_s
        failure: TransportError | None = None
        try:
            async with asyncio.timeout(connect_s):
                await open_connection(self._destination, self._contexts, connection)
        except TimeoutError:
            failure = TimedOut("connect", connect_s, sent=False)
        except TransportError as error:
            failure = error
        if failure is None and connection.is_closing:
            failure = Unreachable(f"{self._destination.origin}: it closed the connection at once", sent=False)
        if failure is None:
            self.connections.add(connection)
            self.release(connection, call.endpoint.keepalive_s)
        elif call.host is self:
            call.fail(failure)

    def _opening_done(self, opening: asyncio.Task[None]) -> None:
        self.openings.discard(opening)
        self._open_more()
        self._check_drained()
        if not opening.cancelled():
            error = opening.exception()
            if error is not None:  # a bug of ours: show it where bugs are shown
                raise error

    def _check_drained(self) -> None:
        if self._drained is not None and not self._drained.done() and not self.connections and not self.openings:
            self._drained.set_result(None)
