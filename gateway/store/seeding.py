"""Which counters a budget or a run has, and what the journal says was posted to them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from sqlalchemy import select

from gateway.journal.database import Database
from gateway.journal.sessions import reading
from gateway.journal.spend import RunSpend, run_spent
from gateway.journal.tables import adjustments, charges
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Claim, Origin, Run, Unit
from gateway.ledger.scopes import SHARED, Labels
from gateway.telemetry.events import ChargePosted

OF_PARENTS = frozenset({"global", "org", "team", "agent"})
"""Scopes that a carve has been reserved in: an attempt that spends the carve does not count in them by itself."""
_IDS_AT_A_TIME = 500
_ENTRIES = 1_000
"""So many entries by hand can be told from new ones when they are sent again."""


def labels_of(entry: Origin | ChargePosted) -> Labels:
    """What scopes look at, of an attempt or of its charge."""
    runs = tuple(reversed(entry.run_path.split(">"))) if entry.run_path else ()
    model, provider, deployment = entry.model, entry.provider, entry.deployment
    return Labels(entry.org, entry.team, entry.agent, model, provider, runs, entry.user, entry.tags, deployment)


def values_of(budget: Budget, labels: Labels, carved: str | None = None) -> tuple[str, ...]:
    """The counters of a budget that an attempt counts in by itself. `carved`: the run whose carve it spends."""
    if carved is not None:
        if budget.scope.kind in OF_PARENTS:
            return ()
        if budget.scope.kind == "run":
            labels = labels._replace(runs=labels.runs[: labels.runs.index(carved) + 1])
    return _values(budget, labels)


def values_of_carve(budget: Budget, labels: Labels, via: str | None) -> tuple[str, ...]:
    """The counters of a budget that a carve is reserved in. `labels`: of the run's parents; `via`: a carved parent."""
    if budget.scope.kind == "run":
        runs = labels.runs if via is None else labels.runs[: labels.runs.index(via) + 1]
        return _values(budget, labels._replace(runs=runs))
    return _values(budget, labels) if via is None and budget.scope.kind in OF_PARENTS else ()


def _values(budget: Budget, labels: Labels) -> tuple[str, ...]:
    values = budget.scope.values(labels)
    if values is None:
        return (SHARED,) if budget.when_missing == "shared" else ()
    return values


def run_claims(run: Run, spend: RunSpend) -> Iterator[tuple[Claim, int]]:
    """The counters of a run's limits and of its carve, each with what the run has used of it."""
    limits, scope = run.limits, f"run:{run.id}"
    if limits.cost is not None:
        yield Claim(f"r|{run.id}|cost", Unit.MONEY, limits.cost, 0, scope), spend.cost_nano_usd
    if limits.requests is not None:
        yield Claim(f"r|{run.id}|requests", Unit.REQUESTS, limits.requests, 0, scope), spend.requests
    if limits.tokens is not None:
        yield Claim(f"r|{run.id}|tokens", Unit.TOKENS, limits.tokens, 0, scope), spend.tokens
    if run.carve:
        yield Claim(f"k|{run.id}", Unit.MONEY, run.carve, 0, scope), spend.cost_nano_usd


def is_limited(run: Run) -> bool:
    """Whether the run has counters of its own, its carve apart."""
    limits = run.limits
    return limits.cost is not None or limits.requests is not None or limits.tokens is not None


async def spend_of_runs(database: Database, runs: Collection[str]) -> dict[str, RunSpend]:
    """What each run and those below it have used. Raises JournalError."""
    found: dict[str, RunSpend] = {}
    for part in in_parts(runs):
        found |= await run_spent(database, part)
    return found


async def written(database: Database, ids: Collection[str]) -> set[str]:
    """Those of these charges that the journal has. Raises JournalError."""
    found: set[str] = set()
    async with reading(database.engine) as connection:
        for part in in_parts(ids):
            rows = await connection.execute(select(charges.c.charge_id).where(charges.c.charge_id.in_(part)))
            found.update(rows.scalars())
    return found


async def entries_of(database: Database, budget: str) -> list[str]:
    """The ids of the latest entries that were made by hand in a budget. Raises JournalError."""
    latest = (
        select(adjustments.c.id)
        .where(adjustments.c.budget == budget)
        .order_by(adjustments.c.window_at_us.desc(), adjustments.c.id)
        .limit(_ENTRIES)
    )
    async with reading(database.engine) as connection:
        return list((await connection.execute(latest)).scalars())


def in_parts(ids: Iterable[str]) -> Iterator[list[str]]:
    """So many at a time as one statement may ask for."""
    listed = list(ids)
    for start in range(0, len(listed), _IDS_AT_A_TIME):
        yield listed[start : start + _IDS_AT_A_TIME]
