from __future__ import annotations

import asyncio
import dataclasses
import logging
import resource
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import FILE_NAME, JournalError
from gateway.journal.rows import adjustment_of, charge_of, request_of, run_of
from gateway.journal.statements import MAX_ROWS
from gateway.journal.tables import adjustments, runs
from gateway.journal.writer import BATCH_ROWS, FLUSH_AT_ROWS, Journal
from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Run
from gateway.telemetry.events import (
    Adjusted,
    ChargePosted,
    ConfigLoaded,
    Event,
    KeysReloaded,
    RequestStarted,
    RunChanged,
)
from tests.gateway.telemetry.samples import charged, finished


def pairs(count: int, first: int = 0) -> list[Event]:
    """The events of `count` requests, a charge each."""
    found: list[Event] = []
    for number in range(first, first + count):
        found.append(charged(charge_id=f"c{number}", request_id=f"r{number}"))
        found.append(finished(request_id=f"r{number}"))
    return found


def count(connection: sqlite3.Connection, table: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found[0])


async def until(journal: Journal, *, healthy: bool) -> None:
    while journal.healthy is not healthy:
        await asyncio.sleep(0)


@contextmanager
def full_disk() -> Iterator[None]:
    """No file grows: every write past a file's first byte fails, as it does on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


async def test_what_is_written_is_on_disk_after_a_flush(journal: Journal, other: sqlite3.Connection) -> None:
    charge, request = charged(), finished(tags=(("team", "search"),), run="run-1")
    journal.write([charge, request])
    assert (journal.pending, count(other, "charges")) == (2, 0)
    await journal.flush()
    assert journal.pending == 0
    assert [charge_of(row) for row in other.execute("SELECT * FROM charges")] == [charge]
    assert [request_of(row) for row in other.execute("SELECT * FROM requests")] == [request]


async def test_other_events_are_not_the_journals(journal: Journal) -> None:
    journal.write([RequestStarted("r", "o", "t", "a"), KeysReloaded(1), ConfigLoaded(0.0, True, 1, "")])
    assert journal.pending == 0
    await journal.flush()


def run_changed(number: int, at_s: float, **changes: Any) -> RunChanged:
    run = Run(f"a/{number}", (f"a/{number}", "a/root"), "acme", "a", RunLimits(requests=5), 1.0, 2.0)
    return RunChanged(run._replace(**changes), at_s)


async def runs_of(journal: Journal) -> list[RunChanged]:
    async with journal.database.engine.connect() as connection:
        return [run_of(row) for row in await connection.execute(select(runs).order_by(runs.c.id))]


async def test_a_runs_row_is_its_latest_state_in_whatever_order_changes_come(either_journal: Journal) -> None:
    paused = run_changed(1, 20.0, state="paused", reason="loop")
    either_journal.write([run_changed(1, 10.0), paused, run_changed(1, 15.0, state="closed"), run_changed(2, 10.0)])
    await either_journal.flush()
    assert await runs_of(either_journal) == [paused, run_changed(2, 10.0)]
    either_journal.write([run_changed(1, 12.0), run_changed(2, 30.0, state="closed", reason="done")])
    await either_journal.flush()
    assert await runs_of(either_journal) == [paused, run_changed(2, 30.0, state="closed", reason="done")]
    resumed = run_changed(1, 20.0)
    either_journal.write([resumed])  # at the same moment: what was heard last
    await either_journal.flush()
    assert (await runs_of(either_journal))[0] == resumed


async def test_many_runs_and_adjustments_fit_one_batch(
    either_journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    entry = Adjusted("adj", 5.0, "daily", "search", 4.0, -7, "a refund", "ops")
    made = [run_changed(number, 10.0) for number in range(100, 100 + 2 * MAX_ROWS + 3)]
    either_journal.write([*made, entry, *pairs(2), *made[:5]])
    await either_journal.flush()
    assert await runs_of(either_journal) == made
    async with either_journal.database.engine.connect() as connection:
        [row] = await connection.execute(select(adjustments))
    assert adjustment_of(row) == entry
    assert caplog.records == []


async def test_what_comes_again_from_a_stream_is_no_collision(
    storage: StorageSettings, caplog: pytest.LogCaptureFixture
) -> None:
    journal = await Journal.open(dataclasses.replace(storage, store="valkey"))
    for _ in range(2):
        journal.write(pairs(2))
        await journal.flush()
    assert (journal.pending, caplog.records) == (0, [])
    await journal.close()


async def test_a_journal_that_falls_behind_admits_nothing_more(storage: StorageSettings) -> None:
    journal = await Journal.open(dataclasses.replace(storage, max_lag_s=0.0, max_pending_rows=4))
    assert journal.keeps_up
    journal.write(pairs(1))
    while journal.lag_s == 0.0:
        await asyncio.sleep(0)
    assert (journal.accepting, journal.keeps_up) == (True, False)
    await journal.flush()
    assert journal.keeps_up
    await journal.close()
    patient = await Journal.open(dataclasses.replace(storage, max_lag_s=3600, max_pending_rows=4))
    patient.write(pairs(1, first=1))
    assert patient.keeps_up
    patient.write(pairs(1, first=2))
    assert not patient.keeps_up, "as many rows wait as may"
    await patient.close()


async def test_rows_are_written_by_themselves_after_the_interval(storage: StorageSettings) -> None:
    journal = await Journal.open(dataclasses.replace(storage, flush_interval_s=0.001))
    for batch in range(3):
        journal.write(pairs(2, first=2 * batch))
        while journal.pending:
            await asyncio.sleep(0)
    await journal.close()
    connection = sqlite3.connect(storage.dir / FILE_NAME)
    assert (count(connection, "charges"), count(connection, "requests")) == (6, 6)
    connection.close()


async def test_many_rows_do_not_wait_for_the_interval(journal: Journal, other: sqlite3.Connection) -> None:
    for number in range(FLUSH_AT_ROWS // 2):
        journal.write(pairs(1, first=number))
    while journal.pending:
        await asyncio.sleep(0)
    assert count(other, "charges") == FLUSH_AT_ROWS // 2


async def test_more_rows_than_a_transaction_takes(journal: Journal, other: sqlite3.Connection) -> None:
    requests = BATCH_ROWS // 2 + MAX_ROWS + 3
    journal.write(pairs(requests))
    await journal.flush()
    assert (count(other, "charges"), count(other, "requests")) == (requests, requests)


async def test_every_charge_finds_its_request_in_whatever_order_they_came(
    journal: Journal, other: sqlite3.Connection
) -> None:
    """A charge is posted when it is settled, its request ends later, possibly in another transaction."""
    journal.write([event for event in pairs(5) if isinstance(event, ChargePosted)])
    await journal.flush()
    orphans = "SELECT count(*) FROM charges LEFT JOIN requests USING (request_id) WHERE requests.request_id IS NULL"
    assert other.execute(orphans).fetchone() == (5,)
    journal.write([event for event in pairs(5) if not isinstance(event, ChargePosted)])
    await journal.flush()
    assert other.execute(orphans).fetchone() == (0,)


async def test_content_is_stored_only_when_it_comes_along(journal: Journal, other: sqlite3.Connection) -> None:
    journal.write([finished(content=(b"question", b"answer")), finished(request_id="req-2")])
    await journal.flush()
    assert other.execute("SELECT * FROM contents").fetchall() == [("req_1", b"question", b"answer")]
    assert count(other, "requests") == 2


async def test_a_row_that_exists_stays_as_it_is_and_the_collision_is_logged(
    journal: Journal, other: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    journal.write([charged()])
    await journal.flush()
    journal.write([charged(model="another"), charged(charge_id="chg-2")])
    await journal.flush()
    assert other.execute("SELECT charge_id, model FROM charges").fetchall() == [("chg-1", "gpt"), ("chg-2", "gpt")]
    assert [record.getMessage() for record in caplog.records] == [
        "1 rows of the journal had an id that was there already and were left out"
    ]


async def test_a_locked_database_keeps_rows_until_it_is_free(
    journal: Journal, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("gateway.journal.writer.FIRST_RETRY_S", 0.001)
    async with journal.database.engine.connect() as connection:  # the one that the writer takes next
        await connection.exec_driver_sql("PRAGMA busy_timeout=1")
    other.execute("BEGIN IMMEDIATE")
    journal.write(pairs(3))
    with pytest.raises(JournalError, match="database is locked"):
        await journal.flush()
    assert (journal.pending, journal.healthy, journal.accepting) == (6, False, True)
    assert journal.last_error is not None
    assert journal.lag_s > 0

    other.execute("ROLLBACK")
    await journal.flush()
    assert (journal.pending, journal.healthy, journal.last_error, journal.lag_s) == (0, True, None, 0.0)
    assert (count(other, "charges"), count(other, "requests")) == (3, 3)
    levels = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert levels == [
        (logging.ERROR, "the journal cannot be written, 6 rows wait: database is locked"),
        (logging.WARNING, "the journal can be written again; 0 rows wait"),
    ]


async def test_a_full_disk_keeps_rows_and_is_tried_again(
    storage: StorageSettings,
    other: sqlite3.Connection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.journal.writer.FIRST_RETRY_S", 0.001)
    monkeypatch.setattr("gateway.journal.writer.LAST_RETRY_S", 0.001)
    journal = await Journal.open(dataclasses.replace(storage, max_pending_rows=10))
    journal.write(pairs(2))
    await journal.flush()
    with full_disk():
        journal.write(pairs(4, first=2))
        with pytest.raises(JournalError, match="cannot be written"):
            await journal.flush()
        assert journal.accepting
        journal.write(pairs(4, first=6))
        with pytest.raises(JournalError, match="cannot be written"):
            await journal.flush()
        assert (journal.pending, journal.accepting, journal.healthy) == (16, False, False)
    await until(journal, healthy=True)  # nobody flushes: the writer tries again by itself
    await journal.flush()
    assert (journal.pending, journal.accepting) == (0, True)
    assert (count(other, "charges"), count(other, "requests")) == (10, 10)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1, "a disk that stays full is reported once"
    await journal.close()


@pytest.mark.parametrize(
    ("charge", "stored"),
    [
        (charged(cost_nano_usd=2**70), ("gpt", 2**63 - 1)),
        (charged(model="lone \ud800"), ("lone \\ud800", 1_500)),
        (charged(latency_ms=float("nan")), ("gpt", 1_500)),
    ],
)
async def test_a_value_that_no_database_takes_does_not_block_the_journal(
    journal: Journal, other: sqlite3.Connection, charge: ChargePosted, stored: tuple[str, int]
) -> None:
    journal.write([*pairs(3), charge])
    await journal.flush()
    assert count(other, "charges") == 4
    found = other.execute("SELECT model, cost_nano_usd FROM charges WHERE charge_id = 'chg-1'").fetchone()
    assert found == stored


async def test_tags_that_no_database_takes_do_not_block_it_either(journal: Journal, other: sqlite3.Connection) -> None:
    journal.write([finished(tags=(("mood", "\ud800"),)), *pairs(1)])
    await journal.flush()
    assert other.execute("SELECT tags ->> 'mood' FROM requests WHERE request_id = 'req_1'").fetchall() == [("\\ud800",)]
    assert count(other, "requests") == 2


async def test_a_row_that_cannot_be_stored_at_all_is_logged_and_the_others_are_stored(
    journal: Journal, other: sqlite3.Connection, caplog: pytest.LogCaptureFixture
) -> None:
    """A defect of ours: the columns refuse NULL. The gateway must not refuse every call from then on."""
    broken: Any = finished(request_id="req-broken", model=None, content=(b"secret", b"secret"))
    journal.write([*pairs(2), broken, *pairs(2, first=2)])
    await journal.flush()
    assert (journal.pending, journal.healthy) == (0, True)
    assert (count(other, "charges"), count(other, "requests")) == (4, 4)
    [lost] = [record.getMessage() for record in caplog.records if record.levelno == logging.CRITICAL]
    assert "req-broken" in lost
    assert "secret" not in lost


async def test_nothing_is_taken_silently_after_the_end(
    storage: StorageSettings, caplog: pytest.LogCaptureFixture
) -> None:
    journal = await Journal.open(storage)
    await journal.close()
    journal.write(pairs(1))
    assert [record.getMessage() for record in caplog.records] == [
        "2 rows came after the journal was closed and are lost"
    ]
    with pytest.raises(JournalError, match="closed"):
        await journal.flush()
    await journal.close()


async def test_content_that_waits_is_bounded(storage: StorageSettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.journal.writer.MAX_CONTENT_BYTES", 10)
    journal = await Journal.open(dataclasses.replace(storage, record_content=True))
    journal.write([finished(content=(b"12345", b"6789"))])
    assert journal.accepting
    journal.write([finished(request_id="req-2", content=(b"0", b""))])
    assert not journal.accepting
    await journal.flush()
    assert journal.accepting
    await journal.close()


async def test_a_journal_that_cannot_be_written_is_refused_at_the_start(storage: StorageSettings) -> None:
    await (await Journal.open(storage)).close()
    with full_disk(), pytest.raises(JournalError, match=r"cannot be (opened|written)"):
        await Journal.open(storage)
    await (await Journal.open(storage)).close()


async def test_flushes_at_the_same_time_all_return(journal: Journal, other: sqlite3.Connection) -> None:
    async def write_and_flush(number: int) -> int:
        journal.write(pairs(1, first=number))
        await journal.flush()
        return count(other, "charges")

    counts = await asyncio.gather(*map(write_and_flush, range(10)))
    assert min(counts) >= 1
    assert count(other, "charges") == 10


async def test_a_cancelled_flush_harms_nobody(journal: Journal, other: sqlite3.Connection) -> None:
    journal.write(pairs(1))
    flushing = asyncio.create_task(journal.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    await asyncio.gather(flushing, return_exceptions=True)
    await journal.flush()
    assert count(other, "charges") == 1


async def test_close_writes_what_waits(storage: StorageSettings) -> None:
    journal = await Journal.open(storage)
    journal.write(pairs(7))
    await journal.close()
    connection = sqlite3.connect(storage.dir / FILE_NAME)
    assert (count(connection, "charges"), count(connection, "requests")) == (7, 7)
    connection.close()


async def test_close_tells_how_many_rows_are_lost(storage: StorageSettings) -> None:
    journal = await Journal.open(storage)
    with full_disk():
        journal.write(pairs(2))
        with pytest.raises(JournalError, match="4 rows of the journal are lost"):
            await journal.close(timeout_s=0.05)


_CHILD = """
import asyncio, sys
from pathlib import Path
from typing import Any
from gateway.config.snapshot import StorageSettings
from gateway.journal.writer import Journal
from tests.gateway.journal.test_writer import pairs

