"""The real OpenAI SDK, over a socket, through the gateway, to the simulator."""

from __future__ import annotations

import json
from collections.abc import Callable

import openai as sdk
import pytest
from openai import AsyncOpenAI

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import OTHER_KEY, GatewayUnderTest

MESSAGES = [{"role": "user", "content": "How do I fold a paper boat?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def test_a_plain_answer(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]) -> None:
    raw = await openai.chat.completions.with_raw_response.create(model="sim-small", messages=MESSAGES)
    answer = raw.parse()
    assert answer.choices[0].message.content
    assert answer.usage
    [charge] = await gateway.rows("charges")
    [request] = await gateway.rows("requests")
    [record] = bill()
    assert raw.headers["x-request-id"] == request["request_id"] == charge["request_id"] == record.caller_id
    assert charge["cost_nano_usd"] == request["cost_nano_usd"] == record.cost_nano_usd
    assert (charge["input_tokens"], charge["output_tokens"]) == (
        answer.usage.prompt_tokens,
        answer.usage.completion_tokens,
    )
    cost = f"{record.cost_nano_usd / 1e9:.9f}".rstrip("0")
    assert raw.headers["x-farebox-cost-usd"] == raw.headers["x-litellm-response-cost"] == cost
    assert raw.headers["x-farebox-model"] == "sim-small"
    assert raw.headers["x-farebox-deployment"] == "sim/sim-small"
    assert raw.headers["x-farebox-route"] == "ordered; first-deployment"
    assert (request["outcome"], request["status"], request["agent"], request["team"], request["org"]) == (
        "ok", 200, "tester", "quality", "acme",
    )  # fmt: skip


@pytest.mark.parametrize("wants_usage", [False, True])
async def test_a_streamed_answer(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]], wants_usage: bool
) -> None:
    options = {"stream_options": {"include_usage": True}} if wants_usage else {}
    stream = await openai.chat.completions.create(model="sim-small", messages=MESSAGES, stream=True, **options)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    [record] = bill()
    [charge] = await gateway.rows("charges")
    [request] = await gateway.rows("requests")
    assert (charge["cost_nano_usd"], charge["estimated"]) == (record.cost_nano_usd, 0)
    assert request["first_token_ms"] is not None
    usage_chunks = [chunk for chunk in chunks if chunk.usage is not None]
    if not wants_usage:
        assert not usage_chunks
        assert all(chunk.choices for chunk in chunks), "the separate usage chunk was not asked for"
        return
    [usage_chunk] = usage_chunks
    assert usage_chunk.usage is not None
    assert usage_chunk.usage.completion_tokens == record.completion_tokens
    assert round(usage_chunk.usage.model_extra["cost"] * 1e9) == record.cost_nano_usd  # type: ignore[index]


@pytest.mark.parametrize("stream", [False, True])
async def test_tool_calls(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]], stream: bool
) -> None:
    asked = {"model": "sim-large", "messages": MESSAGES, "tools": [WEATHER], "tool_choice": "required"}
    if stream:
        parts = [chunk async for chunk in await openai.chat.completions.create(**asked, stream=True)]
        calls = [call for part in parts if part.choices for call in part.choices[0].delta.tool_calls or []]
        name = next(call.function.name for call in calls if call.function and call.function.name)
        arguments = "".join(call.function.arguments or "" for call in calls if call.function and call.index == 0)
    else:
        answer = await openai.chat.completions.create(**asked)
        call = (answer.choices[0].message.tool_calls or [])[0]
        name, arguments = call.function.name, call.function.arguments  # type: ignore[union-attr]
    assert name == "weather"
    assert "city" in json.loads(arguments)
    [request] = await gateway.rows("requests")
    assert json.loads(request["profile"])["tools"] == 1
    assert (await gateway.rows("charges"))[0]["cost_nano_usd"] == bill()[0].cost_nano_usd


