"""The seam to the network: what the exchange needs of an HTTP client, and no more.

`gateway.upstream.pool` implements it (docs/adr/0002-transport.md). Nothing else in Farebox connects to a provider.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol

from gateway.config.snapshot import Endpoint, Timeouts


class TransportError(Exception):
    """The answer did not come, or not whole. `sent`: the upstream may have seen (and billed) the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class Unreachable(TransportError):
    """No connection: refused, unresolvable, TLS failure, proxy failure, or the pool is full. Nothing was sent."""


class TimedOut(TransportError):
    """One of the call's time-outs ran out; `phase` is `connect`, `first_byte`, `idle` or `total`."""

    def __init__(self, phase: str, after_s: float, *, sent: bool) -> None:
        super().__init__(f"{phase} time-out after {after_s:g} s", sent=sent)
        self.phase = phase
        self.after_s = after_s


class ConnectionBroken(TransportError):
    """The connection was lost, or what came over it was no HTTP, after the request had been sent."""


class Aborted(TransportError):
    """`Call.abort()` was called: the exchange itself gave up."""


class ResponseTooLarge(TransportError):
    """The body exceeds the endpoint's `max_response_bytes`."""


class BodyBroken(TransportError):
    """The request's own body did not come whole from its client, who was sending it while it was passed on."""


class Rest(Protocol):
    """A part of a request's body that is still to come."""

    def next_chunk(self) -> Awaitable[bytes]:
        """The next bytes; `b""` at the end. Raises BodyBroken."""
        ...


class Body(Protocol):
    """A request's body whose beginning is here and whose rest is still to come."""

    @property
    def head(self) -> bytes:
        """What is sent first."""
        ...

    @property
    def rest(self) -> Rest:
        """What is sent as it comes, and as the upstream takes it."""
        ...

    @property
    def length(self) -> int | None:
        """Bytes of both together; None sends them in chunks."""
        ...


class Response(Protocol):
    """An answer whose head has arrived."""

    status: int
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in the order they came. Content-Encoding gzip and deflate are already undone."""

    async def read(self) -> bytes:
        """The whole body, at most the endpoint's `max_response_bytes`. Raises TransportError."""
        ...

    async def next_chunk(self) -> bytes:
        """The next bytes as they arrive (whatever has arrived by now, joined); `b""` at the end. Raises TransportError.

        The upstream is read ahead by at most a bounded buffer: not calling this slows the upstream down.
        """
        ...


class Call(Protocol):
    """One request on its way."""

    @property
    def connection_reused(self) -> bool:
        """Whether it went over a connection that had served another request before."""
        ...

    @property
    def sent(self) -> bool:
        """Whether any byte of the request was handed to the operating system: from then on it may be billed.

        Of a body that is passed on as it comes: whether all of it was. Nobody bills half a request.
        """
        ...

    @property
    def unread(self) -> int:
        """Bytes of the answer that had arrived when it was given up, and that nobody has looked at."""
        ...

    def arrived(self) -> int:
        """Bytes of the answer that have arrived by now, and that nobody has looked at."""
        ...

    async def response(self) -> Response:
        """Wait for the answer's head. Raises TransportError."""
        ...

    def abort(self) -> None:
        """Close the connection at once: the upstream sees its client leave. Who waits gets `Aborted`. Idempotent."""
        ...


class Transport(Protocol):
    """Sends requests. One per process and configuration; closing it closes idle connections."""

    def start(
        self,
        endpoint: Endpoint,
        method: bytes,
        path: bytes,
        headers: bytes,
        body: bytes | Body,
        *,
        timeouts: Timeouts | None = None,
    ) -> Call:
        """Begin a request; returns at once.

        `path` is appended to the endpoint's base URL. `headers` are complete header lines (`b"name: value\\r\\n"...`)
        besides Host, Content-Length, Accept-Encoding and the endpoint's own headers, which the transport adds.
        `timeouts` stand for the endpoint's own.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...
