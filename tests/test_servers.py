"""The servers that other tests rely on: real, reachable, and empty for every test."""

from __future__ import annotations

import signal

import asyncpg
import pytest
import redis

from tests.servers import Postgres


@pytest.mark.parametrize("time", ["first", "second"])
async def test_every_test_has_an_empty_database(postgres_url: str, time: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    await connection.execute("CREATE TABLE t (name text)")
    await connection.execute("INSERT INTO t VALUES ($1)", time)
    assert await connection.fetchval("SELECT count(*) FROM t") == 1
    await connection.close()


@pytest.mark.parametrize("time", ["first", "second"])
def test_every_test_has_an_empty_keyspace(valkey_url: str, time: str) -> None:
    client = redis.Redis.from_url(valkey_url.replace("valkey://", "redis://"))
    assert client.set(time, "1", nx=True)
    assert client.dbsize() == 1
    assert client.config_get("appendonly") == {"appendonly": "yes"}
    client.close()


async def test_a_killed_postgresql_comes_back_with_its_data() -> None:
    server = Postgres.start()
    try:
        server.run("CREATE TABLE t AS SELECT 7 AS seven")
        server.stop(signal.SIGQUIT)
        server.resume()
        assert server.run("SELECT seven FROM t") == "7"
    finally:
        server.destroy()
    assert not server.folder.exists()
