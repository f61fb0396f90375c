"""A stream, put together, is the message that the provider would have given at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.messages import WIRE
from tests.gateway.upstream.dialects.anthropic.test_stream import blocks
from tests.gateway.wire.messages.streams import STREAMS, WHOLE, event, events_in, observed, streamed

messages = st.fixed_dictionaries(
    {
        "id": st.just("msg_1"),
        "type": st.just("message"),
        "role": st.just("assistant"),
        "model": st.just("claude"),
        "content": st.lists(blocks, max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "max_tokens"]),
        "stop_sequence": st.none(),
        "usage": st.fixed_dictionaries({"input_tokens": st.integers(1, 99), "output_tokens": st.integers(1, 99)}),
    }
)


def assembled(events: list[bytes]) -> Any:
    assembler = WIRE.assembler()
    for each in events:
        assembler.feed(each)
    assert not assembler.malformed
    return json.loads(assembler.body())


@given(messages, st.integers(1, 5))
def test_any_message(message: dict[str, Any], cut: int) -> None:
    assert assembled(streamed(message, cut)) == message


@pytest.mark.parametrize("folder", WHOLE)
def test_golden_messages(folder: Path) -> None:
    message = json.loads((folder / "answer.provider.json").read_bytes())
    for block in message["content"]:
        if block.get("citations", ...) is None:
            del block["citations"]
    if message.get("stop_reason") is not None:
        assert assembled(streamed(message)) == message | {"stop_sequence": None}


@pytest.mark.parametrize("folder", STREAMS)
def test_golden_streams(folder: Path) -> None:
    stream = (folder / "answer.provider.sse").read_bytes()
    seen = observed(stream)
    if seen.complete and seen.content_events:
        body = json.dumps(assembled(events_in(stream))).encode()
        Message.model_validate_json(body)
        assert WIRE.read_answer(body).usage == seen.usage


def test_a_call_that_was_cut_has_no_arguments() -> None:
    call = {"type": "tool_use", "id": "x", "name": "f", "input": {}}
    events = [
        event("message_start", message={"content": []}),
        event("content_block_start", index=0, content_block=call),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a'}),
    ]
    assert assembled(events)["content"] == [call]


def test_arguments_that_come_at_once_are_kept() -> None:
    call = {"type": "tool_use", "id": "x", "name": "f", "input": {"a": 1}}
    events = [
        event("message_start", message={"content": []}),
        event("content_block_start", index=0, content_block=call),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": ""}),
    ]
    assert assembled(events)["content"] == [call]


def test_new_kinds_of_deltas_are_kept() -> None:
    events = [
        event("message_start", message={"content": []}),
        event("content_block_start", index=0, content_block={"type": "compaction", "content": None}),
        event("content_block_delta", index=0, delta={"type": "compaction_delta", "content": "a"}),
        event(
            "content_block_delta",
            index=0,
            delta={"type": "compaction_delta", "content": None, "sealed": "e"},
        ),
        event("content_block_delta", index=0, delta={"type": "new_delta", "new": 1}),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={}, context_management={"applied_edits": []}),
    ]
    said = assembled(events)
    assert said["content"][0]["content"] == "a"
    assert said["content"][0]["new"] == 1
    assert said["context_management"] == {"applied_edits": []}


@pytest.mark.parametrize(
    "odd",
    [
        b"data: {\n\n",
        b"data: []\n\n",
        b"data: {}\n\n",
        event("message_start", message=7),
        event("content_block_start", index=0, content_block=7),
        event("content_block_delta", index=3, delta={}),
        event("message_delta", usage=7),
        event("message_delta", delta=7),
    ],
)
def test_what_cannot_be_read_is_told(odd: bytes) -> None:
    assembler = WIRE.assembler()
    assembler.feed(odd)
    assert assembler.malformed
    assert json.loads(assembler.body())["content"] == []


def test_a_block_that_begins_with_no_text_gets_what_comes() -> None:
    began = event("content_block_start", index=0, content_block={"type": "text", "text": [1]})
    said = event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Hi"})
    assert assembled([began, said])["content"] == [{"type": "text", "text": "Hi"}]
