"""The memory store's log as it is kept: written soon or at once, synced where the disk has to have it, renewed."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from gateway.store.log import LogUnwritable, ReservationLog
from gateway.store.protocol import StoreUnavailable
from gateway.store.sync import GroupSync

_log = logging.getLogger("farebox.store")

FLUSH_S = 0.05
"""How long a settlement may wait for a write to go with."""


class LogKeeper:
    """Keeps one log. Belongs to one event loop."""

    def __init__(
        self, log: ReservationLog, directory: Path, flush: Callable[[], Awaitable[None]], *, power: bool
    ) -> None:
        """`flush` returns when the journal has all that was recorded so far; `power`: the disk has to have records."""
        self.log = log
        self.failing = False
        """Whether the latest write failed: nothing is admitted."""
        self.sync: GroupSync | None = None
        """To be waited for after a write; None where it need not be."""
        self._flush = flush
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._directory = -1
        if power:
            self._directory = os.open(directory, os.O_RDONLY | os.O_CLOEXEC)
            self.sync = GroupSync(log, self._directory)

    def status(self) -> dict[str, Any]:
        """How it stands, for people: `store` is `ok`, or `unavailable` and `store_error` says why."""
        if self.failing:
            return {"store": "unavailable", "store_error": "the log of reservations cannot be written"}
        return {"store": "ok"}

    def write_soon(self) -> None:
        """Have what waits written within `FLUSH_S`."""
        if self._timer is None:
            self._timer = self._loop.call_later(FLUSH_S, self.write_now)

    def write_now(self) -> None:
        """Write what waits; what cannot be written goes on waiting."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self.log.flush()
        except LogUnwritable as error:
            self.unavailable(error)

    def unavailable(self, error: LogUnwritable) -> StoreUnavailable:
        """Note that it could not be written; what to raise for it."""
        if not self.failing:
            self.failing = True
            _log.error("the log of reservations cannot be written, nothing is admitted: %s", error)
        return StoreUnavailable(f"the log of reservations cannot be written: {error}")

    async def tidy(self) -> None:
        """Begin a new file when the present one is long enough, and remove those that nothing depends on.

        Raises LogUnwritable, JournalError.
        """
        log = self.log
        log.flush()
        if log.full or self.failing:
            log.rotate()
        if self.failing:
            self.failing = False
            _log.warning("the log of reservations can be written again")
        retired = list(log.retired)
        if not retired:
            return
        await self._flush()
        if self.sync is not None:
            await self.sync.wait()
        log.remove(retired)

    async def close(self) -> None:
        """Write what waits and let go of the log."""
        if self._timer is not None:
            self._timer.cancel()
        if self.sync is not None:
            await self.sync.close()
            os.close(self._directory)
        self.log.close()
