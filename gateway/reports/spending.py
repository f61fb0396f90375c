"""What was spent, by whatever people ask for: from the daily roll-ups, or from the charges where those do not tell.

Roll-ups know organisations, teams, agents, models, deployments, providers, prices and purposes, by day. Runs, users and
tags are in the charges alone, and only as long as these are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Row, and_, case, func, literal, select, union_all

from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.sessions import reading
from gateway.journal.spend import tag_of
from gateway.journal.tables import charges, daily, daily_requests, retention
from gateway.journal.triggers import DAY_US
from gateway.reports.periods import Period, date_of, month_of, week_of
from gateway.telemetry.names import WASTED
from routing.money import NanoUsd

ROLLED_UP: Final = (
    *("org", "team", "agent", "model", "deployment", "provider", "upstream_model", "price_point", "service_tier"),
    *("purpose", "resolution"),
)
DAYS: Final = {"day": date_of, "week": week_of, "month": month_of}
CHARGED: Final = {"run": "run_path", "root_run": "root_run", "user": "end_user"}
TAG: Final = "tag:"
USEFUL: Final = "useful"
_OF_REQUESTS: Final = frozenset(("day", "org", "team", "agent"))
_OF_ROUTING: Final = _OF_REQUESTS | {"model"}


class ReportError(ValueError):
    """A report that cannot be made, in words for people."""


class Amounts(NamedTuple):
    """Sums of charges."""

    attempts: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cost: int = 0
    """Nano-USD, like all that follows."""
    estimated: int = 0
    """The part whose usage the provider did not report."""
    unpriced: int = 0
    """The part that a ceiling stood in for."""

    def __add__(self, other: object) -> Amounts:
        assert isinstance(other, Amounts)  # noqa: S101 -- guards a programming error
        return Amounts(*(mine + others for mine, others in zip(self, other, strict=True)))


_NO_AMOUNTS: Final = Amounts()


class Calls(NamedTuple):
    """Sums of requests."""

    requests: int = 0
    errors: int = 0
    routed: int = 0
    """Nano-USD, like all that follows: what requests cost that a policy decided."""
    strongest: int = 0
    """What the policy's strongest candidate would have cost for the same tokens."""
    routed_asked: int = 0
    """What those of them cost that asked for a certain model."""
    asked: int = 0
    """What that model would have cost."""

    def __add__(self, other: object) -> Calls:
        assert isinstance(other, Calls)  # noqa: S101 -- guards a programming error
        return Calls(*(mine + others for mine, others in zip(self, other, strict=True)))


class Line(NamedTuple):
    """What one group did."""

    group: tuple[str, ...]
    amounts: Amounts
    before: NanoUsd
    """What it cost in the period before."""
    wasted: Mapping[str, int]
    """Nano-USD that went for anything but a first answer of use, by purpose."""
    calls: Calls | None
    """None where requests cannot be told apart by what was asked for."""
    savings: Calls | None
    """None where savings cannot."""

    @property
    def waste(self) -> int:
        """What bought no answer that anybody wanted, in nano-USD: as the boards and alerts count it."""
        return sum(amount for purpose, amount in self.wasted.items() if purpose in WASTED)

    @property
    def trend(self) -> float | None:
        """By how much it costs more than in the period before; None where that had nothing."""
        return None if not self.before else (self.amounts.cost - self.before) / self.before


class Report(NamedTuple):
    """A report, the dearest group first (by time, where that was asked for first)."""

    by: tuple[str, ...]
    period: Period
    lines: tuple[Line, ...]
    total: Line


