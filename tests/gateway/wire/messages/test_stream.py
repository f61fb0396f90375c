"""A stream of chat, translated: blocks follow one another, and together they are what the whole answer would be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.assemble import Assembler
from gateway.wire.messages import WIRE, AnswerTranslator
from gateway.wire.requests import CHAT
from gateway.wire.sse import event_data
from tests.gateway.wire.messages.streams import events_in

words = st.text('abé"\\\n😀', min_size=1, max_size=5)
pieces = st.one_of(
    st.fixed_dictionaries({"content": words}),
    st.fixed_dictionaries({"reasoning_content": words}),
    st.fixed_dictionaries({"refusal": words}),
    st.fixed_dictionaries(
        {
            "tool_calls": st.lists(
                st.fixed_dictionaries(
                    {"index": st.integers(0, 2), "function": st.fixed_dictionaries({"arguments": words})}
                ),
                max_size=2,
            )
        }
    ),
    st.just({}),
    st.just({"content": None, "tool_calls": None, "reasoning_content": "", "refusal": ""}),
)
reasons = st.sampled_from(["stop", "length", "tool_calls", "content_filter", "new"])


def chunk(delta: dict[str, Any], reason: str | None = None, **fields: Any) -> bytes:
    said = {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], **fields}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def with_names(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The deltas, in which each call begins with its name and id."""
    seen: set[int] = set()
    for delta in deltas:
        for call in delta.get("tool_calls") or ():
            if call["index"] not in seen:
                seen.add(call["index"])
                call |= {"id": f"call_{call['index']}", "type": "function"}
                call["function"] = {"name": "f", **call["function"]}
    return deltas


def said_of(events: bytes) -> list[dict[str, Any]]:
    return [json.loads(event_data(each)) for each in events_in(events)]


@given(st.lists(pieces, max_size=8).map(with_names), reasons, st.booleans())
def test_any_stream_is_well_formed_and_whole(deltas: list[dict[str, Any]], reason: str, done: bool) -> None:
    chunks = [*(chunk(json.loads(json.dumps(delta))) for delta in deltas), chunk({}, reason)]
    chunks += [b"data: [DONE]\n\n"] * done
    translator, chat, whole = AnswerTranslator(model="m", request_id="r"), Assembler(CHAT), WIRE.assembler()
    out = translator.events(chunks) + translator.end()
    for each in chunks:
        chat.feed(each)
    for each in events_in(out):
        whole.feed(each)
    assert_blocks_follow(said_of(out))
    assert not whole.malformed
    streamed, at_once = (
        json.loads(whole.body()),
        json.loads(AnswerTranslator(model="m", request_id="r").whole(chat.body())),
    )
    assert kinds(streamed, "tool_use") == kinds(at_once, "tool_use")
    assert joined(streamed, "thinking") == joined(at_once, "thinking")
    assert streamed["stop_reason"] == at_once["stop_reason"]
    assert streamed["usage"] == at_once["usage"]


def assert_blocks_follow(events: list[dict[str, Any]]) -> None:
    assert [events[0]["type"], *(each["type"] for each in events[-2:])] == [
        "message_start",
        "message_delta",
        "message_stop",
    ]
    opened: set[int] = set()
    closed: set[int] = set()
    for each in events[1:-2]:
        index = each["index"]
        if each["type"] == "content_block_start":
            assert index == len(opened)
            opened.add(index)
            continue
        assert index in opened - closed
        if each["type"] == "content_block_stop":
            closed.add(index)
    assert opened == closed


def kinds(message: dict[str, Any], kind: str) -> list[Any]:
    return [(block["id"], block["name"]) for block in message["content"] if block["type"] == kind]


def joined(message: dict[str, Any], kind: str) -> str:
    return "".join(block[kind] for block in message["content"] if block["type"] == kind)


def translator() -> AnswerTranslator:
    return AnswerTranslator(model="asked", request_id="r")


def test_the_end_waits_for_the_usage() -> None:
    each = translator()
    assert each.events([chunk({"content": "a"}, "stop")]).endswith(b'"text":"a"}}\n\n')
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\n'
    said = said_of(each.events([usage]))
    assert [event["type"] for event in said] == ["content_block_stop", "message_delta"]
    assert said[1]["usage"]["input_tokens"] == 3
    assert said_of(each.events([b"data: [DONE]\n\n"])) == [{"type": "message_stop"}]
    assert each.end() == each.events([chunk({"content": "late"})]) == b""


def test_usage_that_came_before_is_kept_for_the_end() -> None:
    each = translator()
    each.events([chunk({"content": "a"}, x_groq={"usage": {"prompt_tokens": 3, "completion_tokens": 2}})])
    each.events([chunk({}, "stop")])
    assert said_of(each.end())[1]["usage"]["output_tokens"] == 2


def test_what_is_said_after_the_end_is_not() -> None:
    each = translator()
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    each.events([chunk({"content": "a"}, "stop", usage=usage)])
    assert each.events([chunk({"content": "late"})]) == b""


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (b"data: {\n\n", "The provider sent an event that cannot be read."),
        (b'data: {"choices":[{"delta":{"tool_calls":"x"}}]}\n\n', "The provider sent an event that cannot be read."),
        (b'data: {"error":"went wrong"}\n\n', "went wrong"),
        (b'data: {"error":{"message":"went wrong","code":"rate_limit_exceeded"}}\n\n', "went wrong"),
    ],
)
def test_what_fails_inside_of_a_stream(odd: bytes, message: str) -> None:
    each = translator()
    (said,) = said_of(each.events([odd, chunk({"content": "a"})]))
    assert said["error"]["message"] == message
    assert said["error"]["type"] == ("rate_limit_error" if b"rate_limit" in odd else "api_error")
    assert each.end() == b""


def test_comments_say_nothing() -> None:
    assert translator().events([b": ping\n\n"]) == b""


def test_a_call_without_a_name_is_begun_at_the_end() -> None:
    each = translator()
    assert [event["type"] for event in said_of(each.events([chunk({"tool_calls": [{"index": 0}]})]))] == [
        "message_start"
    ]
    assert said_of(each.end())[0]["content_block"]["id"] == "toolu_r_0"


def test_thoughts_with_signatures_that_come_in_pieces() -> None:
    each = translator()
    unsigned = {"type": "thinking", "thinking": "a", "signature": ""}
    out = each.events([chunk({"reasoning_content": "a", "thinking_blocks": [unsigned]})])
    out += each.events([chunk({"reasoning_content": "b", "thinking_blocks": [{**unsigned, "thinking": "b"}]})])
    out += each.events([chunk({"thinking_blocks": [{**unsigned, "thinking": "ab", "signature": "c2ln"}]})])
    out += each.events([chunk({"thinking_blocks": [{"type": "thinking", "thinking": "c", "signature": "c2ln"}, 7]})])
    whole = WIRE.assembler()
    for event in events_in(out + each.end()):
        whole.feed(event)
    assert json.loads(whole.body())["content"] == [
        {"type": "thinking", "thinking": "ab", "signature": "c2ln"},
        {"type": "thinking", "thinking": "c", "signature": "c2ln"},
    ]
