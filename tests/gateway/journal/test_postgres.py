"""The journal on a real PostgreSQL: what is different there."""

from __future__ import annotations

import asyncio
import dataclasses
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from gateway.config.snapshot import StorageSettings
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import KeyRecord
from gateway.journal.database import Database, JournalError, begin_immediate
from gateway.journal.keystore import KeyStore
from gateway.journal.keysync import KeySync
from gateway.journal.migrate import migrate
from gateway.journal.postgres import postgres_url as with_driver
from gateway.journal.queries import request_cost, totals
from gateway.journal.tables import HEAD, metadata
from gateway.journal.writer import BATCH_ROWS, Journal
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd, Usage
from tests.gateway.identity.test_keyring import snapshot
from tests.gateway.journal.test_writer import pairs
from tests.gateway.telemetry.samples import charged, finished
from tests.servers import Postgres


@pytest.fixture
def server_storage(storage: StorageSettings, postgres_url: str) -> StorageSettings:
    return dataclasses.replace(storage, journal_url=postgres_url)


@pytest.fixture
async def journal(server_storage: StorageSettings) -> AsyncIterator[Journal]:
    opened = await Journal.open(server_storage)
    yield opened
    await opened.close()


@pytest.fixture
async def other(postgres_url: str, journal: Journal) -> AsyncIterator[asyncpg.Connection[Any]]:
    """The database as another process sees it."""
    connection = await asyncpg.connect(postgres_url)
    yield connection
    await connection.close()


async def test_nothing_is_made_in_the_directory(server_storage: StorageSettings, journal: Journal) -> None:
    assert not server_storage.dir.exists()


async def test_rows_come_back_as_they_were(journal: Journal) -> None:
    charge = charged(
        run_path="r/1>r/2",
        user="ü",
        tags=(("a", "b"),),
        reserved_nano_usd=NanoUsd(2**60),
        usage=Usage(input_tokens=2**40),
    )
    request = finished(tags=(("team", "search"),), run="run-1", content=(b"\0question", b"answer"))
    journal.write([charge, request])
    found = await request_cost(journal, "req_1", "researcher")
    assert found is not None
    assert (found.request, found.charges) == (request._replace(content=None), (charge,))
    assert [(total.agent, total.cost_nano_usd) for total in await totals(journal)] == [("researcher", 1_500)]


async def test_more_rows_than_a_transaction_takes(journal: Journal, other: asyncpg.Connection[Any]) -> None:
    requests = BATCH_ROWS // 2 + 35
    journal.write(pairs(requests))
    await journal.flush()
    assert await other.fetchval("SELECT count(*) FROM charges") == requests
    assert await other.fetchval("SELECT count(*) FROM requests") == requests


