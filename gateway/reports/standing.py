"""How the budgets of declared scopes stand, for metrics: read at every scrape, so only what is asked for is read."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from gateway.config.snapshot import Snapshot
from gateway.errors import FareboxError
from gateway.journal.database import JournalError
from gateway.ledger.budgets import Budget
from gateway.ledger.report import BudgetLine, counter_key
from gateway.ledger.scopes import EACH
from gateway.ledger.windows import Span
from gateway.reports.budgets import Books, journal_says
from gateway.store.protocol import StoreUnavailable

log = logging.getLogger("farebox.budgets")

LONGEST_S: Final = 2.0
"""A scrape waits no longer for the store and the journal; it goes on without budgets then."""
REMEMBERED_S: Final = 60.0
"""How long the journal's word holds of a budget that nobody has asked the store for."""
ASKED_AT_ONCE: Final = 10
"""So many questions to the journal in one scrape; the next one asks the rest."""

_Line = tuple[Budget, str, Span]


class Standing:
    """The budgets' present windows. A counter for each user, run or tag is none of a declared scope."""

    def __init__(self, books: Books, snapshot: Callable[[], Snapshot]) -> None:
        self._books = books
        self._snapshot = snapshot
        self._said: dict[str, tuple[int, float]] = {}
        """What the journal said of counters that the store does not have, and when."""

    async def lines(self) -> list[BudgetLine]:
        """Every counter in use, and those of scopes with one value, used or not. Empty when they cannot be read."""
        try:
            async with asyncio.timeout(LONGEST_S):
                return await self._lines()
        except (StoreUnavailable, FareboxError, JournalError, TimeoutError) as error:
            log.debug("budgets cannot be shown now: %s", error)
            return []

    async def _lines(self) -> list[BudgetLine]:
        store, snapshot = self._books.store, self._snapshot()
        now_s = store.now_s()
        wanted: dict[str, _Line] = {}
        for budget in snapshot.budgets:
            span = budget.window.at(now_s)
            for value in declared_values(budget, snapshot):
                wanted[counter_key(budget, value, span)] = (budget, value, span)
        if not wanted:
            return []
        states = {state.key: state for state in await store.counters(list(wanted))}
        left, lines = ASKED_AT_ONCE, []
        for key, (budget, value, span) in wanted.items():
            state = states.get(key)
            if state is not None:
                lines.append(BudgetLine(budget, value, span, state.limit, state.posted, state.reserved, now_s))
            elif budget.scope.value != EACH:
                posted = self._remembered(key)
                if posted is None and left:
                    left -= 1
                    posted = await self._ask(key, (budget, value, span), now_s)
                if posted is not None:
                    lines.append(BudgetLine(budget, value, span, budget.limit, posted, 0, now_s))
        self._said = {key: said for key, said in self._said.items() if key in wanted and key not in states}
        return lines

    def _remembered(self, key: str) -> int | None:
        said = self._said.get(key)
        return None if said is None or time.monotonic() - said[1] > REMEMBERED_S else said[0]

    async def _ask(self, key: str, line: _Line, now_s: float) -> int:
        posted = await journal_says(self._books, *line, now_s)
        self._said[key] = (posted, time.monotonic())
        return posted


def declared_values(budget: Budget, snapshot: Snapshot) -> Iterable[str]:
    """The values of a budget's counters that the configuration itself names; none of those that clients name."""
    scope = budget.scope
    if scope.value != EACH:
        return (scope.value,)
    declared = _DECLARED.get(scope.kind)
    return () if declared is None else declared(snapshot)


_DECLARED: Final[dict[str, Callable[[Snapshot], Iterable[str]]]] = {
    "org": lambda snapshot: {agent.org for agent in snapshot.agents.values()},
    "team": lambda snapshot: {agent.team for agent in snapshot.agents.values()},
    "agent": lambda snapshot: snapshot.agents,
    "model": lambda snapshot: snapshot.catalog.models,
    "provider": lambda snapshot: snapshot.endpoints,
    "deployment": lambda snapshot: {
        each.id for model in snapshot.catalog.models.values() for each in model.deployments
    },
}
"""What the configuration names of each kind of scope. Users, runs and tags are named by clients."""
