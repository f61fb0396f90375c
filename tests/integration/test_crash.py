"""kill -9 at any point: nothing over the limit, nothing that the provider bills is lost, and the next start mends it.

Judged by the bill of the simulated provider, a process that outlives the gateway.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.callers import Crowd, Seen, call, governed
from tests.integration.processes import LIMIT_S, Gateway, Provider, judge, until

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()


async def crash(provider: Provider, folder: Path, seed: int, kills: int, limit_usd: str) -> Counter[str]:
    """A crowd calls; the gateway is killed again and again."""
    dice = random.Random(seed)
    gateway = Gateway(folder, governed(provider.url, folder, limit_usd))
    await gateway.start()
    try:
        async with Crowd(gateway, seed) as crowd:
            for _ in range(kills):
                await crowd.pieces_more(dice.randrange(1, 600))
                crowd.up.clear()
                await gateway.kill()
                billed = await provider.at_rest()
                await gateway.start()
                lines = await gateway.budgets()
                for name, line in lines.items():
                    assert sum(each.cost for each in billed) <= line.posted + line.reserved <= line.limit, (name, line)
                crowd.up.set()
            await crowd.pieces_more(dice.randrange(1, 600))
        billed = await provider.at_rest()
        for line in (await gateway.settled()).values():
            assert sum(each.cost for each in billed) <= line.posted <= line.limit
        await gateway.verify()
        return judge(gateway, billed, crowd.served())
    finally:
        await gateway.kill()


async def test_a_gateway_that_is_killed_again_and_again(provider: Provider, tmp_path: Path) -> None:
    resolutions = await crash(provider, tmp_path, seed=1, kills=2, limit_usd="0.01")
    assert resolutions["orphaned"]
    assert resolutions["settled"]


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 7))
async def test_many_kills(provider: Provider, tmp_path: Path, seed: int) -> None:
    resolutions = await crash(provider, tmp_path, seed=seed, kills=5, limit_usd="0.03")
    assert resolutions["orphaned"]


SUICIDE = """
import os, signal, sys
left = int(os.environ["DIE_AFTER"])
def count(event, arguments):
    global left
    if left < 0:
        return
    if event == "fcntl.flock" or armed:
        armed.append(event)
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
armed = []
sys.addaudithook(count)
"""
"""Kills its own process after so many steps (files opened, renamed or deleted, threads, connections: whatever Python
audits) since it took the lock of the storage folder."""


async def test_kills_while_a_killed_one_is_mended(provider: Provider, tmp_path: Path) -> None:
    """Each start dies at another step of its recovery; the last one finds everything as the first would have."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SUICIDE)
    dice = random.Random(7)
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "0.01"))
    await gateway.start()
    try:
        async with Crowd(gateway, 7) as crowd:
            await crowd.pieces_more(400)
            crowd.up.clear()
            await gateway.kill()
        billed = await provider.at_rest()
        died = 0
        for steps in (2, dice.randrange(10, 180), dice.randrange(180, 330)):
            await gateway.spawn(PYTHONPATH=os.pathsep.join((str(site), str(CHECKOUT))), DIE_AFTER=str(steps))
            died += not await gateway.is_up()
            await gateway.kill()
        assert died
        await gateway.start()
        for line in (await gateway.settled()).values():
            assert sum(each.cost for each in billed) <= line.posted <= line.limit
        await gateway.verify()
        assert judge(gateway, billed, crowd.served())["orphaned"]
    finally:
        await gateway.kill()


async def test_one_gateway_per_storage_folder(tmp_path: Path) -> None:
    config = governed("http://127.0.0.1:9/v1", tmp_path, "1")
    first, second = Gateway(tmp_path, config), Gateway(tmp_path, config)
    await first.start()
    try:
        await second.spawn()
        assert not await second.is_up()
        assert second.process.returncode == 1
        last = second.words().splitlines()[-1]
        assert last.startswith(f"farebox: another gateway (process {first.process.pid}) serves from {first.state}")
        assert "storage.dir" in last, "it says what to do"
        assert "Traceback" not in second.words()
        assert (await first.ready())["status"] == "ready", "the first one serves on"
        await first.kill()
        await second.start()
    finally:
        await first.kill()
        await second.kill()


