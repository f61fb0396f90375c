"""The boards' SQL on a real PostgreSQL, under a role that may read what they show and nothing else."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest

from gateway.journal.tables import metadata
from tests.dashboards.boards import Asked, asked
from tests.dashboards.ledger import READER, RUN, answer, fill
from tests.servers import Postgres

QUERIES = [one for one in asked() if one.is_sql]


@pytest.fixture(scope="module")
def filled(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database of its own, made as the compose file makes it: the boards' role first, the journal's tables later."""
    name = "boards_database"
    postgres_server.run(f"CREATE DATABASE {name}")
    postgres_server.run(READER.read_text("utf-8"), name)
    asyncio.run(fill(postgres_server.url(name), tmp_path_factory.mktemp("journal")))
    yield postgres_server.url(name)
    postgres_server.run(f"DROP DATABASE {name} WITH (FORCE)")
    postgres_server.run("DROP ROLE grafana")


@pytest.fixture
async def connection(filled: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    opened = await asyncpg.connect(filled)
    yield opened
    await opened.close()


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.name)
async def test_every_panel_has_rows(query: Asked, connection: asyncpg.Connection[Any]) -> None:
    rows = await answer(connection, query)
    assert rows
    if query.target["format"] == "time_series":
        assert all(isinstance(row["time"], int) for row in rows)
        assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
        return
    shown = {override["matcher"]["options"] for override in query.panel["fieldConfig"]["overrides"]}
    assert shown <= rows[0].keys()
    (sort,) = query.panel["options"]["sortBy"]
    assert sort["displayName"] in rows[0]
    for number in (value for row in rows for value in row.values()):
        assert type(number).__name__ != "Decimal", "Grafana reads numeric as text in some places: cast it"


async def test_the_runaway_run_is_on_top(connection: asyncpg.Connection[Any]) -> None:
    (query,) = [one for one in QUERIES if one.board == "farebox-runs" and one.panel["title"] == "Dearest runs"]
    first = (await answer(connection, query))[0]
    assert (first["Run"], first["Agent"], first["Steps"]) == (RUN, "coder", 120)
    assert first["Wasted"] > 0.5
    cents = await connection.fetchval("SELECT sum(cost_nano_usd) FROM charges WHERE run_path = $1", RUN)
    assert first["Cost"] == pytest.approx(float(cents) / 1e9, abs=1e-9)


async def test_its_steps_are_those_of_its_sub_runs_too(connection: asyncpg.Connection[Any]) -> None:
    (query,) = [one for one in QUERIES if one.panel["title"] == "Its steps"]
    rows = await answer(connection, query)
    assert {row["Run"] for row in rows} == {RUN, f"{RUN}-tests"}
    assert len(rows) == 160


async def test_its_role_reads_the_boards_tables_and_no_others(connection: asyncpg.Connection[Any]) -> None:
    granted = {
        kind: {
            table
            for table in metadata.tables
            if await connection.fetchval(f"SELECT has_table_privilege('grafana', '{table}', '{kind}')")
        }
        for kind in ("SELECT", "INSERT, UPDATE, DELETE")
    }
    readable = granted["SELECT"]
    assert granted["INSERT, UPDATE, DELETE"] == set()
    asked_for = {name for query in QUERIES for name in re.findall(r"\bFROM (\w+)", query.text)}
    assert asked_for <= readable
    assert readable == {"requests", "charges", "runs", "adjustments", "daily", "daily_requests"}
