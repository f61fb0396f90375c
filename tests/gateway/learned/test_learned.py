"""What was learned outlives the process."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import select, text

from gateway.journal.database import Database, JournalError
from gateway.journal.tables import learned
from gateway.learned.expectations import START, Expectations
from gateway.learned.learned import Learned
from routing.money import Usage


def teach(known: Learned, agent: str = "a", tokens: int = 100, times: int = 40) -> None:
    for _ in range(times):
        known.observe(agent, "m", 1_000, Usage(250, tokens), truncated=False)


async def rows(database: Database) -> list[tuple[str, str, str]]:
    async with database.engine.connect() as connection:
        found = await connection.execute(select(learned.c.kind, learned.c.agent, learned.c.model))
        return sorted((kind, agent, model) for kind, agent, model in found)


async def test_a_restart_forgets_nothing(database: Database) -> None:
    before = Learned(database.engine)
    await before.load()
    assert before.expect("a", "m") == START
    teach(before)
    await before.close()
    after = Learned(database.engine)
    await after.load()
    assert after.expect("a", "m") == before.expect("a", "m") != START
    assert after.expect("new", "m") == before.expect("new", "m") != START


async def test_rows_are_replaced_and_the_forgotten_deleted(database: Database) -> None:
    known = Learned(database.engine, Expectations(max_pairs=2))
    teach(known, "a")
    await known.save()
    teach(known, "a")
    await known.save()
    kinds = ("output_tokens", "tokens_per_byte")
    assert await rows(database) == [(kind, agent, "m") for kind in kinds for agent in ("", "a")]
    teach(known, "b")
    await known.save()
    assert await rows(database) == [(kind, agent, "m") for kind in kinds for agent in ("", "b")]


async def test_it_saves_by_itself(database: Database) -> None:
    known = Learned(database.engine, save_every_s=0.01)
    known.start()
    teach(known)
    async with asyncio.timeout(10):
        while not await rows(database):
            await asyncio.sleep(0)
    await known.close()


async def test_a_failure_to_save_is_told_and_made_up_for(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    known = Learned(database.engine)
    teach(known)
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE learned RENAME TO away"))
    with caplog.at_level(logging.WARNING, "farebox.learned"), pytest.raises(JournalError):
        await known.save()
    assert "could not be saved" in caplog.text
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO learned"))
    await known.save()
    assert len(await rows(database)) == 4


async def test_closing_swallows_a_failure(database: Database) -> None:
    known = Learned(database.engine)
    known.start()
    teach(known)
    async with database.engine.begin() as connection:
        await connection.execute(text("DROP TABLE learned"))
    await known.close()
