"""What the golden files do not show: answers that are none, and whatever else may come."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.answers import MalformedAnswer, StreamObserver
from gateway.wire.sse import data_event
from tests.gateway.upstream.dialects.speaking import REQUEST_ID, ask, stream, translation, whole

TEXT: dict[str, Any] = {"candidates": [{"content": {"parts": [{"text": "Hi"}]}, "finishReason": "STOP"}]}


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b'{"candidates":3}', b'{"candidates":[{"index":"a"}]}'])
def test_what_cannot_be_read_is_malformed(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        translation("gemini").whole(body)


def test_an_answer_is_dated_by_its_requests_id() -> None:
    told = whole("gemini", TEXT)

    assert told["id"] == f"chatcmpl-{REQUEST_ID}"
    assert told["created"] == int(REQUEST_ID[4:16], 16) // 1000 == 1761392475


def test_an_error_under_status_200_is_one() -> None:
    told = whole("gemini", {"error": {"code": 500, "message": "Internal", "status": "INTERNAL"}})

    assert told == {"error": {"message": "Internal", "type": "server_error", "param": None, "code": "internal"}}
    assert "error" in whole("gemini", {"error": "odd"})


def test_an_unreadable_event_ends_the_stream_with_an_error() -> None:
    told = stream("gemini", [TEXT, b"data: {broken\n\n", TEXT])

    assert [("error" in event) for event in told] == [False, False, True]


def test_usage_is_in_every_event_when_that_is_asked_for() -> None:
    events = [{**TEXT, "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": n}} for n in (1, 2)]
    request = ask(stream=True, stream_options={"continuous_usage_stats": True})

    told = stream("gemini", events, request)

    assert [event["usage"]["completion_tokens"] for event in told[:-1]] == [1, 1, 2, 2]
    assert [event.get("usage") for event in stream("gemini", events)[:-2]] == [None, None, None]


def test_an_answer_that_ends_twice_ends_once() -> None:
    told = stream("gemini", [TEXT, TEXT])

    assert [event["choices"][0]["finish_reason"] for event in told[:-1]] == [None, "stop", None]
    assert told[-1] == "[DONE]"


def test_an_empty_stream_says_nothing() -> None:
    assert stream("gemini", []) == []


def test_a_blocked_prompt_ends_every_answer() -> None:
    blocked = {"promptFeedback": {"blockReason": "SAFETY"}}

    told = stream("gemini", [blocked], ask(stream=True, n=2))

    assert [event["choices"][0]["index"] for event in told[:-1]] == [0, 1]
    assert told[-1] == "[DONE]"


PARTS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "text": st.text(max_size=5),
            "thought": st.booleans(),
            "functionCall": st.fixed_dictionaries({"name": st.just("f")}, optional={"id": st.text(max_size=3)}),
            "thoughtSignature": st.text("abc", max_size=3),
        },
    ),
    max_size=3,
)
FINISH = st.none() | st.sampled_from(["STOP", "MAX_TOKENS", "SAFETY", "OTHER", "MALFORMED_FUNCTION_CALL", "NEW"])
EVENTS = st.lists(
    st.fixed_dictionaries(
        {"candidates": st.lists(
            st.fixed_dictionaries({
                "index": st.integers(0, 1),
                "content": st.fixed_dictionaries({"parts": PARTS}),
                "finishReason": FINISH,
            }),
            max_size=2,
        )},
        optional={"usageMetadata": st.just({"promptTokenCount": 3, "candidatesTokenCount": 1})},
    ),
    max_size=5,
)  # fmt: skip


@given(EVENTS, st.integers(1, 40))
def test_every_text_and_call_arrives_and_done_means_done(events: list[dict[str, Any]], size: int) -> None:
    told = stream("gemini", events, size=size)
    observer = StreamObserver(1)
    for event in told:
        observer.observe(data_event(event.encode() if event == "[DONE]" else msgspec.json.encode(event)))

    assert told == stream("gemini", events)
    assert observer.done is (told[-1:] == ["[DONE]"])
    assert not (observer.done and observer.failed)
    if observer.failed:
        return
    candidates = [candidate for event in events for candidate in event["candidates"]]
    indices = {candidate["index"] for candidate in candidates}
    ended = {candidate["index"] for candidate in candidates if candidate["finishReason"]}
    assert observer.done is (bool(ended) and ended == indices)
    for index in indices:
        deltas = [
            choice["delta"]
            for event in told
            if event != "[DONE]"
            for choice in event["choices"]
            if choice["index"] == index
        ]
        parts = [
            part for candidate in candidates if candidate["index"] == index for part in candidate["content"]["parts"]
        ]
        said = "".join(part["text"] for part in parts if part.get("text") and not part.get("thought"))
        assert "".join(delta.get("content", "") for delta in deltas) == said
        calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
        assert [call["index"] for call in calls] == list(range(sum("functionCall" in part for part in parts)))
