"""The journal for commands that only look: nothing is made, migrated or written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

from sqlalchemy import URL, text
from sqlalchemy.exc import SQLAlchemyError

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import BUSY_TIMEOUT_S, FILE_NAME, JournalError, reason
from gateway.journal.engine import AsyncEngine, create_async_engine
from gateway.journal.postgres import connect_postgres, postgres_url
from gateway.journal.tables import HEAD


@asynccontextmanager
async def looking(storage: StorageSettings) -> AsyncIterator[AsyncEngine]:
    """The journal at `storage.journal_url`, else the one in `storage.dir`, to be read only.

    Raises JournalError when there is none, when it cannot be read, or when its schema is not this version's.
    """
    if storage.journal_url is None and not (storage.dir / FILE_NAME).is_file():
        raise JournalError(f"there is no journal in {storage.dir}")
    engine = _engine(storage)
    try:
        await _check(engine)
        yield engine
    finally:
        await engine.dispose()


def _engine(storage: StorageSettings) -> AsyncEngine:
    if storage.journal_url is not None:
        return connect_postgres(postgres_url(storage.journal_url))
    file = quote(str((storage.dir / FILE_NAME).absolute()))
    url = URL.create("sqlite+aiosqlite", database=f"file:{file}", query={"mode": "ro", "uri": "true"})
    return create_async_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})


async def _check(engine: AsyncEngine) -> None:
    try:
        async with engine.connect() as connection:
            found = (await connection.execute(text("SELECT version_num FROM alembic_version"))).scalar()
    except (SQLAlchemyError, OSError) as error:
        raise JournalError(f"the journal cannot be read: {reason(error)}") from error
    if found != HEAD:
        raise JournalError(
            f"the journal has the schema {found}, this version of Farebox reads {HEAD}: let its gateway migrate it, or "
            "use the gateway's own version"
        )
