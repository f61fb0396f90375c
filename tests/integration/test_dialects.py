"""OpenAI's SDK in front, providers of other words behind: the client sees one wire, and the books are right."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest
from tests.integration.upstream import Exchange, Upstream

PRICE = {"input": "1", "output": "10", "cache_read": "0.1"}
TOOLS: Any = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}}}]
CALLS = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"functionCall": {"name": "weather", "args": {"city": "Paris"}}, "thoughtSignature": "c2ln"},
                    {"functionCall": {"name": "weather", "args": {"city": "Rome"}}},
                ],
            },
            "finishReason": "STOP",
            "index": 0,
        }
    ],
    "usageMetadata": {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 40,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 140,
    },
    "modelVersion": "gemini-3.8-flash",
}
COST_NANO_USD = 60 * 1_000 + 40 * 100 + 40 * 10_000
"""Of that: thoughts are output, cached input is cheaper."""
TEXT = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Mild."}]}, "finishReason": "STOP", "index": 0}],
    "usageMetadata": {"promptTokenCount": 150, "candidatesTokenCount": 2, "totalTokenCount": 152},
}


async def gateway_for(start: StartGateway, base_url: str, **more: Any) -> GatewayUnderTest:
    providers = {"gemini": {"base_url": base_url, "dialect": "gemini", "api_key": "${ADMIN_KEY}"}, **more}
    deployments = [{"provider": name, "model": "gemini-3.8-flash", "price": PRICE} for name in providers]
    return await start(base_url, providers=providers, models={"flash": {"deployments": deployments}})


def event(payload: dict[str, Any]) -> bytes:
    return b"data: %b\r\n\r\n" % json.dumps(payload).encode()


async def test_an_agents_tool_loop_with_gemini(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        if "streamGenerateContent?alt=sse" not in exchange.request.target:
            await exchange.whole(json.dumps(TEXT).encode())
            return
        await exchange.head()
        stream = event({"candidates": [{"content": {"parts": [{"text": "Looking. "}]}, "index": 0}]}) + event(CALLS)
        for at in range(0, len(stream), 37):
            await exchange.chunk(stream[at : at + 37])
        await exchange.chunk(b"")

    async with Upstream(script) as upstream:
        gateway = await gateway_for(start_gateway, upstream.base_url)
        async with gateway.sdk() as sdk:
            messages: list[Any] = [{"role": "user", "content": "Weather in Paris and Rome?"}]
            async with sdk.chat.completions.stream(model="flash", messages=messages, tools=TOOLS) as stream:
                answer = (await stream.get_final_completion()).choices[0]
            assert answer.finish_reason == "tool_calls"
            assert answer.message.content == "Looking. "
            calls = answer.message.tool_calls or []
            assert [json.loads(call.function.arguments) for call in calls] == [{"city": "Paris"}, {"city": "Rome"}]
            messages.append(answer.message.model_dump(exclude_none=True, exclude={"parsed"}))
            messages += [{"role": "tool", "tool_call_id": call.id, "content": "mild"} for call in reversed(calls)]
            final = await sdk.chat.completions.create(model="flash", messages=messages)
            assert final.choices[0].message.content == "Mild."

        first, second = upstream.requests
        assert first.headers["x-goog-api-key"] == second.headers["x-goog-api-key"]
        assert "authorization" not in first.headers
        asked, model, results = json.loads(second.body)["contents"]
        assert asked["parts"] == [{"text": "Weather in Paris and Rome?"}]
        assert [part.get("thoughtSignature") for part in model["parts"]] == [None, "c2ln", None]
        assert [part["functionResponse"]["id"] for part in results["parts"]] == [call.id for call in calls]
        charges = await gateway.rows("charges")
        assert [row["cost_nano_usd"] for row in charges] == [COST_NANO_USD, 150 * 1_000 + 2 * 10_000]
        assert [row["estimated"] for row in charges] == [0, 0]


@pytest.mark.parametrize(
    ("status", "error", "raised", "code"),
    [
        (
            400,
            "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            openai.BadRequestError,
            "context_length_exceeded",
        ),
        (400, "API key not valid. Please pass a valid API key.", openai.InternalServerError, "upstream_credentials"),
        (503, "The model is overloaded.", openai.InternalServerError, "upstream_error"),
    ],
)
async def test_geminis_errors(
    start_gateway: StartGateway, status: int, error: str, raised: type[openai.APIStatusError], code: str
) -> None:
    body = json.dumps({"error": {"code": status, "message": error, "status": "X"}}).encode()

    async def script(exchange: Exchange) -> None:
        await exchange.head(content_type="application/json", status=status)
        await exchange.chunk(body)
        await exchange.chunk(b"")

    async with Upstream(script) as upstream:
        gateway = await gateway_for(start_gateway, upstream.base_url)
        async with gateway.sdk() as sdk:
            with pytest.raises(raised) as caught:
                await sdk.chat.completions.create(model="flash", messages=[{"role": "user", "content": "hi"}])
            assert caught.value.code == code
        assert [row["cost_nano_usd"] for row in await gateway.rows("charges")] in ([], [0])


async def test_what_gemini_cannot_be_told_never_leaves(start_gateway: StartGateway) -> None:
    async def script(exchange: Exchange) -> None:
        await exchange.whole(json.dumps(TEXT).encode())

    async with Upstream(script) as upstream:
        gateway = await gateway_for(start_gateway, upstream.base_url)
        async with gateway.sdk() as sdk:
            with pytest.raises(openai.BadRequestError) as caught:
                await sdk.chat.completions.create(
                    model="flash", messages=[{"role": "user", "content": "hi"}], logit_bias={"1": 5}
                )
            assert caught.value.param == "logit_bias"
        assert upstream.requests == []
        assert all(row["cost_nano_usd"] == 0 for row in await gateway.rows("charges"))


async def test_another_dialect_takes_over(start_gateway: StartGateway) -> None:
    """Gemini is down; a provider of OpenAI's wire gets the same conversation in its own words."""
    spoken: dict[str, Any] = {
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Here."}, "finish_reason": "eos"}]
    }
    spoken |= {"usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}

    async def broken(exchange: Exchange) -> None:
        await exchange.head(content_type="application/json", status=503)
        await exchange.chunk(b'{"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}}')
        await exchange.chunk(b"")

    async def script(exchange: Exchange) -> None:
        await exchange.whole(json.dumps(spoken).encode())

    async with Upstream(broken) as gemini, Upstream(script) as other:
        more = {"other": {"base_url": other.base_url, "dialect": "together"}}
        gateway = await gateway_for(start_gateway, gemini.base_url, **more)
        async with gateway.sdk() as sdk:
            answer = await sdk.chat.completions.create(
                model="flash", messages=[{"role": "user", "content": "hi"}], max_completion_tokens=50
            )
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == ("Here.", "stop")
        assert json.loads(gemini.requests[0].body)["generationConfig"] == {"maxOutputTokens": 50}
        assert json.loads(other.requests[0].body)["max_tokens"] == 50
        charges = await gateway.rows("charges")
        assert [row["cost_nano_usd"] for row in charges if row["cost_nano_usd"]] == [9 * 1_000 + 10_000]
