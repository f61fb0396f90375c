from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.ledger.operations import Granted, Refused
from tests.gateway.store.valkey.fleet import Fleet, fleet
from tests.gateway.store.valkey.samples import until


@pytest.fixture
async def world(tmp_path: Path, postgres_url: str, valkey_url: str) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path, postgres_url, valkey_url) as found:
        yield found


async def test_a_new_installation_begins_by_itself(world: Fleet) -> None:
    node = await world.start("g1")
    assert isinstance(await node.admit("a"), Granted)
    node.settle("a", 70)
    await world.audit(node)
    standing = await world.standing()
    assert (standing.epoch, standing.ready, standing.server) == (1, True, node.client.greeting.run_id)


async def test_an_emptied_valkey_is_rebuilt(world: Fleet) -> None:
    one, two = await world.start("g1"), await world.start("g2")
    for node, name in ((one, "a"), (two, "b"), (one, "c"), (two, "d")):
        assert isinstance(await node.admit(name, 200), Granted)
    one.settle("a", 150)
    two.settle("b", 120)
    await one.applied()
    await one.client.command("FLUSHALL")
    one.settle("c", 10)  # told to a store that has forgotten everything
    assert isinstance(await one.admit("e", 200), Granted)
    await until(lambda: all(node.store.halted is None for node in world.nodes))
    assert sum(node.keeper.rebuilt for node in world.nodes) == 2  # the first epoch, and this one
    await world.audit(one, reserved=400)
    assert await world.posted() == 150 + 120 + 10
    assert isinstance(await one.admit("f", 500), Refused)
    two.settle("d", 200)
    one.settle("e", 200)
    await world.audit(two)
    assert await world.posted() == 680
