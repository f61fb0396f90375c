"""One request's connection: waiting, writing, noticing at once that the client left, and breaking it on purpose."""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from gateway.simulator.errors import SimError

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
HeaderList = list[tuple[bytes, bytes]]
JSON: HeaderList = [(b"content-type", b"application/json")]

TRANSPORT = "farebox.transport"
"""The scope's extension with the connection's asyncio transport, put there by `gateway.simulator.listener`."""
MAX_BODY_BYTES = 67_108_864
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientGone(Exception):
    """The client left before its request was whole."""


class Conversation:
    """A request and the means to answer it."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, stopping: asyncio.Event) -> None:
        """`stopping` is set when the server ends."""
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.gone = False
        """The client left before the answer was complete."""
        self.started = False
        self._scope = scope
        self._receive = receive
        self._send = send
        self._stopping = stopping
        self._complete = False
        self._waiter: asyncio.Future[None] | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._compressor: Any = None

    def header(self, name: bytes) -> str | None:
        """A request header as text."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")

    async def body(self) -> bytes:
        """The request's body. Raises ClientGone, SimError (413)."""
        chunks: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > MAX_BODY_BYTES:
                raise SimError(413, "Request body too large.")
            if not message.get("more_body"):
                return b"".join(chunks)

    def watch(self) -> None:
        """From now on notice when the client leaves. Call after `body()`."""
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = not self._complete
        if self._waiter is not None:
            _wake(self._waiter)

    async def pause(self, seconds: float) -> bool:
        """Wait, but no longer than the client does. True when the client is still there."""
        if seconds <= 0 or self.gone:
            await asyncio.sleep(0)
            return not self.gone
        loop = asyncio.get_running_loop()
        waiter = self._waiter = loop.create_future()
        timer = loop.call_later(seconds, _wake, waiter)
        try:
            await waiter
        finally:
            timer.cancel()
            self._waiter = None
        return not self.gone

    async def linger(self, seconds: float) -> None:
        """Wait, whether the client is there or not; until the server ends at most."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            pass  # the usual end

    async def start(self, status: int, headers: HeaderList) -> None:
        """Send the head."""
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def start_stream(self, headers: HeaderList, *, compress: bool = False) -> None:
        """Send the head of an event stream."""
        if compress:
            self._compressor = zlib.compressobj(wbits=31)
            headers = [*headers, (b"content-encoding", b"gzip")]
        await self.start(
            200, [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache"), *headers]
        )

    async def write(self, data: bytes) -> None:
        """Send a part of the body."""
        if self._compressor is not None:
            data = self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the rest of the body."""
        if self._compressor is not None:
            data = self._compressor.compress(data) + self._compressor.flush()
        self._complete = not self.gone
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def answer(self, status: int, body: bytes, headers: HeaderList) -> None:
        """Send a whole answer with a Content-Length."""
        await self.start(status, [*headers, (b"content-length", b"%d" % len(body))])
        await self.finish(body)

    async def reset(self) -> None:
        """Break the connection with a TCP reset, after what was written has left."""
        transport: asyncio.Transport = self._scope["extensions"][TRANSPORT]
        for _ in range(1000):  # a client that does not read gets its reset all the same
            if transport.get_write_buffer_size() == 0 or self.gone:
                break
            await asyncio.sleep(0.001)
        reset_transport(transport)
        if self._watcher is not None:
            await self._watcher

    async def close(self) -> None:
        """Stop watching."""
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            await asyncio.wait([self._watcher])


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def reset_transport(transport: asyncio.Transport) -> None:
    """Close with a TCP reset instead of an orderly end."""
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.fileno() >= 0:  # below 0: the client was quicker
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
