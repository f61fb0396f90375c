"""The rates behind the names of price points, noted when a gateway first has them.

A charge has its price point's name alone, and a name's rates may change with the next price list. Reports that tell
tokens and their prices (FOCUS) look here for what a charge was priced at.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import select

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncEngine
from gateway.journal.rows import to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import price_points
from routing.money import PricePoint

_log = logging.getLogger("farebox.journal")

_rates = msgspec.json.Decoder(tuple[int, ...])


async def note(engine: AsyncEngine, points: Iterable[PricePoint], now_s: float) -> int:
    """Note rates that are not there yet; how many. Nothing is written when there are none. Raises JournalError."""
    wanted = {(point.id, msgspec.json.encode(point[1:]).decode()) for point in points}
    if not wanted - await _there(engine):
        return 0
    async with writing(engine) as connection:
        there = select(price_points.c.id, price_points.c.rates)
        new = sorted(wanted - {(row.id, row.rates) for row in await connection.execute(there)})
        rows = [{"id": name, "rates": rates, "seen_at_us": to_us(now_s)} for name, rates in new]
        if rows:
            await connection.execute(price_points.insert(), rows)
    return len(new)


async def noted(engine: AsyncEngine) -> dict[str, tuple[PricePoint, ...]]:
    """All rates of each price point, the latest first. Raises JournalError."""
    query = select(price_points.c.id, price_points.c.rates).order_by(price_points.c.seen_at_us.desc())
    found: dict[str, tuple[PricePoint, ...]] = {}
    async with reading(engine) as connection:
        for name, rates in await connection.execute(query):
            found[name] = (*found.get(name, ()), PricePoint(name, *_rates.decode(rates)))
    return found


async def _there(engine: AsyncEngine) -> set[tuple[str, str]]:
    async with reading(engine) as connection:
        return {(row[0], row[1]) for row in await connection.execute(select(price_points.c.id, price_points.c.rates))}


class PriceLog:
    """Notes the rates of each configuration that a gateway puts in force. Belongs to the running event loop."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._task: asyncio.Task[None] | None = None

    def use(self, points: Collection[PricePoint]) -> None:
        """These are in force now. Returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._note(self._task, points), name="prices")

    async def close(self) -> None:
        """Return when they are noted, or cannot be. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait((task,))

    async def _note(self, before: asyncio.Task[None] | None, points: Collection[PricePoint]) -> None:
        if before is not None:
            await asyncio.wait((before,))
        try:
            await note(self._engine, points, time.time())
        except JournalError as error:
            _log.warning("prices could not be noted for reports: %s", error)
