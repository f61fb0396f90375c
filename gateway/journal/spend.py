"""What the journal says was spent: what budgets' counters are seeded from, and verified against.

Charges that wait to be written are not in the answers: flush the journal first. Every function raises JournalError when
the database cannot be read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    JSON,
    ColumnElement,
    Dialect,
    Integer,
    String,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
)

from gateway.journal.aliases import Place, names_of
from gateway.journal.database import Database
from gateway.journal.deleted import deleted_before_us, spent_on_days
from gateway.journal.engine import AsyncConnection
from gateway.journal.rows import MICROS, RUN_SEPARATOR, to_s, to_us
from gateway.journal.sessions import reading
from gateway.journal.tables import adjustments, charges, runs
from gateway.ledger.budgets import Budget
from gateway.ledger.scopes import EACH, SHARED, Scope
from gateway.ledger.windows import ROLLING_BUCKETS, Span
from routing.money import NanoUsd

Source = Database | AsyncConnection
"""A database, or a connection of `sessions.reading`: everything asked of the same one is of the same moment."""

COUNTED: Final = ("settled", "orphaned", "correction")
"""Resolutions whose cost counts in budgets."""
_OF_PARENTS: Final = ("global", "org", "team", "agent")
"""Scopes that a carve is reserved in: what is spent of it counts in them at the carve's moment."""
_IDS_AT_A_TIME: Final = 500
_FOREVER_US: Final = 2**63 - 1
_MADE_AT: Final = func.coalesce(charges.c.own_window_at_us, charges.c.window_at_us)
"""The moment that decides a charge's day in the roll-ups."""

Spent = dict[str, int | dict[int, int]]
"""Nano-USD by value of the scope; of a rolling budget, nano-USD by bucket by value. What is not in there is 0."""


class RunSpend(NamedTuple):
    """What a run and all runs below it have used."""

    cost_nano_usd: NanoUsd
    tokens: int
    """Input and output."""
    requests: int
    """Attempts that were not released."""


class Irregular(NamedTuple):
    """What did not end as it was admitted."""

    orphaned: int
    """Charges of gateways that were lost."""
    orphaned_nano_usd: NanoUsd
    """What they were charged, with what later corrections made of it."""
    overruns: int
    """Charges that came out dearer than their reservation."""
    overrun_nano_usd: NanoUsd
    """By so much, together."""


