"""An answer whose head has arrived, and the bounded buffer between the connection and whoever reads the body."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.upstream.decoding import Decoder, MalformedBody
from gateway.upstream.transport import ConnectionBroken, ResponseTooLarge, TransportError

if TYPE_CHECKING:
    from gateway.upstream.connection import Connection

HIGH_WATER_BYTES = 262_144
"""Unread bytes beyond this stop the connection's reading."""
LOW_WATER_BYTES = 65_536
"""Below this it goes on."""


class HttpResponse:
    """Implements `gateway.upstream.transport.Response`. One reader at a time."""

    __slots__ = (
        "_chunks",
        "_complete",
        "_connection",
        "_decoder",
        "_failure",
        "_loop",
        "_max_bytes",
        "_waiter",
        "buffered",
        "collecting",
        "headers",
        "room",
        "status",
    )

    def __init__(self, connection: Connection, status: int, headers: list[tuple[bytes, bytes]], max_bytes: int) -> None:
        self.status = status
        self.headers = headers
        self.buffered = 0
        """Undecoded bytes that nobody has fetched yet."""
        self.room = HIGH_WATER_BYTES
        """How many may be buffered before the connection stops reading; while collecting, before `read` gives up."""
        self.collecting = False
        """Whether `read` wants the whole body."""
        self._chunks: list[bytes] = []
        self._complete = False
        self._connection: Connection | None = connection
        self._decoder: Decoder | None = None
        self._failure: TransportError | None = None
        self._loop = connection.loop
        self._max_bytes = max_bytes
        self._waiter: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The whole body that has not been fetched yet. Raises TransportError."""
        if self._decoder is not None:
            return await self._read_decoded()
        if self._connection is not None:
            self.collecting = True
            self.room = self._max_bytes
            self._connection.resume()
            while self._connection is not None:
                if self.buffered > self.room:
                    self._give_up(self._too_large())
                else:
                    await self._wait()
        if self._failure is not None:
            raise self._failure
        if self.buffered > self._max_bytes:
            raise self._too_large()
        return self._take()

    async def next_chunk(self) -> bytes:
        """Whatever has arrived by now; `b""` at the end. Raises TransportError, after the bytes that came before it."""
        decoder = self._decoder
        while True:
            if decoder is not None:
                piece = self._pull(decoder)
                if piece:
                    return piece
            if self._chunks:
                data = self._take()
                if self._connection is not None:
                    self._connection.resume()
                if decoder is None:
                    return data
                decoder.feed(data)
            elif self._failure is not None:
                raise self._failure
            elif self._complete:
                if decoder is not None:
                    self._finish_decoding(decoder)
                return b""
            else:
                await self._wait()

    # --- the connection's side ---

    def decode(self) -> None:
        """Undo gzip or deflate, if that is the one encoding, and take back the headers that describe it."""
        encodings = [value for name, value in self.headers if name == b"content-encoding"]
        if len(encodings) == 1:
            self._decoder = Decoder.for_encoding(encodings[0])
        if self._decoder is not None:
            described = (b"content-encoding", b"content-length")
            self.headers = [header for header in self.headers if header[0] not in described]

    def feed(self, data: bytes) -> None:
        """Bytes of the body. `wake` follows when the connection has taken in all that came."""
        self._chunks.append(data)
        self.buffered += len(data)

    def wake(self) -> None:
        """Let the reader see what has changed."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def finish(self) -> None:
        """The body is whole."""
        self._complete = True
        self._connection = None
        if self._waiter is not None:
            self.wake()

    def fail(self, failure: TransportError, *, at_once: bool = False) -> None:
        """No more will come. What has arrived is still delivered first, unless `at_once`."""
        self._failure = failure
        self._connection = None
        if at_once:
            self._chunks.clear()
        self.wake()

    # --- ours ---

    def _take(self) -> bytes:
        chunks = self._chunks
        self.buffered = 0
        if len(chunks) == 1:
            return chunks.pop()
        data = b"".join(chunks)
        chunks.clear()
        return data

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    async def _read_decoded(self) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := await self.next_chunk():
            size += len(piece)
            if size > self._max_bytes:
                error = self._too_large()
                self._give_up(error)
                raise error
            pieces.append(piece)
        return b"".join(pieces)

    def _pull(self, decoder: Decoder) -> bytes:
        try:
            return decoder.pull(HIGH_WATER_BYTES)
        except MalformedBody as error:
            raise self._malformed(error) from error

    def _finish_decoding(self, decoder: Decoder) -> None:
        try:
            decoder.finish()
        except MalformedBody as error:
            raise self._malformed(error) from error

    def _malformed(self, error: MalformedBody) -> TransportError:
        failure = ConnectionBroken(str(error), sent=True)
        self._give_up(failure)
        return failure

    def _too_large(self) -> ResponseTooLarge:
        return ResponseTooLarge(f"the answer is larger than {self._max_bytes} bytes", sent=True)

    def _give_up(self, failure: TransportError) -> None:
        """Nobody wants the rest: close the connection, if the body was still on it."""
        if self._connection is not None:
            self._connection.fail(failure)
        self._failure = failure
        self._chunks.clear()
