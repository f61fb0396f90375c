from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database
from tests.gateway.journal.conftest import database, storage
from tests.gateway.responses.world import World

__all__ = ["database", "storage"]


@pytest.fixture(params=["sqlite", "postgresql"])
async def either(request: pytest.FixtureRequest, storage: StorageSettings) -> AsyncIterator[Database]:
    """A database: SQLite, then PostgreSQL."""
    if request.param == "postgresql":
        storage = replace(storage, journal_url=request.getfixturevalue("postgres_url"))
    database = await Database.open(storage)
    yield database
    await database.close()


@pytest.fixture
async def world(either: Database) -> AsyncIterator[World]:
    """On both databases."""
    made = World(either.engine)
    yield made
    await made.store.close()


@pytest.fixture
async def small(database: Database) -> AsyncIterator[World]:
    """On SQLite alone."""
    made = World(database.engine)
    yield made
    await made.store.close()
