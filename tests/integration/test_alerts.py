"""A gateway that tells people: budgets and loops of real requests, posted to a real server."""

from __future__ import annotations

import json

import httpx
import pytest

from gateway.simulator.server import SimulatorServer
from tests.gateway.alerting.receiver import receiving
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY
from tests.integration.test_budgets import MESSAGES
from tests.integration.test_loops import LOOP, history


async def test_budgets_and_loops_reach_the_receiver(
    simulator: SimulatorServer, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving([502, 502]) as receiver:
        monkeypatch.setenv("HOOK", receiver.url)
        monkeypatch.setattr("gateway.alerting.delivery.FIRST_WAIT_S", 0.0)
        gateway = await start_gateway(
            f"{simulator.url}/v1",
            alerts={
                "sinks": {"ops": {"type": "webhook", "url": "${HOOK}"}},
                "links": {"run": "https://grafana.example/d/runs?var-run={run}"},
            },
            budgets={
                "month": {"scope": "agent:tester", "limit_usd": "1", "window": "month", "alert_at": [0.000001]},
            },
        )
        async with httpx.AsyncClient(base_url=gateway.url) as client:
            headers = {"authorization": f"Bearer {TESTER_KEY}", "x-farebox-run": "r1"}
            for messages in (MESSAGES, history(*LOOP), history(*LOOP)):
                body = {"model": "sim-small", "messages": messages, "max_tokens": 50}
                assert (await client.post("/v1/chat/completions", json=body, headers=headers)).status_code == 200
            await receiver.wait_for(4)
            scraped = (await client.get("/metrics")).text
        await gateway.stop()
    told = {each.body["kind"]: each.body for each in receiver.posted}
    assert set(told) == {"budget", "loop"}
    assert (told["budget"]["agent"], told["budget"]["budget"]) == ("tester", "month")
    assert told["loop"]["run"] == "tester/r1"
    assert told["loop"]["links"] == {"run": "https://grafana.example/d/runs?var-run=tester%2Fr1"}
    assert len({json.dumps(each.body) for each in receiver.posted}) == 2, "tries are the same to the letter"
    assert 'farebox_alerts_total{sink="ops",kind="' in scraped
    assert "s3cret" not in scraped