def dimensions(text: str) -> tuple[str, ...]:
    """What `team,agent,model` asks for. Raises ReportError."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for name in names:
        if name not in ROLLED_UP and name not in DAYS and name not in CHARGED and not _is_tag(name):
            known = ", ".join((*DAYS, *ROLLED_UP, *CHARGED, "tag:NAME"))
            raise ReportError(f"a report cannot go by `{name[:40]}`; it can by {known}")
    return names


async def spending(engine: AsyncEngine, by: Sequence[str], period: Period) -> Report:
    """What was spent in a period, by the dimensions of `dimensions`. Raises ReportError, JournalError."""
    by = tuple(by)
    async with reading(engine) as connection:
        await check_kept(connection, by, period)
        found = await _charged(connection, by, period)
        earlier = await _before(connection, by, period.before)
        calls = await _called(connection, by, period, _OF_REQUESTS)
        savings = await _called(connection, by, period, _OF_ROUTING)
        everything = await _called(connection, (), period, _OF_REQUESTS) or {}
    amounts, wasted = _by_group(found)
    groups = {*amounts, *earlier} | set(calls or ()) | ({key for key, saved in (savings or {}).items() if saved.routed})
    lines = [
        Line(
            group,
            amounts.get(group, _NO_AMOUNTS),
            NanoUsd(earlier.get(group, 0)),
            wasted.get(group, {}),
            None if calls is None else calls.get(group, Calls()),
            None if savings is None else savings.get(group, Calls()),
        )
        for group in groups
    ]
    lines.sort(key=_by_time if by and by[0] in DAYS else _by_cost)
    return Report(by, period, tuple(lines), _total(lines, by, everything.get((), Calls())))


def _by_cost(line: Line) -> tuple[int, int, tuple[str, ...]]:
    return -line.amounts.cost, -line.before, line.group


def _by_time(line: Line) -> tuple[str, int, tuple[str, ...]]:
    return line.group[0], -line.amounts.cost, line.group


def _total(lines: Sequence[Line], by: Sequence[str], calls: Calls) -> Line:
    """`calls`: of all requests of the period. They are known where no line's are: a request may call several models."""
    wasted: dict[str, int] = {}
    for line in lines:
        for purpose, amount in line.wasted.items():
            wasted[purpose] = wasted.get(purpose, 0) + amount
    amounts = Amounts(*map(sum, zip(*(line.amounts for line in lines), strict=True))) if lines else _NO_AMOUNTS
    return Line(("",) * len(by), amounts, NanoUsd(sum(line.before for line in lines)), wasted, calls, calls)


async def check_kept(connection: AsyncConnection, by: Sequence[str], period: Period) -> None:
    """Raises ReportError when the report needs charges that retention has deleted."""
    if all(name in ROLLED_UP or name in DAYS for name in by):
        return
    kept = select(retention.c.before_us).where(retention.c.kind == "charges")
    before_us = (await connection.execute(kept)).scalar()
    if before_us is not None and period.first * DAY_US < before_us:
        raise ReportError(
            f"charges before {date_of(-(-before_us // DAY_US))} are deleted, and runs, users and tags are told by "
            "charges alone: ask for a later time, or without them"
        )


def _is_tag(name: str) -> bool:
    return name.startswith(TAG) and 0 < len(name) - len(TAG) <= 128 and name.isprintable() and '"' not in name


_Found = dict[tuple[tuple[str, ...], str], Amounts]
"""Sums by group and purpose."""


async def _charged(connection: AsyncConnection, by: Sequence[str], period: Period) -> _Found:
    wanted = _wanted(by)
    if "purpose" not in wanted:
        wanted.append("purpose")
    purpose, first = wanted.index("purpose"), len(wanted)
    found: _Found = {}
    for row in await connection.execute(_query(wanted, period, connection.dialect, _amounts)):
        key = (_group(by, wanted, row), str(row[purpose]))
        amounts = Amounts._make(map(int, row[first:]))
        found[key] = found[key] + amounts if key in found else amounts
    return found


async def _before(connection: AsyncConnection, by: Sequence[str], period: Period) -> dict[tuple[str, ...], int]:
    """What each group cost in an earlier period."""
    wanted = _wanted(by)
    found: dict[tuple[str, ...], int] = {}
    for row in await connection.execute(_query(wanted, period, connection.dialect, _costs)):
        if row[-1] is not None:  # the sum of nothing at all
            group = _group(by, wanted, row)
            found[group] = found.get(group, 0) + int(row[-1])
    return found


def _wanted(by: Sequence[str]) -> list[str]:
    return list(dict.fromkeys("day" if name in DAYS else name for name in by))


