from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.config.snapshot import (
    Snapshot,
    StorageSettings,
)
from gateway.journal.database import Database
from gateway.journal.tables import charges, gateways
from gateway.ledger.operations import Amounts, Granted, Refused
from gateway.store.protocol import Store, StoreUnavailable
from gateway.store.valkey.shared import SharedStore
from routing.money import NanoUsd
from tests.gateway.snapshots import snapshot_of
from tests.gateway.store.valkey import samples
from tests.gateway.store.valkey.fleet import BUDGET, KEY, ticket
from tests.gateway.store.valkey.samples import DEADLINE_S, until
from tests.servers import Postgres


def configured(folder: Path, postgres_url: str, valkey_url: str) -> Snapshot:
    storage = StorageSettings(
        dir=folder, store="valkey", journal_url=postgres_url, valkey_url=valkey_url, max_lag_s=0.3
    )
    return snapshot_of(storage=storage, budgets=(BUDGET,), limits_version=1)


@pytest.fixture
async def database(tmp_path: Path, postgres_url: str) -> AsyncIterator[Database]:
    opened = await Database.open(StorageSettings(dir=tmp_path, journal_url=postgres_url))
    yield opened
    await opened.close()


def end(store: Store, name: str, cost: int) -> None:
    charge = samples.charge(name, cost)._replace(org="acme", team="research", window_at_s=store.now_s())
    store.settle(f"{name}.1", Amounts(cost, 0), charge)


async def test_a_life(tmp_path: Path, database: Database, postgres_url: str, valkey_url: str) -> None:
    snapshot = configured(tmp_path, postgres_url, valkey_url)
    store = await SharedStore.open(snapshot, database, "g1")
    assert isinstance(await store.admit(ticket("a", 400)), Granted)
    store.use(replace(snapshot, budgets=(replace(BUDGET, limit=NanoUsd(500)),), limits_version=2))
    async with asyncio.timeout(DEADLINE_S):
        while (await store.counters([KEY]))[0].limit != 500:
            await asyncio.sleep(0.01)
    assert isinstance(await store.admit(ticket("b", 200)), Refused)
    end(store, "a", 100)
    await store.close()
    async with database.engine.connect() as connection:
        assert list(await connection.scalars(select(charges.c.cost_nano_usd))) == [100]
        assert list(await connection.scalars(select(gateways.c.owner))) == []


async def test_it_starts_without_a_store_and_finds_it_later(
    tmp_path: Path, database: Database, postgres_url: str
) -> None:
    store = await SharedStore.open(configured(tmp_path, postgres_url, "valkey://127.0.0.1:1"), database, "g1")
    with pytest.raises(StoreUnavailable):
        await store.admit(ticket("a"))
    await store.close()


@pytest.mark.parametrize("how", ["gone", "silent"])
async def test_a_journal_that_does_not_follow_stops_admission(tmp_path: Path, valkey_url: str, how: str) -> None:
    server = Postgres.start()
    try:
        server.run("CREATE DATABASE books")
        url = server.url("books")
        database = await Database.open(StorageSettings(dir=tmp_path, journal_url=url))
        store = await SharedStore.open(configured(tmp_path, url, valkey_url), database, "g1")
        store.keeper._beat_s = 0.02
        assert isinstance(await store.admit(ticket("a")), Granted)
        if how == "gone":
            server.stop(signal.SIGQUIT)
        else:
            server.signal(signal.SIGSTOP)
        end(store, "a", 60)
        await until(lambda: store.keeper.lag_s > 0.3)
        with pytest.raises(StoreUnavailable, match="behind"):
            await store.admit(ticket("b"))
        if how == "gone":
            server.resume()
        else:
            server.signal(signal.SIGCONT)
        await until(lambda: store.keeper.lag_s == 0)
        assert isinstance(await store.admit(ticket("c")), Granted)
        store.release("c.1")
        await store.close()
        async with database.engine.connect() as connection:
            assert list(await connection.scalars(select(charges.c.cost_nano_usd))) == [60]
        await database.close()
    finally:
        server.destroy()
