"""A budget is configured whose window begins before what retention has deleted: both stores count what was spent."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.config.snapshot import StorageSettings
from gateway.journal.database import JournalError
from gateway.journal.pruning import prune
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Granted, Refused
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.store.memory import MemoryStore
from gateway.store.valkey.shared import SharedStore
from gateway.telemetry.events import ChargePosted
from routing.money import NanoUsd
from tests.gateway.books import NOW_S, World, snapshot
from tests.gateway.snapshots import snapshot_of
from tests.gateway.store.valkey.fleet import BUDGET, KEY, ticket
from tests.gateway.telemetry.samples import charged

DAY_S = 86_400
KEEP = StorageSettings(keep_charges_days=10, keep_content_days=None)


async def no_pause(_: float) -> None:
    pass


async def spend_and_prune(journal: Journal, now_s: float, cost: int) -> None:
    """Money that was spent 5, 15 and 25 days ago, of which only the first charge is left."""

    def charge(ago: int) -> ChargePosted:
        at_s = now_s - ago * DAY_S
        who = {"agent": "researcher", "team": "research", "org": "acme", "user": "ann"}
        return charged(charge_id=f"c{ago}", cost_nano_usd=NanoUsd(cost), at_s=at_s, window_at_s=at_s, **who)

    journal.write([charge(ago) for ago in (5, 15, 25)])
    await journal.flush()
    pruned = await prune(journal.database.engine, KEEP, now_s, no_pause)
    assert pruned.charges == 2


def ever(scope: Scope) -> Budget:
    return Budget("ever", scope, NanoUsd(1_000), Window("total"))


async def posted(world: World) -> dict[str, int]:
    return {state.key: state.posted for state in await world.store.counters() if state.key.startswith("b|ever|")}


async def test_the_memory_store_counts_them_at_its_start_and_after_a_reload(tmp_path: Path) -> None:
    taken = snapshot(tmp_path, budgets=())
    world = await World.open(taken)
    try:
        await spend_and_prune(world.journal, NOW_S, 300)
        world.configure(replace(taken, budgets=(ever(Scope("agent", "*")),), limits_version=2))
        await world.spend(7)
        assert await posted(world) == {"b|ever|researcher|total": 907}
        await world.restart()
        assert await posted(world) == {"b|ever|researcher|total": 907}
    finally:
        await world.close()


async def test_the_memory_store_does_not_begin_with_what_nobody_knows(tmp_path: Path) -> None:
    taken = snapshot(tmp_path, budgets=())
    world = await World.open(taken)
    await spend_and_prune(world.journal, NOW_S, 300)
    await world.close()
    journal = await Journal.open(taken.storage)
    by_user = replace(taken, budgets=(ever(Scope("user", "*")),))
    with pytest.raises(JournalError, match="the budget `ever` counts charges that are deleted already"):
        await MemoryStore.open(by_user, journal, wall=lambda: NOW_S, monotonic=lambda: 0.0)
    await journal.close()


async def test_valkey_counts_them(tmp_path: Path, postgres_url: str, valkey_url: str) -> None:
    storage = StorageSettings(dir=tmp_path, store="valkey", journal_url=postgres_url, valkey_url=valkey_url)
    journal = await Journal.open(storage)
    await spend_and_prune(journal, time.time(), 300)
    store = await SharedStore.open(snapshot_of(storage=storage, budgets=(BUDGET,)), journal.database, "g1")
    try:
        refused = await store.admit(ticket("a", 101))
        assert isinstance(refused, Refused)
        assert (await store.counters([KEY]))[0].posted == 900
        assert isinstance(await store.admit(ticket("b", 100)), Granted)
    finally:
        await store.close()
        await journal.close()
