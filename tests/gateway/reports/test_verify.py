"""Counters against the journal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.guard.settings import VelocityRule
from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Opening, Run
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from gateway.reports.budgets import budget_lines
from gateway.reports.verify import TRIES, verify
from routing.money import NanoUsd
from tests.gateway.books import AGENTS, USD, World, snapshot


async def open_run(world: World, name: str, *above: Run, carve: int = 0) -> Run:
    agent = world.snapshot.agents["researcher"]
    parent = above[0] if above else None
    claims, via = world.rulebook.carve_claims(agent, above, world.store.now_s())
    opening = Opening(f"researcher/{name}", parent and parent.id, "acme", "researcher", agent.run_limits, 200_000.0)
    if carve:
        opening = opening._replace(carve=NanoUsd(carve), carve_claims=claims, carve_via=via)
    run = await world.store.open_run(opening)
    assert isinstance(run, Run), run
    return run


async def test_empty_books_agree(world: World) -> None:
    found = await verify(world.books, world.snapshot)
    assert (found.differences, found.skipped, found.moving) == ((), (), 0)


async def test_every_kind_of_counter_is_compared(world: World) -> None:
    root = await open_run(world, "root")
    carved = await open_run(world, "carved", root, carve=USD)
    await world.spend(USD // 2, runs=(root,), user="ann")
    await world.spend(USD // 4, runs=(carved, root))
    await world.spend(USD // 8, agent="writer")
    await world.reserve(USD // 8, runs=(carved, root))
    found = await verify(world.books, world.snapshot)
    assert (found.differences, found.skipped, found.moving) == ((), (), 0)
    kinds = {state.key[0] for state in await world.store.counters()}
    assert kinds == {"b", "r", "k"}
    assert found.compared == len(await world.store.counters())


DAILY = (
    Budget("daily", Scope("agent", "researcher"), NanoUsd(10 * USD), Window("day")),
    Budget("people", Scope("user", "*"), NanoUsd(10 * USD), Window("day")),
    Budget("models", Scope("model", "gpt"), NanoUsd(10 * USD), Window("day")),
    Budget("runs", Scope("run", "*"), NanoUsd(10 * USD), Window("day")),
    Budget("quick", Scope("run", "*"), NanoUsd(10 * USD), Window("rolling", length_s=7200)),
    Budget("lately", Scope("user", "*"), NanoUsd(10 * USD), Window("rolling", length_s=7200)),
)


@pytest.mark.parametrize("late", [False, True])
async def test_a_carve_over_midnight_counts_where_each_scope_has_reserved_it(world: World, late: bool) -> None:
    """Parents have reserved it yesterday, the user, the model and the runs inside only when it was asked for."""
    configured = replace(world.snapshot, budgets=DAILY, limits_version=2)
    if not late:
        world.configure(configured)
    root = await open_run(world, "root")
    outer = await open_run(world, "outer", root, carve=2 * USD)
    middle = await open_run(world, "middle", outer, root)
    path = (middle, outer, root)
    world.passes(80_000.0)  # 23:06
    inner = await open_run(world, "inner", *path, carve=USD)
    await world.spend(USD // 16, runs=(inner, *path), user="ann")
    world.passes(6_000.0)  # 00:46
    await world.spend(USD // 8, runs=(inner, *path), user="ann")
    await world.spend(USD // 4, runs=path, user="bob")
    if late:  # budgets that were not there yet: everything is read from the journal
        world.configure(configured)
    yesterday, today = "|2026-11-30", "|2026-12-01"
    expected = {
        "b|daily|researcher" + yesterday: USD * 7 // 16,
        "b|people|ann" + yesterday: USD // 16,
        "b|people|ann" + today: USD // 8,
        "b|people|bob" + today: USD // 4,
        "b|models|gpt" + today: USD * 3 // 8,
        "b|runs|researcher/root" + yesterday: USD * 7 // 16,
        "b|runs|researcher/outer" + yesterday: USD * 3 // 16,
        "b|runs|researcher/outer" + today: USD // 4,
        "b|runs|researcher/middle" + yesterday: USD * 3 // 16,
        "b|runs|researcher/middle" + today: USD // 4,
        "b|runs|researcher/inner" + yesterday: USD // 16,
        "b|runs|researcher/inner" + today: USD // 8,
        "b|quick|researcher/outer|rolling:7200": USD * 7 // 16,
        "b|lately|ann|rolling:7200": USD * 3 // 16,
    }
    for restarted in (False, True):
        if restarted:
            await world.restart()
        found = await verify(world.books, world.snapshot)
        assert (found.differences, found.moving) == ((), 0)
        posted = {state.key: state.posted for state in await world.store.counters()}
        wrong = {key: posted[key] for key, amount in expected.items() if key in posted and posted[key] != amount}
        assert wrong == {}
        assert restarted or late or expected.keys() <= posted.keys()
        assert {key for key in expected if key.endswith(today)} <= posted.keys()


async def test_a_charge_that_the_counters_miss_is_a_difference(world: World) -> None:
    await world.spend(USD)
    reserved = await world.reserve(USD // 2)
    world.settle(reserved, USD // 2)
    await world.store.adjust("b|monthly|researcher|2026-11", -5, "not in the journal")
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    found = await verify(world.books, world.snapshot, pause)
    [difference] = found.differences
    assert (difference.scope, difference.posted, difference.expected) == (
        "agent:researcher",
        3 * USD // 2 - 5,
        3 * USD // 2,
    )
    assert len(pauses) == TRIES - 1


async def test_a_charge_that_arrives_late_is_waited_for(world: World) -> None:
    charge = world.settle(await world.reserve(USD), USD, written=False)
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            world.journal.write([charge])

    found = await verify(world.books, world.snapshot, pause)
    assert (found.differences, found.moving, len(pauses)) == ((), 0, 3)


async def test_counters_that_never_stand_still_are_compared_between_two_readings(world: World) -> None:
    flush = world.books.flush

    async def flush_while_others_spend() -> None:
        await flush()
        await world.spend(USD // 100)

    books = world.books._replace(flush=flush_while_others_spend)

    async def pause(_seconds: float) -> None:
        return None

    await world.spend(USD)
    found = await verify(books, world.snapshot, pause)
    assert found.differences == ()
    assert found.moving > 0


async def test_windows_that_are_over_are_compared_too(world: World) -> None:
    await world.spend(USD // 2, user="ann")
    world.passes(24 * 3600)
    await world.spend(USD // 4, user="ann")
    found = await verify(world.books, world.snapshot)
    assert found.differences == ()
    assert {"b|people|ann|2026-11-30", "b|people|ann|2026-12-01"} <= {
        state.key for state in await world.store.counters()
    }


async def test_old_spend_leaves_a_rolling_budget_on_both_sides(world: World) -> None:
    await world.spend(USD)
    world.passes(1800)
    await world.spend(USD // 2)
    world.passes(1860)
    [line] = await budget_lines(world.books, world.snapshot, "lately")
    assert line.posted == USD // 2
    assert (await verify(world.books, world.snapshot)).differences == ()


async def test_what_the_journal_cannot_recompute_is_told(tmp_path_factory: pytest.TempPathFactory) -> None:
    agents = {**AGENTS, "writer": replace(AGENTS["writer"], velocity=VelocityRule(NanoUsd(USD)))}
    world = await World.open(snapshot(tmp_path_factory.mktemp("state"), agents=agents))
    run = await world.store.open_run(Opening("writer/w", None, "acme", "writer", AGENTS["writer"].run_limits, 60.0))
    assert isinstance(run, Run)
    await world.spend(USD // 2, agent="writer", runs=(run,))
    await world.spend(USD // 2)
    gone = replace(world.snapshot, budgets=world.snapshot.budgets[:1])
    found = await verify(world.books, gone)
    assert found.differences == ()
    assert {key.partition("|")[0] for key, _ in found.skipped} == {"v", "b"}
    await world.close()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, USD // 50), st.sampled_from(["ann", "bob", None]), st.booleans()), max_size=12)
)
async def test_whatever_is_spent_agrees(
    tmp_path_factory: pytest.TempPathFactory, attempts: list[tuple[int, str | None, bool]]
) -> None:
    world = await World.open(snapshot(tmp_path_factory.mktemp("state")))
    run = await open_run(world, "root")
    for cost, user, within in attempts:
        await world.spend(cost, user=user, runs=(run,) if within else ())
        world.passes(90)
    assert (await verify(world.books, world.snapshot)).differences == ()
    await world.close()
