"""An upstream that does exactly what a test says, byte by byte, on a real socket."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.config.snapshot import Endpoint, Timeouts

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(body: bytes, *headers: bytes, status: bytes = b"200 OK") -> bytes:
    lines = b"".join(header + b"\r\n" for header in headers)
    return b"HTTP/1.1 %b\r\n%bContent-Length: %d\r\n\r\n%b" % (status, lines, len(body), body)


@dataclass
class Request:
    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    def header(self, name: bytes) -> bytes | None:
        for line in self.head.split(b"\r\n")[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == name:
                return value.strip()
        return None


class Peer:
    """The server's end of one connection."""

    def __init__(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.number = number
        self.reader = reader
        self.writer = writer

    async def request(self) -> Request | None:
        """The next request, or None when the client has left."""
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
            request = Request(head, b"")
            length = request.header(b"content-length")
            if length is not None:
                request.body = await self.reader.readexactly(int(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None
        return request

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Wait until the client closes its end."""
        try:
            while await self.reader.read(65_536):
                pass
        except ConnectionError:
            pass

    def abort(self) -> None:
        """Reset the connection."""
        self.writer.transport.abort()


Handler = Callable[[Peer], Awaitable[Any]]


async def always_ok(peer: Peer) -> None:
    while await peer.request() is not None:
        await peer.send(OK)


@dataclass
class RawServer:
    """`async with RawServer(handler) as server`: runs `handler` once per connection, then closes it."""

    handler: Handler = always_ok
    tls: ssl.SSLContext | None = None
    accepted: int = 0
    peers: set[Peer] = field(default_factory=set)
    """The connections that are open."""

    async def __aenter__(self) -> RawServer:
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        # asyncio counts the connections whose TLS handshake has not brought them to us yet, too.
        await eventually(lambda: self._end_peers() and not getattr(self._server, "_active_count", 0))
        await self._server.wait_closed()

    def _end_peers(self) -> bool:
        for task in self._tasks:
            if not task.cancelling():
                task.cancel()
        while self.peers and not self._tasks:  # of tasks that were cancelled before they began
            self.peers.pop().abort()
        return not self._tasks

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def endpoint(self, **changes: Any) -> Endpoint:
        return Endpoint(**{"provider": "acme", "base_url": self.url, "headers": (), **changes})

    async def until(self, condition: Callable[[RawServer], bool]) -> None:
        """Wait until what the server has seen of connections meets the condition."""
        async with asyncio.timeout(30), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def all_gone(self) -> None:
        """Wait until no connection is open: every handler has seen its client leave."""
        await self.until(lambda server: not server.peers)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        peer = Peer(self.accepted, reader, writer)
        self.peers.add(peer)
        task = asyncio.create_task(self._serve(peer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, peer: Peer) -> None:
        try:
            await self._notify()
            await self.handler(peer)
        except ConnectionError:
            pass
        finally:
            if self._server.is_serving():
                peer.writer.close()
            else:
                peer.abort()
            self.peers.discard(peer)
            await self._notify()
            try:
                await peer.writer.wait_closed()
            except (ConnectionError, ssl.SSLError):
                pass

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


def quick(**changes: float) -> Timeouts:
    """Time-outs that never run out in a test, but for those given."""
    return Timeouts(**{"connect_s": 20.0, "first_byte_s": 20.0, "idle_s": 20.0, "total_s": 20.0, **changes})


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds. Does not need the loop's clock to move."""
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at, "it did not come about"
        await asyncio.sleep(0)
