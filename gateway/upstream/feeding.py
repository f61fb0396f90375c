"""A request's body on its way through: fetched from its client only as fast as the upstream takes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from gateway.upstream.transport import Body, BodyBroken

if TYPE_CHECKING:
    from gateway.upstream.call import HttpCall
    from gateway.upstream.connection import Connection


class Feeder:
    """Passes one body on to one connection. At most one piece of it is here at a time."""

    __slots__ = ("_body", "_call", "_connection", "_task", "_waiter")

    def __init__(self, connection: Connection, call: HttpCall, body: Body) -> None:
        """Begins at once, behind what the connection has sent of it already: its head."""
        self._connection = connection
        self._call = call
        self._body = body
        self._waiter: asyncio.Future[None] | None = None
        self._task = connection.loop.create_task(self._run(), name="upload")

    def room(self) -> None:
        """The upstream has taken what was written."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def stop(self) -> None:
        """Nobody waits for the rest."""
        if asyncio.current_task() is not self._task:
            self._task.cancel()

    async def _run(self) -> None:
        rest, left = self._body.rest, self._body.length
        piece = self._body.head
        try:
            while piece:
                if left is None:
                    piece = b"%x\r\n%b\r\n" % (len(piece), piece)
                else:
                    left -= len(piece)
                    self._call.sent = left <= 0  # what follows is the client's end of it, which the upstream needs not
                await self._write(piece)
                piece = await rest.next_chunk()
        except BodyBroken as error:
            self._connection.fail(error)
            return
        if left is None:
            self._call.sent = True
            await self._write(b"0\r\n\r\n")
        self._connection.fed()

    async def _write(self, data: bytes) -> None:
        if self._connection.write(data):
            return
        self._waiter = self._connection.loop.create_future()
        await self._waiter
