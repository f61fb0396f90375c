"""What the SDK gives back, as OpenAI's wire: its usage exactly, whatever the order and the pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.litellm_bridge import answers
from gateway.wire.answers import StreamObserver, read_answer
from gateway.wire.usage import WireUsage, normalise
from routing.money import Usage

COUNTS = st.integers(0, 10_000_000)
ANSWER: dict[str, Any] = {
    "id": "1",
    "object": "chat.completion",
    "created": 5,
    "model": "m",
    "system_fingerprint": None,
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi", "tool_calls": None}}
    ],
}


def test_a_whole_answer_without_what_is_empty() -> None:
    found = json.loads(answers.whole({**ANSWER, "usage": None}))

    assert found["choices"] == [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}
    ]
    assert "usage" not in found
    assert "system_fingerprint" not in found


def test_a_tool_call_keeps_its_empty_content() -> None:
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
    found = json.loads(answers.whole({**ANSWER, "choices": [{"index": 0, "message": message}]}))

    assert found["choices"] == [{"index": 0, "finish_reason": None, "message": message}]


def test_a_completion() -> None:
    found = json.loads(answers.whole(ANSWER, text=True))

    assert found["object"] == "text_completion"
    assert found["choices"] == [{"index": 0, "finish_reason": "stop", "text": "hi", "logprobs": None}]


def test_an_event_and_its_text() -> None:
    chunk = {"id": "1", "object": "chat.completion.chunk", "provider_specific_fields": {}, "citations": None}
    chunk["choices"] = [{"index": 0, "delta": {"content": "hi", "role": None}}]

    assert answers.event(chunk) == (
        b'data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"finish_reason":null,'
        b'"delta":{"content":"hi"}}]}\n\n'
    )
    assert json.loads(answers.event(chunk, text=True)[6:])["choices"] == [
        {"index": 0, "finish_reason": None, "text": "hi", "logprobs": None}
    ]


@given(counts=st.fixed_dictionaries(dict.fromkeys(("prompt", "completion", "cached", "written", "reasoning"), COUNTS)))
def test_usage_comes_through_exactly_and_costs_never(counts: dict[str, int]) -> None:
    usage = {
        "prompt_tokens": counts["prompt"],
        "completion_tokens": counts["completion"],
        "total_tokens": counts["prompt"] + counts["completion"],
        "cost": 0.5,
        "prompt_tokens_details": {
            "cached_tokens": counts["cached"],
            "cache_creation_tokens": counts["written"],
            "audio_tokens": None,
        },
        "completion_tokens_details": {"reasoning_tokens": counts["reasoning"]},
    }
    expected = Usage(
        input_tokens=counts["prompt"],
        output_tokens=counts["completion"],
        cache_read_tokens=counts["cached"],
        cache_write_tokens=counts["written"],
        reasoning_tokens=counts["reasoning"],
    )
    whole = answers.whole({**ANSWER, "usage": usage})

    assert (read_answer(whole).usage or Usage()) == expected
    assert b"cost" not in whole
    merged = answers.merged([usage])
    if merged is not None:
        observer = StreamObserver(1)
        chunk = observer.observe(answers.usage_event({"id": "1"}, merged))
        assert observer.usage == expected
        assert chunk is not None
        assert chunk.standalone


@given(reports=st.lists(st.fixed_dictionaries({}, optional={"prompt_tokens": COUNTS, "completion_tokens": COUNTS})))
def test_reports_on_the_way_are_one_usage_with_the_most_of_each(reports: list[dict[str, int]]) -> None:
    most = {
        name: max((report.get(name, 0) for report in reports), default=0)
        for name in ("prompt_tokens", "completion_tokens")
    }
    found = answers.merged(reports)

    assert (found is None) == (not any(most.values()))
    assert {name: (found or {}).get(name, 0) for name in most} == most


def test_input_first_and_output_last_as_anthropic_reports_it() -> None:
    began = {
        "prompt_tokens": 90,
        "completion_tokens": 1,
        "total_tokens": 91,
        "prompt_tokens_details": {"cached_tokens": 80},
    }
    ended = {"prompt_tokens": 0, "completion_tokens": 40, "total_tokens": 40, "prompt_tokens_details": None}
    found = answers.merged([None, began, ended])

    assert found is not None
    assert normalise(WireUsage(found["prompt_tokens"], found["completion_tokens"], found["total_tokens"])) == Usage(
        90, 40
    )
    assert found["prompt_tokens_details"] == {"cached_tokens": 80}


@pytest.mark.parametrize("vector", [[0.5, -2.0], [], [1e-3]])
def test_vectors_in_base64_are_what_openais_clients_decode(vector: list[float]) -> None:
    import base64
    import struct

    item = {"object": "embedding", "index": 0, "embedding": vector}
    fields = {"data": [item], "usage": {"prompt_tokens": 2, "total_tokens": 2}}
    packed = json.loads(answers.embeddings(fields, in_base64=True))["data"][0]["embedding"]

    assert struct.unpack(f"<{len(vector)}f", base64.b64decode(packed)) == pytest.approx(vector)
    assert json.loads(answers.embeddings(fields, in_base64=False))["data"] == [item]
