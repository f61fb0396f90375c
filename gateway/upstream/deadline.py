"""One moment that moves with nearly every event, watched by one timer that seldom moves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

NEVER = float("inf")
_CLOCK_STEP_S = 0.001
"""uvloop's clock and timers count whole milliseconds, so a timer may fire that much early."""


class Deadline:
    """Calls `on_expiry` once when the loop's clock passes `at`.

    Moving the deadline later costs an assignment: the timer that is already running finds out when it fires and arms
    itself again. Only moving it before the running timer touches the loop.
    """

    __slots__ = ("_handle", "_handle_at", "_loop", "_on_expiry", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, on_expiry: Callable[[], None]) -> None:
        self._loop = loop
        self._on_expiry = on_expiry
        self._handle: asyncio.TimerHandle | None = None
        self._handle_at = NEVER
        self.at = NEVER

    def set(self, at: float) -> None:
        """Expire at `at`, in the loop's time; `NEVER` for not at all."""
        self.at = at
        if at < self._handle_at:
            if self._handle is not None:
                self._handle.cancel()
            self._handle_at = at
            self._handle = self._loop.call_at(at, self._fire)

    def cancel(self) -> None:
        """Never expire, and hold no timer."""
        self.at = self._handle_at = NEVER
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _fire(self) -> None:
        self._handle = None
        self._handle_at = NEVER
        if self._loop.time() + _CLOCK_STEP_S >= self.at:
            self.at = NEVER
            self._on_expiry()
        elif self.at != NEVER:
            self.set(self.at)
