"""Several deployments of one model, as clients meet them: who is called first, and who takes the burst."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any

import openai as sdk
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.test_budgets import MESSAGES

PRICE = {"input": "0.15", "output": "0.60"}
STALL = {"x-sim-fault": "stall"}
FIRST, SECOND = "sim/sim-small", "sim/sim-large"
LIMIT_S = 20


@pytest.fixture(params=["memory", "valkey"])
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Where the capacities are counted."""
    changes: dict[str, Any] = {"dir": str(tmp_path / "state"), "flush_interval_s": 0.01}
    if request.param == "valkey":
        monkeypatch.setenv("VALKEY_URL", request.getfixturevalue("valkey_url"))
        monkeypatch.setenv("DATABASE_URL", request.getfixturevalue("postgres_url"))
        changes |= {"store": "valkey", "valkey_url": "${VALKEY_URL}", "journal_url": "${DATABASE_URL}"}
    return changes


def group(strategy: str, first: dict[str, Any] | None = None, second: dict[str, Any] | None = None) -> dict[str, Any]:
    """The model `group`, with its two deployments."""
    deployments = [
        {"provider": "sim", "model": FIRST.removeprefix("sim/"), "price": PRICE, **(first or {})},
        {"provider": "sim", "model": SECOND.removeprefix("sim/"), "price": PRICE, **(second or {})},
    ]
    return {"models": {"group": {"strategy": strategy, "deployments": deployments}}}


async def ask(client: sdk.AsyncOpenAI, **options: Any) -> Any:
    """The headers of an answer."""
    made = await client.chat.completions.with_raw_response.create(
        model="group", messages=MESSAGES, max_tokens=50, **options
    )
    return made.headers


async def served_by(client: sdk.AsyncOpenAI, **options: Any) -> str:
    """The deployment that answers."""
    return str((await ask(client, **options))["x-farebox-deployment"])


@asynccontextmanager
async def stalled(simulator: SimulatorServer, client: sdk.AsyncOpenAI, count: int) -> AsyncIterator[None]:
    """While so many calls get no answer."""
    before = simulator.bill.open
    tasks = [asyncio.create_task(ask(client, stream=True, extra_headers=STALL)) for _ in range(count)]
    try:
        async with asyncio.timeout(LIMIT_S):
            while simulator.bill.open < before + count:
                await asyncio.sleep(0)
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until_served_by(client: sdk.AsyncOpenAI, deployment: str) -> None:
    """Return when a deployment has answered."""
    async with asyncio.timeout(LIMIT_S):
        while await served_by(client) != deployment:
            pass


def draws_of(gateway: GatewayUnderTest, random: Random) -> None:
    """Let what is drawn depend on a seed."""
    gateway.app._loads.draw = random.random


# --- strategies ---


async def test_weights_are_roughly_kept(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **group("weighted", {"weight": 7}, {"weight": 3}))
    draws_of(gateway, Random(1))
    async with gateway.sdk() as client:
        headers = [each for _ in range(10) for each in await asyncio.gather(*(ask(client) for _ in range(20)))]
    count = Counter(each["x-farebox-deployment"] for each in headers)
    assert set(count) == {FIRST, SECOND}
    assert 120 <= count[FIRST] <= 160
    assert headers[0]["x-farebox-route"].startswith("weighted")


