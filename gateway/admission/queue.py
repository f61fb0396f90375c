"""Waiting for money that only requests under way hold: first come, first served, in each scope of this gateway.

Only the head of a scope's queue asks the store again, when something may have come back; whoever comes later and needs
the same scope stands behind it, even if it would fit, so that a large request is not overtaken for ever. A waiter that
is served, gives up or is cancelled leaves nothing behind but the word to the next.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

Answer = TypeVar("Answer")

POLL_S = 0.05
"""How often the head of a queue asks a store that other gateways use too: their settlements are not heard here."""


class QueueFull(Exception):
    """As many wait for the scope as may."""


class _Waiter:
    __slots__ = ("woken",)

    def __init__(self) -> None:
        self.woken: asyncio.Future[None] | None = None

    def wake(self) -> None:
        if self.woken is not None and not self.woken.done():
            self.woken.set_result(None)


class FairQueue:
    """The queues of one gateway. Belongs to one event loop."""

    def __init__(self, *, polls: bool = False) -> None:
        """`polls`: the store is shared with other gateways."""
        self._polls = polls
        self._lines: dict[str, deque[_Waiter]] = {}
        self.waiting = 0
        """Waiters in all lines."""

    def line_of(self, keys: Iterable[str]) -> str | None:
        """The first of these counters that somebody waits for."""
        lines = self._lines
        if not lines:
            return None
        return next((key for key in keys if key in lines), None)

    def wake(self) -> None:
        """Room may have come back: the head of every line asks again."""
        for line in self._lines.values():
            line[0].wake()

    async def wait(
        self, key: str, attempt: Callable[[], Awaitable[Answer | None]], wait_s: float, max_waiting: int
    ) -> Answer | None:
        """Stand in the line of a counter until `attempt` gives an answer; None after `wait_s` seconds.

        `attempt` is called whenever this waiter is the head and something may have changed, and a last time when its
        wait is over, wherever it stands: nobody is refused who fits. It gives None to wait on, and may raise. Raises
        QueueFull.
        """
        line = self._lines.get(key)
        if (0 if line is None else len(line)) >= max_waiting:
            raise QueueFull
        if line is None:
            line = self._lines[key] = deque()
        waiter = _Waiter()
        line.append(waiter)
        self.waiting += 1
        try:
            return await self._stand(line, waiter, attempt, asyncio.get_running_loop().time() + wait_s)
        finally:
            self.waiting -= 1
            line.remove(waiter)
            if line:
                line[0].wake()
            else:
                del self._lines[key]

    async def _stand(
        self,
        line: deque[_Waiter],
        waiter: _Waiter,
        attempt: Callable[[], Awaitable[Answer | None]],
        until_s: float,
    ) -> Answer | None:
        loop = asyncio.get_running_loop()
        while True:
            waiter.woken = loop.create_future()
            is_head = line[0] is waiter
            left_s = until_s - loop.time()
            if (is_head or left_s <= 0) and (answer := await attempt()) is not None:
                return answer
            if left_s <= 0:
                return None
            poll = is_head and self._polls
            timer = loop.call_later(min(left_s, POLL_S) if poll else left_s, waiter.wake)
            try:
                await waiter.woken
            finally:
                timer.cancel()
