from __future__ import annotations

import asyncio

from gateway.journal.database import Database
from gateway.journal.prices import PriceLog, note, noted
from gateway.journal.writer import Journal
from routing.money import PricePoint

OLD = PricePoint("config:gpt", 250_000, 2_000_000, *[25_000] * 8, request_nano_usd=7)
NEW = OLD._replace(output=3_000_000)
OTHER = OLD._replace(id="config:mini")


async def test_each_rate_is_noted_once(either_journal: Journal) -> None:
    engine = either_journal.database.engine
    assert await noted(engine) == {}
    assert await note(engine, [OLD, OTHER], 1.0) == 2
    assert await asyncio.gather(*(note(engine, [OLD, NEW, OTHER], 2.0) for _ in range(3))) in (
        [1, 0, 0],
        [0, 1, 0],
        [0, 0, 1],
    )
    assert await note(engine, [OLD], 3.0) == 0
    assert await noted(engine) == {"config:gpt": (NEW, OLD), "config:mini": (OTHER,)}


async def test_a_gateway_notes_what_each_configuration_says(database: Database) -> None:
    log = PriceLog(database.engine)
    log.use([OLD])
    log.use([NEW, OTHER])
    await log.close()
    assert {name: set(rates) for name, rates in (await noted(database.engine)).items()} == {
        "config:gpt": {OLD, NEW},
        "config:mini": {OTHER},
    }
