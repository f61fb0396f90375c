"""The answer to a call, while it is waited for."""

from __future__ import annotations

import asyncio
from typing import Generic, TypeVar

from gateway.upstream.transport import Aborted, Response, TransportError

Awaited = TypeVar("Awaited", bound=Response)


class AwaitedCall(Generic[Awaited]):
    """A call whose answer, or failure, comes from elsewhere. `response` has one caller at a time."""

    __slots__ = ("_failure", "_loop", "_response", "_waiter")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._response: Awaited | None = None
        self._failure: TransportError | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def response(self) -> Awaited:
        """Wait for the answer's head. Raises TransportError."""
        if self._response is None and self._failure is None:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._failure is not None and (self._response is None or isinstance(self._failure, Aborted)):
            raise self._failure
        if self._response is None:
            raise RuntimeError("a call is awaited by one task at a time")
        return self._response

    def _wake(self) -> None:
        """There is an answer, or a failure."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
