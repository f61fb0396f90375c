"""Runs and their carves outlive a lost store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.budgets import RunLimits
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, Opening, Origin, Refused, Run, Ticket, Unit
from routing.money import NanoUsd
from tests.gateway.store.valkey import samples
from tests.gateway.store.valkey.fleet import KEY, LIMIT, Fleet, Node, fleet
from tests.gateway.store.valkey.samples import until

RUN = "researcher/r1"
CARVE = 400


@pytest.fixture
async def world(tmp_path: Path, postgres_url: str, valkey_url: str) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path, postgres_url, valkey_url) as found:
        yield found


def origin(name: str) -> Origin:
    return Origin(name, 1, "acme", "research", "researcher", RUN, None, (), "m", "d", "p", "up", False)


def opening(carve: int = CARVE) -> Opening:
    claims = (Claim(KEY, Unit.MONEY, LIMIT, 1, "team:research"),)
    limits = RunLimits(requests=5)
    return Opening(RUN, None, "acme", "researcher", limits, 3600.0, NanoUsd(carve), claims, None, origin("carve"))


def spending(name: str, money: int) -> Ticket:
    claims = (
        Claim(f"k|{RUN}", Unit.MONEY, CARVE, 1, f"run:{RUN}"),
        Claim(f"r|{RUN}|requests", Unit.REQUESTS, 5, 1, f"run:{RUN}"),
        Claim(f"c|rate|{RUN}", Unit.SLOTS, 2, 1, f"run:{RUN}"),
    )
    amounts = Amounts(money, 0)
    return Ticket(f"{name}.1", (Bid(claims, (), amounts, amounts, amounts, 0, origin(name)),), (RUN,), f"carve:{RUN}")


async def admit(node: Node, name: str, money: int) -> Granted | Refused:
    return await node.store.admit(spending(name, money))


def settle(node: Node, name: str, cost: int) -> None:
    charge = samples.charge(name, cost)._replace(
        org="acme", team="research", agent="researcher", run_path=RUN, window_at_s=node.store.now_s()
    )
    node.store.settle(f"{name}.1", Amounts(cost, 0), charge)


async def lose_everything(world: Fleet) -> None:
    epoch = world.nodes[0].store.epoch
    await world.nodes[0].client.command("FLUSHALL")
    world.nodes[0].store.suspect("told by the test")
    await until(lambda: all(node.store.halted is None and node.store.epoch != epoch for node in world.nodes))


async def states(node: Node) -> dict[str, tuple[int, int]]:
    return {state.key: (state.posted, state.reserved) for state in await node.store.counters()}


@pytest.mark.parametrize("drained", [True, False])
async def test_a_run_goes_on_with_what_is_left_of_its_carve(world: Fleet, drained: bool) -> None:
    node = await world.start("g1")
    if not drained:
        await node.keeper.drain.close()
    assert isinstance(await node.store.open_run(opening()), Run)
    assert isinstance(await admit(node, "a", 150), Granted)
    settle(node, "a", 120)
    assert isinstance(await admit(node, "b", 100), Granted)
    await node.applied()
    if drained:
        await world.drained()
    await lose_everything(world)
    run = await node.store.run(RUN)
    assert run is not None
    assert (run.state, run.carve, run.limits, run.path) == ("open", CARVE, RunLimits(requests=5), (RUN,))
    await world.audit(node, reserved=CARVE - 120)
    assert isinstance(await admit(node, "x", CARVE - 120 - 100 + 1), Refused)
    assert isinstance(await admit(node, "c", CARVE - 120 - 100), Granted)
    assert isinstance(await admit(node, "d", 0), Refused)  # two at a time
    assert await node.store.counters([f"r|{RUN}|requests", f"c|rate|{RUN}"]) is not None
    found = await states(node)
    assert found[f"k|{RUN}"] == (120, CARVE - 120)
    assert found[f"r|{RUN}|requests"] == (1, 2)
    assert found[f"c|rate|{RUN}"] == (0, 2)
    settle(node, "b", 80)
    settle(node, "c", 10)
    await node.applied()
    closed = await node.store.close_run(RUN, "done")
    assert closed is not None
    await world.audit(node)
    assert await world.posted() == 120 + 80 + 10


async def test_a_closed_run_stays_closed_and_gives_the_rest_back(world: Fleet) -> None:
    node = await world.start("g1")
    assert isinstance(await node.store.open_run(opening()), Run)
    assert isinstance(await admit(node, "a", 150), Granted)
    await node.store.close_run(RUN, "done")
    await lose_everything(world)
    run = await node.store.run(RUN)
    assert run is not None
    assert (run.state, run.reason) == ("closed", "done")
    await world.audit(node, reserved=150)
    settle(node, "a", 100)
    await world.audit(node)
    again = await node.store.open_run(opening())
    assert isinstance(again, Run)
    assert again.state == "closed"
    assert await world.rows("SELECT id FROM reservations") == []
