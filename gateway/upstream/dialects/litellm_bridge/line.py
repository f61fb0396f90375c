"""What connects the two sides of a call: its worker in the SDK's thread, and the gateway's loop.

News goes over by `call_soon_threadsafe`, in order. How much of an answer waits on the gateway's side is two counters,
each written by one side only, so that a slow reader slows its provider down without a lock.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from gateway.upstream.dialects.litellm_bridge.failures import Headers
from gateway.upstream.transport import TransportError

HIGH_WATER_BYTES = 262_144
"""More than this unread stops the worker."""
LOW_WATER_BYTES = 65_536
"""Below this it goes on."""


class Listener(Protocol):
    """The gateway's side. All is called on its loop."""

    def moved(self) -> None:
        """Something happened on the network: see the watch."""
        ...

    def answered(self, status: int, headers: Headers) -> None:
        """The answer's head."""
        ...

    def fed(self, data: bytes) -> None:
        """Bytes of the answer."""
        ...

    def ended(self) -> None:
        """The answer is whole."""
        ...

    def failed(self, error: TransportError) -> None:
        """It is not, and will not be."""
        ...


class Line:
    """One call's."""

    def __init__(self, loop: asyncio.AbstractEventLoop, listener: Listener) -> None:
        self._loop = loop
        self._listener = listener
        self._given = 0
        """Bytes; written by the worker."""
        self._taken = 0
        """Bytes; written by the gateway."""
        self.resumed_s = 0.0
        """When the reader last made room, in monotonic seconds."""
        self._paused = False
        self._room = asyncio.Event()
        self._worker: asyncio.AbstractEventLoop | None = None

    # --- the worker's side ---

    def moved(self) -> None:
        """The watch has seen something."""
        self._post(self._listener.moved)

    def answer(self, status: int, headers: Headers) -> None:
        """Give the answer's head."""
        self._post(self._listener.answered, status, headers)

    def whole(self, status: int, headers: Headers, body: bytes) -> None:
        """Give an answer in one piece."""
        self.answer(status, headers)
        self.give(body)
        self.end()

    def give(self, data: bytes) -> None:
        """Give bytes of the answer at once: the last ones."""
        self._given += len(data)
        self._post(self._listener.fed, data)

    async def feed(self, data: bytes) -> None:
        """Give bytes of the answer; return when there is room for more."""
        self.give(data)
        if self._given - self._taken > HIGH_WATER_BYTES:
            self._worker = asyncio.get_running_loop()
            self._room.clear()
            self._paused = True
            # Looked at once more after the flag is up: the reader may have emptied it before it saw that.
            if self._given - self._taken > LOW_WATER_BYTES:
                await self._room.wait()
            self._paused = False

    def end(self) -> None:
        """The answer is whole."""
        self._post(self._listener.ended)

    def fail(self, error: TransportError) -> None:
        """No more will come."""
        self._post(self._listener.failed, error)

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *arguments)
        except RuntimeError:  # the gateway's loop is closed: nobody listens
            pass

    # --- the gateway's side ---

    @property
    def paused(self) -> bool:
        """Whether the worker waits for the reader."""
        return self._paused

    def taken(self, count: int) -> None:
        """The reader has taken that many bytes."""
        self._taken += count
        worker = self._worker
        if self._paused and worker is not None and self._given - self._taken <= LOW_WATER_BYTES:
            self.resumed_s = time.monotonic()
            try:
                worker.call_soon_threadsafe(self._room.set)
            except RuntimeError:  # the worker's loop is closed: nobody waits
                pass
