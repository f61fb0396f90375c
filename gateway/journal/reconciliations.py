"""What the latest comparison with a provider's bill found: written by `farebox reconcile`, read for metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from sqlalchemy import select

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import to_s, to_us
from gateway.journal.sessions import reading
from gateway.journal.tables import reconciliations
from routing.money import NanoUsd

_log = logging.getLogger("farebox.journal")

EVERY_S: Final = 60.0


class Reconciled(NamedTuple):
    """One model at one provider, over the days of one comparison."""

    provider: str
    model: str
    """The configured model's name; the provider's own where no charge has it."""
    at_s: float
    from_day: int
    to_day: int
    """The first day that is not in it any more."""
    billed: NanoUsd
    charged: NanoUsd

    @property
    def drift_ratio(self) -> float:
        """The bill less the charges, of the charges: 0.02 is a bill 2% above. 1 where nothing at all was charged."""
        if not self.charged:
            return 1.0 if self.billed else 0.0
        return (self.billed - self.charged) / self.charged


async def latest(engine: AsyncEngine) -> list[Reconciled]:
    """The latest comparison of every model: a few rows. Raises JournalError."""
    query = select(reconciliations).order_by(reconciliations.c.provider, reconciliations.c.model)
    async with reading(engine) as connection:
        return [
            Reconciled(row[0], row[1], to_s(row[2]), row[3], row[4], NanoUsd(row[5]), NanoUsd(row[6]))
            for row in await connection.execute(query)
        ]


async def keep(connection: AsyncConnection, found: Iterable[Reconciled]) -> None:
    """Put comparisons in the place of earlier ones of the same providers, in the caller's transaction."""
    rows = list(found)
    for provider in {each.provider for each in rows}:
        await connection.execute(reconciliations.delete().where(reconciliations.c.provider == provider))
    if rows:
        names = reconciliations.columns.keys()
        values = [(*each[:2], to_us(each.at_s), *each[3:]) for each in rows]
        await connection.execute(reconciliations.insert(), [dict(zip(names, each, strict=True)) for each in values])


class Drifts:
    """The latest comparisons, for the metrics: read every minute, so that a scrape never waits for the database."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._found: Mapping[tuple[str, str], float] = {}
        self._task: asyncio.Task[None] | None = None

    def ratios(self) -> Mapping[tuple[str, str], float]:
        """`Reconciled.drift_ratio` by model and provider."""
        return self._found

    async def refresh(self) -> None:
        """Read them now. Raises JournalError."""
        self._found = {(each.model, each.provider): each.drift_ratio for each in await latest(self._engine)}

    def start(self) -> None:
        """Begin, and read them now."""
        self._task = asyncio.create_task(self._run(), name="drifts")

    async def close(self) -> None:
        """Stop. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def _run(self) -> None:
        while True:
            try:
                await self.refresh()
            except JournalError as error:
                _log.debug("the latest reconciliations cannot be read: %s", error)
            await asyncio.sleep(EVERY_S)
