"""Tells when what is posted to a budget passes one of its `alert_at` shares: once for each share and window.

The journal keeps what was told, so that neither another gateway nor a restart tells it again. It is entered before it
is told: a gateway that is killed in between tells nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from gateway.errors import FareboxError
from gateway.journal.alerts import MOST, Watched
from gateway.journal.database import JournalError
from gateway.ledger.report import BudgetLine
from gateway.telemetry.events import BudgetCrossed, Event
from routing.money import NanoUsd, format_usd

log = logging.getLogger("farebox.budgets")

LOOK_EVERY_S: Final = 2.0


class Told(Protocol):
    """What has been told, by all gateways. Its methods raise JournalError."""

    async def told(self) -> dict[Watched, float]:
        """The highest share of each counter."""
        ...

    async def enter(self, passed: Mapping[Watched, Sequence[float]]) -> set[Watched]:
        """Enter the shares, ascending, that were passed; the counters whose highest was not there."""
        ...

    async def forget(self, counters: Collection[Watched]) -> None:
        """The next time is news again."""
        ...


class BudgetAlerts:
    """Looks at the budgets now and then. What was passed before it first looks is told once, too."""

    def __init__(
        self,
        lines: Callable[[], Awaitable[Sequence[BudgetLine]]],
        told: Told,
        record: Callable[[Event], None],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """`lines` gives every counter of the present windows."""
        self._lines = lines
        self._record = record
        self._every_s = every_s
        self._journal = told
        self._told: dict[Watched, float] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Look from now on."""
        self._task = asyncio.create_task(self._run(), name="budget alerts")

    async def close(self) -> None:
        """Stop. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def look(self) -> None:
        """Look once. Raises FareboxError when the store cannot be read, JournalError."""
        if self._told is None:
            self._told = await self._journal.told()
        told = self._told
        lines = {_watched(line): line for line in await self._lines() if line.budget.alert_at}
        passed = {counter: shares for counter, line in lines.items() if (shares := _passed(line))}
        back = [counter for counter in lines if counter in told and counter not in passed]
        if back:
            await self._journal.forget(back)
            for counter in back:
                del told[counter]
        higher = {counter: shares for counter, shares in passed.items() if shares[-1] > told.get(counter, 0.0)}
        if not higher:
            return
        new = await self._journal.enter(higher)
        for counter, shares in higher.items():
            told[counter] = shares[-1]
            if counter in new:
                self._tell(lines[counter], shares[-1])
        while len(told) > MOST:
            del told[next(iter(told))]

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(FareboxError, JournalError):  # said by those who cannot do without
                await self.look()
            await asyncio.sleep(self._every_s)

    def _tell(self, line: BudgetLine, share: float) -> None:
        log.warning(
            "the budget %s of %s has passed %g%%: %s of %s USD are spent in %s",
            line.budget.id,
            line.scope,
            share * 100,
            format_usd(NanoUsd(line.posted)),
            format_usd(NanoUsd(line.limit)),
            line.span.id,
        )
        counter = (line.budget.id, line.scope, line.span.id)
        self._record(BudgetCrossed(line.now_s, *counter, share, line.posted, line.limit))


def _watched(line: BudgetLine) -> Watched:
    return Watched(line.budget.id, line.value, line.span.id)


def _passed(line: BudgetLine) -> list[float]:
    return [share for share in line.budget.alert_at if line.posted >= share * line.limit]
