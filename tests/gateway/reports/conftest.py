from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.gateway.books import World, snapshot


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Books without an entry."""
    opened = await World.open(snapshot(tmp_path / "state"))
    yield opened
    await opened.close()
