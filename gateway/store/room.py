"""The word that room may have come back, to those who wait for some."""

from __future__ import annotations

from collections.abc import Callable


class Room:
    """Tells its listeners, at once: they only wake those who wait, which costs less than a turn of the loop's own."""

    def __init__(self) -> None:
        self._listeners: list[Callable[[], None]] = []

    def listen(self, callback: Callable[[], None]) -> None:
        """Call this from now on. It must not ask the store."""
        self._listeners.append(callback)

    def tell(self) -> None:
        """Room may have come back."""
        for listener in self._listeners:
            listener()