async def test_a_polite_end_leaves_no_orphan(provider: Provider, tmp_path: Path) -> None:
    """SIGTERM while answers of every kind are under way: each is whole, and each is charged what it costs."""
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "0.1", server={"drain_s": 30}))
    await gateway.start()
    try:
        fault = "slow;first_ms=0;token_ms=3,length;tokens=150"
        kinds = [("strict", False), ("strict", True), ("metered", False), ("metered", True)] * 3
        calls = [
            asyncio.create_task(call(gateway.url, model=model, stream=stream, fault=fault, max_tokens=400))
            for model, stream in kinds
        ]
        async with asyncio.timeout(LIMIT_S):
            while (await provider.state())["open"] < len(calls):
                await asyncio.sleep(0.001)
        assert await gateway.terminate() == 0
        served = await asyncio.gather(*calls)
        assert all(seen.status == 200 and seen.finished for seen in served)
        assert all(seen.body.endswith(b"data: [DONE]\n\n") for seen in served if seen.body.startswith(b"data:"))
        billed = await provider.at_rest()
        assert judge(gateway, billed, {seen.request_id for seen in served}) == {"settled": len(calls)}
        await gateway.start()
        assert "did not end in order" not in gateway.words()
        for line in (await gateway.budgets()).values():
            assert (line.posted, line.reserved) == (sum(each.cost for each in billed), 0)
        await gateway.verify()
    finally:
        await gateway.kill()


async def test_what_nothing_governs_is_charged_after_a_kill_too(provider: Provider, tmp_path: Path) -> None:
    """No budget, no rate, no run: answers that somebody saw whole or in part, and that no journal has, are charged."""
    config = governed(provider.url, tmp_path, "1", storage={"flush_interval_s": 600})
    config = {**config, "budgets": {}, "agents": {"tester": {"team": "quality"}, "other": {"team": "others"}}}
    gateway = Gateway(tmp_path, config)
    await gateway.start()
    try:
        whole = [await call(gateway.url, max_tokens=200) for _ in range(3)]
        under_way = [Seen() for _ in range(5)]
        fault = "slow;first_ms=0;token_ms=20,length;tokens=150"
        calls = [
            asyncio.create_task(call(gateway.url, stream=True, fault=fault, max_tokens=200, seen=seen))
            for seen in under_way
        ]
        await until(lambda: all(seen.body for seen in under_way))
        assert not gateway.rows("charges"), "the journal knows of none"
        await gateway.kill()
        await asyncio.gather(*calls, return_exceptions=True)
        billed = {each.request_id: each.cost for each in await provider.at_rest()}
        await gateway.start()
        charges = {row["request_id"]: row for row in gateway.rows("charges")}
        assert {seen.request_id for seen in (*whole, *under_way)} == charges.keys() == billed.keys()
        for request_id, row in charges.items():
            assert row["cost_nano_usd"] >= billed[request_id] > 0
            assert (row["resolution"], row["reserved_nano_usd"]) == ("orphaned", 0)
            assert (row["agent"], row["model"], row["provider"]) == ("tester", "strict", "sim")
        assert {row["outcome"] for row in gateway.rows("requests")} == {"lost"}
        await gateway.kill()
        await gateway.start()
        assert len(gateway.rows("charges")) == len(charges), "once"
        seen = await call(gateway.url, max_tokens=200)
        assert await gateway.terminate() == 0
        await gateway.start()
        (last,) = (row for row in gateway.rows("charges") if row["request_id"] == seen.request_id)
        assert last["resolution"] == "settled", "what ended in order is no orphan"
        assert len(gateway.rows("charges")) == len(charges) + 1
    finally:
        await gateway.kill()
