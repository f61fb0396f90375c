"""What is PostgreSQL's own in the journal's database. The driver is imported only when a URL asks for it.

Connections are made from the operator's URL by asyncpg itself, so that everything it knows (`sslmode`, several hosts,
`.pgpass`) works. A transaction that reads before it writes holds an advisory lock, as SQLite's holds the write lock.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import URL, Connection, make_url, text

from gateway.journal.engine import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S: Final = 10.0
COMMAND_TIMEOUT_S: Final = 30.0
"""A statement without an answer for so long fails and its connection is given up: the server may be gone silently."""
_END_IDLE: Final = "SET idle_in_transaction_session_timeout = '5s'"
"""A gateway that is stopped in the middle of a transaction must not hold up the others with its locks."""
_LOCK_ID: Final = 0x46_41_52_45_42_4F_58
"""`FAREBOX`: nobody else in the database should use this number."""


class ValueRefused(ValueError):
    """PostgreSQL cannot hold a value, as opposed to a server in trouble."""


def postgres_url(written: str) -> URL:
    """An operator's `postgresql://` (or `postgres://`) URL, naming the driver."""
    return make_url(written).set(drivername="postgresql+asyncpg")


def connect_postgres(url: URL, command_timeout_s: float | None = COMMAND_TIMEOUT_S) -> AsyncEngine:
    """An engine for a URL of `postgres_url`. A connection that died while it lay idle is replaced unseen."""
    dsn = url.set(drivername="postgresql").render_as_string(hide_password=False)

    async def connect() -> Any:
        import asyncpg

        connection = await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, command_timeout=command_timeout_s)
        try:
            if command_timeout_s is not None:  # a migration may think for as long as it has to
                await connection.execute(_END_IDLE)
        except BaseException:  # cancelled too: nobody else knows of it yet
            connection.terminate()
            raise
        return connection

    return create_async_engine(url, async_creator=connect, pool_pre_ping=True)


def take_lock(connection: Connection) -> None:
    """Wait until no other transaction holds the journal's lock; it is held to this one's end."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _LOCK_ID})


def refuses_value(error: Exception) -> bool:
    """Whether a driver's error is about a value (too large, not text) rather than about the server."""
    import asyncpg

    refusals = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
    return isinstance(error.__cause__, refusals) or isinstance(error, refusals)
