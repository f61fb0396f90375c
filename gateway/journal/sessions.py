"""Short transactions on the journal's database whose failures are JournalError, in words a person can use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy.exc import SQLAlchemyError

from gateway.journal.database import JournalError, begin_immediate, reason
from gateway.journal.engine import AsyncConnection, AsyncEngine


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection whose statements all see the same state. Raises JournalError when the database cannot be read."""
    try:
        async with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                await connection.execution_options(isolation_level="REPEATABLE READ")
            yield connection
    except (SQLAlchemyError, OSError) as error:
        raise JournalError(f"the journal cannot be read: {reason(error)}") from error


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that holds the write lock from its beginning, committed at the end of the block.

    Raises JournalError when the database cannot be written; nothing of the block is then stored.
    """
    try:
        async with begin_immediate(engine) as connection:
            yield connection
    except (SQLAlchemyError, OSError) as error:
        raise JournalError(f"the journal cannot be written: {reason(error)}") from error
