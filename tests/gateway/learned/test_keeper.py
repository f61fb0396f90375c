"""What was learned outlives the process."""

from __future__ import annotations

import asyncio
import logging

import pytest
from sqlalchemy import select, text

from gateway.journal.database import Database, JournalError
from gateway.journal.tables import learned
from gateway.learned.expectations import START, Expectations
from gateway.learned.keeper import Keeper
from gateway.learned.known import Pair
from gateway.learned.quality import KIND, Heard, LearnedQuality
from routing.money import Usage

KINDS = ("output_tokens", "tokens_per_byte")


def teach(known: Expectations, agent: str = "a", tokens: int = 100, times: int = 40) -> None:
    for _ in range(times):
        known.observe(agent, "m", 1_000, Usage(250, tokens), truncated=False)


async def rows(database: Database) -> list[tuple[str, Pair]]:
    async with database.engine.connect() as connection:
        found = await connection.execute(select(learned.c.kind, learned.c.agent, learned.c.model))
        return sorted((kind, (agent, model)) for kind, agent, model in found)


async def test_a_restart_forgets_nothing(database: Database) -> None:
    before, after = Expectations(), Expectations()
    keeper = Keeper(database.engine, before)
    await keeper.load()
    assert before.expect("a", "m") == START
    teach(before)
    await keeper.close()
    await Keeper(database.engine, after).load()
    assert after.expect("a", "m") == before.expect("a", "m") != START
    assert after.expect("new", "m") == before.expect("new", "m") != START


async def test_what_was_learned_last_is_restored_last(database: Database) -> None:
    """So that it is forgotten last."""
    known, again = Expectations(), Expectations()
    for at_s, agent in enumerate(("b", "c", "a")):
        teach(known, agent)
        await Keeper(database.engine, known, now=lambda at_s=at_s: 1_000.0 + at_s).save()  # type: ignore[misc]
    await Keeper(database.engine, again).load()
    assert [agent for agent, _ in again.pairs() if agent] == ["b", "c", "a"]


async def test_rows_are_replaced_and_the_forgotten_deleted(database: Database) -> None:
    known = Expectations(max_pairs=2)
    keeper = Keeper(database.engine, known)
    for agent in ("a", "a", "b"):
        teach(known, agent)
        await keeper.save()
        assert await rows(database) == [(kind, (each, "m")) for kind in KINDS for each in ("", agent)]


async def test_each_keeps_to_its_own(database: Database) -> None:
    lengths, quality = Expectations(), LearnedQuality()
    keepers = [Keeper(database.engine, lengths), Keeper(database.engine, quality)]
    for request_id in ("r", "s"):
        teach(lengths)
        quality.hear(Heard("a", "m", request_id, 1.0, None))
        for keeper in keepers:
            await keeper.save()
    assert [kind for kind, pair in await rows(database) if pair[0]] == sorted([*KINDS, KIND])
    again, better = Expectations(), LearnedQuality()
    for known in (again, better):
        await Keeper(database.engine, known).load()
    assert again.expect("a", "m") == lengths.expect("a", "m")
    assert better.quality.outcomes("a", "m") == 2


async def test_it_saves_by_itself(database: Database) -> None:
    known = Expectations()
    keeper = Keeper(database.engine, known, save_every_s=0.01)
    keeper.start()
    teach(known)
    async with asyncio.timeout(10):
        while not await rows(database):
            await asyncio.sleep(0)
    await keeper.close()


async def test_a_failure_to_save_is_told_and_made_up_for(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    known = Expectations()
    keeper = Keeper(database.engine, known)
    teach(known)
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE learned RENAME TO away"))
    with caplog.at_level(logging.WARNING, "farebox.learned"), pytest.raises(JournalError):
        await keeper.save()
    assert "what was learned (output_tokens, tokens_per_byte) could not be saved" in caplog.text
    async with database.engine.begin() as connection:
        await connection.execute(text("ALTER TABLE away RENAME TO learned"))
    await keeper.save()
    assert len(await rows(database)) == 4


async def test_closing_swallows_a_failure(database: Database) -> None:
    known = Expectations()
    keeper = Keeper(database.engine, known)
    keeper.start()
    teach(known)
    async with database.engine.begin() as connection:
        await connection.execute(text("DROP TABLE learned"))
    await keeper.close()
