"""A person is forgotten while a gateway runs: its counters keep the names, and agree with the journal all the same."""

from __future__ import annotations

from pathlib import Path

from gateway.journal.forgetting import Asked, forget
from gateway.journal.rows import run_of
from gateway.journal.tables import runs
from gateway.ledger.budgets import Budget, RunLimits
from gateway.ledger.operations import Opening, Run
from gateway.ledger.scopes import EACH, Scope
from gateway.ledger.windows import Window
from gateway.reports.verify import Verification, verify
from gateway.telemetry.events import RunChanged
from routing.money import NanoUsd
from tests.gateway.books import NOW_S, USD, World, snapshot

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
