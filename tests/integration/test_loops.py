"""Agents that go round in circles, from the SDK: told, stopped, and let go on."""

from __future__ import annotations

from typing import Any

import openai as sdk
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.test_budgets import MESSAGES

RUN = {"x-farebox-run": "r1"}


def history(*calls: str) -> Any:
    """A conversation in which the tool was called with these arguments, always with the same result."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Find it."}]
    for number, query in enumerate(calls):
        function = {"name": "search", "arguments": f'{{"q": "{query}"}}'}
        call = {"id": f"call_{number}", "type": "function", "function": function}
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})
        messages.append({"role": "tool", "tool_call_id": f"call_{number}", "content": "nothing found"})
    return messages


LOOP = ("a", "a", "a")


async def start(simulator: SimulatorServer, start_gateway: StartGateway, **loops: Any) -> GatewayUnderTest:
    agents = {"tester": {"team": "quality", "loops": loops}, "other": {"team": "others"}}
    return await start_gateway(f"{simulator.url}/v1", agents=agents)


async def ask(client: sdk.AsyncOpenAI, messages: Any, **options: Any) -> Any:
    options = {"extra_headers": RUN, **options}
    return await client.chat.completions.with_raw_response.create(model="sim-small", messages=messages, **options)


@pytest.mark.parametrize(("action", "told"), [("off", None), ("observe", None), ("warn", "repeated_call")])
async def test_what_the_client_is_told(
    simulator: SimulatorServer, start_gateway: StartGateway, action: str, told: str | None
) -> None:
    gateway = await start(simulator, start_gateway, action=action)
    async with gateway.sdk() as client:
        assert (await ask(client, history(*LOOP))).headers.get("x-farebox-loop") == told
        assert "x-farebox-loop" not in (await ask(client, history("a", "b", "c"))).headers
    purposes = [charge["purpose"] for charge in await gateway.rows("charges")]
    assert purposes == ["useful" if action == "off" else "loop", "useful"]


async def test_a_blocked_run_is_paused_until_it_is_resumed(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, action="block")
    governance = gateway.app.services.governance
    async with gateway.sdk(max_retries=2) as client:
        await ask(client, history("a", "b"))
        with pytest.raises(sdk.UnprocessableEntityError) as stopped:
            await ask(client, history(*LOOP))
        assert stopped.value.code == "loop_detected"
        assert stopped.value.body["metadata"]["scope"] == "run:tester/r1"  # type: ignore[index]
        with pytest.raises(sdk.UnprocessableEntityError) as paused:
            await ask(client, history("b"))
        assert paused.value.body["metadata"]["reason"] == "paused"  # type: ignore[index]
        await ask(client, history("a"), extra_headers={"x-farebox-run": "r2"})  # the run, not the key
        await governance.resume("tester/r1")
        await ask(client, history(*LOOP))  # what came before is forgiven
        with pytest.raises(sdk.UnprocessableEntityError):
            await ask(client, history(*LOOP, *LOOP))
    rows = await gateway.eventually("requests", 6)
    codes = [row["error_code"] for row in rows if row["status"] == 422]
    assert codes == ["loop_detected", "run_limit_exceeded", "loop_detected"]
    assert all(row["outcome"] == "refused" for row in rows if row["status"] == 422)


async def test_without_a_run_only_the_request_is_refused(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, action="block")
    async with gateway.sdk() as client:
        with pytest.raises(sdk.UnprocessableEntityError) as stopped:
            await ask(client, history(*LOOP), extra_headers=None)
        assert stopped.value.body["metadata"]["scope"] == "agent:tester"  # type: ignore[index]
        await ask(client, history("a"), extra_headers=None)


async def test_the_same_prompt_again_and_again(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start(simulator, start_gateway, action="block")
    async with gateway.sdk() as client:
        for _ in range(2):
            await ask(client, MESSAGES)
        for _ in range(3):  # the SDK's own retries
            await ask(client, MESSAGES, extra_headers={**RUN, "x-stainless-retry-count": "1"})
        with pytest.raises(sdk.UnprocessableEntityError) as stopped:
            await ask(client, MESSAGES)
    assert stopped.value.body["metadata"]["reason"] == "repeated_prompt"  # type: ignore[index]


async def test_a_prompt_that_was_never_answered_is_no_loop(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await start(simulator, start_gateway, action="block")
    async with gateway.sdk() as client:
        for _ in range(4):
            with pytest.raises(sdk.InternalServerError):
                await ask(client, MESSAGES, extra_headers={**RUN, "x-sim-fault": "500"})
        await ask(client, MESSAGES)
