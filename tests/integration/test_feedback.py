"""Feedback from end to end: said by a client, kept in the journal, learned from, and there after a restart."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import App
from gateway.config.loader import load
from gateway.learned.quality import WEIGHTS
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, TESTER_KEY, GatewayUnderTest

MESSAGES = [{"role": "user", "content": "Tell me about tides."}]
POLICY = {"name": "main", "tiers": {"cheap": ["sim-small"], "best": ["sim-large"]}, "default": "cheap"}
AGENTS = {"tester": {"team": "quality"}, "other": {"team": "others"}}


@pytest.fixture
async def gateway(simulator: SimulatorServer, start_gateway: StartGateway, tmp_path: Path) -> GatewayUnderTest:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "main.yaml").write_text(json.dumps(POLICY))
    written = {"policies": str(tmp_path / "policies"), "policy": "main", "agents": AGENTS}
    return await start_gateway(f"{simulator.url}/v1", **written)


async def ask(gateway: GatewayUnderTest, **options: Any) -> str:
    """The request's id."""
    async with gateway.sdk() as client:
        asked = {"model": "auto", "messages": MESSAGES, "max_tokens": 20, **options}
        answer = await client.chat.completions.with_raw_response.create(**asked)
        return str(answer.headers["x-request-id"])


async def say(gateway: GatewayUnderTest, key: str = TESTER_KEY, **body: Any) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        headers = {"authorization": f"Bearer {key}"}
        return await client.post(f"{gateway.url}/v1/feedback", json=body, headers=headers)


async def test_the_latest_word_counts(gateway: GatewayUnderTest) -> None:
    request_id = await ask(gateway)
    first = await say(gateway, request_id=request_id, score=0.25, comment="meh")
    assert first.status_code == 200
    assert first.json() == {
        "object": "feedback",
        "request_id": request_id,
        "agent": "tester",
        "model": "sim-small",
        "score": 0.25,
        "comment": "meh",
    }
    for _ in range(2):
        assert (await say(gateway, request_id=request_id, score=1)).status_code == 200
    (row,) = await gateway.rows("feedback")
    assert (row["request_id"], row["agent"], row["model"], row["score"]) == (request_id, "tester", "sim-small", 1.0)


async def test_only_the_requests_own_agent_is_heard(gateway: GatewayUnderTest) -> None:
    request_id = await ask(gateway)
    refused = await say(gateway, OTHER_KEY, request_id=request_id, score=1)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "not_found")
    assert (await say(gateway, request_id="req_unknown", score=1)).status_code == 404
    assert (await say(gateway, "fb-nobody", request_id=request_id, score=1)).status_code == 401
    wrong = await say(gateway, request_id=request_id, score=2)
    assert (wrong.status_code, wrong.json()["error"]["param"]) == (400, "score")
    async with httpx.AsyncClient() as client:
        looked = await client.get(f"{gateway.url}/v1/feedback", headers={"authorization": f"Bearer {TESTER_KEY}"})
    assert looked.status_code == 405
    assert await gateway.rows("feedback") == []


async def test_what_was_learned_outlives_the_process(gateway: GatewayUnderTest) -> None:
    for score in (0.0, 1.0, 1.0):
        assert (await say(gateway, request_id=await ask(gateway), score=score)).status_code == 200
    await gateway.stop()
    again = await App.start(load(gateway.file), host="127.0.0.1", port=0)
    try:
        record = again.quality.record("tester", "sim-small")
        assert record is not None
        assert (record.count, record.scores) == (3, 2)
    finally:
        await again.stop()


async def test_weak_labels_are_learned(gateway: GatewayUnderTest) -> None:
    await ask(gateway, response_format={"type": "json_object"}, max_tokens=2_000)
    formed = gateway.app.quality.outcomes("tester", "sim-small")
    assert formed == WEIGHTS["form"]
    again = {"extra_headers": {"x-farebox-run": "r"}}
    await ask(gateway, **again)
    assert gateway.app.quality.outcomes("tester", "sim-small") == formed
    await ask(gateway, **again)
    record = gateway.app.quality.record("tester", "sim-small")
    assert record is not None
    assert record.count == pytest.approx(formed + WEIGHTS["retry"])
    assert record.scores == formed  # what had to be asked again was of no use
