"""Going on without the store: never beyond what was set aside, nothing lost, nothing counted twice."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from gateway.ledger.budgets import Budget
from gateway.ledger.operations import Amounts, Claim, Granted, Refused, Ticket, Unit
from gateway.store.protocol import StoreUnavailable
from gateway.store.valkey.allowance import Allowances
from gateway.store.valkey.offline import FILE_NAME, OfflineLog
from routing.money import NanoUsd
from tests.gateway.store.valkey import samples
from tests.gateway.store.valkey.fleet import BUDGET, KEY, LIMIT, Fleet, Node, fleet, ticket
from tests.gateway.store.valkey.samples import until
from tests.gateway.store.valkey.test_rebuild import Server, fall_silent

OPEN = replace(BUDGET, on_store_failure="open", allowance=NanoUsd(300))
BUDGETS = {BUDGET.id: OPEN}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    found = Server(tmp_path / "valkey")
    yield found
    found.kill()


@pytest.fixture
async def own(tmp_path: Path, postgres_url: str, server: Server) -> AsyncIterator[Fleet]:
    async with fleet(tmp_path, postgres_url, server.url) as found:
        yield found


_numbers = count()


class Gateway:
    """A node whose attempts go through its allowances."""

    def __init__(self, node: Node, folder: Path, budgets: dict[str, Budget] = BUDGETS) -> None:
        self.node = node
        self.folder = folder
        self.store = Allowances(node.store, folder, lambda: budgets)

    async def admit(self, name: str, money: int = 100) -> Granted | Refused:
        return await self.store.admit(ticket(name, money))

    def settle(self, name: str, cost: int) -> None:
        charge = samples.charge(name, cost)._replace(
            org="acme", team="research", agent="researcher", window_at_s=self.node.store.now_s()
        )
        self.store.settle(f"{name}.1", Amounts(cost, 0), charge)

    async def holding(self) -> None:
        """Spend 50, and wait for the allowance that this brings about."""
        name = f"first-{self.node.owner}-{next(_numbers)}"
        assert isinstance(await self.admit(name, 50), Granted)
        self.settle(name, 50)
        await until(lambda: KEY in self.store._held)

    async def kill(self) -> None:
        """As kill -9 does: nothing is written any more."""
        for task in (*self.store._tasks, *([self.store._probe] if self.store._probe else [])):
            task.cancel()
            await asyncio.wait([task])
        os.close(self.store._log._descriptor)
        await fall_silent(self.node)
        await self.node.client.close()


async def away(gateway: Gateway, server: Server) -> None:
    server.kill()
    await until(lambda: not gateway.node.client.connected)


async def back(gateway: Gateway, server: Server) -> None:
    server.start()
    await until(lambda: not gateway.store.away)
    await until(lambda: not (gateway.folder / FILE_NAME).read_bytes())


async def test_an_allowance_is_set_aside_and_given_back(own: Fleet, tmp_path: Path) -> None:
    node = await own.start("g1")
    gateway = Gateway(node, tmp_path / "g1")
    await gateway.holding()
    await own.audit(node, reserved=300)
    assert isinstance(await gateway.admit("b", LIMIT - 350 + 1), Refused)
    await gateway.store.close()
    await own.audit(node)


async def test_without_the_store_an_allowance_is_spent_and_no_more(own: Fleet, server: Server, tmp_path: Path) -> None:
    one, two = [Gateway(await own.start(name), tmp_path / name) for name in ("g1", "g2")]
    for gateway in (one, two):
        await gateway.holding()
    await own.audit(one.node, reserved=600)
    assert isinstance(await one.admit("before", 100), Granted)
    await away(one, server)
    assert isinstance(await one.admit("a", 200), Granted)
    assert one.store.away
    assert isinstance(await one.admit("b", 100), Granted)
    assert isinstance(await one.admit("c", 1), Refused)
    one.settle("a", 120)
    assert isinstance(await one.admit("d", 80), Granted)
    one.settle("before", 90)
    await until(lambda: not two.node.client.connected)
    assert isinstance(await two.admit("e", 300), Granted)
    one.settle("b", 100)
    two.settle("e", 300)
    server.start()
    await until(lambda: not one.store.away and not two.store.away)
    one.settle("d", 70)  # admitted without the store, ended with it
    for gateway in (one, two):
        await until(lambda file=gateway.folder / FILE_NAME: not file.read_bytes())
    await own.audit(one.node)
    assert await own.posted() == 50 + 50 + 90 + 120 + 100 + 70 + 300
    await one.holding()
    for gateway in (one, two):
        await gateway.store.close()


async def test_any_closed_budget_wins(own: Fleet, server: Server, tmp_path: Path) -> None:
    gateway = Gateway(await own.start("g1"), tmp_path / "g1")
    await gateway.holding()
    await away(gateway, server)
    (bid,) = ticket("a").bids
    closed = Claim("b|org|acme|total", Unit.MONEY, 10_000, 1, "org:acme")
    with pytest.raises(StoreUnavailable):
        await gateway.store.admit(Ticket("a.1", (bid._replace(claims=(*bid.claims, closed)),)))
    shadow = closed._replace(enforced=False)
    answer = await gateway.store.admit(Ticket("a.1", (bid._replace(claims=(*bid.claims, shadow)),)))
    assert isinstance(answer, Granted)
    gateway.store.release("a.1")
    await back(gateway, server)
    await own.audit(gateway.node)
    await gateway.store.close()


async def test_a_budget_that_is_closed_has_no_allowance(own: Fleet, server: Server, tmp_path: Path) -> None:
    gateway = Gateway(await own.start("g1"), tmp_path / "g1", {BUDGET.id: BUDGET})
    assert isinstance(await gateway.admit("a"), Granted)
    await away(gateway, server)
    with pytest.raises(StoreUnavailable):
        await gateway.admit("b")
    gateway.settle("a", 60)
    server.start()
    await until(lambda: not gateway.store.away)
    await own.audit(gateway.node)
    await gateway.store.close()


async def test_a_store_that_hangs_is_waited_for_once(own: Fleet, server: Server, tmp_path: Path) -> None:
    gateway = Gateway(await own.start("g1"), tmp_path / "g1")
    await gateway.holding()
    server.signal(signal.SIGSTOP)
    answers = await asyncio.gather(*(gateway.admit(f"a{n}", 10) for n in range(10)))
    assert all(isinstance(answer, Granted) for answer in answers)
    connection = gateway.node.client._connection
    assert connection is not None
    waiting = len(connection._waiting)
    for n in range(20):
        assert isinstance(await gateway.admit(f"b{n}", 10), Granted)
    assert len(connection._waiting) <= waiting + 1  # a probe, perhaps
    for n in range(10):
        gateway.settle(f"a{n}", 5)
    for n in range(20):
        gateway.settle(f"b{n}", 5)
    server.signal(signal.SIGCONT)
    await until(lambda: not gateway.store.away)
    await until(lambda: not (gateway.folder / FILE_NAME).read_bytes())
    await own.audit(gateway.node)
    assert await own.posted() == 50 + 30 * 5
    await gateway.store.close()


async def test_a_gateway_that_is_killed_while_the_store_is_away(own: Fleet, server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "g1"
    first = Gateway(await own.start("g1"), folder)
    await first.holding()
    await own.drained()
    await away(first, server)
    assert isinstance(await first.admit("a", 100), Granted)
    assert isinstance(await first.admit("b", 70), Granted)
    assert isinstance(await first.admit("c", 20), Granted)
    first.settle("a", 40)
    first.store.release("c.1")
    await first.kill()
    own.nodes.remove(first.node)
    server.start()
    with (folder / FILE_NAME).open("ab") as file:
        file.write(b'["reserve", ["torn.1", 1.0')
    second = Gateway(await own.start("g2", 1.0), folder)
    assert isinstance(await second.admit("d", 100), Granted)
    second.settle("d", 100)
    await until(lambda: not second.store._log.left.reserved and not second.store.store.unacknowledged)
    await second.holding()
    await own.audit(second.node, reserved=300)
    assert await own.posted() == 50 + 40 + 70 + 100 + 50
    rows = await own.rows("SELECT charge_id, resolution, cost_nano_usd FROM charges ORDER BY charge_id LIMIT 2")
    assert rows == [("a.1", "settled", 40), ("b.1", "orphaned", 70)]
    await second.store.close()
    await own.audit(second.node)


async def test_an_allowance_that_others_charged_in_full(own: Fleet, tmp_path: Path) -> None:
    """Its gateway was taken for lost: the entry is the budget's alone, and is made right when it is back."""
    one, two = await own.start("g1"), Gateway(await own.start("g2"), tmp_path / "g2")
    await two.holding()
    await own.drained()
    for node in own.nodes:
        await node.keeper.drain.close()
    two.node.store._heart.cancel()
    await one.client.command("ZADD", "{test}:owners", 0, "g2")
    one.store._beat()
    await until(lambda: one.store.orphaned == 1)
    await one.client.command("DEL", f"{{test}}:c:{KEY}")
    assert isinstance(await one.admit("c", LIMIT - 350 + 1), Refused)  # the journal has not heard of it yet
    (state,) = await one.store.counters([KEY])
    assert (state.posted, state.reserved) == (350, 0)
    await own.audit(one)
    assert await own.rows("SELECT budget, value, amount_nano_usd FROM adjustments") == [("team", "research", 300)]
    assert await own.posted() == 350
    await one.client.command("DEL", f"{{test}}:c:{KEY}")
    await own.audit(one)
    await two.store.check()
    await own.audit(one)
    assert await own.posted() == 50
    await two.holding()
    await own.audit(one, reserved=300)
    await two.store.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    log = OfflineLog(tmp_path)
    log.hold("allow:g1:1")
    os.close(log._descriptor)
    log._descriptor = os.open(tmp_path / FILE_NAME, os.O_RDONLY)
    with pytest.raises(StoreUnavailable):
        log.hold("allow:g1:2")
    log.close()
    assert OfflineLog(tmp_path).left.allowances == {"allow:g1:1"}
