"""What /v1/messages answers, and that a stream builds up the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest
from pydantic import TypeAdapter

from gateway.simulator.bill import Counts, cost_nano_usd
from gateway.simulator.models import MODELS
from gateway.simulator.server import SimulatorServer
from tests.gateway.simulator.messages.helpers import SEARCH, THINKING, USER, WEATHER, ask, only, send

NONCES = range(8)
EVENT: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)


@pytest.fixture
async def claude(sim: SimulatorServer) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(api_key="k", base_url=sim.url, max_retries=0) as made:
        yield made


async def test_a_plain_answer_and_its_bill(claude: anthropic.AsyncAnthropic, sim: SimulatorServer) -> None:
    found = await claude.messages.create(model="sim-claude", max_tokens=500, messages=[USER], system="Be brief.")
    (block,) = found.content
    assert block.type == "text"
    assert block.text
    assert found.stop_reason == "end_turn"
    record = only(sim)
    assert (record.endpoint, record.response_id, record.usage_delivered) == ("messages", found.id, True)
    assert (record.prompt_tokens, record.completion_tokens) == (found.usage.input_tokens, found.usage.output_tokens)
    assert record.cost_nano_usd == record.prompt_tokens * 3_000 + record.completion_tokens * 15_000


@pytest.mark.parametrize("nonce", NONCES)
@pytest.mark.parametrize("thinking", [{"type": "disabled"}, THINKING, {"type": "adaptive", "display": "omitted"}])
async def test_a_stream_builds_up_what_is_answered_plainly(
    sim: SimulatorServer, thinking: dict[str, Any], nonce: int
) -> None:
    body = ask(tools=[WEATHER, SEARCH], thinking=thinking)
    plain = (await send(sim, body, x_sim_nonce=str(nonce))).json()
    answer = await send(sim, {**body, "stream": True}, path="/v1/messages?beta=true", x_sim_nonce=str(nonce))
    streamed = answer.named()
    for name, data in streamed:
        assert name == data["type"]
        if name != "ping":
            EVENT.validate_python(data)
    anthropic.types.Message.model_validate(plain)
    built = built_up(streamed)
    assert alike(built["content"]) == alike(plain["content"])
    assert (built["stop_reason"], built["stop_sequence"]) == (plain["stop_reason"], plain["stop_sequence"])
    assert {name: plain["usage"][name] for name in built["usage"]} == built["usage"]
    first, second = sim.bill.records
    assert first.cost_nano_usd == second.cost_nano_usd
    assert bool(first.reasoning_tokens) == (thinking["type"] != "disabled")


def built_up(streamed: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """The message that the events of a stream make."""
    assert [name for name, _ in streamed].count("ping") == 1
    events = [data for name, data in streamed if name != "ping"]
    message: dict[str, Any] = events[0]["message"]
    assert [event["type"] for event in events[-2:]] == ["message_delta", "message_stop"]
    pieces: list[str] = []
    for event in events[1:-2]:
        assert event["index"] == len(message["content"]) - (event["type"] != "content_block_start")
        if event["type"] == "content_block_start":
            message["content"].append(dict(event["content_block"]))
            pieces = []
            continue
        block = message["content"][-1]
        delta = event.get("delta", {"type": "end"})
        if delta["type"] == "input_json_delta":
            pieces.append(delta["partial_json"])
        elif delta["type"] in {"text_delta", "thinking_delta", "signature_delta"}:
            field = delta["type"].removesuffix("_delta")
            block[field] += delta[field]
        elif pieces:
            block["input"] = json.loads("".join(pieces))
    return {**message, **events[-2]["delta"], "usage": events[-2]["usage"]}


def alike(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Blocks without what differs between two answers to the same request."""
    kept = []
    for block in blocks:
        differing = {"signature"} | ({"id"} if block["type"] == "server_tool_use" else set())
        differing |= {"tool_use_id", "content"} if block["type"] == "web_search_tool_result" else set()
        kept.append({name: value for name, value in block.items() if name not in differing})
    return kept


@pytest.mark.parametrize("thinking", [{"type": "disabled"}, THINKING, {"type": "adaptive", "display": "omitted"}])
@pytest.mark.parametrize("nonce", NONCES)
async def test_an_agent_with_a_tool_comes_to_an_end(
    claude: anthropic.AsyncAnthropic, thinking: Any, nonce: int
) -> None:
    messages: list[Any] = [USER]
    for _ in range(12):
        found = await claude.messages.create(
            model="sim-claude", max_tokens=3_000, messages=messages, tools=[WEATHER], thinking=thinking,
            extra_headers={"x-sim-nonce": str(nonce)},
        )  # fmt: skip
        messages.append({"role": "assistant", "content": [block.to_dict() for block in found.content]})
        calls = [block for block in found.content if block.type == "tool_use"]
        if not calls:
            break
        results = [{"type": "tool_result", "tool_use_id": call.id, "content": "sunny"} for call in calls]
        messages.append({"role": "user", "content": [*results, {"type": "text", "text": "Go on."}]})
    assert found.stop_reason == "end_turn"


