"""Runs that were opened on purpose hold whoever names them, with the run's key or the agent's."""

from __future__ import annotations

import httpx
import openai as sdk
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY
from tests.integration.test_budgets import MESSAGES, sections


async def test_its_limits_hold_for_the_agents_key_too(simulator: SimulatorServer, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", **sections("1"))
    async with httpx.AsyncClient(headers={"authorization": f"Bearer {TESTER_KEY}"}) as http, gateway.sdk() as client:
        named = {"x-farebox-run": "nightly"}
        await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=named)
        opened = await http.post(f"{gateway.url}/v1/runs", json={"id": "nightly", "limits": {"requests": 1}})
        assert opened.status_code == 201
        await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=named)
        with pytest.raises(sdk.UnprocessableEntityError) as refused:
            await client.chat.completions.create(model="sim-small", messages=MESSAGES, extra_headers=named)
    assert refused.value.body["code"] == "run_limit_exceeded"  # type: ignore[index]
    assert refused.value.body["metadata"]["reason"] == "requests"  # type: ignore[index]