async def test_a_fallback_comes_after_the_drawn_one(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    written = group("weighted", {"weight": 1}, {"weight": 0})
    written["models"]["group"]["deployments"][0]["model"] = "sim-small+fault-500"
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    async with gateway.sdk() as client:
        headers = await ask(client)
    assert (headers["x-farebox-deployment"], headers["x-farebox-attempts"]) == (SECOND, "2")


async def test_the_least_busy_is_not_the_one_that_stalls(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **group("least_busy"))
    gateway.app._loads.draw = lambda: 0.0  # the first, when both are idle
    async with gateway.sdk() as client:
        async with stalled(simulator, client, 1):
            assert {await served_by(client) for _ in range(20)} == {SECOND}
        await until_served_by(client, FIRST)  # whose client has left


@pytest.mark.parametrize("stream", [False, True])
async def test_the_quicker_one_is_preferred(
    simulator: SimulatorServer, start_gateway: StartGateway, stream: bool
) -> None:
    """Quicker by more than a busy machine stalls."""
    written = group("fastest")
    written["models"]["group"]["deployments"][0]["model"] = "sim-small+fault-slow;first_ms=1500"
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    draws_of(gateway, Random(2))
    async with gateway.sdk() as client:
        count = Counter([await served_by(client, stream=stream) for _ in range(15)])
    assert sum(count.values()) == 15
    assert count[SECOND] >= 13
    assert len(count) == 2, "the slower one was tried"


async def test_nothing_is_left_in_flight(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    """However attempts end: answered, failed, hedged, left."""
    written = group("least_busy")
    written["models"]["group"] |= {"hedge": {}}
    gateway = await start_gateway(f"{simulator.url}/v1", **written)
    faults = [*({"x-sim-fault": fault} for fault in ("500", "cut;after=2", "reset", "400", "garbage")), {}]
    async with gateway.sdk() as client:
        async with stalled(simulator, client, 3):
            await asyncio.gather(
                *(ask(client, stream=stream, extra_headers=fault) for fault in faults for stream in (True, False)),
                return_exceptions=True,
            )
        deployments = gateway.app.services.snapshot.catalog.models["group"].deployments
        async with asyncio.timeout(LIMIT_S):
            while any(each.in_flight for each in gateway.app._loads.view(deployments, stream=True)):
                await asyncio.sleep(0)
    assert set(gateway.app._loads._known) == {FIRST, SECOND}


async def test_models_that_are_ordered_are_not_watched(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **group("ordered"))
    async with gateway.sdk() as client:
        assert await served_by(client) == FIRST
    assert gateway.app._loads._known == {}


# --- capacities ---


async def test_the_burst_goes_on_demand_and_comes_back(
    simulator: SimulatorServer, start_gateway: StartGateway, storage: dict[str, Any]
) -> None:
    provisioned = {"capacity": {"concurrency": 2}}
    gateway = await start_gateway(f"{simulator.url}/v1", storage=storage, **group("ordered", provisioned))
    async with gateway.sdk() as client:
        async with stalled(simulator, client, 2):
            async with asyncio.timeout(LIMIT_S):  # nobody waits for a place where another has room
                burst = await asyncio.gather(*(ask(client) for _ in range(10)))
            assert {each["x-farebox-deployment"] for each in burst} == {SECOND}
            assert not any("x-farebox-attempts" in each for each in burst), "nobody was called for nothing"
        await until_served_by(client, FIRST)
    assert gateway.app._health.breakers.shared() == {}, "to be full is no failure"


@pytest.mark.parametrize(
    "capacity", [{"requests": {"limit": 2, "per": "1h"}}, {"tokens": {"limit": 300, "per": "1h"}}], ids=str
)
async def test_rates_of_deployments(
    simulator: SimulatorServer, start_gateway: StartGateway, storage: dict[str, Any], capacity: dict[str, Any]
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", storage=storage, **group("ordered", {"capacity": capacity}))
    async with gateway.sdk() as client:
        headers = [await ask(client) for _ in range(8)]
    by = [each["x-farebox-deployment"] for each in headers]
    assert by[0] == FIRST
    assert by[-1] == SECOND
    assert by == sorted(by, reverse=True), "full once, full for the hour"
    assert not [name for each in headers for name in each if name.startswith("x-ratelimit")], "no limit of the client's"


async def test_when_all_are_full_the_client_is_told_when_to_come_again(
    simulator: SimulatorServer, start_gateway: StartGateway, storage: dict[str, Any]
) -> None:
    one = {"capacity": {"concurrency": 1}}
    gateway = await start_gateway(f"{simulator.url}/v1", storage=storage, **group("ordered", one, one))
    async with gateway.sdk() as client:
        async with stalled(simulator, client, 2):
            with pytest.raises(sdk.RateLimitError) as caught:
                await ask(client)
        error = caught.value
        assert error.code == "rate_limit_exceeded"
        assert error.body["metadata"]["reason"] == "capacity"  # type: ignore[index]
        assert error.body["metadata"]["scope"] == f"deployment:{FIRST}"  # type: ignore[index]
        headers = error.response.headers
        assert (headers["retry-after"], headers["retry-after-ms"]) == ("1", "1000")
        assert "x-farebox-deployment" not in headers
        async with asyncio.timeout(LIMIT_S):
            while True:
                try:
                    await ask(client)
                    break
                except sdk.RateLimitError:
                    continue


async def test_all_models_share_what_a_deployment_can_take(
    simulator: SimulatorServer, start_gateway: StartGateway, storage: dict[str, Any]
) -> None:
    written = group("ordered", {"capacity": {"concurrency": 1}})
    alone = dict(written["models"]["group"]["deployments"][0])
    written["models"]["alone"] = {"deployments": [alone]}
    gateway = await start_gateway(f"{simulator.url}/v1", storage=storage, **written)
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(gateway.sdk())
        await stack.enter_async_context(stalled(simulator, client, 1))
        with pytest.raises(sdk.RateLimitError):
            await client.chat.completions.create(model="alone", messages=MESSAGES)


# --- budgets of deployments ---


async def test_a_spent_budget_of_a_deployment_moves_its_calls_and_outlives_a_restart(
    simulator: SimulatorServer, start_gateway: StartGateway, storage: dict[str, Any]
) -> None:
    budgets = {
        "first": {"scope": f"deployment:{FIRST}", "limit_usd": "0.000100", "window": "total"},
        "each": {"scope": "deployment:*", "limit_usd": "1", "window": "total"},
    }
    posted: list[int] = []
    for _ in range(2):
        gateway = await start_gateway(f"{simulator.url}/v1", storage=storage, budgets=budgets, **group("ordered"))
        async with gateway.sdk() as client:
            by = [await served_by(client) for _ in range(8)]
        assert by[-1] == SECOND
        assert (by[0] == FIRST) == (not posted), "what was spent before the restart is spent"
        found = await gateway.app.services.governance.verify()
        assert found.differences == ()
        assert found.compared >= 3
        (line,) = await gateway.app.services.governance.budgets("first")
        posted.append(line.posted)
        await gateway.stop()
    assert 0 < posted[0] == posted[1] <= 100_000