async def test_searches_cost_a_fee_each(claude: anthropic.AsyncAnthropic, sim: SimulatorServer) -> None:
    found = await claude.messages.create(
        model="sim-claude", max_tokens=500, messages=[USER], tools=[{**SEARCH, "max_uses": 1}]
    )  # fmt: skip
    assert [block.type for block in found.content] == ["server_tool_use", "web_search_tool_result", "text"]
    assert found.usage.server_tool_use is not None
    assert found.usage.server_tool_use.web_search_requests == 1
    record = only(sim)
    assert (record.services, record.fee_nano_usd) == ({"web_search": 1}, 10_000_000)
    counts = Counts(record.prompt_tokens, 0, record.completion_tokens, 0)
    assert record.cost_nano_usd == cost_nano_usd(MODELS["sim-claude"], counts) + 10_000_000


async def test_the_reasons_to_stop(sim: SimulatorServer) -> None:
    cut = (await send(sim, ask(max_tokens=3))).json()
    assert (cut["stop_reason"], cut["usage"]["output_tokens"]) == ("max_tokens", 3)
    stopped = (await send(sim, ask(stop_sequences=["zebra", "the"]))).json()
    assert (stopped["stop_reason"], stopped["stop_sequence"]) == ("stop_sequence", "the")
    assert "the" not in stopped["content"][0]["text"]
    called = (await send(sim, ask(tools=[WEATHER], tool_choice={"type": "any"}))).json()
    assert called["stop_reason"] == "tool_use"
    half = (
        await send(sim, ask(tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}, max_tokens=8))
    ).json()
    assert (half["stop_reason"], half["content"][-1]["input"]) == ("max_tokens", {})


async def test_one_call_at_a_time_where_it_is_asked_for(sim: SimulatorServer) -> None:
    calls = []
    for parallel in (True, False):
        choice = {"type": "any", "disable_parallel_tool_use": not parallel}
        answers = [
            (await send(sim, ask(tools=[WEATHER], tool_choice=choice), x_sim_nonce=str(nonce))).json()
            for nonce in range(12)
        ]
        calls.append(max(sum(block["type"] == "tool_use" for block in answer["content"]) for answer in answers))
    assert calls == [2, 1]


async def test_json_fits_its_schema(sim: SimulatorServer) -> None:
    schema = {"type": "object", "properties": {"colour": {"enum": ["blue"]}}, "required": ["colour"]}
    answer = await send(sim, ask(output_config={"format": {"type": "json_schema", "schema": schema}}))
    assert json.loads(answer.json()["content"][0]["text"]) == {"colour": "blue"}


async def test_counting_costs_nothing_and_counts_what_is_billed(sim: SimulatorServer) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    body = ask(system="Be brief.", tools=[WEATHER])
    body["messages"] = [{"role": "user", "content": [image, {"type": "text", "text": "What is it?"}]}]
    counted = await send(
        sim, {name: body[name] for name in body if name != "max_tokens"}, path="/v1/messages/count_tokens"
    )
    assert not sim.bill.records
    answer = (await send(sim, body)).json()
    assert counted.json() == {"input_tokens": answer["usage"]["input_tokens"]}
    assert counted.json()["input_tokens"] > 1_100


async def test_a_prompt_is_cached_where_it_is_asked_for(sim: SimulatorServer) -> None:
    def body(question: str, **control: str) -> dict[str, Any]:
        long = {"type": "text", "text": "word " * 2_000, "cache_control": {"type": "ephemeral", **control}}
        return ask(system=[long, {"type": "text", "text": question}], max_tokens=10)

    usages = [(await send(sim, body(question, ttl="1h"))).json()["usage"] for question in ("One?", "Two?")]
    assert usages[0]["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2_001}
    assert usages[1]["cache_read_input_tokens"] == usages[0]["cache_creation_input_tokens"] == 2_001
    assert usages[1]["cache_creation_input_tokens"] == 0
    written, read = sim.bill.records
    assert (written.cache_write_1h_tokens, written.cached_tokens, read.cached_tokens) == (2_001, 0, 2_001)
    assert written.prompt_tokens == usages[0]["input_tokens"] + 2_001
    assert written.cost_nano_usd == usages[0]["input_tokens"] * 3_000 + 2_001 * 6_000 + 10 * 15_000
    assert read.cost_nano_usd == usages[1]["input_tokens"] * 3_000 + 2_001 * 300 + 10 * 15_000
    no_longer = (await send(sim, ask(system="word " * 2_000, max_tokens=10))).json()["usage"]
    assert no_longer["cache_read_input_tokens"] == 0
