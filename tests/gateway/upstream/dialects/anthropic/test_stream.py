"""A stream, put together, is the whole answer that the provider would have given at once."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.anthropic.answer import whole_answer
from gateway.upstream.dialects.anthropic.stream import Stream
from gateway.upstream.dialects.anthropic.tools import JSON_TOOL
from gateway.wire.assemble import Assembler
from gateway.wire.sse import EventSplitter, EventTooLarge, event_data

texts = st.text(min_size=1, max_size=8)
inputs = st.dictionaries(texts, st.one_of(st.integers(-5, 5), texts, st.lists(texts, max_size=2)), max_size=2)
citations = st.lists(
    st.fixed_dictionaries({"type": st.just("char_location"), "cited_text": texts}), min_size=1, max_size=2
)
blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}, optional={"citations": citations}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": st.text(max_size=8), "signature": texts}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": texts}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "id": texts, "name": texts, "input": inputs}),
    st.fixed_dictionaries(
        {"type": st.just("tool_use"), "id": texts, "name": st.just(JSON_TOOL), "input": inputs},
    ),
    st.fixed_dictionaries({"type": st.just("server_tool_use"), "id": texts, "name": texts, "input": inputs}),
    st.fixed_dictionaries({"type": st.just("web_search_tool_result"), "content": st.just([])}),
)
usages = st.fixed_dictionaries({"input_tokens": st.integers(0, 99), "output_tokens": st.integers(1, 99)})
reasons = st.sampled_from(["end_turn", "max_tokens", "tool_use", "stop_sequence", "refusal", "pause_turn", "new"])


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def sse(event: dict[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (event["type"].encode(), compact(event).encode())


def pieces(text: str, cut: int) -> list[str]:
    return [piece for piece in (text[:cut], text[cut:]) if piece]


def events_of(index: int, block: dict[str, Any], cut: int) -> list[dict[str, Any]]:
    """A block as the API streams it: begun empty, then its pieces."""
    kind = block["type"]
    deltas: list[dict[str, Any]] = []
    begun = dict(block)
    if kind == "text":
        begun |= {"text": ""}
        begun.pop("citations", None)
        deltas += [{"type": "citations_delta", "citation": each} for each in block.get("citations", [])]
        deltas += [{"type": "text_delta", "text": piece} for piece in pieces(block["text"], cut)]
    elif kind == "thinking":
        begun |= {"thinking": "", "signature": ""}
        deltas += [{"type": "thinking_delta", "thinking": piece} for piece in pieces(block["thinking"], cut)]
        deltas.append({"type": "signature_delta", "signature": block["signature"]})
    elif kind.endswith("tool_use"):
        begun |= {"input": {}}
        deltas += [{"type": "input_json_delta", "partial_json": ""}]
        if block["input"]:
            deltas += [{"type": "input_json_delta", "partial_json": x} for x in pieces(compact(block["input"]), cut)]
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def said(value: Any) -> Any:
    """An answer without what says nothing."""
    if isinstance(value, dict):
        return {name: said(each) for name, each in value.items() if each is not None}
    return [said(each) for each in value] if isinstance(value, list) else value


@given(st.lists(blocks, max_size=5), usages, reasons, st.integers(0, 6), st.booleans())
def test_put_together_it_is_the_whole(
    content: list[dict[str, Any]], usage: dict[str, Any], reason: str, cut: int, json_tool: bool
) -> None:
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "usage": usage}
    whole = {**message, "content": content, "stop_reason": reason}
    first = {**message, "content": [], "stop_reason": None, "usage": {**usage, "output_tokens": 0}}
    stream = [
        {"type": "message_start", "message": first},
        *(event for index, block in enumerate(content) for event in events_of(index, block, cut)),
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": {"output_tokens": usage["output_tokens"]}},
        {"type": "message_stop"},
    ]
    translation = Stream("claude", 7, json_tool=json_tool)
    made = translation.feed(b"".join(map(sse, stream))) + translation.end()
    assembler = Assembler("chat")
    for event in EventSplitter().feed(made):
        assembler.feed(event)

    expected = said(json.loads(whole_answer(compact(whole).encode(), 7, json_tool=json_tool)))
    found = said(json.loads(assembler.body()))
    expected["choices"][0]["message"].setdefault("content", "")
    found["choices"][0]["message"].setdefault("content", "")
    assert found == expected
    assert made.endswith(b"data: [DONE]\n\n")


@given(st.binary(max_size=60))
def test_no_bytes_break_it(noise: bytes) -> None:
    """Whatever comes, what is said are whole events, and nothing follows an error."""
    translation = Stream("claude", 7, json_tool=False)
    made = translation.feed(b"data: " + noise + b"\n\n") + translation.feed(sse({"type": "message_stop"}))
    splitter = EventSplitter()
    for event in splitter.feed(made):
        data = event_data(event)
        assert data == b"[DONE]" or "error" in json.loads(data)
    assert splitter.rest == b""


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 3, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "index": 0},
        {"type": "content_block_stop", "index": 3},
        {"type": "message_delta", "usage": {"output_tokens": 3}},
        {"type": "ping"},
        {"type": "of_next_year", "delta": {"type": "x"}},
    ],
)
def test_what_says_nothing_is_passed_over(event: dict[str, Any]) -> None:
    assert Stream("claude", 7, json_tool=False).feed(sse(event)) == b""


def test_usage_that_grows_after_the_reason_is_told_again() -> None:
    translation = Stream("claude", 7, json_tool=False)
    delta: dict[str, Any] = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}}

    first = translation.feed(sse({**delta, "usage": {"input_tokens": 4, "output_tokens": 2}}))
    assert b'"total_tokens":6' in first
    assert translation.feed(sse({"type": "message_delta", "usage": {"output_tokens": 5}})) == b""
    assert b'"total_tokens":9' in translation.feed(sse({"type": "message_stop"}))
    assert translation.feed(sse({"type": "message_stop"})) == b""


def test_a_call_may_come_with_its_arguments() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"x": 1}}
    translation = Stream("claude", 7, json_tool=False)
    translation.feed(sse({"type": "content_block_start", "index": 0, "content_block": block}))

    made = translation.feed(sse({"type": "content_block_stop", "index": 0}))

    call = json.loads(made[6:])["choices"][0]["delta"]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"x": 1}


def test_an_event_may_not_grow_for_ever() -> None:
    translation = Stream("claude", 7, json_tool=False)
    with pytest.raises(EventTooLarge):
        translation.feed(b"data: " + b"x" * 9_000_000)
