"""Runs that are opened on purpose, on a real store and real keys."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.admission.runs import Runs
from gateway.errors import BudgetExceeded, FareboxError, InvalidField, NotFound, RunLimitExceeded, RunNotAllowed
from gateway.identity.keyring import KeyRing
from gateway.identity.keys import Principal
from gateway.journal.keystore import KeyStore
from gateway.ledger.budgets import RunLimits
from gateway.reports.budgets import budget_lines
from gateway.reports.verify import verify
from gateway.runs import OpenedRun, RunAsked, RunParts, RunService
from routing.money import NanoUsd
from tests.gateway.books import USD, World, snapshot

RESEARCHER = Principal("acme", "research", "researcher", "config:r", frozenset({"gpt*"}))
WRITER = Principal("acme", "press", "writer", "config:w")
SPY = Principal("elsewhere", "agents", "spy", "config:s")


class Desk:
    """A run service, and what a caller sees of it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.snapshot = world.snapshot
        self.keys = KeyStore(world.journal.database)
        self.ring = KeyRing(world.snapshot)
        known = Runs(world.store)
        parts = RunParts(world.books, lambda _: world.rulebook, known, self.keys, self.ring.record, self.principal_of)
        self.service = RunService(parts)

    async def principal_of(self, key: bytes) -> Principal | None:
        """Whose key it is."""
        self.ring.replace_stored(await self.keys.list(runs=True))
        return self.ring.authenticate(key, time.time())

    async def open(self, principal: Principal = RESEARCHER, **asked: object) -> OpenedRun:
        """Open a run."""
        return await self.service.open(self.snapshot, principal, RunAsked(**asked))  # type: ignore[arg-type]  # a test's

    async def bound(self, opened: OpenedRun) -> Principal:
        """Who asks with a run's key."""
        principal = await self.principal_of((opened.key or "").encode())
        assert principal is not None
        return principal


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    world = await World.open(snapshot(tmp_path / "state"))
    yield Desk(world)
    await world.close()


async def test_a_run_has_the_agents_limits_lowered_by_the_request(desk: Desk) -> None:
    asked = RunLimits(cost=NanoUsd(USD), requests=500, tokens=10_000, depth=1)
    run = (await desk.open(id="r1", limits=asked)).run
    assert run.id == "researcher/r1"
    assert run.limits == RunLimits(cost=NanoUsd(USD), requests=50, tokens=10_000, depth=1)
    assert (run.depth, run.state, run.org) == (0, "open", "acme")


async def test_a_run_without_an_id_gets_one(desk: Desk) -> None:
    first, second = await desk.open(), await desk.open()
    assert first.run.id != second.run.id
    assert first.new
    assert second.new


async def test_its_key_is_bound_to_it_and_can_do_no_more_than_the_one_that_asked(desk: Desk) -> None:
    opened = await desk.open(id="r1", ttl_s=600.0)
    principal = await desk.bound(opened)
    assert (principal.run, principal.agent, principal.allowed_models) == (
        "researcher/r1",
        "researcher",
        frozenset({"gpt*"}),
    )
    assert opened.key_expires_at_s is not None
    assert opened.key_expires_at_s <= max(time.time() + desk.snapshot.runs.key_ttl_s, opened.run.ends_at_s)


async def test_a_key_that_ends_soon_makes_none_that_lives_longer(desk: Desk) -> None:
    ends_s = time.time() + 60
    _, record = await desk.keys.create("researcher", "short", None, ends_s)
    desk.ring.replace_stored(await desk.keys.list(runs=True))
    opened = await desk.open(RESEARCHER._replace(key_id=record.id))
    assert opened.key_expires_at_s is not None
    assert opened.key_expires_at_s == pytest.approx(ends_s, abs=0.001)


async def test_without_keys_there_is_none(desk: Desk) -> None:
    desk.snapshot = replace(desk.snapshot, auth=False)
    assert (await desk.open(id="r1")).key is None


