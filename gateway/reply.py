"""Where an answer goes. The pipeline and the exchange know this much of a client's connection, and nothing of ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from gateway.context import RequestContext
from gateway.errors import FareboxError

Headers = list[tuple[bytes, bytes]]


class Reply(Protocol):
    """The client's side of one request."""

    @property
    def started(self) -> bool:
        """Whether the client has been sent a status: from then on nothing can be retried or replaced."""
        ...

    @property
    def blocked(self) -> bool:
        """Whether `send` would wait now, because the client reads too slowly."""
        ...

    def asked(self, context: RequestContext) -> None:
        """A request in another tongue than OpenAI's has been read: its answer may come from now on."""
        ...

    def as_it_is(self) -> None:
        """What follows is said in the client's own tongue: nothing of it is to be translated."""
        ...

    def on_disconnect(self, callback: Callable[[], None] | None) -> None:
        """Call this once when the client leaves before its answer is complete (at once if it already has)."""
        ...

    async def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Send a complete answer."""
        ...

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head of a stream."""
        ...

    async def send(self, chunk: bytes) -> None:
        """Send a piece of a stream; waits while the client reads slower than we write."""
        ...

    async def finish(self) -> None:
        """End a stream properly."""
        ...

    async def error(self, error: FareboxError, request_id: str) -> None:
        """Send an error in the shape of the client's API, inside the stream if one has begun, and end the answer."""
        ...


class IncomingCall(Protocol):
    """A request as the server received it."""

    api: str
    headers: Headers
    """Names in lower case."""

    @property
    def query(self) -> bytes:
        """Of its URL, without the question mark."""
        ...

    @property
    def client(self) -> str:
        """The client's address."""
        ...

    async def body(self, max_bytes: int) -> bytes:
        """The whole body. Raises BodyTooLarge, or ClientGone when the client left while sending it."""
        ...


class UploadingCall(IncomingCall, Protocol):
    """One whose body may be too large to be kept."""

    def chunks(self, max_bytes: int) -> AsyncIterator[bytes]:
        """The body as it comes, in place of `body`. Raises BodyTooLarge, or ClientGone."""
        ...


class ClientGone(Exception):
    """The client left before its request was whole: nobody is there to answer."""
