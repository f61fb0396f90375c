"""Claude behind the gateway: the OpenAI SDK on one side, a socket that plays Anthropic from golden bytes on the other.

What the SDK sees is OpenAI's wire, and what is charged is what Anthropic counted, to the token.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai import BadRequestError, InternalServerError

from tests.gateway.upstream.dialects.test_golden import GOLDEN
from tests.gateway.upstream.raw_server import Peer, RawServer, Request, answer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import GatewayUnderTest

CASES = GOLDEN / "anthropic"
SSE = b"Content-Type: text/event-stream"
HELLO: Any = [{"role": "user", "content": "Hello"}]
PRICE = {"input": "3", "output": "15", "cache_read": "0.3", "cache_write": "3.75", "cache_write_1h": "6"}


@pytest.fixture(autouse=True)
def claude_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_KEY", "sk-ant-secret")


class Anthropic:
    """Answers with the golden file that a test names."""

    def __init__(self) -> None:
        self.case = ""
        self.status = b"200 OK"
        self.seen: list[Request] = []

    async def handle(self, peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            self.seen.append(request)
            file = next(iter((CASES / self.case).glob("answer.provider.*")))
            kind = SSE if file.suffix == ".sse" else b"Content-Type: application/json"
            await peer.send(answer(file.read_bytes(), kind, b"request-id: req_1", status=self.status))

    def sent(self) -> dict[str, Any]:
        """The body of the latest request."""
        body: dict[str, Any] = json.loads(self.seen[-1].body)
        return body


async def begin(server: RawServer, start_gateway: StartGateway) -> GatewayUnderTest:
    providers = {"claude": {"base_url": server.url, "dialect": "anthropic", "api_key": "${CLAUDE_KEY}"}}
    model = {"provider": "claude", "model": "claude-sonnet-4-5", "price": PRICE, "max_output_tokens": 64_000}
    return await start_gateway(server.url, providers=providers, models={"smart": model})


def golden(case: str) -> dict[str, Any]:
    request: dict[str, Any] = json.loads((CASES / case / "request.openai.json").read_bytes())
    return {**request, "model": "smart"}


async def test_a_whole_answer_is_charged_as_anthropic_counts(start_gateway: StartGateway) -> None:
    provider = Anthropic()
    provider.case = "text"
    async with RawServer(provider.handle) as server:
        gateway = await begin(server, start_gateway)
        request = golden("text")
        extra = {name: request.pop(name) for name in ("top_k", "service_tier")}
        async with gateway.sdk() as client:
            found = await client.chat.completions.create(**request, extra_body=extra)
        (charge,) = await gateway.rows("charges")
        await gateway.stop()

    assert found.choices[0].message.content == 'Hello! "Quoted"\n€ 😀'
    assert found.usage is not None
    assert found.usage.prompt_tokens == 2845
    assert provider.seen[0].line == b"POST /v1/messages HTTP/1.1"
    assert provider.seen[0].header(b"x-api-key") == b"sk-ant-secret"
    assert provider.seen[0].header(b"authorization") is None
    assert provider.sent()["model"] == "claude-sonnet-4-5"
    plain, read, minutes, hour, output = 2095, 50, 400, 300, 503
    # nano-USD: prices are USD a million tokens
    cost = plain * 3_000 + read * 300 + minutes * 3_750 + hour * 6_000 + output * 15_000
    assert charge["cost_nano_usd"] == cost
    assert (charge["input_tokens"], charge["output_tokens"]) == (2845, 503)


async def test_a_stream_with_calls(start_gateway: StartGateway) -> None:
    provider = Anthropic()
    provider.case = "stream_tools"
    async with RawServer(provider.handle) as server:
        gateway = await begin(server, start_gateway)
        asked: dict[str, Any] = {"model": "smart", "messages": HELLO, "tools": golden("stream_tools")["tools"]}
        async with gateway.sdk() as client, client.chat.completions.stream(**asked) as stream:
            found = await stream.get_final_completion()
        (charge,) = await gateway.rows("charges")
        await gateway.stop()

    calls = found.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", {"city": "San Francisco, CA"}),
        ("clock", {}),
    ]
    assert found.choices[0].finish_reason == "tool_calls"
    assert found.usage is None, "the client did not ask for it"
    assert provider.sent()["stream"] is True
    assert (charge["input_tokens"], charge["output_tokens"], charge["estimated"]) == (25, 89, 0)


async def test_errors_are_openais(start_gateway: StartGateway) -> None:
    provider = Anthropic()
    provider.case, provider.status = "error_too_long", b"400 Bad Request"
    async with RawServer(provider.handle) as server:
        gateway = await begin(server, start_gateway)
        async with gateway.sdk() as client:
            with pytest.raises(BadRequestError) as caught:
                await client.chat.completions.create(model="smart", messages=HELLO)
            provider.case, provider.status = "error_overloaded", b"529 Overloaded"
            with pytest.raises(InternalServerError):
                await client.chat.completions.create(model="smart", messages=HELLO)
        await gateway.stop()

    assert caught.value.code == "context_length_exceeded"


async def test_what_cannot_be_said_is_refused_before_anything_is_sent(start_gateway: StartGateway) -> None:
    provider = Anthropic()
    async with RawServer(provider.handle) as server:
        gateway = await begin(server, start_gateway)
        async with gateway.sdk() as client:
            with pytest.raises(BadRequestError) as caught:
                await client.chat.completions.create(model="smart", messages=HELLO, n=2)
        await gateway.stop()

    assert caught.value.param == "n"
    assert provider.seen == []