async def test_a_row_that_exists_stays_as_it_is_and_the_collision_is_logged(
    journal: Journal, other: asyncpg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    for model in ("gpt", "another"):
        journal.write([charged(model=model)])
        await journal.flush()
    assert await other.fetchval("SELECT model FROM charges") == "gpt"
    assert [record.getMessage() for record in caplog.records] == [
        "1 rows of the journal had an id that was there already and were left out"
    ]


@pytest.mark.parametrize("table", ["charges", "adjustments"])
@pytest.mark.parametrize("statement", ["UPDATE {} SET at_us = 0", "DELETE FROM {}", "TRUNCATE {}"])
async def test_the_ledger_is_immutable(
    journal: Journal, other: asyncpg.Connection[Any], table: str, statement: str
) -> None:
    journal.write(pairs(1))
    await journal.flush()
    with pytest.raises(asyncpg.RestrictViolationError, match=f"{table} are immutable"):
        await other.execute(statement.format(table))
    assert await other.fetchval("SELECT count(*) FROM charges") == 1


@pytest.mark.parametrize(
    ("charge", "stored"),
    [
        (charged(cost_nano_usd=2**70), ("gpt", 2**63 - 1)),
        (charged(model="lone \ud800"), ("lone \\ud800", 1_500)),
        (charged(model="a\0b"), ("ab", 1_500)),
    ],
)
async def test_a_value_that_no_database_takes_does_not_block_the_journal(
    journal: Journal, other: asyncpg.Connection[Any], charge: ChargePosted, stored: tuple[str, int]
) -> None:
    journal.write([*pairs(3), charge])
    await journal.flush()
    assert await other.fetchval("SELECT count(*) FROM charges") == 4
    found = await other.fetchrow("SELECT model, cost_nano_usd FROM charges WHERE charge_id = 'chg-1'")
    assert tuple(found or ()) == stored


async def test_a_row_that_cannot_be_stored_at_all_is_logged_and_the_others_are_stored(
    journal: Journal, other: asyncpg.Connection[Any], caplog: pytest.LogCaptureFixture
) -> None:
    broken: Any = finished(request_id="req-broken", model=None)
    journal.write([*pairs(2), broken, charged(upstream_status=2**40)])
    await journal.flush()
    assert (journal.pending, journal.healthy) == (0, True)
    assert await other.fetchval("SELECT count(*) FROM charges") == 2
    assert [record.levelname for record in caplog.records].count("CRITICAL") == 2


async def test_rows_wait_while_the_server_cuts_connections(
    journal: Journal, other: asyncpg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(pairs(1))
    await journal.flush()
    await other.fetch(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )
    assert [total.requests for total in await totals(journal)] == [1], "an idle connection that died is replaced"
    journal.write(pairs(1, first=1))
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.flush()
    await journal.flush()
    assert journal.healthy
    assert await other.fetchval("SELECT count(*) FROM charges") == 2


@pytest.fixture
def own_server() -> Iterator[Postgres]:
    server = Postgres.start()
    yield server
    server.destroy()


async def test_a_server_that_was_away_finds_every_row(
    storage: StorageSettings, own_server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.writer.FIRST_RETRY_S", 0.001)
    monkeypatch.setattr("gateway.journal.writer.LAST_RETRY_S", 0.01)
    journal = await Journal.open(dataclasses.replace(storage, journal_url=own_server.url("postgres"), max_lag_s=0.0))
    journal.write(pairs(2))
    await journal.flush()
    assert journal.keeps_up
    own_server.stop(signal.SIGQUIT)
    journal.write(pairs(3, first=2))
    with pytest.raises(JournalError, match="cannot be written"):
        await journal.flush()
    assert (journal.pending, journal.keeps_up) == (6, False)
    with pytest.raises(JournalError, match="cannot be read"):
        await KeyStore(journal.database).list()
    own_server.resume()
    while not journal.keeps_up:  # nobody flushes: the writer tries again by itself
        await asyncio.sleep(0)
    assert own_server.run("SELECT count(*) FROM charges") == "5"
    await journal.close()


async def test_keys_are_made_in_one_process_and_known_in_another(server_storage: StorageSettings) -> None:
    here, there = await Database.open(server_storage), await Database.open(server_storage)
    ring = KeyRing(snapshot(KeyRecord("config:ci", b"", "coder")))
    sync = KeySync(KeyStore(there), ring)
    key, record = await KeyStore(here).create("crawler", run="crawler/42", expires_at_s=4e9)
    found = await sync.principal(key.encode())
    assert found is not None
    assert (found.agent, found.run) == ("crawler", "crawler/42")
    await KeyStore(here).revoke(record.id)
    await sync.refresh()
    assert await sync.principal(key.encode()) is None
    stores = [KeyStore(here), KeyStore(there)]
    await asyncio.gather(*(store.create("crawler") for store in stores for _ in range(4)))
    assert len(await stores[0].list(runs=True)) == 9
    assert await stores[1].revision() == 10
    assert await stores[0].create_first("crawler", "") is None
    await here.close()
    await there.close()


async def test_gateways_that_start_at_once_make_one_database(
    server_storage: StorageSettings, postgres_url: str
) -> None:
    opened = await asyncio.gather(*(Journal.open(server_storage) for _ in range(4)))
    for journal in opened:
        await journal.close()
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetch("SELECT version_num FROM alembic_version") == [(HEAD,)]
    await connection.close()


async def test_gateways_that_migrate_at_once_migrate_once(server_storage: StorageSettings, postgres_url: str) -> None:
    await stamp_empty(postgres_url)
    for database in await asyncio.gather(Database.open(server_storage), Database.open(server_storage)):
        await database.close()
    connection = await asyncpg.connect(postgres_url)
    assert await connection.fetch("SELECT version_num FROM alembic_version") == [(HEAD,)]
    await connection.close()


async def stamp_empty(url: str) -> None:
    """What alembic leaves of a database before its first migration."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
    await connection.close()


async def schema(url: str) -> list[tuple[str, ...]]:
    connection = await asyncpg.connect(url)
    found = await connection.fetch(
        "SELECT 'column', table_name, ordinal_position::text || ' ' || column_name, "
        "data_type || ' ' || is_nullable || ' ' || coalesce(column_default, '-') "
        "FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' "
        "UNION ALL SELECT 'index', tablename, indexname, indexdef FROM pg_indexes "
        "WHERE schemaname = 'public' AND tablename <> 'alembic_version' "
        "UNION ALL SELECT 'trigger', event_object_table, trigger_name, event_manipulation || ' ' || action_statement "
        "FROM information_schema.triggers "
        "UNION ALL SELECT 'function', '', proname, prosrc FROM pg_proc WHERE pronamespace = 'public'::regnamespace "
        "UNION ALL SELECT 'constraint', conrelid::regclass::text, conname, contype::text FROM pg_constraint "
        "WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version' "
        "ORDER BY 1, 2, 3, 4"
    )
    await connection.close()
    return [tuple(row) for row in found]


async def test_a_migrated_database_is_the_same_as_a_new_one(postgres_server: Postgres, postgres_url: str) -> None:
    await migrate(with_driver(postgres_url))
    migrated = await schema(postgres_url)
    postgres_server.run("CREATE DATABASE fresh")
    try:
        fresh = postgres_server.url("fresh")
        database = await Database.open(StorageSettings(journal_url=fresh))
        await database.check_writable()
        await database.close()
        assert await schema(fresh) == migrated
        assert {row[1] for row in migrated if row[0] == "column"} == set(metadata.tables)
        assert len([row for row in migrated if row[0] == "trigger"]) == 6
    finally:
        postgres_server.run("DROP DATABASE fresh WITH (FORCE)")


async def test_who_reads_before_writing_waits_for_the_lock(journal: Journal) -> None:
    engine = journal.database.engine
    async with begin_immediate(engine), engine.connect() as second:
        free = await second.scalar(text(f"SELECT pg_try_advisory_xact_lock({0x464152_45424F58})"))
        assert free is False


async def test_a_failed_transaction_leaves_nothing(journal: Journal, other: asyncpg.Connection[Any]) -> None:
    async def fail_half_way() -> None:
        async with begin_immediate(journal.database.engine) as connection:
            await connection.execute(text("INSERT INTO contents VALUES ('r', '', '')"))
            await connection.execute(text("SELECT 1 / 0"))

    with pytest.raises(DBAPIError):
        await fail_half_way()
    assert await other.fetchval("SELECT count(*) FROM contents") == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("farebox:", "nobody:"), "password authentication failed"),
        (("not-a-secret", "wrong-one"), "password authentication failed"),
        (("/test_", "/missing_"), "does not exist"),
    ],
)
async def test_what_is_wrong_is_told_without_the_password(
    storage: StorageSettings, postgres_url: str, change: tuple[str, str], words: str
) -> None:
    url = postgres_url.replace(*change)
    with pytest.raises(
        JournalError, match=rf"^the journal at 127\.0\.0\.1:\d+/\w+ cannot be opened: .*{words}"
    ) as caught:
        await Database.open(dataclasses.replace(storage, journal_url=url))
    assert "not-a-secret" not in str(caught.value)
    assert "wrong-one" not in str(caught.value)


async def test_the_url_goes_to_the_driver_as_it_was_written(storage: StorageSettings, postgres_url: str) -> None:
    url = postgres_url.replace("postgresql://", "postgres://") + "?application_name=fare%20box&sslmode=prefer"
    database = await Database.open(dataclasses.replace(storage, journal_url=url))
    async with database.engine.connect() as connection:
        assert await connection.scalar(text("SHOW application_name")) == "fare box"
    await database.close()
    assert "not-a-secret" not in repr(database.engine)


async def test_a_server_that_is_not_there(storage: StorageSettings) -> None:
    with pytest.raises(JournalError, match=r"^the journal at 127\.0\.0\.1:1/x cannot be opened: "):
        await Database.open(dataclasses.replace(storage, journal_url="postgresql://u:p@127.0.0.1:1/x"))


async def test_a_server_that_accepts_and_does_not_answer_is_not_waited_for_long(
    storage: StorageSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.journal.postgres.CONNECT_TIMEOUT_S", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://u:secret@127.0.0.1:{silent.getsockname()[1]}/farebox"
        with pytest.raises(JournalError) as raised:
            await Database.open(dataclasses.replace(storage, journal_url=url))
    assert str(raised.value).endswith("/farebox cannot be opened: its server does not answer")
    assert "secret" not in str(raised.value)


def test_the_driver_is_imported_only_where_it_is_configured(storage: StorageSettings) -> None:
    program = (
        "import asyncio, pathlib, sys\n"
        "from gateway.config.snapshot import StorageSettings\n"
        "from gateway.journal.writer import Journal\n"
        "import gateway.journal.spend\n"
        "async def run():\n"
        "    await (await Journal.open(StorageSettings(dir=pathlib.Path(sys.argv[1])))).close()\n"
        "asyncio.run(run())\n"
        "sys.exit('asyncpg' in sys.modules or 'sqlalchemy.dialects.postgresql' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(storage.dir)], check=True)
