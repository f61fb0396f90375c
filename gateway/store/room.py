"""The word that room may have come back, to those who wait for some."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Room:
    """Tells its listeners, at most once per turn of the running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._listeners: list[Callable[[], None]] = []
        self._due = False

    def listen(self, callback: Callable[[], None]) -> None:
        """Call this from now on."""
        self._listeners.append(callback)

    def tell(self) -> None:
        """Room may have come back. Returns at once."""
        if not self._due and self._listeners:
            self._due = True
            self._loop.call_soon(self._call)

    def _call(self) -> None:
        self._due = False
        for listener in self._listeners:
            listener()
