"""One request on its way: waiting for a connection, sent, answered, or given up."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.awaited import AwaitedCall
from gateway.upstream.response import HttpResponse
from gateway.upstream.transport import Aborted, Body, TimedOut, TransportError, Unreachable

if TYPE_CHECKING:
    from gateway.upstream.connection import Connection
    from gateway.upstream.host import HostPool


class HttpCall(AwaitedCall[HttpResponse]):
    """Implements `gateway.upstream.transport.Call`. `response` has one caller at a time."""

    __slots__ = (
        "_connect_timer",
        "_connection",
        "body",
        "connection_reused",
        "endpoint",
        "finished",
        "head",
        "host",
        "is_head",
        "opening",
        "sent",
        "timeouts",
        "total_at",
        "unread",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoint: Endpoint,
        head: bytes,
        body: bytes | Body,
        timeouts: Timeouts | None = None,
    ) -> None:
        super().__init__(loop)
        self.endpoint = endpoint
        self.timeouts = timeouts = timeouts or endpoint.timeouts
        self.head = head
        """Everything before the body."""
        self.body = body
        self.is_head = False
        self.host: HostPool | None = None
        """Where it waits for a connection; None once it has one."""
        self.opening: asyncio.Task[None] | None = None
        """The connection that is being opened on its behalf, though an earlier call may get it."""
        self.finished = False
        """Nothing more can happen to it: answered in full, failed or aborted."""
        self.connection_reused = False
        self.sent = False
        """Whether a connection took the request, all of it: from then on it may be billed."""
        self.unread = 0
        self.total_at = loop.time() + timeouts.total_s
        """When the total time-out runs out, in the loop's time."""
        self._connect_timer: asyncio.TimerHandle | None = None
        self._connection: Connection | None = None

    def abort(self) -> None:
        """Give up. A request that was sent loses its connection at once; one that finished stays as it is."""
        if self.finished:
            return
        failure = Aborted("the call was given up", sent=self.sent)
        if self._connection is not None:
            self._connection.fail(failure)
        else:
            self.fail(failure)

    def arrived(self) -> int:
        """Bytes of the answer that nobody has looked at: those in our buffer and those in the socket's."""
        waiting = 0 if self._response is None else self._response.buffered
        return waiting if self._connection is None else waiting + self._connection.unread()

    def fail(self, failure: TransportError) -> None:
        """It ends without an answer, or with a broken one. Called by whoever holds it: the queue or the connection."""
        self.finished = True
        if not self.sent:
            failure.sent = False  # a part of its body, at most
        self._failure = failure
        self._connection = None
        if self.host is not None:
            self._stop_waiting(self.host)
        if self._response is not None:
            self._response.fail(failure, at_once=isinstance(failure, Aborted))
        self._wake()

    # --- the queue's side ---

    def wait_in(self, host: HostPool) -> None:
        """No connection is free: wait for one in `host`'s queue, at most the connect time-out."""
        self.host = host
        timeouts = self.timeouts
        at = min(self._loop.time() + timeouts.connect_s, self.total_at)
        self._connect_timer = self._loop.call_at(at, self._connect_expired)

    def _connect_expired(self) -> None:
        endpoint, timeouts = self.endpoint, self.timeouts
        if timeouts.total_s < timeouts.connect_s:
            self.fail(TimedOut("total", timeouts.total_s, sent=False))
        elif self.opening is None:
            message = f"provider {endpoint.provider}: all {endpoint.max_connections} connections stayed busy"
            self.fail(Unreachable(f"{message} for {timeouts.connect_s:g} s", sent=False))
        else:
            self.fail(TimedOut("connect", timeouts.connect_s, sent=False))

    def _stop_waiting(self, host: HostPool) -> None:
        self.host = None
        if self._connect_timer is not None:
            self._connect_timer.cancel()
            self._connect_timer = None
        host.forget(self)

    # --- the connection's side ---

    def sent_on(self, connection: Connection, *, reused: bool) -> None:
        """The connection took the request."""
        self._connection = connection
        self.sent = isinstance(self.body, bytes)
        self.connection_reused = reused
        self.body = b""  # the transport holds what it still has to write
        if self._connect_timer is not None:
            self._connect_timer.cancel()
            self._connect_timer = None

    def answered(self, response: HttpResponse) -> None:
        """The answer's head is there."""
        self._response = response
        self._wake()

    def complete(self) -> None:
        """The answer is whole; the connection is no longer ours."""
        self.finished = True
        self._connection = None