def _group(by: Sequence[str], wanted: Sequence[str], row: Row[Any]) -> tuple[str, ...]:
    parts = []
    for name in by:
        value = row[wanted.index("day" if name in DAYS else name)]
        parts.append(DAYS[name](int(value)) if name in DAYS else "" if value is None else str(value))
    return tuple(parts)


def _amounts(of: Any) -> list[ColumnElement[Any]]:
    attempts = of.c.attempts if of is daily else case((of.c.resolution.in_(("correction", "reconciled")), 0), else_=1)
    cost = of.c.cost_nano_usd
    sums = (
        *(attempts, of.c.input_tokens, of.c.output_tokens, of.c.cache_read_tokens, cost),
        case((of.c.estimated, cost), else_=0),
        case((of.c.unpriced, cost), else_=0),
    )
    return [func.sum(each) for each in sums]


def _costs(of: Any) -> list[ColumnElement[Any]]:
    return [func.sum(of.c.cost_nano_usd)]


_Measure = Callable[[Any], list[ColumnElement[Any]]]
"""From a table to what is added up of it."""


def _query(wanted: Sequence[str], period: Period, dialect: Any, measure: _Measure) -> Any:
    if not all(name in ROLLED_UP or name == "day" for name in wanted):
        return _of_charges(wanted, period, dialect, measure)
    keys = [daily.c[name] for name in wanted]
    days = and_(daily.c.day >= period.first, daily.c.day < period.end)
    query = select(*keys, *measure(daily)).where(days)
    return query.group_by(*keys) if keys else query


def _of_charges(wanted: Sequence[str], period: Period, dialect: Any, measure: _Measure) -> Any:
    """Two halves, each by an index of its own: charges that spend a carve, and the others."""
    halves = []
    for moment, own in ((charges.c.window_at_us, False), (charges.c.own_window_at_us, True)):
        keys = [_key(name, moment, dialect).label(f"k{place}") for place, name in enumerate(wanted)]
        there = charges.c.own_window_at_us.is_not(None) if own else charges.c.own_window_at_us.is_(None)
        days = and_(moment >= period.first * DAY_US, moment < period.end * DAY_US, there)
        sums = [each.label(f"s{place}") for place, each in enumerate(measure(charges))]
        halves.append(select(*keys, *sums).where(days).group_by(*(key.name for key in keys)))
    return union_all(*halves)


def _key(name: str, moment: ColumnElement[int], dialect: Any) -> ColumnElement[Any]:
    if name == "day":
        return moment // literal(DAY_US)
    if name.startswith(TAG):
        return tag_of(charges.c.tags, name.removeprefix(TAG), dialect)
    return charges.c[CHARGED.get(name, name)]


async def _called(
    connection: AsyncConnection, by: Sequence[str], period: Period, known: frozenset[str]
) -> dict[tuple[str, ...], Calls] | None:
    wanted = _wanted(by)
    if not known.issuperset(wanted):
        return None
    of = daily_requests.c
    keys = [of[name] for name in wanted]
    sums = (of.requests, of.errors, of.routed_nano_usd, of.strongest_nano_usd, of.routed_asked_nano_usd)
    totals = [func.coalesce(func.sum(each), 0) for each in (*sums, of.asked_nano_usd)]
    query = select(*keys, *totals).where(of.day >= period.first, of.day < period.end)
    found: dict[tuple[str, ...], Calls] = {}
    for row in await connection.execute(query.group_by(*keys) if keys else query):
        group, calls = _group(by, wanted, row), Calls(*(int(value) for value in row[len(wanted) :]))
        found[group] = found[group] + calls if group in found else calls
    return found


def _by_group(found: _Found) -> tuple[dict[tuple[str, ...], Amounts], dict[tuple[str, ...], dict[str, int]]]:
    amounts: dict[tuple[str, ...], Amounts] = {}
    wasted: dict[tuple[str, ...], dict[str, int]] = {}
    for (group, purpose), more in found.items():
        amounts[group] = amounts[group] + more if group in amounts else more
        if purpose != USEFUL and more.cost:
            wasted.setdefault(group, {})[purpose] = more.cost
    return amounts, wasted
