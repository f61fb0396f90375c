from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import Database


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    opened = await Database.open(StorageSettings(dir=tmp_path / "state"))
    yield opened
    await opened.close()
