"""The HTTP client: keep-alive connections to every upstream, shared by all requests of the process.

    Pool          endpoints to targets, targets to hosts
    └ HostPool    idle connections, the queue, the openings of one place       host.py
      └ Connection  one socket: parser, phases, time-outs                      connection.py
        ├ HttpCall      a request on its way                                   call.py
        └ HttpResponse  its answer, and the buffer behind it                   response.py

Why our own: docs/adr/0002-transport.md.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from gateway.config.snapshot import Endpoint, Timeouts
from gateway.upstream.call import HttpCall
from gateway.upstream.host import HostPool
from gateway.upstream.target import Destination, Target
from gateway.upstream.tls import TlsContexts
from gateway.upstream.transport import Body, Unreachable

_MAX_TARGETS = 1024


class PoolStats(NamedTuple):
    """How many connections are what, over all upstreams."""

    open: int
    idle: int
    in_use: int
    waiting: int
    """Calls without a connection yet."""


class Pool:
    """Implements `gateway.upstream.transport.Transport`. Belongs to one event loop: the running one unless given."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._contexts = TlsContexts()
        self._hosts: dict[Destination, HostPool] = {}
        self._targets: dict[int, tuple[Target, HostPool]] = {}
        """By the endpoint's identity: hashing all its fields for every request would cost microseconds. A target holds
        its endpoint, so that an identity here cannot come to mean another one."""
        self._closed = False

    def start(
        self,
        endpoint: Endpoint,
        method: bytes,
        path: bytes,
        headers: bytes,
        body: bytes | Body,
        *,
        timeouts: Timeouts | None = None,
    ) -> HttpCall:
        """Begin a request; returns at once. See `Transport.start`."""
        known = self._targets.get(id(endpoint))
        if known is None:
            try:
                known = self._learn(endpoint)
            except Unreachable as problem:
                call = HttpCall(self._loop, endpoint, b"", b"")
                call.fail(problem)
                return call
        target, host = known
        prefix = target.prefixes.get((method, path)) or target.prefix(method, path)
        if not isinstance(body, bytes):
            framing = b"Transfer-Encoding: chunked" if body.length is None else b"Content-Length: %d" % body.length
            head = b"%b%b%b\r\n\r\n" % (prefix, headers, framing)
        elif body or method not in (b"GET", b"HEAD"):
            head = b"%b%bContent-Length: %d\r\n\r\n" % (prefix, headers, len(body))
        else:
            head = b"%b%b\r\n" % (prefix, headers)
        call = HttpCall(self._loop, endpoint, head, body, timeouts)
        if method == b"HEAD":
            call.is_head = True
        host.dispatch(call)
        return call

    def stats(self) -> PoolStats:
        """What the connections do right now."""
        hosts = self._hosts.values()
        is_open = sum(len(host.connections) for host in hosts)
        idle = sum(len(host.idle) for host in hosts)
        return PoolStats(is_open, idle, is_open - idle, sum(len(host.waiting) for host in hosts))

    async def close(self) -> None:
        """Close all connections, the busy ones too; return when their sockets are closed. Later calls are refused."""
        self._closed = True
        await asyncio.gather(*(host.close() for host in self._hosts.values()))

    def _learn(self, endpoint: Endpoint) -> tuple[Target, HostPool]:
        if len(self._targets) >= _MAX_TARGETS:
            # Reloads make new endpoints; the old ones' requests are long over.
            self._targets.clear()
        target = Target(endpoint)
        host = self._hosts.get(target.destination)
        if host is None:
            host = self._hosts[target.destination] = HostPool(self._loop, target.destination, self._contexts)
        if self._closed:
            raise Unreachable("the transport is closed", sent=False)
        known = self._targets[id(endpoint)] = (target, host)
        return known
