"""Recorded requests, read back from the journal."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import insert

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import JournalError
from gateway.journal.looking import looking
from gateway.journal.profiles import PAGE_ROWS, count, recorded
from gateway.journal.sessions import writing
from gateway.journal.tables import feedback
from gateway.journal.writer import Journal
from gateway.telemetry.events import Choice, Event
from routing.money import NanoUsd, Usage
from routing.recorded import Recorded
from tests.gateway.telemetry.samples import charged, finished
from tests.routing.recordings import profile

AT_S = 1_800_000_000.0


async def journaled(journal: Journal, storage: StorageSettings, *events: Event, **times: float) -> list[Recorded]:
    journal.write(events)
    await journal.flush()
    since_s, until_s = times.get("since_s", 0.0), times.get("until_s", 2 * AT_S)
    async with looking(storage) as engine:
        rows = [row async for row in recorded(engine, since_s, until_s)]
        assert await count(engine, since_s, until_s) == len(rows)
    return rows


async def test_a_request_with_its_answer(either_journal: Journal, either: StorageSettings) -> None:
    shape = profile(model="auto", tools=2)
    choice = Choice("p", "r", value_usd=2.5, complexity=0.4, priority="high", run_depth=1, in_tool_loop=True)
    asked = finished(profile=shape, run="r1", session="s1", tags=(("a", "b"),), choice=choice)
    async with writing(either_journal.database.engine) as connection:
        said = {"request_id": "req_1", "at_us": 1, "agent": "researcher", "model": "gpt", "score": 0.25}
        await connection.execute(insert(feedback), [said])
    (row,) = await journaled(either_journal, either, charged(), asked)
    assert row == Recorded(
        "req_1",
        AT_S,
        "acme",
        "search",
        "researcher",
        shape,
        "gpt",
        Usage(100, 20),
        NanoUsd(1_500),
        tags={"a": "b"},
        run="researcher/r1",
        session="researcher/s1",
        value_usd=2.5,
        priority="high",
        complexity=0.4,
        in_tool_loop=True,
        run_depth=1,
        score=0.25,
    )


def call(number: int, **fields: Any) -> Event:
    return charged(charge_id=f"chg-{number}", attempt=number, cost_nano_usd=NanoUsd(number), **fields)


async def test_the_call_that_answered_counts_and_the_others_are_told_apart(
    journal: Journal, storage: StorageSettings
) -> None:
    (row,) = await journaled(
        journal,
        storage,
        call(1, model="small", outcome="timeout"),
        call(2, model="large", usage=Usage(7, 8)),
        call(3, model="small", outcome="cancelled"),
        call(4, resolution="released"),
        finished(profile=profile()),
    )
    assert (row.model, row.usage, row.cost, row.other_cost) == ("large", Usage(7, 8), 6, 4)


async def test_of_failed_calls_the_latest_counts(journal: Journal, storage: StorageSettings) -> None:
    (row,) = await journaled(
        journal,
        storage,
        call(1, model="small", outcome="timeout"),
        call(2, model="large", outcome="cut"),
        finished(profile=profile(), outcome="cut"),
    )
    assert (row.model, row.cost, row.other_cost, row.outcome) == ("large", 3, 1, "cut")


async def test_corrections_change_what_was_paid(journal: Journal, storage: StorageSettings) -> None:
    correction = charged(charge_id="c", attempt=1, resolution="correction", cost_nano_usd=NanoUsd(-400))
    (row,) = await journaled(journal, storage, charged(resolution="orphaned"), correction, finished(profile=profile()))
    assert (row.cost, row.other_cost) == (1_100, 0)


async def test_who_was_refused_has_no_model(journal: Journal, storage: StorageSettings) -> None:
    refused = finished(profile=profile(), outcome="refused", error_code="budget_exceeded", cost_nano_usd=NanoUsd(0))
    (row,) = await journaled(journal, storage, refused)
    assert (row.model, row.cost, row.refused_for_money) == ("", 0, True)


async def test_all_pages_in_order_within_the_time(journal: Journal, storage: StorageSettings) -> None:
    total = 2 * PAGE_ROWS + 3
    events = [finished(request_id=f"r{n:05}", at_s=AT_S + n // 4, profile=profile()) for n in range(total)]
    rows = await journaled(journal, storage, *reversed(events), finished(request_id="unread"))
    assert [row.request_id for row in rows] == [f"r{n:05}" for n in range(total)]
    some = await journaled(journal, storage, since_s=AT_S + 1, until_s=AT_S + 3)
    assert [row.request_id for row in some] == [f"r{n:05}" for n in range(4, 12)]


async def test_looking_makes_nothing(storage: StorageSettings) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        async with looking(storage):
            pass
    assert not storage.dir.exists()


async def test_looking_writes_nothing_and_knows_its_schema(journal: Journal, storage: StorageSettings) -> None:
    async with looking(storage) as engine:
        with pytest.raises(JournalError, match="readonly"):
            async with writing(engine) as connection:
                await connection.execute(insert(feedback), [{"request_id": "a"}])
    async with journal.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(JournalError, match="has the schema 0001"):
        async with looking(storage):
            pass
