"""Deletes responses and conversations whose time has ended, and the next ones while all together are too large.

In small batches, each a transaction of its own: no request waits for more than one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from sqlalchemy import Table, delete, func, select

from gateway.config.snapshot import ResponseSettings
from gateway.journal.engine import AsyncConnection, AsyncEngine
from gateway.journal.rows import to_us
from gateway.journal.sessions import reading, writing
from gateway.journal.tables import conversation_items, conversations, responses

BATCH: Final = 100
PAUSE_S: Final = 0.05
_TABLES: Final = (responses, conversations)

Pause = Callable[[float], Awaitable[None]]


class Made(NamedTuple):
    """How many were deleted."""

    expired: int = 0
    crowded: int = 0
    """Before their time ended."""


async def make_room(
    engine: AsyncEngine, settings: ResponseSettings, now_s: float, pause: Pause = asyncio.sleep
) -> Made:
    """Delete what has to go. Raises JournalError."""
    expired = 0
    for table in _TABLES:
        while gone := await _delete_expired(engine, table, to_us(now_s)):
            expired += gone
            if gone < BATCH:
                break
            await pause(PAUSE_S)
    crowded = 0
    while await _too_much(engine, settings):
        crowded += await _delete_next(engine, settings)
        await pause(PAUSE_S)
    return Made(expired, crowded)


async def _delete_expired(engine: AsyncEngine, table: Table, now_us: int) -> int:
    old = select(table.c.id).where(table.c.expires_at_us <= now_us).order_by(table.c.expires_at_us).limit(BATCH)
    async with writing(engine) as connection:
        return await _delete(connection, table, list((await connection.execute(old)).scalars()))


async def _too_much(engine: AsyncEngine, settings: ResponseSettings) -> bool:
    async with reading(engine) as connection:
        return await _total(connection) > settings.max_bytes


async def _total(connection: AsyncConnection) -> int:
    total = 0
    for table in _TABLES:
        total += int((await connection.execute(select(func.coalesce(func.sum(table.c.bytes), 0)))).scalar_one())
    return total


async def _delete_next(engine: AsyncEngine, settings: ResponseSettings) -> int:
    """Those whose time ends first, as many as are needed, at most a batch. Another gateway may just have done it."""
    async with writing(engine) as connection:
        too_much = await _total(connection) - settings.max_bytes
        next_ones = []
        for table in _TABLES:
            wanted = select(table.c.expires_at_us, table.c.id, table.c.bytes).order_by(table.c.expires_at_us)
            rows = await connection.execute(wanted.limit(BATCH))
            next_ones += [(row.expires_at_us, row.id, row.bytes, table) for row in rows]
        next_ones.sort(key=lambda each: each[:2])
        going: dict[Table, list[str]] = {table: [] for table in _TABLES}
        for _, name, size, table in next_ones[:BATCH]:
            if too_much <= 0:
                break
            going[table].append(name)
            too_much -= size
        gone = 0
        for table, names in going.items():
            gone += await _delete(connection, table, names)
        return gone


async def _delete(connection: AsyncConnection, table: Table, names: list[str]) -> int:
    if not names:
        return 0
    if table is conversations:
        of = conversation_items.c.conversation
        await connection.execute(delete(conversation_items).where(of.in_(names)))
    return int((await connection.execute(delete(table).where(table.c.id.in_(names)))).rowcount)
