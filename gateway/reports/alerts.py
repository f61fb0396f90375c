"""Tells when what is posted to a budget passes one of its `alert_at` shares: once for each share and window."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from gateway.errors import FareboxError
from gateway.journal.database import JournalError
from gateway.ledger.report import BudgetLine
from gateway.telemetry.events import BudgetCrossed, Event
from routing.money import NanoUsd, format_usd

log = logging.getLogger("farebox.budgets")

LOOK_EVERY_S: Final = 2.0
_KEPT: Final = 10_000


class BudgetAlerts:
    """Looks at the budgets now and then. What was passed before it first looks is told once, too."""

    def __init__(
        self,
        lines: Callable[[], Awaitable[Sequence[BudgetLine]]],
        record: Callable[[Event], None],
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """`lines` gives every counter of the present windows."""
        self._lines = lines
        self._record = record
        self._every_s = every_s
        self._told: dict[tuple[str, str, str], float] = {}
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
        for line in await self._lines():
            if line.budget.alert_at:
                self._check(line)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(FareboxError, JournalError):  # said by those who cannot do without
                await self.look()
            await asyncio.sleep(self._every_s)

    def _check(self, line: BudgetLine) -> None:
        passed = [share for share in line.budget.alert_at if line.posted >= share * line.limit]
        key = (line.budget.id, line.value, line.span.id)
        if not passed or passed[-1] <= self._told.get(key, 0.0):
            if not passed:
                self._told.pop(key, None)  # money came back: the next time is news again
            return
        while len(self._told) >= _KEPT:
            del self._told[next(iter(self._told))]
        self._told[key] = passed[-1]
        log.warning(
            "the budget %s of %s has passed %g%%: %s of %s USD are spent in %s",
            line.budget.id,
            line.scope,
            passed[-1] * 100,
            format_usd(NanoUsd(line.posted)),
            format_usd(NanoUsd(line.limit)),
            line.span.id,
        )
        self._record(
            BudgetCrossed(line.now_s, line.budget.id, line.scope, line.span.id, passed[-1], line.posted, line.limit)
        )
