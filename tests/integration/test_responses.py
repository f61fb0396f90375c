"""Responses that go on from earlier ones, at any model: remembered by the provider, or by us."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from openai import AsyncOpenAI, NotFoundError

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, GatewayUnderTest
from tests.integration.test_tongues import Speaker, start
from tests.integration.upstream import Exchange, Upstream


@pytest.fixture(params=[True, False], ids=["native", "translated"])
async def gateway(
    request: pytest.FixtureRequest, simulator: SimulatorServer, start_gateway: StartGateway
) -> GatewayUnderTest:
    return await start(Speaker("responses", request.param), simulator, start_gateway)


@pytest.fixture
async def openai(gateway: GatewayUnderTest) -> AsyncIterator[AsyncOpenAI]:
    async with gateway.sdk() as client:
        yield client


async def test_a_chain_goes_on(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    first = await openai.responses.create(model="sim-small", input="My name is Ann.", max_output_tokens=60)
    second = await openai.responses.create(
        model="sim-small", input="What is my name?", previous_response_id=first.id, max_output_tokens=60
    )
    assert second.previous_response_id == first.id
    assert first.usage is not None
    assert second.usage is not None
    assert second.usage.input_tokens > first.usage.input_tokens + first.usage.output_tokens
    one, two = await gateway.rows("charges")
    assert [one["cost_nano_usd"], two["cost_nano_usd"]] == [record.cost_nano_usd for record in bill()]
    again = await openai.responses.retrieve(second.id)
    assert again.output_text == second.output_text
    listed = await openai.responses.input_items.list(second.id)
    assert "What is my name?" in json.dumps([item.model_dump() for item in listed.data])


async def test_a_stream_is_kept_too(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    text, name = "", ""
    stream = await openai.responses.create(model="sim-small", input="Tell me of boats.", stream=True)
    async for event in stream:
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type == "response.completed":
            name = event.response.id
    assert text
    assert (await openai.responses.retrieve(name)).output_text == text


async def test_nobody_elses_response_is_found(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    mine = await openai.responses.create(model="sim-small", input="Hello.", max_output_tokens=30)
    async with gateway.sdk(OTHER_KEY) as other:
        with pytest.raises(NotFoundError):
            await other.responses.retrieve(mine.id)
        with pytest.raises(NotFoundError) as refused:
            await other.responses.create(model="sim-small", input="And?", previous_response_id=mine.id)
        with pytest.raises(NotFoundError):
            await other.responses.delete(mine.id)
    assert refused.value.body["param"] == "previous_response_id"  # type: ignore[index]
    await openai.responses.delete(mine.id)
    with pytest.raises(NotFoundError):
        await openai.responses.retrieve(mine.id)


async def test_what_is_not_stored_is_not_found(openai: AsyncOpenAI) -> None:
    answer = await openai.responses.create(model="sim-small", input="Hello.", store=False, max_output_tokens=30)
    with pytest.raises(NotFoundError):
        await openai.responses.retrieve(answer.id)


async def test_a_conversation_goes_on_at_any_model(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    talk = await openai.conversations.create()
    first = await openai.responses.create(model="sim-small", input="My name is Ann.", conversation=talk.id)
    second = await openai.responses.create(model="sim-large", input="What is my name?", conversation=talk.id)
    assert second.usage is not None
    items = await openai.conversations.items.list(talk.id, order="asc")
    said = [part.text for item in items.data for part in item.content]  # type: ignore[union-attr]
    assert said == ["My name is Ann.", first.output_text, "What is my name?", second.output_text]


async def test_one_in_the_background_is_made_and_charged(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    asked = await openai.responses.create(model="sim-small", input="Take your time.", background=True)
    assert asked.status == "queued"
    [charge] = await gateway.eventually("charges", 1)
    while (found := await openai.responses.retrieve(asked.id)).status in {"queued", "in_progress"}:
        pass
    assert found.status == "completed"
    assert found.output_text
    [record] = bill()
    assert charge["cost_nano_usd"] == record.cost_nano_usd


async def test_a_fallback_is_told_what_its_predecessor_remembers(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Callable[[], list[Record]]
) -> None:
    """The provider that holds the response fails: the next one gets the whole conversation in its own words."""
    answered = 0

    async def script(exchange: Exchange) -> None:
        nonlocal answered
        answered += 1
        if answered > 1:
            await exchange.raw(b"HTTP/1.1 500 X\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")
            return
        await exchange.whole(json.dumps(RESPONSE).encode())

    price = {"input": "1", "output": "2"}
    async with Upstream(script) as upstream:
        gateway = await start_gateway(
            f"{simulator.url}/v1",
            providers={
                "holder": {"base_url": upstream.base_url, "natives": ["responses"]},
                "sim": {"base_url": f"{simulator.url}/v1"},
            },
            models={
                "pair": {
                    "deployments": [
                        {"provider": "holder", "model": "sim-small", "price": price},
                        {"provider": "sim", "model": "sim-small", "price": price},
                    ]
                }
            },
        )
        async with gateway.sdk() as client:
            first = await client.responses.create(model="pair", input="My name is Ann.")
            second = await client.responses.create(
                model="pair", input="What is my name?", previous_response_id=first.id, max_output_tokens=50
            )
    assert first.id == "resp_held"
    assert second.previous_response_id == first.id
    [record] = bill()
    assert record.endpoint == "chat"
    assert record.prompt_tokens > 12, "the history was told"
    charges = await gateway.rows("charges")
    assert [charge["purpose"] for charge in charges] == ["useful", "failed", "fallback"]


RESPONSE: dict[str, Any] = {
    "id": "resp_held",
    "object": "response",
    "created_at": 1,
    "status": "completed",
    "model": "sim-small",
    "output": [
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Hello Ann.", "annotations": []}],
        }
    ],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
    "usage": {
        "input_tokens": 10,
        "output_tokens": 4,
        "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    },
}


async def test_a_provider_that_has_forgotten_is_told(start_gateway: StartGateway) -> None:
    """Its time may be over there, or nothing be kept in that account: here it still is."""
    said: list[dict[str, Any]] = []

    async def script(exchange: Exchange) -> None:
        said.append(json.loads(exchange.request.body))
        if "previous_response_id" not in said[-1]:
            await exchange.whole(json.dumps(RESPONSE).encode())
            return
        error = json.dumps({"error": {"message": "Not found.", "code": "previous_response_not_found"}}).encode()
        head = b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        await exchange.raw(head % len(error) + error)

    async with Upstream(script) as upstream:
        holder = {"base_url": upstream.base_url, "natives": ["responses"]}
        gateway = await start_gateway(upstream.base_url, providers={"sim": holder})
        async with gateway.sdk() as client:
            first = await client.responses.create(model="sim-small", input="My name is Ann.")
            second = await client.responses.create(
                model="sim-small", input="What is my name?", previous_response_id=first.id
            )
    assert second.status == "completed"
    assert ["previous_response_id" in each for each in said] == [False, True, False]
    assert [item["role"] for item in said[-1]["input"]] == ["user", "assistant", "user"]
    charges = await gateway.rows("charges")
    assert [charge["outcome"] for charge in charges] == ["ok", "error", "ok"]
