"""A stream whose money has run out ends as one whose answer reached its bound: every client reads it to the end."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk

from gateway.simulator.server import SimulatorServer
from gateway.wire.answers import StreamObserver
from gateway.wire.assemble import Assembler
from gateway.wire.ending import DONE, Stream, length_ending
from gateway.wire.requests import CHAT, COMPLETIONS
from gateway.wire.sse import EventSplitter, data_event, event_data
from routing.money import NanoUsd, Usage
from tests.gateway.simulator.helpers import WITH_USAGE, chat, post

USAGE, COST = Usage(12, 34, cache_read_tokens=5, reasoning_tokens=6), NanoUsd(1_234_567)


def ended(
    observer: StreamObserver, *, api: str = CHAT, answers: int = 1, include_usage: bool = False
) -> list[dict[str, Any]]:
    """The chunks of the ending; [DONE] follows them."""
    *events, done = length_ending(Stream(api, answers, include_usage, "req_1", "gpt", 77), observer, USAGE, COST)
    assert done == DONE
    return [json.loads(event_data(event)) for event in events]


def observed(*chunks: dict[str, Any], answers: int = 1) -> StreamObserver:
    observer = StreamObserver(answers, remember=True)
    for chunk in chunks:
        observer.observe(data_event(json.dumps(chunk).encode()))
    return observer


def chunk(index: int = 0, finish_reason: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": {"content": "a"}, "finish_reason": finish_reason}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 7, "model": "m-1", "choices": [choice], **fields}


def test_it_says_what_the_stream_said() -> None:
    observer = observed(chunk(system_fingerprint="fp", service_tier="flex", obfuscation="x"))
    assert ended(observer) == [
        {
            "id": "c1",
            "object": "chat.completion.chunk",
            "created": 7,
            "model": "m-1",
            "system_fingerprint": "fp",
            "service_tier": "flex",
            "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "length"}],
        }
    ]


def test_usage_for_those_who_asked() -> None:
    closing, usage = ended(observed(chunk()), include_usage=True)
    assert closing["usage"] is None
    assert usage["choices"] == []
    assert usage["id"] == "c1"
    assert usage["usage"] == {
        "prompt_tokens": 12,
        "completion_tokens": 34,
        "total_tokens": 46,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 6},
        "cost": 0.001234567,
    }


def test_finished_answers_stay_finished() -> None:
    observer = observed(chunk(0), chunk(1, "stop"), chunk(2), chunk(3, "tool_calls"), answers=4)
    assert [event["choices"][0]["index"] for event in ended(observer, answers=4)] == [0, 2]


def test_an_odd_index_is_the_first() -> None:
    odd = chunk(finish_reason="stop")
    odd["choices"][0]["index"] = "0"
    assert ended(observed(odd)) == []


def test_before_the_first_event() -> None:
    [closing] = ended(observed())
    assert closing == {
        "id": "chatcmpl-req_1",
        "object": "chat.completion.chunk",
        "created": 77,
        "model": "gpt",
        "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": "length"}
        ],
    }


def test_completions() -> None:
    [closing] = ended(observed(), api=COMPLETIONS)
    assert closing["object"] == "text_completion"
    assert closing["choices"] == [{"index": 0, "text": "", "logprobs": None, "finish_reason": "length"}]


def test_nothing_follows_the_end() -> None:
    observer = observed(chunk())
    observer.observe(DONE)
    assert length_ending(Stream(CHAT, 1, True, "r", "m", 1), observer, USAGE, COST) == []


def test_the_observer_remembers_only_when_told() -> None:
    observer = StreamObserver(1)
    observer.observe(data_event(json.dumps(chunk(finish_reason="stop")).encode()))
    assert (observer.sample, observer.closings) == (b"", [])


@pytest.mark.parametrize("answers", [1, 3])
async def test_a_cut_stream_is_read_by_the_sdk_and_put_together(sim: SimulatorServer, answers: int) -> None:
    answer = await post(sim, {**chat(n=answers), **WITH_USAGE})
    events = EventSplitter().feed(answer.body)[: 6 * answers]
    observer = StreamObserver(answers, remember=True)
    for event in events:
        observer.observe(event)
    ending = length_ending(Stream(CHAT, answers, True, "r", "m", 1), observer, USAGE, COST)
    assembler = Assembler(CHAT)
    for event in [*events, *ending]:
        assembler.feed(event)
        if event != DONE:
            ChatCompletionChunk.model_validate_json(event_data(event))
    whole = openai.types.chat.ChatCompletion.model_validate_json(assembler.body())
    assert [choice.finish_reason for choice in whole.choices] == ["length"] * answers
    assert all(choice.message.content for choice in whole.choices)
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 34
    assert {json.loads(event_data(event))["id"] for event in [*events, *ending[:-1]]} == {whole.id}
