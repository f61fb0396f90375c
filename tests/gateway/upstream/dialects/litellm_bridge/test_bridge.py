"""The LiteLLM SDK against mock providers on real sockets. Importing it takes the first test 5 to 10 s."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from typing import Any

import pytest

from gateway.upstream.dialects import litellm
from gateway.upstream.dialects.litellm_bridge.bridge import Bridge
from gateway.upstream.dialects.litellm_bridge.call import BridgeCall
from gateway.upstream.dialects.litellm_bridge.line import HIGH_WATER_BYTES
from gateway.upstream.dialects.litellm_bridge.sdk import Sdk
from gateway.upstream.transport import Aborted, ConnectionBroken, ResponseTooLarge, TimedOut, Unreachable
from gateway.wire.answers import StreamObserver, read_answer
from gateway.wire.requests import EMBEDDINGS
from gateway.wire.sse import EventSplitter
from routing.money import Usage
from tests.gateway.upstream.dialects.litellm_bridge.providers import (
    BEGIN,
    EVENT_STREAM,
    LAST,
    METADATA,
    SECRET,
    STOP,
    aws_event,
    bedrock,
    chunked,
    cohere,
    converse,
    delta,
    payloads,
    start,
    stream_head,
)
from tests.gateway.upstream.raw_server import Handler, Peer, RawServer, Request, answer, eventually, quick

pytest.importorskip("boto3", reason="Bedrock's credentials")

LOADED = quick(connect_s=60.0, total_s=120.0)
"""Time-outs for the first call, which waits for the import."""
BILLED = Usage(input_tokens=15, output_tokens=5, cache_read_tokens=3, cache_write_tokens=2)
STREAM = {"stream": True}
TOO_LONG = "Input is too long for requested model."


@pytest.fixture
async def ready(bridge: Bridge) -> Bridge:
    """With the SDK loaded, so that no time-out of a test is about that."""
    async with RawServer(answers(answer(converse()))) as server:
        await whole(start(bridge, bedrock(server, timeouts=LOADED)))
    return bridge


def answers(*said: bytes, seen: list[Request] | None = None) -> Handler:
    """A provider that answers each request with all of `said`, and keeps the connection."""

    async def serve(peer: Peer) -> None:
        while (request := await peer.request()) is not None:
            if seen is not None:
                seen.append(request)
            for part in said:
                await peer.send(part)

    return serve


def stream_of(*events: bytes) -> bytes:
    return stream_head(EVENT_STREAM) + b"".join(chunked(event) for event in events) + LAST


async def whole(call: BridgeCall) -> bytes:
    return await (await call.response()).read()


def observed(data: bytes) -> StreamObserver:
    observer = StreamObserver(1)
    for event in EventSplitter().feed(data):
        observer.observe(event)
    return observer


# --- answers ---


async def test_a_whole_answer_comes_in_openais_words_with_the_providers_usage(bridge: Bridge) -> None:
    seen: list[Request] = []
    async with RawServer(answers(answer(converse()), seen=seen)) as server:
        asked = {"max_completion_tokens": 50, "n": 1, "metadata": {"a": "b"}}
        call = start(bridge, bedrock(server, timeouts=LOADED), asked)
        response = await call.response()
        body = await response.read()
        again = start(bridge, bedrock(server), asked)
        await (await again.response()).read()

    assert (response.status, response.headers) == (200, [(b"content-type", b"application/json")])
    found = json.loads(body)
    assert found["choices"] == [
        {"finish_reason": "stop", "index": 0, "message": {"role": "assistant", "content": "hello"}}
    ]
    assert read_answer(body).usage == BILLED
    assert (call.finished, call.sent, call.connection_reused) == (True, True, False)
    assert (again.connection_reused, server.accepted) == (True, 1)
    assert seen[0].line.startswith(b"POST /model/anthropic.claude-sonnet-4-20250514-v1%3A0/converse ")
    assert json.loads(seen[0].body)["inferenceConfig"] == {"maxTokens": 50}


async def test_a_stream_comes_event_by_event_with_the_providers_usage(ready: Bridge) -> None:
    first_seen = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(stream_head(EVENT_STREAM) + chunked(BEGIN + delta("he")))
        await first_seen.wait()
        await peer.send(chunked(delta("llo") + STOP + METADATA) + LAST)

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server), STREAM)
        response = await call.response()
        data = await response.next_chunk()  # the provider has said no more than this yet
        first_seen.set()
        data += await response.read()

    events = payloads(data)
    assert (response.status, response.headers) == (200, [(b"content-type", b"text/event-stream")])
    assert [event["choices"][0]["delta"].get("content") for event in events[:2]] == ["he", "llo"]
    assert events[-1] == "[DONE]"
    assert events[-2]["choices"] == []
    assert observed(data).complete
    assert observed(data).usage == BILLED


async def test_usage_that_a_provider_does_not_give_is_not_made_up(ready: Bridge) -> None:
    async with RawServer(answers(stream_of(BEGIN, delta("hello"), STOP))) as server:
        data = await whole(start(ready, bedrock(server), STREAM))

    assert observed(data).complete
    assert observed(data).usage is None


async def test_tool_calls_and_their_reason_to_end(ready: Bridge) -> None:
    begin = aws_event(
        "contentBlockStart", {"start": {"toolUse": {"toolUseId": "t1", "name": "look"}}, "contentBlockIndex": 0}
    )
    said = aws_event("contentBlockDelta", {"delta": {"toolUse": {"input": '{"a": 1}'}}, "contentBlockIndex": 0})
    end = aws_event("contentBlockStop", {"contentBlockIndex": 0}) + aws_event("messageStop", {"stopReason": "tool_use"})
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object", "properties": {}}}}
    async with RawServer(answers(stream_of(BEGIN, begin, said, end, METADATA))) as server:
        data = await whole(start(ready, bedrock(server), {**STREAM, "tools": [tool]}))

    choices = [event["choices"][0] for event in payloads(data)[:-2]]
    calls = [call for choice in choices for call in choice["delta"].get("tool_calls", ())]
    assert (calls[0]["id"], calls[0]["function"]["name"]) == ("t1", "look")
    assert "".join(call["function"]["arguments"] for call in calls) == '{"a": 1}'
    assert choices[-1]["finish_reason"] == "tool_calls"


async def test_cohere_and_embeddings(ready: Bridge) -> None:
    said = {"id": "1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": []}}
    said["message"] = {"role": "assistant", "content": [{"type": "text", "text": "hello"}]}
    said["usage"] = {"tokens": {"input_tokens": 70, "output_tokens": 3}}
    vectors = {"id": "1", "embeddings": {"float": [[0.5, -2.0]]}, "meta": {"billed_units": {"input_tokens": 7}}}
    async with RawServer(answers(answer(json.dumps(said).encode()))) as server:
        chatted = await whole(start(ready, cohere(server), model="command-a"))
    async with RawServer(answers(answer(json.dumps(vectors).encode()))) as server:
        asked = {"input": ["a"], "encoding_format": "base64"}
        call = start(ready, cohere(server), asked, api=EMBEDDINGS, model="embed-v4.0")
        embedded = await (await call.response()).read()

    assert read_answer(chatted).usage == Usage(input_tokens=70, output_tokens=3)
    assert json.loads(embedded)["data"][0]["embedding"] == "AAAAPwAAAMA="
    assert read_answer(embedded).usage == Usage(input_tokens=7)


# --- refusals ---


@pytest.mark.parametrize(
    ("status", "said", "expected", "code", "complaint"),
    [
        (b"429 Slow", {"message": "Too many tokens"}, 429, "rate_limit_exceeded", "rate_limited"),
        (b"403 No", {"message": f"{SECRET} is expired"}, 403, "permission_denied", "account"),
        (b"400 Bad", {"message": TOO_LONG}, 400, "context_length_exceeded", "context_too_long"),
        (b"400 Bad", {"message": "messages.0: text is blank"}, 400, "invalid_request", "refused"),
        (b"500 Oh", {"message": "internal"}, 500, "upstream_error", "failed"),
        (b"503 Oh", {}, 503, "upstream_error", "failed"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("fields", [{}, STREAM], ids=["whole", "stream"])
async def test_an_error_status_comes_as_openai_would_put_it(
    ready: Bridge, status: bytes, said: Any, expected: int, code: str, complaint: str, fields: Any
) -> None:
    body = json.dumps(said).encode()
    seen: list[Request] = []
    async with RawServer(answers(answer(body, b"Retry-After: 7", status=status), seen=seen)) as server:
        response = await start(ready, bedrock(server), fields).response()
        found = await response.read()

    error = json.loads(found)["error"]
    assert (response.status, error["code"]) == (expected, code)
    assert litellm.DIALECT.complaint(response.status, found) == complaint
    assert (b"retry-after", b"7") in response.headers
    assert SECRET.encode() not in found
    assert len(seen) == 1, "nothing is tried again below the gateway"


async def test_an_error_in_place_of_the_first_event_is_a_refusal(ready: Bridge) -> None:
    throttled = aws_event("throttlingException", {"message": "slow down"}, exception=True)
    async with RawServer(answers(stream_of(throttled))) as server:
        response = await start(ready, bedrock(server), STREAM).response()
        found = await response.read()

    assert response.status == 429
    assert json.loads(found)["error"]["code"] == "rate_limit_exceeded"


async def test_a_field_without_words_for_it_is_refused_by_name(ready: Bridge) -> None:
    async with RawServer(answers(answer(converse()))) as server:
        response = await start(ready, bedrock(server), {"logit_bias": {"5": 1}}).response()
        error = json.loads(await response.read())["error"]
        dropped = await start(ready, bedrock(server, drop=True, drop_params=True), {"logit_bias": {"5": 1}}).response()

    assert (response.status, error["param"], error["code"]) == (400, "logit_bias", "unsupported_parameter")
    assert dropped.status == 200


# --- no answer ---


async def test_a_refused_connection_was_not_sent(ready: Bridge) -> None:
    async with RawServer() as server:
        at = bedrock(server)
    call = start(ready, at)

    with pytest.raises(Unreachable) as caught:
        await call.response()
    assert (caught.value.sent, call.sent) == (False, False)


async def test_a_request_whose_connection_breaks_is_not_sent_again(ready: Bridge) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        peer.abort()

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server))
        with pytest.raises(ConnectionBroken) as caught:
            await call.response()
        assert server.accepted == 1
    assert (caught.value.sent, call.sent) == (True, True)


@pytest.mark.parametrize("cut", ["connection", "framing"])
async def test_a_stream_that_breaks_off_is_never_whole(ready: Bridge, cut: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(stream_head(EVENT_STREAM) + chunked(BEGIN + delta("he")))
        if cut == "framing":  # a proxy ends it properly, though the provider had not
            await peer.send(LAST)

    async with RawServer(serve) as server:
        response = await start(ready, bedrock(server), STREAM).response()
        data = await response.next_chunk()
        with pytest.raises(ConnectionBroken):
            await response.read()

    assert [event["choices"][0]["delta"].get("content") for event in payloads(data)] == ["he"]


async def test_an_answer_that_cannot_be_read_may_have_been_billed(ready: Bridge) -> None:
    async with RawServer(answers(answer(b"<html>"))) as server:
        with pytest.raises(ConnectionBroken) as caught:
            await start(ready, bedrock(server)).response()
    assert caught.value.sent


async def test_a_larger_answer_than_allowed(ready: Bridge) -> None:
    async with RawServer(answers(answer(converse("x" * 5_000)))) as server:
        with pytest.raises(ResponseTooLarge):
            await start(ready, replace(bedrock(server), max_response_bytes=4_000)).response()


# --- giving up ---


async def test_giving_up_before_the_answer_closes_the_connection(ready: Bridge) -> None:
    asked = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server))
        waiting = asyncio.create_task(call.response())
        await asked.wait()
        call.abort()
        with pytest.raises(Aborted):
            await waiting
        await server.all_gone()
    assert call.sent


async def test_giving_up_within_a_stream_closes_the_connection(ready: Bridge) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        await peer.send(stream_head(EVENT_STREAM) + chunked(BEGIN + delta("he")))
        await peer.gone()

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server), STREAM)
        response = await call.response()
        await eventually(lambda: call.arrived() > 0)
        waiting = call.arrived()
        call.abort()
        with pytest.raises(Aborted):
            await response.next_chunk()
        await server.all_gone()
    assert call.unread == waiting > 0


async def test_a_reader_that_does_not_read_slows_the_provider_down(ready: Bridge) -> None:
    sent = 0

    async def serve(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(stream_head(EVENT_STREAM) + chunked(BEGIN))
        piece = chunked(delta("x" * 60_000))
        while True:
            await peer.send(piece)
            sent += 60_000

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server), STREAM)
        await call.response()
        await eventually(lambda: call.line.paused and call.arrived() > HIGH_WATER_BYTES)
        held = call.arrived()
        assert HIGH_WATER_BYTES < held < 2 * HIGH_WATER_BYTES
        response = await call.response()
        assert len(await response.next_chunk()) == held
        async with asyncio.timeout(30):
            assert await response.next_chunk()
        call.abort()
        await server.all_gone()


# --- time-outs ---


@pytest.mark.parametrize("phase", ["first_byte", "idle", "total"])
async def test_each_time_out_closes_the_connection(ready: Bridge, phase: str) -> None:
    async def serve(peer: Peer) -> None:
        await peer.request()
        if phase == "idle":
            await peer.send(stream_head(EVENT_STREAM) + chunked(BEGIN + delta("he")))
        await peer.gone()

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server, timeouts=quick(**{f"{phase}_s": 0.3})), STREAM)
        with pytest.raises(TimedOut) as caught:
            await whole(call)
        await server.all_gone()
    assert (caught.value.phase, caught.value.after_s, caught.value.sent) == (phase, 0.3, True)


async def test_what_is_not_loaded_in_time_was_not_sent() -> None:
    imported = threading.Event()

    def load() -> Sdk:
        imported.wait(60)
        return Sdk({})

    bridge = Bridge(load=load)
    async with RawServer() as server:
        call = start(bridge, bedrock(server, timeouts=quick(connect_s=0.05)))
        with pytest.raises(TimedOut) as caught:
            await call.response()
        assert (caught.value.phase, caught.value.sent) == ("connect", False)
        imported.set()
        await eventually(lambda: bridge.loaded)
        await bridge.close()
        assert server.accepted == 0


async def test_an_sdk_that_cannot_be_loaded_is_tried_again_with_the_next_configuration() -> None:
    problems = [ImportError("No module named 'litellm'")]

    def load() -> Sdk:
        if problems:
            raise problems.pop()
        return Sdk({})

    bridge = Bridge(load=load)
    async with RawServer() as server:
        at = bedrock(server)
        for _ in range(2):
            with pytest.raises(Unreachable, match="cannot be loaded: ImportError"):
                await start(bridge, at).response()
        bridge.use([at])
        await eventually(lambda: bridge.loaded)
        await bridge.close()


async def test_a_missing_client_is_named(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(litellm.CLIENTS, "bedrock", ("boto3.nowhere", "farebox[bedrock]"))
    monkeypatch.setitem(litellm.CLIENTS, "bed", ("nowhere.boto3", "farebox[bed]"))
    bridge = Bridge(load=lambda: Sdk({}))
    async with RawServer() as server:
        bridge.use([bedrock(server), cohere(server)])
    await eventually(lambda: bridge.loaded)
    await bridge.close()

    assert [record.args for record in caplog.records if record.levelname == "WARNING"] == [
        ("acme", "boto3-nowhere", "farebox[bedrock]"),
        ("acme", "nowhere-boto3", "farebox[bed]"),
    ]


async def test_closing_ends_what_is_under_way_and_refuses_more(ready: Bridge) -> None:
    asked = asyncio.Event()

    async def serve(peer: Peer) -> None:
        await peer.request()
        asked.set()
        await peer.gone()

    async with RawServer(serve) as server:
        call = start(ready, bedrock(server))
        await asked.wait()
        await ready.close()
        with pytest.raises(Aborted):
            await call.response()
        await server.all_gone()
        with pytest.raises(Unreachable):
            await start(ready, bedrock(server)).response()