async def run():
    journal = await Journal.open(StorageSettings(dir=Path(sys.argv[1])))
    number = 0
    while True:
        journal.write(pairs(25, first=number))
        await journal.flush()
        number += 25
        print(number, flush=True)
        journal.write(pairs(10, first=number))  # and these the parent's kill may take
        await asyncio.sleep(0)
        number += 10

asyncio.run(run())
"""


async def test_a_killed_process_loses_nothing_that_was_flushed(storage: StorageSettings, tmp_path: Path) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _CHILD, str(storage.dir), stdout=asyncio.subprocess.PIPE
    )
    assert child.stdout is not None
    for _ in range(20):
        reported = int(await child.stdout.readline())
    child.kill()
    rest, _ = await child.communicate()
    reported = int((rest.split(b"\n")[-2:-1] or [b"0"])[0] or 0) or reported

    journal = await Journal.open(storage)  # opens, and its tables are whole
    connection = sqlite3.connect(storage.dir / FILE_NAME)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    for table, column in (("charges", "request_id"), ("requests", "request_id")):
        found = {row[0] for row in connection.execute(f"SELECT {column} FROM {table}")}
        assert {f"r{number}" for number in range(reported)} <= found
    assert count(connection, "charges") == count(connection, "requests"), "a transaction is one or nothing"
    connection.close()
    journal.write(pairs(1, first=10**9))
    await journal.close()