async def spent(source: Source, budget: Budget, span: Span, now_s: float, value: str | None = None) -> Spent:
    """What is posted to a budget's counters in one window, adjustments included: all counters, or that of `value`.

    Rolling budgets: by bucket, those that still count at Unix time `now_s` (the store's). Calls without the value that
    a `*` scope asks for are in `(none)` where the budget says `when_missing: shared`, else nowhere. Where charges of
    the window are deleted it is by whole days what they came to, not less.
    """
    scope = budget.scope
    if scope.value == EACH:
        wanted = value
    elif value is None or value == scope.value:
        wanted = scope.value
    else:
        return {}
    label = _label(scope, source.engine.dialect)
    bucket_s = budget.window.bucket_s
    found: defaultdict[tuple[str, int], int] = defaultdict(int)
    async with _reading(source) as connection:
        names = () if wanted is None else await _names(connection, budget, wanted)
        mine = [_has_value(label, scope, name) for name in names]
        counted = charges.c.resolution.in_(COUNTED) & (or_(*mine) if mine else true())
        first_us, end_us = (0, _FOREVER_US) if span.id == "total" else _limits_us(span, bucket_s, now_s)
        if (deleted_us := await deleted_before_us(connection)) > first_us:
            counted &= deleted_us <= _MADE_AT
            await _add_days(connection, budget, (first_us, min(deleted_us, end_us)), found)
        for moment, there in _moments(budget, span):
            rows = (
                select(
                    label.label("said"),
                    _bucket(moment, bucket_s).label("bucket"),
                    func.sum(charges.c.cost_nano_usd),
                )
                .where(counted, there, _in_window(moment, span, bucket_s, now_s))
                .group_by("said", "bucket")
            )
            for said, bucket, cost in await connection.execute(rows):
                for counter in _counters(budget, said):
                    found[counter, bucket] += int(cost)
        if scope.kind == "run" and span.id != "total":
            for run, at_us, cost in await _within_carves(connection, budget, counted, first_us, end_us):
                if first_us <= at_us < end_us:
                    found[run, at_us // (bucket_s * MICROS) if bucket_s else 0] += cost
        by_hand = select(
            adjustments.c.value,
            _bucket(adjustments.c.window_at_us, bucket_s),
            adjustments.c.amount_nano_usd,
        ).where(
            adjustments.c.budget == budget.id,
            _in_window(adjustments.c.window_at_us, span, bucket_s, now_s),
        )
        for counter, bucket, amount in await connection.execute(by_hand):
            found[counter, bucket] += int(amount)
    return _by_value(found, names, rolling=bool(bucket_s))


async def _names(connection: AsyncConnection, budget: Budget, value: str) -> tuple[str, ...]:
    """A counter's name, and what the journal calls it since that was forgotten."""
    place = Place(budget, value)
    return (value, *(await names_of(connection, [place])).get(place, ()))


async def _add_days(
    connection: AsyncConnection, budget: Budget, limits_us: tuple[int, int], found: dict[tuple[str, int], int]
) -> None:
    """Add what deleted charges came to, by counter and bucket."""
    bucket_us = budget.window.bucket_s * MICROS
    for day in await spent_on_days(connection, budget, limits_us, COUNTED):
        for counter in _counters(budget, day.value):
            found[counter, day.at_us // bucket_us if bucket_us else 0] += day.cost


async def run_spent(source: Source, ids: Collection[str]) -> dict[str, RunSpend]:
    """What each of these runs (`agent/run`) has used, the runs below it included; 0 for a run without charges."""
    if not ids:
        return {}
    async with _reading(source) as connection:
        others = await names_of(connection, [Place(None, run) for run in ids])
        known_as = {run: (run, *others.get(Place(None, run), ())) for run in ids}
        found = await _run_spent(connection, {name for names in known_as.values() for name in names})
    return {run: _together([found[name] for name in names]) for run, names in known_as.items()}


def _together(spends: Sequence[RunSpend]) -> RunSpend:
    cost, tokens, requests = (sum(amounts) for amounts in zip(*spends, strict=True))
    return RunSpend(NanoUsd(cost), tokens, requests)


async def _run_spent(connection: AsyncConnection, ids: Collection[str]) -> dict[str, RunSpend]:
    totals = {run: [0, 0, 0] for run in ids}
    known = select(runs.c.id, runs.c.path).where(runs.c.id.in_(ids))
    roots = {run: path.partition(RUN_SEPARATOR)[0] for run, path in await connection.execute(known)}
    places: list[ColumnElement[bool]] = [charges.c.root_run.in_({*roots.values(), *ids})]
    # The journal need not know a run: it may only be a label. Then any tree may hold it.
    places += [_contains(charges.c.run_path, run) for run in ids if run not in roots]
    rows = (
        select(
            charges.c.run_path,
            func.sum(charges.c.cost_nano_usd),
            func.sum(charges.c.input_tokens + charges.c.output_tokens),
            func.sum(case((charges.c.resolution == "correction", 0), else_=1)),
        )
        .where(charges.c.root_run.is_not(None), charges.c.resolution.in_(COUNTED), or_(*places))
        .group_by(charges.c.run_path)
    )
    for path, *sums in await connection.execute(rows):
        for run in path.split(RUN_SEPARATOR):
            if run in totals:
                totals[run] = [total + int(more) for total, more in zip(totals[run], sums, strict=True)]
    return {run: RunSpend(NanoUsd(cost), tokens, requests) for run, (cost, tokens, requests) in totals.items()}


async def latest_window_at_s(source: Source) -> float | None:
    """The latest moment of the store's clock that the journal knows; None without a charge.

    A store whose clock is behind it has gone back in time.
    """
    own = charges.c.own_window_at_us
    async with _reading(source) as connection:
        latest = (await connection.execute(select(func.max(charges.c.window_at_us)))).scalar()
        latest_own = (await connection.execute(select(func.max(own)).where(own.is_not(None)))).scalar()
    if latest is None:
        return None
    return to_s(latest if latest_own is None else max(latest, latest_own))


async def irregular(source: Source, since_s: float = 0.0) -> Irregular:
    """Orphaned charges and overruns since a Unix time, by the moment that decides a charge's window."""
    lost = charges.c.resolution == "orphaned"
    over = and_(
        charges.c.resolution == "settled",
        charges.c.reserved_nano_usd > 0,
        charges.c.cost_nano_usd > charges.c.reserved_nano_usd,
    )
    amounts = (
        cast(lost, Integer),
        case((or_(lost, charges.c.resolution == "correction"), charges.c.cost_nano_usd), else_=0),
        cast(over, Integer),
        case((over, charges.c.cost_nano_usd - charges.c.reserved_nano_usd), else_=0),
    )
    sums = select(*(func.coalesce(func.sum(amount), 0) for amount in amounts))
    async with _reading(source) as connection:
        row = (await connection.execute(sums.where(charges.c.window_at_us >= to_us(since_s)))).one()
    orphaned, orphaned_nano_usd, overruns, overrun_nano_usd = map(int, row)
    return Irregular(orphaned, NanoUsd(orphaned_nano_usd), overruns, NanoUsd(overrun_nano_usd))


@asynccontextmanager
async def _reading(source: Source) -> AsyncIterator[AsyncConnection]:
    if isinstance(source, AsyncConnection):
        yield source
    else:
        async with reading(source.engine) as connection:
            yield connection


def _label(scope: Scope, dialect: Dialect) -> ColumnElement[Any]:
    """What a charge says about a scope: NULL or an empty text when nothing, a whole path for runs."""
    if scope.kind == "global":
        return literal("")
    if scope.kind == "run":
        return charges.c.run_path
    if scope.kind == "user":
        return charges.c.end_user
    if scope.kind != "tag":
        return charges.c[scope.kind]
    return tag_of(charges.c.tags, scope.tag or "", dialect)


def tag_of(tags: ColumnElement[Any], name: str, dialect: Dialect) -> ColumnElement[Any]:
    """The value of one tag in a column of tags; NULL without it."""
    if dialect.name == "postgresql":
        return cast(tags, JSON).op("->>", return_type=String())(literal(name, String()))
    # A tag's name is an id: it has no quotes, and its dots must not be steps of the path.
    return func.json_extract(tags, f'$."{name}"', type_=String())


def _moments(budget: Budget, span: Span) -> list[tuple[ColumnElement[int], ColumnElement[bool]]]:
    """By which moments a budget's charges count, and which of them by each. For runs, those outside of carves."""
    window, own = charges.c.window_at_us, charges.c.own_window_at_us
    if budget.scope.kind in _OF_PARENTS or span.id == "total":
        return [(window, true())]
    outside = (window, own.is_(None))
    return [outside] if budget.scope.kind == "run" else [outside, (own, own.is_not(None))]


async def _within_carves(
    connection: AsyncConnection, budget: Budget, counted: ColumnElement[bool], first_us: int, end_us: int
) -> list[tuple[str, int, int]]:
    """What was spent of carves over a budget's runs: counter, moment, nano-USD.

    A run's carve is reserved in the runs above it, up to the one that carved before. So a run counts a charge at the
    moment of the first carve below it, or at the charge's own. Of the carves' charges that can count in the window;
    there are few, since most are settled in the window that their run has carved in.
    """
    window, own = charges.c.window_at_us, charges.c.own_window_at_us
    rows = (
        select(charges.c.run_path, own, func.sum(charges.c.cost_nano_usd))
        .where(counted, own.is_not(None), own >= first_us, window < end_us)
        .group_by(charges.c.run_path, own)
    )
    spent_there = [(path, own_us, int(cost)) for path, own_us, cost in await connection.execute(rows)]
    names = sorted({run for path, _, _ in spent_there for run in path.split(RUN_SEPARATOR)})
    carved: dict[str, int] = {}
    for at in range(0, len(names), _IDS_AT_A_TIME):
        some = runs.c.id.in_(names[at : at + _IDS_AT_A_TIME])
        opened = select(runs.c.id, runs.c.opened_at_us).where(some, runs.c.carve_nano_usd > 0)
        carved.update((run, opened_us) for run, opened_us in await connection.execute(opened))
    found = []
    for path, own_us, cost in spent_there:
        at_us = own_us
        for run in reversed(list(_counters(budget, path))):
            found.append((run, at_us, cost))
            at_us = carved.get(run, at_us)
    return found


def _bucket(column: ColumnElement[int], bucket_s: int) -> ColumnElement[Any]:
    return column // (bucket_s * MICROS) if bucket_s else literal(0)


def _limits_us(span: Span, bucket_s: int, now_s: float) -> tuple[int, int]:
    """The first moment that counts in a window, and the first that does not any more."""
    if bucket_s:
        return (int(now_s // bucket_s) - ROLLING_BUCKETS) * bucket_s * MICROS, _FOREVER_US
    return to_us(span.start_s), to_us(span.end_s)


def _in_window(column: ColumnElement[int], span: Span, bucket_s: int, now_s: float) -> ColumnElement[bool]:
    if span.id == "total":
        return true()
    first_us, end_us = _limits_us(span, bucket_s, now_s)
    return column >= first_us if bucket_s else and_(column >= first_us, column < end_us)


def _has_value(label: ColumnElement[Any], scope: Scope, value: str) -> ColumnElement[bool]:
    if scope.kind == "global":
        return true()
    if value == SHARED:
        nothing: ColumnElement[bool] = label.is_(None)
        return nothing if scope.kind == "tag" else or_(nothing, label == "")
    return _contains(label, value) if scope.kind == "run" else label == value


def _contains(path: ColumnElement[Any], run: str) -> ColumnElement[bool]:
    separated = literal(RUN_SEPARATOR) + path + literal(RUN_SEPARATOR)
    return separated.contains(f"{RUN_SEPARATOR}{run}{RUN_SEPARATOR}", autoescape=True)


def _counters(budget: Budget, said: str | None) -> Iterable[str]:
    scope = budget.scope
    if scope.kind == "global":
        return ("",)
    if said is None or (not said and scope.kind != "tag"):
        return (SHARED,) if scope.value == EACH and budget.when_missing == "shared" else ()
    return said.split(RUN_SEPARATOR) if scope.kind == "run" else (said,)


def _by_value(found: dict[tuple[str, int], int], names: tuple[str, ...], *, rolling: bool) -> Spent:
    """`names`: of the one counter that is wanted, under the first of them; empty: all."""
    values: Spent = {}
    for (said, bucket), amount in found.items():
        if names and said not in names:
            continue  # another run of the same path
        value = names[0] if names else said
        if rolling:
            buckets = values.setdefault(value, {})
            assert isinstance(buckets, dict)  # noqa: S101 -- made in this loop
            buckets[bucket] = buckets.get(bucket, 0) + amount
        else:
            before = values.get(value, 0)
            assert isinstance(before, int)  # noqa: S101 -- made in this loop
            values[value] = before + amount
    return values