async def test_opening_it_again_finds_it(desk: Desk) -> None:
    first = await desk.open(id="r1")
    desk.world.passes(1)
    again = await desk.open(id="r1")
    assert (again.run, again.new) == (first.run, False)
    assert again.key != first.key


async def test_a_run_that_is_there_never_changes(desk: Desk) -> None:
    await desk.open(id="r1")
    with pytest.raises(InvalidField, match="other limits"):
        await desk.open(id="r1", limits=RunLimits(requests=1))


async def test_a_closed_run_is_not_opened_again(desk: Desk) -> None:
    await desk.open(id="r1")
    await desk.service.close(RESEARCHER, "r1")
    with pytest.raises(RunLimitExceeded):
        await desk.open(id="r1")


async def test_a_runs_key_opens_sub_runs_of_it(desk: Desk) -> None:
    parent = await desk.bound(await desk.open(id="r1"))
    child = (await desk.open(parent, id="c1")).run
    assert child.path == ("researcher/c1", "researcher/r1")
    named = (await desk.open(parent, id="c2", parent="r1")).run
    assert named.path == ("researcher/c2", "researcher/r1")
    grandchild = (await desk.open(await desk.bound(await desk.open(parent, id="c1")), id="g1")).run
    assert grandchild.depth == 2


async def test_a_runs_key_opens_nothing_elsewhere(desk: Desk) -> None:
    parent = await desk.bound(await desk.open(id="r1"))
    await desk.open(id="r2")
    with pytest.raises(RunNotAllowed):
        await desk.open(parent, id="c1", parent="r2")
    with pytest.raises(InvalidField):
        await desk.open(parent, id="r1")
    with pytest.raises(InvalidField, match="another parent"):
        await desk.open(parent, id="r2")


async def test_another_agents_run_takes_its_key(desk: Desk) -> None:
    theirs = await desk.open(id="r1")
    with pytest.raises(RunNotAllowed):
        await desk.open(WRITER, id="w1", parent="researcher/r1")
    with pytest.raises(RunNotAllowed):
        await desk.open(WRITER, id="w1", parent="researcher/r1", parent_key="fb-made-up")
    mine = await desk.open(WRITER, id="w0")
    with pytest.raises(RunNotAllowed):
        await desk.open(WRITER, id="w1", parent="researcher/r1", parent_key=mine.key)
    shown = await desk.open(WRITER, id="w1", parent="researcher/r1", parent_key=theirs.key)
    assert shown.run.path == ("writer/w1", "researcher/r1")
    assert (await desk.service.show(await desk.bound(theirs), "writer/w1"))[0] == shown.run
    with pytest.raises(InvalidField, match="own agent"):
        await desk.open(WRITER, parent="researcher/r1", parent_key=theirs.key, carve=NanoUsd(1))


async def test_another_orgs_run_does_not_exist(desk: Desk) -> None:
    theirs = await desk.open(id="r1")
    for parent in ("researcher/r1", "researcher/none", "nobody/r1"):
        with pytest.raises(NotFound):
            await desk.open(SPY, parent=parent, parent_key=theirs.key)
    with pytest.raises(NotFound):
        await desk.service.show(SPY, "researcher/r1")


async def test_a_parent_that_is_not_there(desk: Desk) -> None:
    for carve in (NanoUsd(0), NanoUsd(1)):
        with pytest.raises(NotFound) as raised:
            await desk.open(parent="none", carve=carve)
        assert raised.value.param == "parent"


@pytest.mark.parametrize(("limits", "reason"), [(RunLimits(depth=0), "depth"), (RunLimits(children=0), "children")])
async def test_depth_and_children_are_limited(desk: Desk, limits: RunLimits, reason: str) -> None:
    await desk.open(id="r1", limits=limits)
    with pytest.raises(RunLimitExceeded) as raised:
        await desk.open(id="c1", parent="r1")
    assert (raised.value.status, raised.value.metadata["reason"]) == (422, reason)


