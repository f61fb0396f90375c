"""Runs from the SDK: named by headers or by their own keys, limited as a tree, paused and let go on."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import openai as sdk
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, TESTER_KEY, GatewayUnderTest
from tests.integration.test_budgets import MESSAGES, PRICE

SHORT = {"x-sim-fault": "length;tokens=20"}


async def start(simulator: SimulatorServer, start_gateway: StartGateway, **agent: Any) -> GatewayUnderTest:
    changes = agent.pop("changes", {})
    model = {"provider": "sim", "price": PRICE, "context_tokens": 128_000, "max_output_tokens": 16_384}
    agents = {"tester": {"team": "quality", **agent}, "other": {"team": "others"}}
    return await start_gateway(f"{simulator.url}/v1", models={"sim-small": model}, agents=agents, **changes)


async def ask(client: sdk.AsyncOpenAI, run: str | None = None, parent: str | None = None, **options: Any) -> Any:
    headers = dict(SHORT)
    if run is not None:
        headers["x-farebox-run"] = run
    if parent is not None:
        headers["x-farebox-parent-run"] = parent
    options = {"max_tokens": 50, **options}
    return await client.chat.completions.with_raw_response.create(
        model="sim-small", messages=MESSAGES, extra_headers=headers, **options
    )


async def refused(status: int, client: sdk.AsyncOpenAI, *names: str | None, **options: Any) -> dict[str, Any]:
    """The metadata of the refusal."""
    with pytest.raises(sdk.APIStatusError) as found:
        await ask(client, *names, **options)
    assert found.value.status_code == status, found.value
    body: Any = found.value.body
    assert "rate limit" not in body["message"] or status == 429
    metadata: dict[str, Any] = body["metadata"]
    return metadata


async def open_run(gateway: GatewayUnderTest, key: str = TESTER_KEY, **asked: Any) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=gateway.url, headers={"authorization": f"Bearer {key}"}) as client:
        answer = await client.post("/v1/runs", json=asked)
    assert answer.status_code in (200, 201), answer.text
    opened: dict[str, Any] = answer.json()
    return opened


async def reserved(gateway: GatewayUnderTest) -> int:
    await gateway.app.flush()
    store = gateway.app.services.governance._books.store
    return sum(state.reserved for state in await store.counters())


async def test_a_runs_requests_are_limited_over_its_whole_tree(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, runs={"requests": 3, "depth": 2, "children": 2})
    async with gateway.sdk(max_retries=2) as client:
        answer = await ask(client, "root")
        assert answer.headers["x-farebox-run"] == "root"
        await ask(client, "child", "root")
        await ask(client, "grandchild", "child")
        told = await refused(422, client, "child", "root")
        assert (told["reason"], told["scope"], told["used"]) == ("requests", "run:tester/root", 3)
        assert (await refused(422, client, "too-deep", "grandchild"))["reason"] == "depth"
        await refused(422, client, "second", "root")
        assert (await refused(422, client, "third", "root"))["reason"] == "children"
        await ask(client, "elsewhere")
    charges = await gateway.eventually("charges", 4)
    assert charges[2]["run_path"] == "tester/root>tester/child>tester/grandchild"
    rows = await gateway.rows("requests")
    assert [row["status"] for row in rows] == [200, 200, 200, 422, 422, 422, 422, 200], "no SDK tries a 422 again"
    assert await reserved(gateway) == 0


async def test_at_once_no_more_than_the_limit_get_through(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, runs={"requests": 5})
    async with gateway.sdk() as client:
        done = await asyncio.gather(
            *(ask(client, f"child{number % 3}", "root") for number in range(20)), return_exceptions=True
        )
    assert sum(not isinstance(each, Exception) for each in done) == 5


async def test_parents_never_change(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, runs={"requests": 100})
    async with gateway.sdk() as client:
        await ask(client, "child", "root")
        await ask(client, "child")  # it need not be told again
        await refused(400, client, "child", "elsewhere")
        await refused(400, client, "root", "child")  # a circle would be another parent
        await ask(client, "root", "root")  # itself is none
        await refused(403, client, "x", "other/run")


async def test_a_run_is_required(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, require_run=True)
    async with gateway.sdk() as client:
        with pytest.raises(sdk.BadRequestError, match="x-farebox-run"):
            await ask(client)
        await ask(client, "r1")


async def test_the_money_of_a_run_is_a_402(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, runs={"cost_usd": "0.0001"}, clamp="off")
    async with gateway.sdk() as client:
        for _ in range(2):
            await ask(client, "child", "root")
        assert (await refused(402, client, "child", "root"))["scope"] == "run:tester/child"
        assert (await refused(402, client, "second", "root"))["scope"] == "run:tester/root"
        await ask(client, "another")


async def test_as_many_runs_as_may_be_open(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, require_run=True, changes={"runs": {"max_open": 2}})
    async with gateway.sdk(max_retries=0) as client:
        await asyncio.gather(*(ask(client, run) for run in ("r1", "r2")))
        for call in (ask(client, "r3"), ask(client, "r4", "r1")):
            with pytest.raises(sdk.InternalServerError, match="2 runs are open, as many as may be"):
                await call
        await ask(client, "r1")
        await gateway.app.services.governance.close("tester/r2", "done")
        await ask(client, "r4", "r1")


async def test_the_tokens_of_a_run(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, runs={"tokens": 700}, clamp="off", changes={"queue": {"wait_s": 0}})
    async with gateway.sdk() as client:
        done = await asyncio.gather(ask(client, "r1"), ask(client, "r1"), return_exceptions=True)
        (error,) = [each for each in done if isinstance(each, sdk.RateLimitError)]
        assert "tokens" in str(error)
        assert "USD" not in str(error)
        assert (await refused(422, client, "r1", max_tokens=900))["reason"] == "tokens"


async def test_a_run_that_spends_too_quickly_is_paused_and_resumed(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    velocity = {"usd": "0.0002", "per_s": 3600, "action": "block"}
    gateway = await start(simulator, start_gateway, velocity=velocity, clamp="off")
    governance = gateway.app.services.governance
    async with gateway.sdk() as client:
        assert (await refused(422, client, "r1", max_tokens=16_000))["reason"] == "velocity"
        reason = ""
        while reason != "velocity":
            try:
                await ask(client, "r1")
            except sdk.UnprocessableEntityError as error:
                reason = error.body["metadata"]["reason"]  # type: ignore[index]
        assert (await governance.run("tester/r1")).run.state == "paused"
        assert (await refused(422, client, "r1"))["reason"] == "paused"
        await ask(client, "r2")
        await governance.resume("tester/r1")
        assert (await refused(422, client, "r1"))["reason"] == "velocity", "it still has spent as much"


async def test_a_runs_key_puts_all_its_calls_into_the_run(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway)
    opened = await open_run(gateway, id="nightly", limits={"requests": 2})
    async with gateway.sdk(opened["key"]["key"]) as client:
        answer = await ask(client)
        assert answer.headers["x-farebox-run"] == "nightly"
        await ask(client, "part")  # a sub-run, which counts in it
        assert (await refused(422, client))["reason"] == "requests"
        await refused(403, client, "part", "elsewhere")
    rows = await gateway.eventually("requests", 4)
    assert [row["run"] for row in rows] == ["nightly", "part", "nightly", "part"]
    charges = await gateway.rows("charges")
    assert [row["run_path"] for row in charges] == ["tester/nightly", "tester/nightly>tester/part"]


async def test_a_carve_is_spent_by_its_run_alone_and_the_rest_given_back(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    budgets = {"all": {"scope": "agent:tester", "limit_usd": "0.01", "window": "day"}}
    gateway = await start(simulator, start_gateway, clamp="off", changes={"budgets": budgets, "queue": {"wait_s": 0}})
    governance = gateway.app.services.governance
    opened = await open_run(gateway, id="carver", carve_usd="0.009")
    (line,) = await governance.budgets("all")
    assert (line.posted, line.reserved) == (0, 9_000_000)
    async with gateway.sdk() as client:
        assert (await refused(429, client, max_tokens=3_000))["reason"] == "budget_reserved"
    async with gateway.sdk(opened["key"]["key"]) as client:
        await ask(client, max_tokens=3_000)
        charges = await gateway.eventually("charges", 1)
        cost = charges[0]["cost_nano_usd"]
        (line,) = await governance.budgets("all")
        assert (line.posted, line.posted + line.reserved) == (cost, 9_000_000)
        assert (await refused(402, client, max_tokens=16_000))["scope"] == "run:tester/carver"
        assert (await governance.close("tester/carver", "done")).given_back == 9_000_000 - cost
        assert (await refused(422, client))["reason"] == "closed"
    (line,) = await governance.budgets("all")
    assert (line.posted, line.reserved) == (cost, 0)
    assert (await governance.verify()).differences == ()


async def test_a_run_that_is_a_label_limits_nothing_and_is_on_the_charge(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    budgets = {"all": {"scope": "global", "limit_usd": "1", "window": "day"}}
    gateway = await start(simulator, start_gateway, changes={"budgets": budgets})
    async with gateway.sdk() as client:
        await ask(client, "r1")
    async with gateway.sdk(OTHER_KEY) as client:
        await ask(client, "r1")
    charges = await gateway.eventually("charges", 2)
    assert [charge["run_path"] for charge in charges] == ["tester/r1", "other/r1"]
