"""A gateway with a provider behind the LiteLLM SDK: its clients, its books and its fallbacks know no difference.

The SDK is imported by the first test, which takes 5 to 10 s.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.gateway.upstream.dialects.litellm_bridge.providers import (
    BEGIN,
    EVENT_STREAM,
    LAST,
    METADATA,
    STOP,
    chunked,
    converse,
    delta,
    stream_head,
)
from tests.gateway.upstream.raw_server import Peer, RawServer, answer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import AGENT_KEYS

pytest.importorskip("boto3", reason="Bedrock's credentials")

ASK: dict[str, Any] = {"model": "claude", "messages": [{"role": "user", "content": "hi"}]}
PRICE = {"input": "3", "cache_read": "0.3", "cache_write": "3.75", "output": "15"}
COST = (10 * 3_000 + 3 * 300 + 2 * 3_750 + 5 * 15_000, 15, 5)
"""In nano-USD, of the mock's usage: 10 plain tokens, 3 read from a cache, 2 written to it, 5 of output."""


async def bedrock(peer: Peer) -> None:
    while (request := await peer.request()) is not None:
        if b"long" in request.body:
            await peer.send(answer(b'{"message": "Input is too long for requested model."}', status=b"400 Bad Request"))
        elif b"broken" in request.body:
            await peer.send(answer(b'{"message": "oh"}', status=b"500 Oh"))
        elif b"converse-stream" in request.line:
            events = (BEGIN, delta("hel"), delta("lo"), STOP, METADATA)
            await peer.send(stream_head(EVENT_STREAM) + b"".join(map(chunked, events)) + LAST)
        else:
            await peer.send(answer(converse()))


def settings(server: RawServer, folder: Path) -> dict[str, Any]:
    """A model at Bedrock, and one that falls back to our own simulator of OpenAI's wire."""
    sdk = {
        "provider": "bedrock",
        "aws_region_name": "eu-central-1",
        "aws_access_key_id": "${TESTER_KEY}",
        "aws_secret_access_key": "${TESTER_KEY}",
        "aws_bedrock_runtime_endpoint": server.url.removesuffix("/v1"),
    }
    at = {"provider": "aws", "model": "anthropic.claude-sonnet-4-20250514-v1:0", "price": PRICE}
    timeouts = {"connect_s": 60, "total_s": 120}
    return {
        "providers": {"aws": {"dialect": "litellm", "litellm": sdk, "timeouts": timeouts}},
        "models": {"claude": at},
    }


async def test_answers_streams_refusals_and_their_books(start_gateway: StartGateway, tmp_path: Path) -> None:
    async with RawServer(bedrock) as server:
        gateway = await start_gateway(server.url, **settings(server, tmp_path))
        async with gateway.sdk() as sdk:
            whole = await sdk.chat.completions.create(**ASK)
            stream = await sdk.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
            chunks = [chunk async for chunk in stream]
            with pytest.raises(openai.BadRequestError) as too_long:
                await sdk.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": "long"}]})
            with pytest.raises(openai.BadRequestError) as unsaid:
                await sdk.chat.completions.create(**ASK, extra_body={"api_base": "http://10.0.0.1"})
            with pytest.raises(openai.InternalServerError):
                await sdk.chat.completions.create(**{**ASK, "messages": [{"role": "user", "content": "broken"}]})
        async with httpx.AsyncClient() as client:
            ready = (await client.get(f"{gateway.url}/readyz")).json()
        charges = await gateway.rows("charges")

    assert whole.choices[0].message.content == "hello"
    assert whole.usage is not None
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "hello"
    assert chunks[-1].usage is not None
    assert (too_long.value.code, unsaid.value.param) == ("context_length_exceeded", "api_base")
    assert ready["models"] == {"claude": {"candidates": 1, "available": 1}}
    found = [
        (row["cost_nano_usd"], row["input_tokens"], row["output_tokens"]) for row in charges if row["outcome"] == "ok"
    ]
    assert found == [COST, COST]
    assert {row["cost_nano_usd"] for row in charges if row["outcome"] != "ok"} == {0}
    assert not any(row["estimated"] for row in charges)
    secrets = json.dumps([dict(row) for row in charges], default=str) + str(too_long.value) + str(unsaid.value)
    assert AGENT_KEYS["TESTER_KEY"] not in secrets
