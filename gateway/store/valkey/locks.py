"""PostgreSQL's advisory locks, held for as long as a connection lives: when its gateway dies, they are free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from gateway.journal.engine import AsyncConnection, AsyncEngine

_TRY = text("SELECT pg_try_advisory_lock(hashtextextended(:name, 0))")


@asynccontextmanager
async def holding(engine: AsyncEngine, name: str) -> AsyncIterator[AsyncConnection | None]:
    """The connection that holds the lock inside the block; None when somebody else's does."""
    async with engine.connect() as connection:
        async with connection.begin():
            held = bool(await connection.scalar(_TRY, {"name": name}))
        if not held:
            yield None
            return
        try:
            yield connection
        finally:
            await connection.invalidate()  # a pool would keep the connection, and with it the lock
