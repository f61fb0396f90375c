"""Deletes what is older than is to be kept: charges, requests, contents, responses. The roll-ups stay for ever.

In small batches, with pauses, by a task of its own: the writer waits for one batch at most, and no request for any. Of
several gateways on one PostgreSQL one does it at a time. First the mark in `retention` is moved, whole UTC days at a
time, since the database refuses to delete a charge that is not older than it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from sqlalchemy import Column, func, select, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.config.snapshot import ResponseSettings, StorageSettings
from gateway.journal.aliases import expire
from gateway.journal.database import JournalError, reason
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.making_room import make_room
from gateway.journal.sessions import writing
from gateway.journal.tables import charges, contents, feedback, requests, retention
from gateway.journal.triggers import DAY_US

_log = logging.getLogger("farebox.journal")

BATCH_ROWS: Final = 500
PAUSE_S: Final = 0.05
FIRST_S: Final = 60.0
EVERY_S: Final = 3_600.0
_LOCK_ID: Final = 0x46_41_52_45_42_4F_5A
"""PostgreSQL's advisory lock of who deletes; the next number after the roll-ups'."""
_REQUEST_ID: Final = "req_"
"""How ids of requests begin; 12 hex digits of milliseconds follow, so that they sort by time."""


class Pruned(NamedTuple):
    """How many rows were deleted."""

    charges: int = 0
    requests: int = 0
    contents: int = 0


async def prune(
    engine: AsyncEngine,
    storage: StorageSettings,
    now_s: float,
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> Pruned:
    """Delete everything that is too old, batch by batch; nothing while another gateway does. Raises JournalError."""
    found = {}
    kinds = (("contents", storage.keep_content_days), ("requests", storage.keep_requests_days))
    for kind, days in (*kinds, ("charges", storage.keep_charges_days)):
        found[kind] = 0 if days is None else await _prune(engine, kind, _mark_us(now_s, days), pause)
    async with writing(engine) as connection:
        await expire(connection, int(now_s * 1_000_000))
    return Pruned(**found)


def _mark_us(now_s: float, days: int) -> int:
    return (int(now_s * 1_000_000) // DAY_US - days) * DAY_US


async def _prune(engine: AsyncEngine, kind: str, before_us: int, pause: Callable[[float], Awaitable[None]]) -> int:
    deleted = 0
    while before_us > 0:
        async with writing(engine) as connection:
            if not await _leads(connection):
                break
            await _move_mark(connection, kind, before_us)
            more = await _DELETE[kind](connection, before_us)
        deleted += more
        if more < BATCH_ROWS:
            break
        await pause(PAUSE_S)
    return deleted


async def _leads(connection: AsyncConnection) -> bool:
    """Whether no other gateway deletes right now. On SQLite there is no other."""
    if connection.dialect.name != "postgresql":
        return True
    return bool((await connection.execute(text("SELECT pg_try_advisory_xact_lock(:id)"), {"id": _LOCK_ID})).scalar())


async def _move_mark(connection: AsyncConnection, kind: str, before_us: int) -> None:
    mark = select(retention.c.before_us).where(retention.c.kind == kind)
    there = (await connection.execute(mark)).scalar()
    if there is None:
        await connection.execute(retention.insert().values(kind=kind, before_us=before_us))
    elif there < before_us:
        await connection.execute(retention.update().where(retention.c.kind == kind).values(before_us=before_us))


async def _charges(connection: AsyncConnection, before_us: int) -> int:
    own = func.coalesce(charges.c.own_window_at_us, 0)
    old = (charges.c.at_us < before_us) & (charges.c.window_at_us < before_us) & (own < before_us)
    ids = select(charges.c.charge_id).where(old).order_by(charges.c.at_us).limit(BATCH_ROWS)
    return int((await connection.execute(charges.delete().where(charges.c.charge_id.in_(ids)))).rowcount)


async def _requests(connection: AsyncConnection, before_us: int) -> int:
    ids = _old_ids(requests.c.request_id, before_us)
    old = list((await connection.execute(ids)).scalars())
    for table in (contents, feedback):  # they say nothing without their request
        await connection.execute(table.delete().where(table.c.request_id.in_(old)))
    return int((await connection.execute(requests.delete().where(requests.c.request_id.in_(old)))).rowcount)


async def _contents(connection: AsyncConnection, before_us: int) -> int:
    ids = _old_ids(contents.c.request_id, before_us)
    return int((await connection.execute(contents.delete().where(contents.c.request_id.in_(ids)))).rowcount)


def _old_ids(column: Column[str], before_us: int) -> Any:
    bound = f"{_REQUEST_ID}{before_us // 1000:012x}"
    return select(column).where(column >= _REQUEST_ID, column < bound).order_by(column).limit(BATCH_ROWS)


_DELETE: Final = {"charges": _charges, "requests": _requests, "contents": _contents}


class Pruner:
    """The task of a gateway that deletes what is too old, every hour. Made in the loop that it runs in."""

    def __init__(
        self,
        engine: AsyncEngine,
        storage: Callable[[], StorageSettings],
        responses: Callable[[], ResponseSettings] = ResponseSettings,
    ) -> None:
        self._engine = engine
        self._storage = storage
        self._responses = responses
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, a minute from now."""
        self._task = asyncio.create_task(self._run(), name="pruner")

    async def close(self) -> None:
        """Stop; a batch under way is rolled back or done. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait((task,))

    async def _run(self) -> None:
        wait_s = FIRST_S
        while True:
            await asyncio.sleep(wait_s)
            wait_s = EVERY_S
            try:
                pruned = await prune(self._engine, self._storage(), time.time())
                await make_room(self._engine, self._responses(), time.time())
            except (JournalError, SQLAlchemyError, OSError) as error:
                _log.warning("old rows of the journal could not be deleted, they are tried again: %s", reason(error))
                continue
            if any(pruned):
                _log.info("deleted of the journal, as older than is kept: %s", pruned._asdict())
