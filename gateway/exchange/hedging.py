"""Two attempts for one client: the first to have something to show serves it, the other is given up and charged."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial

from gateway.exchange.failures import AttemptFailed, Superseded
from gateway.exchange.relay import Relay


class Race:
    """Runs an attempt that may be hedged when its first byte is late."""

    __slots__ = ("_first", "_hedge", "_relays", "_winner")

    def __init__(
        self,
        first: Relay,
        hedge: Callable[[Relay], Awaitable[Relay | None]],
    ) -> None:
        """`hedge` begins a second attempt, or gives None."""
        self._first = first
        self._hedge = hedge
        self._relays = [first]
        self._winner: Relay | None = None
        first.delivery.claim = partial(self._claim, first)

    async def run(self) -> None:
        """Serve the client. Raises as `Relay.run` does, for the last of those that failed."""
        first = self._first
        tasks = [asyncio.create_task(first.run(), name="attempt")]
        try:
            late_s = (first.hedge_at_s or 0.0) - time.monotonic()
            done, _ = await asyncio.wait(tasks, timeout=max(0.0, late_s))
            if not done and self._winner is None:
                second = await self._hedge(first)
                if second is not None:
                    second.delivery.claim = partial(self._claim, second)
                    self._relays.append(second)
                    self._check(second)
                    tasks.append(asyncio.create_task(second.run(), name="hedge"))
            await self._finish(tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _finish(self, tasks: list[asyncio.Task[None]]) -> None:
        failed: AttemptFailed | None = None
        pending = set(tasks)
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                try:
                    task.result()
                except AttemptFailed as error:
                    failed = error
                except Superseded:
                    pass
        if failed is not None and self._winner is None:
            raise failed

    def _check(self, second: Relay) -> None:
        """While the second was admitted the first may have had its first byte after all."""
        if self._winner is not None:
            second.supersede()

    def _claim(self, relay: Relay) -> None:
        """`relay` has something to show. Raises Superseded when another was quicker."""
        if self._winner is None:
            self._winner = relay
            for other in self._relays:
                if other is not relay:
                    other.supersede()
        elif self._winner is not relay:
            raise Superseded
