"""What was learned, kept in the journal's table `learned` across restarts.

Losing the last half minute of it costs nothing but a few wider reservations, so that it is saved rarely and a failure
to save is told and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from sqlalchemy import bindparam, delete, insert, or_, select

from gateway.journal.database import JournalError
from gateway.journal.engine import AsyncEngine
from gateway.journal.rows import to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import learned
from gateway.learned.known import Known, Pair, State

log = logging.getLogger("farebox.learned")

SAVE_EVERY_S: Final = 30.0


class Keeper:
    """Saves what is learned while it runs."""

    def __init__(
        self,
        engine: AsyncEngine,
        known: Known,
        now: Callable[[], float] = time.time,
        save_every_s: float = SAVE_EVERY_S,
    ) -> None:
        self._engine = engine
        self._known = known
        self._now = now
        self._save_every_s = save_every_s
        self._is_ours = or_(*(learned.c.kind == kind for kind in known.kinds))
        self._task: asyncio.Task[None] | None = None

    async def load(self) -> None:
        """Take over what earlier processes learned. Raises JournalError."""
        rows = select(learned.c.kind, learned.c.agent, learned.c.model, learned.c.state).where(self._is_ours)
        async with reading(self._engine) as connection:
            found = (await connection.execute(rows.order_by(learned.c.updated_at_us))).all()
        self._known.restore((kind, (agent, model), state) for kind, agent, model, state in found)

    def start(self) -> None:
        """Save from now on, every half minute in which something was learned."""
        self._task = asyncio.get_running_loop().create_task(self._run(), name="learned")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._save_every_s)
            with contextlib.suppress(JournalError):  # logged where it is raised
                await self.save()

    async def save(self) -> None:
        """Write what has changed. Raises JournalError, and will write it the next time."""
        if not self._known.changed:
            return
        changed, forgotten = self._known.changes()
        try:
            await self._write(changed, forgotten)
        except JournalError as error:
            self._known.unsaved(changed, forgotten)
            log.warning("what was learned (%s) could not be saved: %s", ", ".join(self._known.kinds), error)
            raise

    async def _write(self, changed: Iterable[State], forgotten: Iterable[Pair]) -> None:
        at_us = to_us(self._now())
        rows = [
            {"kind": kind, "agent": agent, "model": model, "state": state, "updated_at_us": at_us}
            for kind, (agent, model), state in changed
        ]
        stale = sorted({pair for _, pair, _ in changed}.union(forgotten))
        of_pair = delete(learned).where(
            self._is_ours, learned.c.agent == bindparam("a"), learned.c.model == bindparam("m")
        )
        async with writing(self._engine) as connection:
            await connection.execute(of_pair, [{"a": agent, "m": model} for agent, model in stale])
            if rows:
                await connection.execute(insert(learned), rows)

    async def close(self) -> None:
        """Save for the last time. A failure is logged only."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
        with contextlib.suppress(JournalError):
            await self.save()
