"""What alerts are posted to: a real HTTP server on loopback that answers as it is told, and remembers what came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple


class Posted(NamedTuple):
    """One request."""

    path: str
    headers: dict[str, str]
    body: Any


class Receiver:
    """Answers with `statuses` in turn, then with 200; `headers` are lines of every answer."""

    def __init__(self, statuses: Sequence[int] = (), headers: str = "") -> None:
        self.posted: list[Posted] = []
        self.port = 0
        self._statuses = list(statuses)
        self._headers = headers
        self._came = asyncio.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook/s3cret-path"

    async def wait_for(self, count: int) -> list[Posted]:
        """The requests, once there are `count`."""
        async with self._came, asyncio.timeout(20):
            await self._came.wait_for(lambda: len(self.posted) >= count)
        return self.posted

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
                body = await reader.readexactly(int(headers["content-length"]))
                status = self._statuses.pop(0) if self._statuses else 200
                writer.write(f"HTTP/1.1 {status} OK\r\ncontent-length: 2\r\n{self._headers}\r\nok".encode())
                await writer.drain()
                async with self._came:
                    self.posted.append(Posted(head[0].split()[1], headers, json.loads(body)))
                    self._came.notify_all()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def receiving(statuses: Sequence[int] = (), headers: str = "") -> AsyncIterator[Receiver]:
    """A receiver that serves."""
    receiver = Receiver(statuses, headers)
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
