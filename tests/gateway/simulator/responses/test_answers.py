"""What /v1/responses answers, as the SDK reads it, and that a stream builds up the same."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.helpers import post

PATH = "/v1/responses"
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    "strict": False,
}
RUN: dict[str, Any] = {"type": "custom", "name": "run"}
HOSTED: list[Any] = [
    {"type": "web_search"},
    {"type": "file_search", "vector_store_ids": ["vs_1"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
]
NONCES = range(8)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def ask(**fields: Any) -> dict[str, Any]:
    return {"model": "sim-small", "input": "Why is the sky blue at noon?", **fields}


def only(sim: SimulatorServer) -> Record:
    (record,) = sim.bill.records
    return record


async def test_a_plain_answer_and_its_bill(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    found = await client.responses.create(
        model="sim-small", input="Why?", instructions="Be brief.", metadata={"a": "b"}
    )
    assert found.output_text
    assert (found.status, found.instructions, found.metadata) == ("completed", "Be brief.", {"a": "b"})
    record = only(sim)
    assert (record.endpoint, record.response_id, record.usage_delivered) == ("responses", found.id, True)
    assert found.usage is not None
    assert (record.prompt_tokens, record.completion_tokens) == (found.usage.input_tokens, found.usage.output_tokens)


@pytest.mark.parametrize("nonce", NONCES)
@pytest.mark.parametrize("model", ["sim-small", "sim-reasoner"])
async def test_a_stream_builds_up_what_is_answered_plainly(sim: SimulatorServer, model: str, nonce: int) -> None:
    body = ask(
        model=model,
        tools=[WEATHER, RUN, *HOSTED],
        reasoning={"summary": "auto"},
        include=["reasoning.encrypted_content", "web_search_call.action.sources", "code_interpreter_call.outputs"],
    )
    plain = (await post(sim, body, path=PATH, x_sim_nonce=str(nonce))).json()
    streamed = (await post(sim, {**body, "stream": True}, path=PATH, x_sim_nonce=str(nonce))).named()
    assert [data["sequence_number"] for _, data in streamed] == list(range(len(streamed)))
    assert all(name == data["type"] for name, data in streamed)
    final = streamed[-1][1]["response"]
    assert [alike(item) for item in final["output"]] == [alike(item) for item in plain["output"]]
    assert final["usage"] == plain["usage"]
    for _, data in streamed:
        EVENT.validate_python(data)
    Response.model_validate(plain)
    assert_built_up(streamed, final)
    first, second = sim.bill.records
    assert first.cost_nano_usd == second.cost_nano_usd
    assert first.fee_nano_usd == second.fee_nano_usd > 0


def alike(item: Any) -> Any:
    """An item without what differs between two answers to the same request."""
    if isinstance(item, list):
        return [alike(part) for part in item]
    if isinstance(item, dict):
        return {
            name: alike(value)
            for name, value in item.items()
            if name not in {"id", "container_id", "url", "encrypted_content"}
        }
    return item


def assert_built_up(streamed: list[tuple[str, dict[str, Any]]], final: dict[str, Any]) -> None:
    """Items are added, grow and are done, one after the other; deltas add up to what they are done with."""
    deltas: dict[tuple[str, str], str] = {}
    done = []
    for name, data in streamed[2:-1]:
        assert data["output_index"] == len(done)
        if name == "response.output_item.done":
            done.append(data["item"])
        elif name.endswith(".delta"):
            key = data["item_id"], name.removesuffix(".delta")
            deltas[key] = deltas.get(key, "") + data["delta"]
        elif (data.get("item_id", ""), name.removesuffix(".done")) in deltas:
            whole = next(data[field] for field in ("text", "arguments", "input", "code") if field in data)
            assert deltas[data["item_id"], name.removesuffix(".done")] == whole
    assert done == final["output"]


async def test_reasoning_is_an_item_and_billed_as_output(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    found = await client.responses.create(
        model="sim-reasoner", input="Why?", reasoning={"effort": "low", "summary": "auto"}, store=False,
        include=["reasoning.encrypted_content"],
    )  # fmt: skip
    thought = found.output[0]
    assert thought.type == "reasoning"
    assert thought.summary[0].text
    assert thought.encrypted_content
    assert found.usage is not None
    assert only(sim).reasoning_tokens == found.usage.output_tokens_details.reasoning_tokens > 0


async def test_without_a_wish_reasoning_says_nothing(client: openai.AsyncOpenAI) -> None:
    found = await client.responses.create(model="sim-reasoner", input="Why?")
    assert found.output[0].to_dict() == {"id": found.output[0].id, "type": "reasoning", "summary": []}


@pytest.mark.parametrize("model", ["sim-small", "sim-reasoner"])
@pytest.mark.parametrize("nonce", NONCES)
async def test_an_agent_with_a_tool_comes_to_an_end(client: openai.AsyncOpenAI, model: str, nonce: int) -> None:
    items: list[Any] = [{"role": "user", "content": "What is the weather in Rome?"}]
    called = 0
    for _ in range(12):
        found = await client.responses.create(
            model=model, input=items, tools=[WEATHER], store=False, include=["reasoning.encrypted_content"],
            extra_headers={"x-sim-nonce": str(nonce)},
        )  # fmt: skip
        items += [item.to_dict() for item in found.output]
        calls = [item for item in found.output if item.type == "function_call"]
        called += len(calls)
        items += [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
        if not calls:
            break
    assert found.output_text


async def test_tools_that_run_here_cost_a_fee_each(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    found = await client.responses.create(model="sim-small", input="Why?", tools=HOSTED)
    counts = {
        name: sum(item.type == f"{name}_call" for item in found.output)
        for name in ("web_search", "file_search", "code_interpreter")
    }
    record = only(sim)
    assert record.services == counts
    assert all(1 <= count <= 2 for count in counts.values())
    assert record.fee_nano_usd == (
        counts["web_search"] * 10_000_000 + counts["file_search"] * 2_500_000 + counts["code_interpreter"] * 30_000_000
    )
    assert record.cost_nano_usd == (record.fee_nano_usd + record.prompt_tokens * 150 + record.completion_tokens * 600)


@pytest.mark.parametrize("most", [0, 1, 3])
async def test_calls_here_are_bounded(client: openai.AsyncOpenAI, sim: SimulatorServer, most: int) -> None:
    await client.responses.create(model="sim-small", input="Why?", tools=HOSTED, max_tool_calls=most)
    assert sum(only(sim).services.values()) == most


async def test_a_named_tool_is_called(client: openai.AsyncOpenAI) -> None:
    tools = [WEATHER, RUN, *HOSTED]
    for choice, kind in (
        ({"type": "function", "name": "get_weather"}, "function_call"),
        ({"type": "custom", "name": "run"}, "custom_tool_call"),
    ):
        found = await client.responses.create(model="sim-small", input="Why?", tools=tools, tool_choice=choice)
        assert {item.type for item in found.output} == {kind}
    searched = await client.responses.create(
        model="sim-small", input="Why?", tools=tools, tool_choice={"type": "file_search"}
    )
    assert {item.type for item in searched.output} == {"file_search_call", "message"}
    silent = await client.responses.create(model="sim-small", input="Why?", tools=tools, tool_choice="none")
    assert {item.type for item in silent.output} == {"message"}


async def test_a_bound_leaves_the_response_incomplete(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    found = await client.responses.create(model="sim-large", input="Why?", max_output_tokens=16)
    assert found.status == "incomplete"
    assert found.incomplete_details is not None
    assert found.incomplete_details.reason == "max_output_tokens"
    assert found.output[-1].status == "incomplete"
    assert only(sim).completion_tokens == 16
    streamed = (await post(sim, ask(model="sim-large", max_output_tokens=16, stream=True), path=PATH)).named()
    assert streamed[-1][0] == "response.incomplete"


async def test_json_fits_its_schema(client: openai.AsyncOpenAI) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["blue"]}}, "required": ["colour"]}
    found = await client.responses.create(
        model="sim-small", input="Which?", text={"format": {"type": "json_schema", "name": "answer", "schema": schema}}
    )
    assert json.loads(found.output_text) == {"colour": "blue"}
    assert found.text is not None
    assert found.text.format is not None
    assert found.text.format.type == "json_schema"


async def test_the_service_tier_is_echoed(client: openai.AsyncOpenAI) -> None:
    found = [
        await client.responses.create(model="sim-small", input="Why?", service_tier=tier) for tier in ("auto", "flex")
    ]
    assert [each.service_tier for each in found] == ["default", "flex"]


async def test_a_long_prompt_is_cached(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    for _ in range(2):
        found = await client.responses.create(model="sim-small", input="word " * 2_000)
    assert found.usage is not None
    assert found.usage.input_tokens_details.cached_tokens == sim.bill.records[1].cached_tokens >= 1_024


async def test_too_long(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model="sim-small", input="word " * 130_000)
    assert caught.value.code == "context_length_exceeded"
