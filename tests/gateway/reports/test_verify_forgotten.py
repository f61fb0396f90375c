"""A person is forgotten while a gateway runs: its counters keep the names, and agree with the journal all the same."""

from __future__ import annotations

from pathlib import Path

from gateway.config.snapshot import StorageSettings
from gateway.journal.forgetting import Asked, forget
from gateway.journal.rows import run_of
from gateway.journal.tables import runs
from gateway.journal.writer import Journal
from gateway.ledger.budgets import Budget, RunLimits
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, Opening, Origin, Run, Ticket, Unit
from gateway.ledger.scopes import EACH, Scope
from gateway.ledger.windows import Window
from gateway.reports.budgets import Books
from gateway.reports.verify import Verification, verify
from gateway.store.valkey.shared import SharedStore
from gateway.telemetry.events import RunChanged
from routing.money import NanoUsd
from tests.gateway.books import NOW_S, USD, World, snapshot
from tests.gateway.snapshots import snapshot_of
from tests.gateway.store.valkey import samples

BUDGETS = (
    Budget("people", Scope("user", EACH), NanoUsd(10 * USD), Window("month"), when_missing="shared"),
    Budget("one", Scope("user", "alice@x"), NanoUsd(10 * USD), Window("total")),
    Budget("jobs", Scope("run", EACH), NanoUsd(10 * USD), Window("total"), when_missing="shared"),
    Budget("lately", Scope("run", EACH), NanoUsd(10 * USD), Window("rolling", length_s=3_600), when_missing="shared"),
)


async def no_pause(_: float) -> None:
    pass


async def verified(world: World) -> Verification:
    found = await verify(world.books, world.snapshot, no_pause)
    assert found.skipped == ()
    return found


async def runs_of(world: World) -> list[RunChanged]:
    async with world.journal.database.engine.connect() as connection:
        return [run_of(row) for row in await connection.execute(runs.select())]


async def test_counters_agree_with_the_journal_before_and_after(tmp_path: Path) -> None:
    world = await World.open(snapshot(tmp_path, budgets=BUDGETS))
    try:
        limits = RunLimits(cost=NanoUsd(5 * USD), requests=10)
        run = await world.store.open_run(Opening("researcher/alices", None, "acme", "researcher", limits, 600))
        assert isinstance(run, Run)
        await world.spend(USD, runs=(run,), user="alice@x")
        await world.spend(2 * USD, user="alice@x")
        await world.spend(3 * USD, user="bob")
        await world.store.close_run(run.id, "over")
        before = await verified(world)
        assert (before.differences, before.compared) == ((), 9)
        await world.journal.flush()
        found = await forget(world.journal.database.engine, Asked(("alice@x",), NOW_S, BUDGETS))
        assert (found.charges, found.left) == (2, 0)
        assert await verified(world) == before
        await world.spend(USD, user="alice@x")
        assert (await verified(world)).differences == ()
        await world.restart()  # counters are made from the journal, by the names that it has now
        assert (await verified(world)).differences == ()
        assert [run.run.id for run in await runs_of(world)] == [f"researcher/{found.pseudonym}-r1"]
    finally:
        await world.close()


async def test_valkeys_counters_agree_too_and_come_back_with_what_was_spent(
    tmp_path: Path, postgres_url: str, valkey_url: str
) -> None:
    """A lost counter is seeded from the journal: by the digest of the name, since the name is not there any more."""
    storage = StorageSettings(dir=tmp_path, store="valkey", journal_url=postgres_url, valkey_url=valkey_url)
    people = BUDGETS[1]
    key = "b|one|alice@x|total"
    taken = snapshot_of(storage=storage, budgets=(people,), limits_version=1)
    journal = await Journal.open(storage)
    store = await SharedStore.open(taken, journal.database, "g1")
    books = Books(store, lambda: journal.database, lambda event: journal.write([event]), store.flush)

    async def spend(name: str, cost: int) -> None:
        amounts = Amounts(cost, 0)
        claim = Claim(key, Unit.MONEY, people.limit, 1, "user:alice@x")
        origin = Origin(name, 1, "acme", "research", "researcher", "", "alice@x", (), "m", "d", "p", "up", False)
        bid = Bid((claim,), (), amounts, amounts, amounts, 0, origin)
        assert isinstance(await store.admit(Ticket(f"{name}.1", (bid,))), Granted)
        charge = samples.charge(name, cost)._replace(user="alice@x", window_at_s=store.now_s())
        store.settle(f"{name}.1", amounts, charge)
        await store.flush()

    try:
        await spend("a", 700)
        found = await forget(journal.database.engine, Asked(("alice@x",), store.now_s(), (people,)))
        assert found.charges == 1
        verified = await verify(books, taken, no_pause)
        assert (verified.differences, verified.compared) == ((), 1)
        assert await store.valkey.client.command("DEL", f"{{{storage.installation}}}:c:{key}") == 1
        await spend("b", 30)
        assert [state.posted for state in await store.counters([key])] == [730]
        assert (await verify(books, taken, no_pause)).differences == ()
    finally:
        await store.close()
        await journal.close()
