"""What waits for a client that reads more slowly than its answer is generated.

A metered stream is read at the provider's pace, never at the client's: what would wait unread in a socket could not be
counted. So it waits here, up to a bound.
"""

from __future__ import annotations

import asyncio
from typing import Final

from gateway.reply import Reply

MAX_BYTES: Final = 8_388_608
"""A client that is further behind is given up."""


class ClientTooSlow(Exception):
    """The client is so far behind that it counts as gone."""


class Outbox:
    """Sends to one client: at once while it keeps up, else from here, in order."""

    __slots__ = ("_bytes", "_max_bytes", "_reply", "_task", "_waiting")

    def __init__(self, reply: Reply, max_bytes: int = MAX_BYTES) -> None:
        self._reply = reply
        self._max_bytes = max_bytes
        self._waiting: list[bytes] = []
        self._bytes = 0
        self._task: asyncio.Task[None] | None = None

    async def put(self, data: bytes) -> None:
        """Send, or keep; never waits for the client. Raises ClientTooSlow."""
        if self._task is None:
            if not self._reply.blocked:
                await self._reply.send(data)
                return
            self._task = asyncio.create_task(self._drain(), name="outbox")
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            raise ClientTooSlow
        self._waiting.append(data)

    async def sent(self) -> None:
        """Wait until the client has been sent everything."""
        if self._task is not None:
            await self._task

    def drop(self) -> None:
        """Forget what waits: nobody is there to read it."""
        if self._task is not None:
            self._task.cancel()
        self._waiting.clear()

    async def _drain(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            data = b"".join(waiting)
            await self._reply.send(data)
            self._bytes -= len(data)
        self._task = None
