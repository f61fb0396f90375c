from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from gateway.config.snapshot import StorageSettings
from gateway.context import new_request_id
from gateway.journal.pruning import BATCH_ROWS, Pruned, Pruner, prune
from gateway.journal.writer import Journal
from gateway.reports.rollups import compare
from tests.gateway.telemetry.samples import charged, finished

DAY_S = 86_400
NOW_S = 20_833 * DAY_S + 30_000.0
KEEP = StorageSettings(keep_charges_days=10, keep_requests_days=5, keep_content_days=2)


async def no_pause(_: float) -> None:
    pass


async def count(journal: Journal, table: str) -> int:
    async with journal.database.engine.connect() as connection:
        return int((await connection.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def days_ago(journal: Journal, *days: float) -> None:
    events: list[Any] = []
    for number, ago in enumerate(days):
        at_s = NOW_S - ago * DAY_S
        request_id = new_request_id(at_s)
        events += [
            charged(charge_id=f"{request_id}.{number}", request_id=request_id, at_s=at_s, window_at_s=at_s),
            finished(request_id=request_id, at_s=at_s, content=(b"q", b"a")),
        ]
    journal.write(events)
    await journal.flush()


async def test_what_is_older_goes_and_its_sums_stay(either_journal: Journal) -> None:
    journal = either_journal
    await days_ago(journal, 1, 3, 6, 9, 11, 12, 40)
    assert await prune(journal.database.engine, KEEP, NOW_S, no_pause) == Pruned(charges=3, requests=5, contents=6)
    assert [await count(journal, table) for table in ("charges", "requests", "contents")] == [4, 2, 1]
    async with journal.database.engine.connect() as connection:
        total = (await connection.execute(text("SELECT sum(cost_nano_usd), sum(attempts) FROM daily"))).one()
    assert tuple(map(int, total)) == (7 * 1_500, 7)
    assert (await compare(journal.database.engine)).differences == ()
    assert await prune(journal.database.engine, KEEP, NOW_S, no_pause) == Pruned()


async def test_nothing_is_deleted_unless_it_is_said(either_journal: Journal) -> None:
    await days_ago(either_journal, 1, 4_000)
    kept = StorageSettings(keep_content_days=None)
    assert await prune(either_journal.database.engine, kept, NOW_S, no_pause) == Pruned()


async def test_a_carves_late_charge_stays_as_long_as_any_of_its_moments(either_journal: Journal) -> None:
    old_s, new_s = NOW_S - 30 * DAY_S, NOW_S - DAY_S
    moments = [(old_s, old_s, new_s), (new_s, old_s, 0.0), (old_s, new_s, 0.0), (old_s, old_s, 0.0)]
    either_journal.write([
        charged(charge_id=f"{number}", at_s=at_s, window_at_s=window_s, reserved_at_s=own_s)
        for number, (at_s, window_s, own_s) in enumerate(moments)
    ])  # fmt: skip
    await either_journal.flush()
    assert (await prune(either_journal.database.engine, KEEP, NOW_S, no_pause)).charges == 1


async def test_it_goes_batch_by_batch(journal: Journal) -> None:
    await days_ago(journal, *[20 + number / 10_000 for number in range(BATCH_ROWS + 3)])
    paused = []

    async def pause(_: float) -> None:
        paused.append(await count(journal, "charges"))

    assert (await prune(journal.database.engine, KEEP, NOW_S, pause)).charges == BATCH_ROWS + 3
    assert paused[-1] == 3


@pytest.mark.parametrize("statement", ["DELETE FROM charges", "UPDATE charges SET agent = 'x'"])
async def test_the_database_refuses_any_other_deletion(journal: Journal, statement: str) -> None:
    await days_ago(journal, 1, 20)
    await prune(journal.database.engine, replace(KEEP, keep_charges_days=15), NOW_S, no_pause)
    with pytest.raises(Exception, match="charges are immutable"):
        async with journal.database.engine.begin() as connection:
            await connection.execute(text(statement))
    assert await count(journal, "charges") == 1


async def test_the_task_begins_and_ends(journal: Journal) -> None:
    pruner = Pruner(journal.database.engine, lambda: KEEP)
    pruner.start()
    await pruner.close()
    await pruner.close()
