"""The APIs beside chat, over sockets, by the real OpenAI SDK where it has them: each charge is the provider's bill."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Callable
from typing import Any

import httpx
import openai as sdk
import pytest
from openai import AsyncOpenAI, AsyncStream

from gateway.simulator.bill import Record
from gateway.simulator.server import SimulatorServer
from tests.integration.conftest import StartGateway
from tests.integration.gateway import TESTER_KEY, GatewayUnderTest

Bill = Callable[[], list[Record]]


def wav(seconds: int) -> bytes:
    """So much silence: 8,000 samples a second, of 16 bits."""
    data = bytes(seconds * 16_000 - 44)
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, 8_000, 16_000, 2, 16,
                       b"data", len(data))  # fmt: skip
    return head + data


async def settled(gateway: GatewayUnderTest, bill: Bill) -> tuple[dict[str, Any], Record]:
    """The latest charge and the latest record, which agree."""
    charges, requests, records = await gateway.rows("charges"), await gateway.rows("requests"), bill()
    assert len(charges) == len(requests) == len(records)
    charge, request, record = charges[-1], requests[-1], records[-1]
    assert charge["cost_nano_usd"] == record.cost_nano_usd == request["cost_nano_usd"]
    assert charge["fee_nano_usd"] == record.fee_nano_usd
    assert (charge["estimated"], charge["outcome"], request["outcome"]) == (0, "ok", "ok")
    assert request["endpoint"] == record.endpoint
    assert (request["agent"], request["status"]) == ("tester", 200)
    return charge, record


async def test_moderations_are_free(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Bill) -> None:
    found = await openai.moderations.create(model="sim-moderation", input=["I like tea.", "violence"])
    assert [each.flagged for each in found.results] == [False, True]
    charge, _ = await settled(gateway, bill)
    assert charge["cost_nano_usd"] == 0


IMAGES: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("sim-image", {"quality": "medium", "n": 2}, ""),
    ("sim-image", {}, ""),
    ("sim-painter", {}, "image=1"),
    ("sim-painter", {"n": 3, "size": "1792x1024", "quality": "hd"}, "image:1792x1024:hd=3"),
)


async def test_images(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Bill) -> None:
    for model, options, units in IMAGES:
        made = await openai.images.generate(model=model, prompt="A paper boat on a lake", **options)
        assert made.data is not None
        assert len(made.data) == options.get("n", 1)
        charge, record = await settled(gateway, bill)
        assert charge["units"] == units
        assert (charge["input_tokens"], charge["output_tokens"]) == (record.prompt_tokens, record.completion_tokens)
        assert charge["cost_nano_usd"] > 0
    stream = await openai.images.generate(model="sim-image", prompt="A boat", quality="low", stream=True)
    types = [event.type async for event in stream]
    assert types == ["image_generation.partial_image", "image_generation.completed"]
    charge, _ = await settled(gateway, bill)
    assert charge["output_image_tokens"] == 272


async def test_images_edited_and_varied(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Bill) -> None:
    await openai.images.edit(model="sim-image", image=io.BytesIO(b"PNG"), prompt="Make it blue", quality="low")
    with pytest.warns(DeprecationWarning, match="deprecated"):  # the SDK's
        await openai.images.create_variation(model="sim-painter", image=io.BytesIO(b"PNG"))
    charges, records = await gateway.rows("charges"), bill()
    assert [each["cost_nano_usd"] for each in charges] == [each.cost_nano_usd for each in records]
    assert [each["units"] for each in charges] == ["", "image=1"]
    assert charges[0]["input_image_tokens"] == 323


async def test_speech(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Bill) -> None:
    text = "Fold the paper in half, then in half again. " * 5
    spoken = await openai.audio.speech.create(model="sim-voice", voice="alloy", input=text)
    audio = await spoken.aread()
    assert len(audio) == 2_400 * -(-len(text) // 40)
    assert spoken.response.headers["content-type"] == "audio/mpeg"
    charge, record = await settled(gateway, bill)
    assert charge["units"] == f"character={len(text)}"
    assert charge["cost_nano_usd"] == len(text) * 15_000
    spoken = await openai.audio.speech.create(
        model="sim-voice-mini", voice="alloy", input="Hello, world!", stream_format="sse"
    )
    body = await spoken.aread()
    assert body.count(b"speech.audio.delta") == 2
    charge, _ = await settled(gateway, bill)
    assert charge["output_tokens"] == 48
    await openai.audio.speech.create(model="sim-voice-mini", voice="alloy", input=text)
    charge, record = (await gateway.rows("charges"))[-1], bill()[-1]
    assert charge["estimated"] == 1  # an answer of bytes says nothing of tokens
    assert charge["cost_nano_usd"] >= record.cost_nano_usd > 0


async def test_transcriptions(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Bill) -> None:
    for model, stream in itertools.product(("sim-whisper", "sim-transcribe"), (False, True)):
        heard = await openai.audio.transcriptions.create(model=model, file=("a.wav", wav(7)), stream=stream)
        if isinstance(heard, AsyncStream):
            types = [event.type async for event in heard]
            assert types == ["transcript.text.delta", "transcript.text.done"]
        else:
            assert "112000 bytes were heard" in heard.text
        charge, _ = await settled(gateway, bill)
        assert charge["units"] == ("second=7" if model == "sim-whisper" else "")


async def test_translations_and_other_forms(openai: AsyncOpenAI, gateway: GatewayUnderTest, bill: Bill) -> None:
    verbose = await openai.audio.transcriptions.create(
        model="sim-whisper", file=("a.wav", wav(3)), response_format="verbose_json"
    )
    assert verbose.duration == 3.0
    text = await openai.audio.transcriptions.create(
        model="sim-whisper", file=("a.wav", wav(4)), response_format="text", extra_headers={"accept": "text/plain"}
    )
    assert str(text).startswith("64000 bytes")
    with pytest.warns(DeprecationWarning, match="deprecated"):  # the SDK's
        await openai.audio.translations.create(model="sim-whisper", file=("a.wav", wav(2)))
    charges, records = await gateway.rows("charges"), bill()
    assert [each["units"] for each in charges] == ["second=3", "second=5", "second=2"]  # the form counts along
    assert [each["estimated"] for each in charges] == [0, 1, 0]
    assert all(mine["cost_nano_usd"] >= theirs.cost_nano_usd for mine, theirs in zip(charges, records, strict=True))


async def test_rerank(gateway: GatewayUnderTest, bill: Bill) -> None:
    documents = ["Boats float.", {"text": "Planes fly."}, "Paper folds. " * 400]
    for path, model in (("/v1/rerank", "sim-rerank"), ("/v2/rerank", "sim-rerank-mini")):
        asked = {"model": model, "query": "How do I fold a boat?", "documents": documents, "top_n": 2}
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{gateway.url}{path}", json=asked, headers=bearer())
        assert len(answer.json()["results"]) == 2
        charge, _ = await settled(gateway, bill)
        assert charge["units"] == ("search_unit=1" if model == "sim-rerank" else "")


def bearer() -> dict[str, str]:
    return {"authorization": f"Bearer {TESTER_KEY}"}


BUDGET = {"b": {"scope": "agent:tester", "limit_usd": "0.05", "window": "total"}}


DEAR: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/images/generations", {"model": "sim-painter", "prompt": "a", "n": 2}),
    ("/images/generations", {"model": "sim-image", "prompt": "a"}),
    ("/audio/speech", {"model": "sim-voice", "voice": "a", "input": "a" * 4_000}),
    ("/rerank", {"model": "sim-rerank", "query": "a", "documents": ["b"] * 3_000}),
)


async def test_a_budget_refuses_before_anything_is_called(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Bill
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1", budgets=BUDGET)
    async with httpx.AsyncClient() as client, gateway.sdk() as openai:
        for path, asked in DEAR:
            answer = await client.post(f"{gateway.url}/v1{path}", json=asked, headers=bearer())
            assert (answer.status_code, answer.json()["error"]["code"]) == (402, "budget_exceeded"), path
        with pytest.raises(sdk.APIStatusError) as caught:
            await openai.audio.transcriptions.create(model="sim-whisper", file=("a.wav", wav(600)))
        assert caught.value.status_code == 402
        assert bill() == []
        await openai.audio.transcriptions.create(model="sim-whisper", file=("a.wav", wav(60)))
    charges, records = await gateway.rows("charges"), bill()
    assert [each["cost_nano_usd"] for each in charges] == [records[0].cost_nano_usd] == [6_000_000]


async def test_a_client_that_leaves_cancels_and_is_charged(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Bill
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1")
    asked = {"model": "sim-voice", "voice": "a", "input": "a" * 4_000}
    headers = {**bearer(), "x-sim-fault": "slow;token_ms=50"}
    async with (
        httpx.AsyncClient() as client,
        client.stream("POST", f"{gateway.url}/v1/audio/speech", json=asked, headers=headers) as answer,
    ):
        await anext(answer.aiter_raw())
    [charge] = await gateway.eventually("charges", 1)
    await simulator.bill.wait(1)
    [record] = bill()
    assert record.outcome == charge["outcome"] == "cancelled"
    assert charge["cost_nano_usd"] == record.cost_nano_usd == 60_000_000


async def test_a_broken_answer_of_bytes_breaks_off(
    simulator: SimulatorServer, start_gateway: StartGateway, bill: Bill
) -> None:
    gateway = await start_gateway(f"{simulator.url}/v1")
    asked = {"model": "sim-voice", "voice": "a", "input": "a" * 400}
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(
                f"{gateway.url}/v1/audio/speech", json=asked, headers={**bearer(), "x-sim-fault": "cut;after=1"}
            )
    [charge] = await gateway.eventually("charges", 1)
    assert (charge["outcome"], charge["cost_nano_usd"]) == ("cut", bill()[0].cost_nano_usd)


async def test_what_comes_later_says_so(gateway: GatewayUnderTest) -> None:
    async with httpx.AsyncClient() as client:
        for path in ("files", "batches", "realtime", "audio/voices"):
            answer = await client.post(f"{gateway.url}/v1/{path}", headers=bearer())
            assert answer.status_code == 404
            assert "is not served yet" in answer.json()["error"]["message"]
