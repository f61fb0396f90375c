"""Gateways that share their budgets are killed, stopped and ended: nobody overspends, no charge is lost.

Everything is a process of its own; the provider's bill judges.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.integration.callers import Seen, call
from tests.integration.processes import LIMIT_S, Gateway, Provider
from tests.integration.shared import Counters, Fleet, served, until_it_is
from tests.servers import Postgres


@pytest.fixture
async def fleet(
    tmp_path: Path,
    postgres_server: Postgres,
    postgres_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Fleet]:
    provider, counters = Provider(tmp_path), Counters(tmp_path)
    monkeypatch.setenv("VALKEY_URL", counters.url)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    await provider.start()
    fleet = Fleet(tmp_path, provider, postgres_server, counters)
    yield fleet
    await fleet.stop()
    await provider.stop()
    counters.kill()


async def kills(fleet: Fleet, seed: int, count: int) -> None:
    """Two crowds call two gateways; now the one, now the other is killed and started again."""
    dice = random.Random(seed)
    async with AsyncExitStack() as stack:
        crowds = await fleet.crowds(stack, 20)
        for number in range(count):
            killed, other = fleet.gateways[number % 2], fleet.gateways[1 - number % 2]
            mine, others = crowds[number % 2], crowds[1 - number % 2]
            await mine.pieces_more(dice.randrange(50, 400))
            mine.up.clear()
            await killed.kill()
            await fleet.never_less(other)
            await others.pieces_more(20)
            await killed.start()
            await fleet.never_less()
            mine.up.set()
        for crowd in crowds:
            await crowd.pieces_more(50)
    _, resolutions = await fleet.judged(served(*crowds))
    assert resolutions["settled"]
    assert resolutions["orphaned"]


async def test_a_gateway_that_is_killed_under_load_while_the_other_goes_on(fleet: Fleet) -> None:
    await fleet.start("0.01")
    await kills(fleet, 1, 1)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 6))
async def test_many_kills(fleet: Fleet, seed: int) -> None:
    await fleet.start("0.03")
    await kills(fleet, seed, 6)


SLOW = "slow;first_ms=0;token_ms=2,length;tokens=400"


async def streaming(gateway: Gateway, model: str) -> tuple[asyncio.Task[Seen], Seen]:
    """A call whose answer has begun."""
    seen = Seen()
    asked = call(gateway.url, model=model, stream=True, fault=SLOW, max_tokens=600, seen=seen)
    task = asyncio.create_task(asked)
    async with asyncio.timeout(LIMIT_S):
        while not seen.body:
            await asyncio.sleep(0.001)
    return task, seen


async def test_a_gateway_stopped_in_mid_stream_past_its_heartbeat(fleet: Fleet) -> None:
    """It is given up and its streams charged in full; then it goes on, ends them, and corrects what they cost."""
    await fleet.start("0.1")
    first, second = fleet.gateways
    calls = [await streaming(first, model) for model in ("strict", "strict", "metered")]
    first.signal(signal.SIGSTOP)
    try:
        await fleet.eventually("SELECT * FROM charges WHERE resolution = 'orphaned'", 3)
        await fleet.never_less(second)
    finally:
        first.signal(signal.SIGCONT)
    ends = await asyncio.gather(*(task for task, _ in calls))
    assert [seen.finished for seen in ends] == [True] * 3
    assert all(b"[DONE]" in seen.body for seen in ends)
    await fleet.eventually("SELECT * FROM charges WHERE resolution = 'correction'", 3)
    billed, resolutions = await fleet.judged({seen.request_id for seen in ends})
    assert resolutions == {"orphaned": 3, "correction": 3}
    assert (await second.budgets())["global"].posted == sum(each.cost for each in billed)

    async def metrics_say_the_same() -> bool:
        cost = sum([await each.counted("farebox_cost_usd_total") for each in fleet.gateways])
        returned = sum([await each.counted("farebox_cost_returned_usd_total") for each in fleet.gateways])
        return returned > 0 and cost - returned == sum(row["cost_nano_usd"] for row in fleet.charges())

    await until_it_is(metrics_say_the_same)


async def its_cost_is_known(gateway: Gateway) -> None:
    """At once, although its charge comes through the store."""
    seen = await call(gateway.url, max_tokens=50)
    assert seen.status == 200
    found = await gateway.admin(f"requests/{seen.request_id}")
    assert [charge["cost_usd"] for charge in found["charges"]] == [found["cost_usd"]]


async def test_a_gateway_that_is_ended_loses_nothing_and_leaves_nothing(fleet: Fleet) -> None:
    await fleet.start("0.05", storage={"gateway_timeout_s": 60})
    first, _ = fleet.gateways
    async with AsyncExitStack() as stack:
        crowds = await fleet.crowds(stack)
        await crowds[0].pieces_more(200)
        crowds[0].up.clear()
        assert await first.terminate() == 0
        assert len(fleet.rows("SELECT * FROM gateways")) == 1
        assert fleet.rows("SELECT * FROM reservations WHERE owner NOT IN (SELECT owner FROM gateways)") == []
        await crowds[1].pieces_more(100)
        await first.start()
        crowds[0].up.set()
        await crowds[0].pieces_more(50)
    for gateway in fleet.gateways:
        await its_cost_is_known(gateway)
    _, resolutions = await fleet.judged(served(*crowds))
    assert not resolutions["orphaned"]
    assert not resolutions["correction"]
    for gateway in fleet.gateways:
        assert await gateway.terminate() == 0
    assert fleet.rows("SELECT * FROM reservations") == fleet.rows("SELECT * FROM gateways") == []


@pytest.mark.long
async def test_all_gateways_are_killed_at_once(fleet: Fleet) -> None:
    await fleet.start("0.05")
    async with AsyncExitStack() as stack:
        crowds = await fleet.crowds(stack)
        for crowd in crowds:
            await crowd.pieces_more(100)
            crowd.up.clear()
        await asyncio.gather(*(gateway.kill() for gateway in fleet.gateways))
        await asyncio.gather(*(gateway.start() for gateway in fleet.gateways))
        await fleet.never_less()
        for crowd in crowds:
            crowd.up.set()
            await crowd.pieces_more(30)
    _, resolutions = await fleet.judged(served(*crowds))
    assert resolutions["orphaned"]
