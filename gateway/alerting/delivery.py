"""One sink's queue: bounded, one alert at a time, tried again for a while, never waited for by anybody."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from gateway.alerting.alert import Alert
from gateway.alerting.sinks import Outcome

log = logging.getLogger("farebox.alerts")

MOST_WAITING: Final = 100
"""Alerts that wait for one sink; the next is dropped."""
TRIES: Final = 8
FIRST_WAIT_S: Final = 1.0
LAST_WAIT_S: Final = 120.0
"""Waits double up to this, less a share by chance: 8 tries take some 3 to 4 minutes."""
CLOSE_S: Final = 3.0
"""How long the end of the process waits for what is on its way."""


class Chance(NamedTuple):
    """Time and chance, for tests to put others in their place."""

    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    draw: Callable[[], float] = random.random


class Delivery:
    """Belongs to the running event loop."""

    def __init__(
        self,
        name: str,
        send: Callable[[Alert], Awaitable[Outcome]],
        count: Callable[[str, str], None],
        chance: Chance = Chance(),  # noqa: B008 -- immutable
    ) -> None:
        """`send` hands one alert over and raises nothing; `count` hears each alert's kind and `sent`, `failed` or
        `dropped`."""
        self._name = name
        self._send = send
        self._count = count
        self._chance = chance
        self._waiting: deque[Alert] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._closing = False
        self._full = False
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"alerts to {name}")

    @property
    def pending(self) -> int:
        """Alerts that wait or are on their way."""
        return len(self._waiting)

    def offer(self, alert: Alert) -> None:
        """Take an alert. Returns at once; where too many wait already it is dropped, counted and logged."""
        if len(self._waiting) >= MOST_WAITING:
            self._count(alert.kind, "dropped")
            if not self._full:  # said once, until one could be sent again
                self._full = True
                log.error("alerts to %s are dropped: %d wait already", self._name, MOST_WAITING)
            return
        self._waiting.append(alert)
        self._idle.clear()
        self._wake.set()

    async def close(self) -> None:
        """Send what waits, each once and for a moment at most; the rest is dropped and counted."""
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._idle.wait()
        except TimeoutError:
            pass
        self._task.cancel()
        await asyncio.wait((self._task,))
        for alert in self._waiting:
            self._count(alert.kind, "dropped")
        if self._waiting:
            log.error("%d alerts to %s were not sent before the end", len(self._waiting), self._name)
        self._waiting.clear()

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._waiting:
                await self._deliver(self._waiting[0])
                self._waiting.popleft()
                self._full = False
            self._idle.set()

    async def _deliver(self, alert: Alert) -> None:
        wait_s = FIRST_WAIT_S
        for attempt in range(1, TRIES + 1):
            outcome = await self._send(alert)
            if outcome.result == "sent":
                self._count(alert.kind, "sent")
                return
            if outcome.result == "refused" or attempt == TRIES or self._closing:
                break
            log.info("an alert to %s is sent again later: %s", self._name, outcome.why)
            await self._chance.sleep(max(outcome.after_s, wait_s * (0.5 + self._chance.draw() / 2)))
            wait_s = min(LAST_WAIT_S, wait_s * 2)
        self._count(alert.kind, "failed")
        log.error("an alert to %s is given up: %s (%s)", self._name, alert.title, outcome.why)
