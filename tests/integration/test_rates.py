"""Rates and requests at a time, as the SDK meets them."""

from __future__ import annotations

import asyncio
from typing import Any

import openai as sdk
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, GatewayUnderTest
from tests.integration.test_budgets import MESSAGES

STALL = {"x-sim-fault": "stall"}


async def ask(client: sdk.AsyncOpenAI, **options: Any) -> Any:
    return await client.chat.completions.with_raw_response.create(model="sim-small", messages=MESSAGES, **options)


async def refused(client: sdk.AsyncOpenAI, **options: Any) -> sdk.RateLimitError:
    with pytest.raises(sdk.RateLimitError) as found:
        await ask(client, **options)
    return found.value


async def start(simulator: SimulatorServer, start_gateway: StartGateway, **limit: Any) -> GatewayUnderTest:
    return await start_gateway(f"{simulator.url}/v1", limits={"fair": {"scope": "agent:*", **limit}})


async def test_requests_are_counted_down_and_refused_with_the_wait(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, requests={"limit": 2, "per": "20m"})
    async with gateway.sdk() as client:
        told = [(await ask(client)).headers for _ in range(2)]
        error = await refused(client)
    assert [(each["x-ratelimit-limit-requests"], each["x-ratelimit-remaining-requests"]) for each in told] == [
        ("2", "1"),
        ("2", "0"),
    ]
    headers = error.response.headers
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("60", "60000")
    assert headers["x-should-retry"] == "false", "the wait is ten minutes"
    assert error.body["metadata"]["reason"] == "requests"  # type: ignore[index]
    async with gateway.sdk(OTHER_KEY) as client:
        await ask(client)  # another agent has a rate of its own
    (row,) = [row for row in await gateway.eventually("requests", 4) if row["status"] == 429]
    assert (row["outcome"], row["error_code"]) == ("refused", "rate_limit_exceeded")


async def test_the_sdk_waits_as_it_is_told_and_is_served(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, requests={"limit": 10, "per": "1s", "burst": 1})
    async with gateway.sdk(max_retries=2) as client:
        await ask(client)
        await ask(client)
    rows = await gateway.eventually("requests", 3)
    assert sorted(row["status"] for row in rows) == [200, 200, 429]


async def test_tokens_are_corrected_to_what_was_used(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, tokens={"limit": 2_000, "per": "1h"})
    async with gateway.sdk() as client:
        first = await ask(client, max_tokens=100, extra_headers={"x-sim-fault": "length;tokens=20"})
        used = first.parse().usage.total_tokens
        await gateway.eventually("charges", 1)
        second = await ask(client, max_tokens=100)
        left = int(second.headers["x-ratelimit-remaining-tokens"])
        assert 2_000 - used - 300 < left < 2_000 - used - 100, "the first counts as it was, the second as estimated"
        error = await refused(client)  # some 2,000, until more is known
    assert error.body["metadata"]["reason"] == "tokens"  # type: ignore[index]
    assert error.response.headers["x-ratelimit-limit-tokens"] == "2000"


async def test_a_failed_call_gives_its_tokens_back(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, tokens={"limit": 6_000, "per": "1h"})
    async with gateway.sdk() as client:
        for _ in range(3):
            with pytest.raises(sdk.InternalServerError):
                await ask(client, max_tokens=5_000, extra_headers={"x-sim-fault": "500"})
        await ask(client, max_tokens=5_000)


@pytest.mark.parametrize("leaves", [False, True])
async def test_requests_at_a_time(simulator: SimulatorServer, start_gateway: StartGateway, leaves: bool) -> None:
    """A slot is free again when its request ends, however it ends."""
    gateway = await start(simulator, start_gateway, concurrency=1)
    fault = STALL if leaves else {"x-sim-fault": "stall;s=0.3"}
    async with gateway.sdk() as client:
        first = asyncio.create_task(ask(client, stream=True, extra_headers=fault))
        while not simulator.bill.open:
            await asyncio.sleep(0)
        error = await refused(client)
        assert error.body["metadata"]["reason"] == "concurrency"  # type: ignore[index]
        assert 1 <= int(error.response.headers["retry-after"]) <= 60
        assert 0 < int(error.response.headers["retry-after-ms"]) <= 60_000
        if leaves:
            first.cancel()
        else:
            async for _ in (await first).parse():
                pass
        await gateway.eventually("requests", 2)
        await ask(client)


async def test_a_shadow_limit_refuses_nobody(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, requests="1/h", concurrency=1, mode="shadow")
    async with gateway.sdk() as client:
        answers = await asyncio.gather(*(ask(client) for _ in range(5)))
    assert not [name for answer in answers for name in answer.headers if name.startswith("x-ratelimit")]
