"""Limits that an operator lowers and raises while streams run."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.callers import Seen, call, governed
from tests.integration.processes import LIMIT_S, Gateway, Provider, judge


@pytest.fixture
async def provider(tmp_path: Path) -> AsyncIterator[Provider]:
    provider = Provider(tmp_path)
    await provider.start()
    yield provider
    await provider.stop()


def budget(limit_usd: str) -> dict[str, Any]:
    """The agent's."""
    return {"agent": {"scope": "agent:tester", "limit_usd": limit_usd, "window": "total"}}


async def change(gateway: Gateway, limit_usd: str) -> None:
    """Another limit; returns when it holds."""
    before = (await gateway.ready())["config_version"]
    gateway.configure({**gateway.config, "budgets": budget(limit_usd)})
    gateway.signal(signal.SIGHUP)
    async with asyncio.timeout(LIMIT_S):
        while (await gateway.ready())["config_version"] == before:
            await asyncio.sleep(0.005)


async def reserved(gateway: Gateway) -> int:
    """What is set aside, once something is."""
    async with asyncio.timeout(LIMIT_S):
        while not (line := (await gateway.budgets())["agent:tester"]).reserved:
            await asyncio.sleep(0.005)
    return line.reserved


async def test_a_lowered_limit_lets_nothing_in_and_ends_streams_properly(provider: Provider, tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "1", budgets=budget("1")))
    gateway.config["models"]["metered"]["deployments"][0] |= {"context_tokens": 64_000, "max_output_tokens": 16_000}
    gateway.configure(gateway.config)
    await gateway.start()
    try:
        fault = "slow;first_ms=0;token_ms=4,length;tokens=5000"
        streaming = asyncio.create_task(call(gateway.url, model="metered", stream=True, fault=fault, max_tokens=15_000))
        paid = await reserved(gateway)
        await change(gateway, "0.0005")
        seen = await call(gateway.url, max_tokens=20)
        assert (seen.status, seen.reason) == (429, "budget_reserved"), "it would fit when the stream has ended"
        await change(gateway, "0.00001")
        seen = await call(gateway.url, max_tokens=20)
        assert (seen.status, seen.code) == (402, "budget_exceeded")
        ended = await streaming
        assert b'"finish_reason":"length"' in ended.body.replace(b": ", b":")
        assert ended.body.endswith(b"data: [DONE]\n\n")
        line = (await gateway.settled())["agent:tester"]
        (billed,) = await provider.at_rest()
        assert billed.outcome == "cancelled"
        assert billed.cost <= line.posted <= paid, "nothing was added to what was set aside under the old limit"
        assert (await call(gateway.url, max_tokens=20)).status == 402
        await gateway.verify()
        judge(gateway, [billed], {ended.request_id})
    finally:
        await gateway.kill()


async def test_a_raised_limit_wakes_those_who_wait(provider: Provider, tmp_path: Path) -> None:
    queue = {"wait_s": LIMIT_S}  # whoever is not woken is not served in this test
    gateway = Gateway(tmp_path, governed(provider.url, tmp_path, "1", budgets=budget("0.0008"), queue=queue))
    await gateway.start()
    try:
        holding = Seen()
        fault = "stall-mid;after=20"
        stalled = asyncio.create_task(call(gateway.url, model="strict", stream=True, fault=fault, seen=holding))
        await reserved(gateway)
        others = [asyncio.create_task(call(gateway.url, max_tokens=200)) for _ in range(5)]
        await waiting(gateway, 6)
        assert (await provider.state())["posted"] == 0
        await change(gateway, "0.002")
        async with asyncio.timeout(LIMIT_S / 2):
            served = [seen.request_id for seen in await asyncio.gather(*others) if seen.status == 200]
        assert len(served) == 5
        assert not stalled.done(), "and not because that has ended"
        lines = await gateway.budgets()
        assert lines["agent:tester"].posted + lines["agent:tester"].reserved <= 2_000_000
        stalled.cancel()
        line = (await gateway.settled())["agent:tester"]
        billed = await provider.at_rest()
        assert sum(each.cost for each in billed) <= line.posted <= line.limit
        await gateway.verify()
        judge(gateway, billed, {*served, holding.request_id})
    finally:
        await gateway.kill()


async def waiting(gateway: Gateway, count: int) -> None:
    """Wait until the gateway has so many requests under way."""
    import httpx

    wanted = f'farebox_in_flight_requests{{org="acme",team="quality",agent="tester"}} {count}.0'
    async with asyncio.timeout(LIMIT_S), httpx.AsyncClient() as client:
        while wanted not in (await client.get(f"{gateway.url}/metrics")).text:
            await asyncio.sleep(0.005)
