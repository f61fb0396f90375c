"""Prompts and answers are stored when `record_content` says so, and nowhere otherwise."""

from __future__ import annotations

import httpx
import pytest

from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest

PROMPT = "How do I fold a paper boat out of this exact sentence?"
HEADERS = {"authorization": f"Bearer {TESTER_KEY}"}


async def ask(gateway: GatewayUnderTest, *, stream: bool = False, model: str = "sim-small") -> httpx.Response:
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
    async with httpx.AsyncClient(timeout=30) as client:
        return await client.post(f"{gateway.url}/v1/chat/completions", json=body, headers=HEADERS)


def files_of(gateway: GatewayUnderTest) -> bytes:
    """All that the gateway has on disk, but for its configuration."""
    return b"".join(file.read_bytes() for file in (gateway.file.parent / "state").rglob("*") if file.is_file())


@pytest.mark.parametrize("stream", [False, True])
async def test_nothing_is_stored_by_default(
    simulator: SimulatorServer, start_gateway: StartGateway, stream: bool
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1")
    answer = await ask(gateway, stream=stream)
    assert answer.status_code == 200
    assert await gateway.rows("contents") == []
    assert len(await gateway.rows("requests")) == 1
    stored = files_of(gateway)
    assert answer.headers["x-request-id"].encode() in stored
    assert b"paper boat" not in stored


@pytest.mark.parametrize("stream", [False, True])
async def test_both_bodies_are_stored_when_they_are_asked_for(
    simulator: SimulatorServer, start_gateway: StartGateway, stream: bool
) -> None:
    gateway = await _recording(simulator, start_gateway)
    answer = await ask(gateway, stream=stream)
    [content] = await gateway.rows("contents")
    assert content["request_id"] == answer.headers["x-request-id"]
    assert content["request_body"] == answer.request.content
    assert content["answer_body"] == answer.content


async def test_a_refused_call_is_stored_with_what_was_asked(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    gateway = await _recording(simulator, start_gateway)
    answer = await ask(gateway, model="sim-smal")
    assert answer.status_code == 404
    [content] = await gateway.rows("contents")
    assert content["request_body"] == answer.request.content
    assert await gateway.rows("charges") == []


async def _recording(simulator: SimulatorServer, start_gateway: StartGateway) -> GatewayUnderTest:
    gateway = await start_gateway(f"{simulator.url}/v1", storage={"dir": "state", "record_content": True})
    assert (gateway.file.parent / "state").is_dir()
    return gateway
