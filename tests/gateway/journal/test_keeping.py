"""The writer's end: what waits is written, or told to be lost."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from gateway.journal.keeping import KeepingWriter
from gateway.journal.kept import Keep
from gateway.journal.responses import ResponseLog
from gateway.journal.writer import Journal
from tests.gateway.journal.test_responses import NOW_S, row


async def test_what_waits_is_written_at_the_end(journal: Journal) -> None:
    writer = KeepingWriter(journal.database.engine)
    for number in range(150):  # more than a batch
        writer.put(Keep(row(f"resp_{number}")))
    await writer.close()
    await writer.close()
    assert await ResponseLog(journal.database.engine).get("acme", "resp_149", NOW_S) is not None


async def test_what_cannot_be_written_is_told(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.journal.keeping.CLOSE_TIMEOUT_S", 0.01)
    async with journal.database.engine.begin() as connection:
        await connection.execute(text("DROP TABLE responses"))
    writer = KeepingWriter(journal.database.engine)
    written = writer.put(Keep(row()))
    assert written is not None
    await writer.close()
    assert "1 responses could not be written and are lost" in caplog.text
    assert written.cancelled()


async def test_one_that_was_never_used(journal: Journal) -> None:
    await KeepingWriter(journal.database.engine).close()
