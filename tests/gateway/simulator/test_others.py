"""The APIs beside chat: the same answer for the same request, an exact bill, refusals as providers word them."""

from __future__ import annotations

from typing import Any

import openai
import pytest

from gateway.simulator.server import SimulatorServer


async def test_the_same_request_gives_the_same_answer(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    async def once() -> tuple[Any, bytes, str]:
        image = await client.images.generate(model="sim-painter", prompt="a boat", n=2)
        spoken = await client.audio.speech.create(model="sim-voice", voice="a", input="a boat")
        heard = await client.audio.transcriptions.create(model="sim-whisper", file=("a.mp3", b"x" * 32_001))
        return image.data, await spoken.aread(), heard.text

    assert await once() == await once()
    records = list(sim.bill.records)
    assert [record.services for record in records[:3]] == [{"image": 2}, {"character": 6}, {"second": 3}]
    assert [record.cost_nano_usd for record in records[:3]] == [80_000_000, 90_000, 300_000]
    assert [record.endpoint for record in records[:3]] == ["images", "speech", "transcriptions"]


async def test_images_by_tokens(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    made = await client.images.generate(model="sim-image", prompt="a boat", quality="low", n=2)
    assert made.usage is not None
    [record] = sim.bill.records
    assert (made.usage.input_tokens, made.usage.output_tokens) == (record.prompt_tokens, 544)
    assert record.cost_nano_usd == record.prompt_tokens * 5_000 + 544 * 40_000


async def test_a_fault_hides_the_usage(client: openai.AsyncOpenAI, sim: SimulatorServer) -> None:
    made = await client.images.generate(
        model="sim-image", prompt="a boat", quality="low", extra_headers={"x-sim-fault": "missing-usage"}
    )
    assert made.usage is None
    assert sim.bill.records[0].completion_tokens == 272


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/images/generations", {"model": "sim-image"}, "prompt"),
        ("/images/generations", {"model": "sim-image", "prompt": "a", "n": 11}, "n"),
        ("/images/generations", {"model": "sim-small", "prompt": "a"}, "model"),
        ("/images/edits", {"model": "sim-image", "prompt": "a"}, None),
        ("/audio/speech", {"model": "sim-voice"}, "input"),
        ("/audio/transcriptions", {"model": "sim-whisper"}, None),
        ("/rerank", {"model": "sim-rerank", "documents": ["a"]}, "query"),
        ("/rerank", {"model": "sim-rerank", "query": "a", "documents": []}, "documents"),
        ("/moderations", {"model": "sim-moderation"}, "input"),
    ],
)
async def test_what_is_refused_is_not_billed(
    client: openai.AsyncOpenAI, sim: SimulatorServer, path: str, body: dict[str, Any], param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await client.post(path, body=body, cast_to=object)
    assert caught.value.param == param
    assert not sim.bill.records
