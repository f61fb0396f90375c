"""An answer of the SDK as the gateway reads it."""

from __future__ import annotations

import asyncio

from gateway.upstream.dialects.litellm_bridge.failures import Headers
from gateway.upstream.dialects.litellm_bridge.line import Line
from gateway.upstream.transport import TransportError


class BridgeResponse:
    """Implements `gateway.upstream.transport.Response`. One reader at a time."""

    __slots__ = ("_chunks", "_complete", "_failure", "_line", "_loop", "_waiter", "buffered", "headers", "status")

    def __init__(self, loop: asyncio.AbstractEventLoop, line: Line, status: int, headers: Headers) -> None:
        self.status = status
        self.headers = headers
        self.buffered = 0
        """Bytes that nobody has fetched yet."""
        self._chunks: list[bytes] = []
        self._complete = False
        self._failure: TransportError | None = None
        self._line = line
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The whole body that has not been fetched yet. Raises TransportError."""
        pieces: list[bytes] = []
        while piece := await self.next_chunk():
            pieces.append(piece)
        return b"".join(pieces)

    async def next_chunk(self) -> bytes:
        """Whatever has arrived by now; `b""` at the end. Raises TransportError, after the bytes that came before it."""
        while not self._chunks:
            if self._failure is not None:
                raise self._failure
            if self._complete:
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = b"".join(self._chunks)
        self._chunks.clear()
        self.buffered = 0
        self._line.taken(len(data))
        return data

    # --- the call's side ---

    def feed(self, data: bytes) -> None:
        """Bytes of the body."""
        self._chunks.append(data)
        self.buffered += len(data)
        self._wake()

    def finish(self) -> None:
        """The body is whole."""
        self._complete = True
        self._wake()

    def fail(self, failure: TransportError, *, at_once: bool) -> None:
        """No more will come. What has arrived is still delivered first, unless `at_once`."""
        self._failure = failure
        if at_once:
            self._chunks.clear()
            self.buffered = 0
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
