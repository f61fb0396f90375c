"""What FOCUS is told: sums of charges by day and everything that sets their price and owner apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import and_, case, func, select, union_all
from sqlalchemy.sql.elements import ColumnElement

from gateway.journal.engine import AsyncEngine
from gateway.journal.sessions import reading
from gateway.journal.spend import tag_of
from gateway.journal.tables import charges, daily
from gateway.journal.triggers import DAY_US, DIMENSIONS, SUMS
from gateway.reports.focus import Charged
from gateway.reports.periods import Period
from gateway.reports.spending import CHARGED, ROLLED_UP, TAG, check_kept
from routing.money import Usage

_KEYS: Final = tuple(DIMENSIONS)
_FIRST_USAGE: Final = len(_KEYS) + 1


async def charged(engine: AsyncEngine, period: Period, labels: Sequence[str] = ()) -> list[Charged]:
    """All that was charged in a period, in the order of the days. Raises ReportError, JournalError.

    `labels`: of `run`, `root_run`, `user` and `tag:NAME`, those that rows are told apart by, too.
    """
    labels = [name for name in labels if name in CHARGED or name.startswith(TAG)]
    async with reading(engine) as connection:
        await check_kept(connection, labels, period)
        query = _of_charges(period, labels, connection.dialect) if labels else _of_days(period)
        return [_charged(row, labels) for row in await connection.execute(query)]


def _of_days(period: Period) -> Any:
    columns = (*(daily.c[name] for name in _KEYS), *(daily.c[name] for name in SUMS))
    days = and_(daily.c.day >= period.first, daily.c.day < period.end)
    return select(*columns).where(days).order_by(*(daily.c[name] for name in _KEYS))


def _of_charges(period: Period, labels: Sequence[str], dialect: Any) -> Any:
    halves = []
    for moment, own in ((charges.c.window_at_us, False), (charges.c.own_window_at_us, True)):
        there = charges.c.own_window_at_us.is_not(None) if own else charges.c.own_window_at_us.is_(None)
        days = and_(moment >= period.first * DAY_US, moment < period.end * DAY_US, there)
        keys = [(moment // DAY_US).label("day"), *(charges.c[name] for name in _KEYS[1:])]
        keys += [_label(name, dialect).label(f"l{place}") for place, name in enumerate(labels)]
        attempts = case((charges.c.resolution.in_(("correction", "reconciled")), 0), else_=1)  # as roll-ups count
        sums: list[ColumnElement[Any]] = [func.sum(attempts).label("attempts")]
        sums += [func.sum(charges.c[name]).label(name) for name in (*Usage._fields, "cost_nano_usd")]
        sums.append(func.sum(func.coalesce(charges.c.listed_nano_usd, charges.c.cost_nano_usd)).label("listed"))
        sums.append(func.sum(charges.c.fee_nano_usd).label("fee"))
        ordered = [*keys[: len(_KEYS)], *sums, *keys[len(_KEYS) :]]
        halves.append(select(*ordered).where(days).group_by(*(key.name for key in keys)))
    return union_all(*halves).order_by("day")


def _label(name: str, dialect: Any) -> ColumnElement[Any]:
    if name.startswith(TAG):
        return tag_of(charges.c.tags, name.removeprefix(TAG), dialect)
    return charges.c[CHARGED[name]]


def _charged(row: Any, labels: Sequence[str]) -> Charged:
    usage_end = _FIRST_USAGE + len(Usage._fields)
    texts = {name: row[_KEYS.index(name)] for name in ROLLED_UP}
    return Charged(
        day=int(row[0]),
        **texts,
        estimated=bool(row[_KEYS.index("estimated")]),
        unpriced=bool(row[_KEYS.index("unpriced")]),
        attempts=int(row[len(_KEYS)]),
        usage=Usage(*map(int, row[_FIRST_USAGE:usage_end])),
        cost=int(row[usage_end]),
        listed=int(row[usage_end + 1]),
        fee=int(row[usage_end + 2]),
        labels=tuple(
            (name, str(value)) for name, value in zip(labels, row[usage_end + 3 :], strict=True) if value is not None
        ),
    )