async def test_who_may_look_and_close(desk: Desk) -> None:
    first = await desk.bound(await desk.open(id="r1"))
    second = await desk.bound(await desk.open(id="r2"))
    child = await desk.bound(await desk.open(first, id="c1"))
    for principal, name in ((first, "c1"), (first, "r1"), (child, "researcher/c1"), (RESEARCHER, "c1")):
        assert (await desk.service.show(principal, name))[0].state == "open"
    for principal, name in ((second, "r1"), (child, "r1"), (WRITER, "researcher/r1"), (RESEARCHER, "none")):
        with pytest.raises(NotFound):
            await desk.service.show(principal, name)
        with pytest.raises(NotFound):
            await desk.service.close(principal, name)


async def test_what_was_used_counts_sub_runs(desk: Desk) -> None:
    parent = (await desk.open(id="r1")).run
    child = (await desk.open(id="c1", parent="r1")).run
    await desk.world.spend(USD // 2, runs=(parent,))
    await desk.world.spend(USD // 4, runs=(child, parent))
    _, used, _ = await desk.service.show(RESEARCHER, "r1")
    assert used == (3 * USD // 4, 200, 2)
    assert (await desk.service.show(RESEARCHER, "c1"))[1] == (USD // 4, 100, 1)


async def monthly(desk: Desk) -> tuple[int, int]:
    [line] = await budget_lines(desk.world.books, desk.snapshot, "monthly")
    return line.posted, line.reserved


async def test_a_carve_is_set_aside_and_the_rest_comes_back(desk: Desk) -> None:
    run = (await desk.open(id="r1", carve=NanoUsd(2 * USD))).run
    assert await monthly(desk) == (0, 2 * USD)
    await desk.world.spend(USD // 2, runs=(run,))
    assert await monthly(desk) == (USD // 2, 3 * USD // 2)
    under_way = await desk.world.reserve(USD // 4, runs=(run,))
    closed = await desk.service.close(RESEARCHER, "r1")
    assert (closed.given_back, closed.run.state) == (5 * USD // 4, "closed")
    assert await monthly(desk) == (USD // 2, USD // 4)
    desk.world.settle(under_way, USD // 8)
    assert await monthly(desk) == (5 * USD // 8, 0)
    assert (await verify(desk.world.books, desk.snapshot)).differences == ()


async def test_closing_twice_gives_nothing_back(desk: Desk) -> None:
    await desk.open(id="r1", carve=NanoUsd(USD))
    assert (await desk.service.close(RESEARCHER, "r1")).given_back == USD
    assert (await desk.service.close(RESEARCHER, "r1")).given_back == 0


async def test_a_carve_without_room_is_a_402(desk: Desk) -> None:
    await desk.world.spend(4 * USD)
    asked = NanoUsd(2 * USD)
    with pytest.raises(BudgetExceeded) as raised:
        await desk.open(carve=asked)
    assert (raised.value.status, raised.value.metadata["scope"], raised.value.param) == (
        402,
        "agent:researcher",
        "carve_usd",
    )
    assert await monthly(desk) == (4 * USD, 0)


async def test_a_sub_run_carves_from_its_parents_carve(desk: Desk) -> None:
    await desk.open(id="r1", carve=NanoUsd(USD))
    with pytest.raises(BudgetExceeded):
        await desk.open(id="c1", parent="r1", carve=NanoUsd(USD + 1))
    await desk.open(id="c1", parent="r1", carve=NanoUsd(USD // 2))
    assert await monthly(desk) == (0, USD)
    with pytest.raises(BudgetExceeded):
        await desk.open(id="c2", parent="r1", carve=NanoUsd(USD))


async def test_a_carve_beyond_what_the_run_may_cost_makes_no_sense(desk: Desk) -> None:
    with pytest.raises(InvalidField) as raised:
        await desk.open(carve=NanoUsd(3 * USD))
    assert raised.value.param == "carve_usd"


async def test_every_refusal_leaves_no_key(desk: Desk) -> None:
    before = await desk.keys.list(runs=True)
    for asked in ({"parent": "none"}, {"carve": NanoUsd(3 * USD)}):
        with pytest.raises(FareboxError):
            await desk.open(**asked)
    assert await desk.keys.list(runs=True) == before