async def test_embeddings_and_legacy_completions(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    vectors = await openai.embeddings.create(model="sim-embed", input=["one", "two"])
    assert len(vectors.data) == 2
    text = await openai.completions.create(model="sim-small", prompt="Once upon a time", max_tokens=12)
    assert text.choices[0].text
    streamed = [
        c async for c in await openai.completions.create(model="sim-small", prompt="Once", max_tokens=9, stream=True)
    ]
    assert "".join(chunk.choices[0].text for chunk in streamed if chunk.choices)
    charges = await gateway.rows("charges")
    assert [charge["cost_nano_usd"] for charge in charges] == [record.cost_nano_usd for record in bill()]
    assert [row["endpoint"] for row in await gateway.rows("requests")] == ["embeddings", "completions", "completions"]


async def test_the_model_list(openai: AsyncOpenAI) -> None:
    listed = [model.id async for model in openai.models.list()]
    assert {"sim-small", "sim-large", "sim-reasoner", "sim-embed"} <= set(listed)
    assert (await openai.models.retrieve("sim-small")).id == "sim-small"
    with pytest.raises(sdk.NotFoundError):
        await openai.models.retrieve("no-such-model")


async def test_errors_the_sdk_understands(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    with pytest.raises(sdk.NotFoundError, match="Did you mean `sim-small`") as unknown:
        await openai.chat.completions.create(model="sim-smal", messages=MESSAGES)
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    async with gateway.sdk("fb-nobody") as stranger:
        with pytest.raises(sdk.AuthenticationError) as refused:
            await stranger.chat.completions.create(model="sim-small", messages=MESSAGES)
    assert refused.value.code == "invalid_api_key"
    with pytest.raises(sdk.BadRequestError) as wrong:
        await openai.chat.completions.create(model="sim-small", messages="hello")  # type: ignore[arg-type]
    assert wrong.value.param == "messages"
    rows = await gateway.rows("requests")
    assert [(row["outcome"], row["error_code"], row["status"]) for row in rows] == [
        ("refused", "model_not_found", 404),
        ("refused", "invalid_value", 400),
    ], "a caller without identity leaves no row"
    assert await gateway.rows("charges") == []


async def test_attribution_reaches_the_journal_and_stays_here(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    headers = {
        "x-farebox-run": "run-7", "x-farebox-parent-run": "run-1", "x-farebox-session": "s-1", "x-farebox-user": "ann",
        "x-farebox-tags": "feature=search,plan=pro", "x-farebox-value-usd": "12.50",
    }  # fmt: skip
    raw = await openai.chat.completions.with_raw_response.create(
        model="sim-small", messages=MESSAGES, extra_headers=headers
    )
    assert raw.headers["x-farebox-run"] == "run-7"
    [row] = await gateway.rows("requests")
    assert (row["run"], row["parent_run"], row["session"], row["end_user"]) == ("run-7", "run-1", "s-1", "ann")
    assert json.loads(row["tags"]) == {"feature": "search", "plan": "pro"}
    assert row["value_nano_usd"] == 12_500_000_000
    with pytest.raises(sdk.BadRequestError, match="x-farebox-run"):
        await openai.chat.completions.create(
            model="sim-small", messages=MESSAGES, extra_headers={"x-farebox-run": "a b"}
        )


async def test_what_a_call_cost_is_for_its_own_agent_only(openai: AsyncOpenAI, gateway: GatewayUnderTest) -> None:
    raw = await openai.chat.completions.with_raw_response.create(model="sim-small", messages=MESSAGES)
    path = f"/requests/{raw.headers['x-request-id']}"
    found = await openai.get(path, cast_to=object)
    assert found["cost_usd"] == raw.headers["x-farebox-cost-usd"]  # type: ignore[index]
    assert len(found["charges"]) == 1  # type: ignore[index]
    async with gateway.sdk(OTHER_KEY) as other:
        with pytest.raises(sdk.NotFoundError):
            await other.get(path, cast_to=object)


async def test_me(openai: AsyncOpenAI) -> None:
    me = await openai.get("/me", cast_to=object)
    assert (me["org"], me["team"], me["agent"]) == ("acme", "quality", "tester")  # type: ignore[index]
    assert "sim-small" in me["models"]  # type: ignore[index]


async def test_a_client_that_leaves_mid_stream_is_charged_for_what_was_made(
    openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Callable[[], list[Record]]
) -> None:
    stall = {"x-sim-fault": "stall-mid;after=20"}
    stream = await openai.chat.completions.create(
        model="sim-small", messages=MESSAGES, stream=True, extra_headers=stall
    )
    seen = 0
    async for chunk in stream:
        seen += bool(chunk.choices and chunk.choices[0].delta.content)
        if seen == 10:
            break
    await stream.close()
    [row] = await gateway.eventually("requests", 1)
    [charge] = await gateway.rows("charges")
    assert (row["outcome"], charge["outcome"], charge["purpose"]) == ("client_gone", "cancelled", "cancelled")
    assert charge["estimated"] == 1
    [record] = bill()
    assert record.outcome == "cancelled"
    assert charge["cost_nano_usd"] > 0


async def test_a_model_whose_provider_is_not_configured_yet_says_so(
    simulator: SimulatorServer, start_gateway: StartGateway
) -> None:
    url = f"{simulator.url}/v1"
    later = {"base_url": url, "api_key": "${NOT_SET_HERE}", "optional": True}
    price = {"input": "1", "output": "2"}
    gateway = await start_gateway(
        url,
        providers={"sim": {"base_url": url}, "later": later},
        models={"sim-small": {"provider": "sim", "price": price}, "big-one": {"provider": "later", "price": price}},
    )
    async with gateway.sdk() as client:
        with pytest.raises(sdk.NotFoundError, match="its provider is not yet"):
            await client.chat.completions.create(model="big-one", messages=MESSAGES)
