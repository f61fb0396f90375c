"""Recompute every counter from the journal. Zero differences is the only pass.

A counter moves while it is looked at. It is read before and after the journal's answer, and counts as compared when it
has not moved; one that never stands still is compared all the same: what the journal holds, written up to a moment
between the two readings, must lie between them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, NamedTuple

from gateway.config.snapshot import Snapshot
from gateway.errors import BudgetStoreUnavailable
from gateway.journal.aliases import Place, names_of
from gateway.journal.sessions import reading
from gateway.journal.spend import run_spent, spent
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import CounterState, Unit
from gateway.ledger.report import value_of
from gateway.ledger.scopes import EACH
from gateway.ledger.windows import Span
from gateway.reports.budgets import Books, total
from gateway.store.protocol import StoreUnavailable

TRIES: Final = 20
MOVING_TRIES: Final = 5
"""After so many, a counter that moves is compared between two readings."""
PAUSE_S: Final = 0.1
"""Between two tries: a settlement that is under way has arrived by then."""
_WINDOWS_BACK: Final = 50
"""Counters are kept for a day after their window: so many hours at most, and some more."""


class Difference(NamedTuple):
    """A counter that is not what the journal says."""

    key: str
    scope: str
    unit: Unit
    posted: int
    """By the counter."""
    expected: int
    """By the journal."""


class Verification(NamedTuple):
    """What a comparison found."""

    compared: int
    moving: int
    """Of these, counters that never stood still: the journal lay between two readings."""
    skipped: tuple[tuple[str, str], ...]
    """Counters that the journal cannot recompute, each with the reason."""
    differences: tuple[Difference, ...]


class _Source(NamedTuple):
    """Where a counter's amount comes from."""

    budget: Budget | None
    span: Span | None
    value: str
    """A budget's counter, or a run."""
    field: int = 0
    """Of `RunSpend`."""


_Looked = tuple[CounterState, int, CounterState]
"""A counter before, what the journal says, the counter after."""


async def verify(
    books: Books, snapshot: Snapshot, pause: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> Verification:
    """Compare every counter with the journal. Raises BudgetStoreUnavailable, JournalError."""
    try:
        return await _Verifier(books, snapshot, pause).run()
    except StoreUnavailable as error:
        raise BudgetStoreUnavailable(f"The counters cannot be read now ({error}); try again.", reason="store") from None


class _Verifier:
    def __init__(self, books: Books, snapshot: Snapshot, pause: Callable[[float], Awaitable[None]]) -> None:
        self._books = books
        self._snapshot = snapshot
        self._pause = pause
        self._skipped: list[tuple[str, str]] = []

    async def run(self) -> Verification:
        sources: dict[str, _Source | None] = {}
        for state in await self._books.store.counters():
            source = self._source(state)
            if isinstance(source, str):
                self._skipped.append((state.key, source))
            else:
                sources[state.key] = source
        left, moving = sorted(sources), 0
        last: dict[str, _Looked] = {}
        for attempt in range(TRIES):
            if not left:
                break
            if attempt:
                await self._pause(PAUSE_S)
            last = await self._compare(left, sources)
            left = [key for key in left if key in last and not _agrees(last[key])]
            if attempt >= MOVING_TRIES:
                still = [key for key in left if not _lies_between(last[key])]
                moving += len(left) - len(still)
                left = still
        differences = [
            Difference(key, after.scope, after.unit, after.posted, expected)
            for key in left
            for _, expected, after in (last[key],)
        ]
        return Verification(len(sources), moving, tuple(self._skipped), tuple(differences))

    async def _compare(self, keys: Sequence[str], sources: dict[str, _Source | None]) -> dict[str, _Looked]:
        """By key: the counter before, what the journal says, the counter after. One that went away is left out."""
        books = self._books
        before = {state.key: state for state in await books.store.counters(keys)}
        await books.flush()
        expected = await self._expected({key: sources[key] for key in before})
        after = {state.key: state for state in await books.store.counters(list(before))}
        return {key: (before[key], expected[key], after[key]) for key in before if key in after}

    async def _expected(self, wanted: dict[str, _Source | None]) -> dict[str, int]:
        expected = dict.fromkeys(wanted, 0)
        runs = {key: source for key, source in wanted.items() if source is not None and source.budget is None}
        for part in _parts(sorted({source.value for source in runs.values()})):
            found = await run_spent(self._books.database(), part)
            for key, of_run in runs.items():
                if of_run.value in found:
                    expected[key] = int(found[of_run.value][of_run.field])
        now_s, called = self._books.store.now_s(), await self._called_now(wanted.values())
        by_window: dict[tuple[str, str], dict[str, int | dict[int, int]]] = {}
        for key, source in wanted.items():
            if source is None or source.budget is None or source.span is None:
                continue
            window = (source.budget.id, source.span.id)
            if window not in by_window:
                by_window[window] = await spent(self._books.database(), source.budget, source.span, now_s)
            names = [source.value]
            if source.budget.scope.value == EACH:  # of any other `spent` knows what it is called now
                names += called.get(Place(source.budget, source.value), ())
            expected[key] = sum(total(by_window[window], name) for name in names)
        return expected

    async def _called_now(self, sources: Iterable[_Source | None]) -> dict[Place, tuple[str, ...]]:
        """What the journal calls counters whose names were forgotten."""
        places = [Place(each.budget, each.value) for each in sources if each is not None and each.budget is not None]
        async with reading(self._books.database().engine) as connection:
            return await names_of(connection, places)

    def _source(self, state: CounterState) -> _Source | str | None:
        """Where the counter comes from; None when nothing may be posted to it; text when the journal cannot say."""
        kind, _, rest = state.key.partition("|")
        if state.unit is Unit.SLOTS:
            return None
        if kind == "k":
            return _Source(None, None, rest)
        if kind == "r":
            run, _, name = rest.rpartition("|")
            field = {"cost": 0, "tokens": 1, "requests": 2}.get(name)
            return "no known limit of a run" if field is None else _Source(None, None, run, field)
        if kind == "v":
            return "a run's velocity is no ledger: it is forgotten within its window"
        if kind == "b":
            return self._budget_source(state.key)
        return "no known kind of counter"

    def _budget_source(self, key: str) -> _Source | str:
        now_s = self._books.store.now_s()
        for budget in self._snapshot.budgets:
            if not key.startswith(f"b|{budget.id}|"):
                continue
            for span in _spans(budget, now_s):
                value = value_of(key, budget, span.id)
                if value is not None:
                    return _Source(budget, span, value)
            return "of a window that the budget no longer has"
        return "its budget is not in the configuration any more"


def _agrees(looked: _Looked) -> bool:
    before, expected, after = looked
    return before.posted == expected == after.posted


def _lies_between(looked: _Looked) -> bool:
    before, expected, after = looked
    return before.posted != after.posted and before.posted <= expected <= after.posted


def _spans(budget: Budget, now_s: float) -> Iterable[Span]:
    """The budget's window now, and those before it."""
    span = budget.window.at(now_s)
    yield span
    for _ in range(_WINDOWS_BACK):
        if span.start_s <= 0:
            return
        span = budget.window.at(span.start_s - 1)
        yield span


def _parts(ids: Sequence[str], size: int = 200) -> Iterable[Sequence[str]]:
    return (ids[at : at + size] for at in range(0, len(ids), size))
