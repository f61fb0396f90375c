"""Do the daily roll-ups say what the charges say? The database keeps them, so they must; this is how to know."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import and_, func, select

from gateway.journal.engine import AsyncEngine
from gateway.journal.sessions import reading
from gateway.journal.tables import charges, daily, retention
from gateway.journal.triggers import DAY_US
from gateway.reports.periods import date_of
from routing.money import Usage


class DayDiffers(NamedTuple):
    """A day on which the two are not the same."""

    date: str
    what: str
    """The column."""
    rolled_up: int
    charged: int


class Compared(NamedTuple):
    """What a comparison found."""

    days: int
    differences: tuple[DayDiffers, ...]


_SUMS = ("cost_nano_usd", "fee_nano_usd", *Usage._fields)


async def compare(engine: AsyncEngine) -> Compared:
    """Compare every day that still has all of its charges. Raises JournalError."""
    moment = func.coalesce(charges.c.own_window_at_us, charges.c.window_at_us) // DAY_US
    async with reading(engine) as connection:
        kept = select(retention.c.before_us).where(retention.c.kind == "charges")
        before_us = (await connection.execute(kept)).scalar() or 0
        first = -(-before_us // DAY_US)
        summed = select(moment.label("day"), *(func.sum(charges.c[name]) for name in _SUMS)).where(moment >= first)
        rolled = select(daily.c.day, *(func.sum(daily.c[name]) for name in _SUMS)).where(and_(daily.c.day >= first))
        by_charges = {int(row[0]): row[1:] for row in await connection.execute(summed.group_by("day"))}
        by_roll_up = {int(row[0]): row[1:] for row in await connection.execute(rolled.group_by(daily.c.day))}
    nothing = (0,) * len(_SUMS)
    differences = [
        DayDiffers(date_of(day), name, int(rolled_up), int(charged))
        for day in sorted(by_charges.keys() | by_roll_up.keys())
        for name, rolled_up, charged in zip(
            _SUMS, by_roll_up.get(day, nothing), by_charges.get(day, nothing), strict=True
        )
        if int(rolled_up) != int(charged)
    ]
    return Compared(len(by_charges.keys() | by_roll_up.keys()), tuple(differences))


def compared_object(found: Compared) -> dict[str, Any]:
    """What a comparison of the roll-ups found, as people may see it."""
    return {"days": found.days, "differences": [each._asdict() for each in found.differences]}
