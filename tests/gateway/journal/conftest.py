from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME, Database
from gateway.journal.writer import Journal


@pytest.fixture
def storage(tmp_path: Path) -> StorageSettings:
    """An hour between commits: nothing is written unless a test flushes."""
    return StorageSettings(dir=tmp_path / "state", flush_interval_s=3600)


@pytest.fixture(params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, storage: StorageSettings) -> StorageSettings:
    """SQLite, then PostgreSQL."""
    if request.param == "sqlite":
        return storage
    return replace(storage, journal_url=request.getfixturevalue("postgres_url"))


@pytest.fixture
async def either_journal(either: StorageSettings) -> AsyncIterator[Journal]:
    opened = await Journal.open(either)
    yield opened
    await opened.close()


@pytest.fixture
async def database(storage: StorageSettings) -> AsyncIterator[Database]:
    opened = await Database.open(storage)
    yield opened
    await opened.close()


@pytest.fixture
async def journal(storage: StorageSettings) -> AsyncIterator[Journal]:
    opened = await Journal.open(storage)
    yield opened
    await opened.close()


@pytest.fixture
def other(storage: StorageSettings) -> Iterator[sqlite3.Connection]:
    """The database as another process sees it, which waits for nobody."""
    storage.dir.mkdir(mode=0o700, exist_ok=True)
    connection = sqlite3.connect(storage.dir / FILE_NAME, isolation_level=None, timeout=0)
    yield connection
    connection.close()
