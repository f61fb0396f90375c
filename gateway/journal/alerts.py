"""Which alerts of budgets have been told: each once, however many gateways look, and whichever of them start again."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select

from gateway.journal.database import Database
from gateway.journal.rows import to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import alerts

KEPT_S: Final = 400 * 86_400.0
"""Longer than any window but `total`, whose alerts may come again after that."""
MOST: Final = 10_000
"""So many are remembered, the latest ones."""
_PPM: Final = 1_000_000
_AT_A_TIME: Final = 100


class Watched(NamedTuple):
    """One counter of a budget."""

    budget: str
    value: str
    period: str
    """The window's id, such as `2026-11`."""


TOLD: Final = "!alert"
"""How alerts that are not budgets' are entered among them: no budget can have this name."""


class AlertLog:
    """The `alerts` table. Every method raises JournalError."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        self._engine = database.engine
        self._now = now

    async def told(self) -> dict[Watched, float]:
        """The highest share that has been told of each counter."""
        share = func.max(alerts.c.share_ppm)
        counter = (alerts.c.budget, alerts.c.value, alerts.c.period)
        query = select(*counter, share).group_by(*counter).order_by(func.max(alerts.c.at_us).desc()).limit(MOST)
        async with reading(self._engine) as connection:
            return {Watched(*row[:3]): row[3] / _PPM for row in await connection.execute(query)}

    async def enter(self, passed: Mapping[Watched, Sequence[float]]) -> set[Watched]:
        """Enter the shares that were passed, ascending. Returns those whose highest was not there: to be told."""
        now_us = to_us(self._now())
        new: set[Watched] = set()
        async with writing(self._engine) as connection:
            await connection.execute(delete(alerts).where(alerts.c.at_us < now_us - to_us(KEPT_S)))
            for counter, shares in passed.items():
                found = await connection.execute(select(alerts.c.share_ppm).where(_is(counter)))
                had = set(found.scalars())
                entry = {**counter._asdict(), "at_us": now_us}
                rows = [{**entry, "share_ppm": ppm} for ppm in {*map(_ppm, shares)} - had]
                if rows:
                    await connection.execute(insert(alerts), rows)
                if _ppm(shares[-1]) not in had:
                    new.add(counter)
        return new

    async def claim(self, key: str, at_s: float, repeat_s: float) -> bool:
        """Enter that an alert is told at a moment, unless one of the same key was less than `repeat_s` before it.

        Of several gateways that ask at the same time one gets True. Moments are the alerts' own.
        """
        at_us, mine = to_us(at_s), and_(alerts.c.budget == TOLD, alerts.c.value == key)
        async with writing(self._engine) as connection:
            await connection.execute(delete(alerts).where(alerts.c.at_us < to_us(self._now() - KEPT_S)))
            latest = (await connection.execute(select(func.max(alerts.c.at_us)).where(mine))).scalar()
            if latest is not None and at_us - latest < to_us(repeat_s):
                return False
            await connection.execute(delete(alerts).where(mine))
            row = {"budget": TOLD, "value": key, "period": "", "share_ppm": _PPM, "at_us": at_us}
            await connection.execute(insert(alerts), [row])
        return True

    async def release(self, key: str) -> None:
        """It is over: the next time is news again, at once."""
        async with writing(self._engine) as connection:
            await connection.execute(delete(alerts).where(alerts.c.budget == TOLD, alerts.c.value == key))

    async def forget(self, counters: Collection[Watched]) -> None:
        """Money came back: the next time is news again."""
        asked = list(counters)
        async with writing(self._engine) as connection:
            for at in range(0, len(asked), _AT_A_TIME):
                await connection.execute(delete(alerts).where(or_(*map(_is, asked[at : at + _AT_A_TIME]))))


def _ppm(share: float) -> int:
    return round(share * _PPM)


def _is(counter: Watched) -> ColumnElement[bool]:
    return and_(alerts.c.budget == counter.budget, alerts.c.value == counter.value, alerts.c.period == counter.period)
