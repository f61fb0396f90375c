"""What is seen of a stream of Anthropic's own is what its translation to chat would have shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.anthropic.stream import Stream
from gateway.wire.answers import StreamObserver
from gateway.wire.messages import WIRE
from gateway.wire.messages.observer import MessagesObserver
from gateway.wire.sse import data_event, event_data
from routing.money import Usage
from tests.gateway.upstream.dialects.anthropic.test_stream import sse
from tests.gateway.wire.messages.streams import STREAMS, about, event, events_in, observed, streamed, text
from tests.gateway.wire.messages.test_round_trips import calls, texts, thoughts

USAGE = {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 3}
START = event("message_start", message={"usage": USAGE, "content": []})
OPEN = event("content_block_start", index=0, content_block={"type": "text", "text": ""})
CLOSE = event("content_block_stop", index=0)
STOP = event("message_stop")


def delta(reason: str = "end_turn", output: int = 20) -> bytes:
    return event("message_delta", delta={"stop_reason": reason}, usage={"output_tokens": output})


def by_way_of_chat(stream: bytes) -> StreamObserver:
    translation, observer = Stream("m", 0, json_tool=False), StreamObserver(1)
    for each in events_in(translation.feed(stream) + translation.end()):
        observer.observe(each)
    return observer


@pytest.mark.parametrize("folder", STREAMS)
def test_it_sees_what_chat_would_have_shown(folder: Path) -> None:
    stream = (folder / "answer.provider.sse").read_bytes()
    seen, shown = observed(stream), by_way_of_chat(stream)
    assert seen.failed is shown.failed
    assert seen.called_tools >= shown.called_tools
    assert seen.cut is shown.cut
    if seen.complete:
        assert shown.complete
        assert (seen.usage, seen.service_tier) == (shown.usage, shown.service_tier)
    expected = about(folder).get("usage")
    if expected is not None and seen.complete:
        assert seen.usage is not None
        assert {name: value for name, value in seen.usage._asdict().items() if value} == expected


messages = st.fixed_dictionaries(
    {
        "content": st.lists(st.one_of(texts, thoughts, calls), max_size=4),
        "stop_reason": st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal", "pause_turn", "new"]),
        "usage": st.fixed_dictionaries({"input_tokens": st.integers(1, 99), "output_tokens": st.integers(1, 99)}),
    }
)


@given(messages, st.integers(1, 5), st.integers(1, 50))
def test_any_message(message: dict[str, Any], cut: int, size: int) -> None:
    events = streamed(message, cut)
    seen = observed(b"".join(events))
    assert seen.complete
    assert not seen.open_blocks
    assert seen.usage == Usage(message["usage"]["input_tokens"], message["usage"]["output_tokens"])
    assert seen.called_tools is any(block["type"] == "tool_use" for block in message["content"])
    assert seen.cut is (message["stop_reason"] == "max_tokens")
    shown = by_way_of_chat(b"".join(events))
    hidden = sum(block["type"] == "redacted_thinking" for block in message["content"])
    bare = sum(block["type"] == "tool_use" and not block["input"] for block in message["content"])
    assert seen.content_events == shown.content_events + hidden - bare
    observe: Callable[[bytes], object] = MessagesObserver().observe
    assert [observe(each) for each in events] == [None] * len(events), "every event passes as it came"


def test_usage_adds_up() -> None:
    seen = observed(START)
    assert seen.usage == Usage(input_tokens=10, output_tokens=1, cache_read_tokens=3)
    assert (seen.outdated, seen.begun) == (False, False)
    for each in (OPEN, text("a"), text("b"), text("")):
        seen.observe(each)
    assert (seen.outdated, seen.content_events, seen.text_bytes) == (True, 2, 2)
    assert seen.counted_tokens(3) == 1 + 2 * 3
    for each in (CLOSE, delta("max_tokens")):
        seen.observe(each)
    assert (seen.outdated, seen.complete) == (False, False)
    assert seen.usage == Usage(input_tokens=10, output_tokens=20, cache_read_tokens=3)
    assert seen.counted_tokens(3) == 20
    assert seen.cut
    seen.observe(STOP)
    assert seen.complete


def test_what_opens_a_call_counts_with_its_bytes() -> None:
    block = {"type": "tool_use", "id": "toolu_1", "name": "get_weather", "input": {}}
    seen = observed(START + event("content_block_start", index=0, content_block=block))
    size = len(json.dumps(block, separators=(",", ":")))
    assert seen.counted_tokens(1) == 1 + 1 + size
    seen.observe(event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}))
    assert seen.counted_tokens(1) == 1 + 2 + size
    assert seen.open_blocks == [0]


def test_what_nobody_may_read_counts() -> None:
    hidden = {"type": "redacted_thinking", "data": "abcd"}
    seen = observed(START + event("content_block_start", index=0, content_block=hidden))
    assert (seen.content_events, seen.text_bytes, seen.outdated) == (1, 4, True)


def test_what_was_searched_is_told() -> None:
    used = {"output_tokens": 9, "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 0}}
    found = {"type": "web_search_tool_result", "tool_use_id": "x", "content": [{"encrypted_content": "y" * 99}]}
    call = {"type": "server_tool_use", "id": "x", "name": "web_search"}
    seen = observed(
        START
        + event("content_block_start", index=0, content_block=call)
        + event("content_block_start", index=1, content_block=found)
        + event("message_delta", delta={"stop_reason": "end_turn"}, usage=used)
    )
    assert seen.services == {"web_search": 2}, "as it is told, not as it was seen"
    assert not seen.called_tools, "it is none of the client's"
    assert seen.content_events == 1, "what was found is input"


def test_the_tier() -> None:
    seen = observed(event("message_start", message={"usage": {**USAGE, "service_tier": "priority"}}))
    assert seen.service_tier == "priority"
    assert observed(START + delta()).service_tier is None


def test_an_error() -> None:
    seen = observed(START + event("error", error={"type": "overloaded_error", "message": "m"}))
    assert seen.failed
    assert seen.begun
    assert not seen.complete


@pytest.mark.parametrize(
    "odd",
    [
        b"event: content_block_delta\ndata: {\n\n",
        b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0}\n\n',
        b'event: message_delta\ndata: {"type":"message_delta","usage":7}\n\n',
        b"data: no json\n\n",
    ],
)
def test_what_cannot_be_read_is_never_free(odd: bytes) -> None:
    seen = observed(START + odd)
    assert seen.content_events + (b'"index":0}' in odd) == 1
    assert seen.usage is not None


def test_at_first_nothing_is_known() -> None:
    seen = observed(b"")
    assert (seen.usage, seen.outdated, seen.begun, seen.complete, seen.cut) == (None, False, False, False, False)
    assert seen.counted_tokens(9) == 0


@pytest.mark.parametrize("odd", [b": comment\n\n", b"event: ping\n\n", event("ping"), event("new", x=1), b"\n\n"])
def test_what_says_nothing(odd: bytes) -> None:
    assert observed(odd).content_events == 0


def test_servers_write_events_otherwise() -> None:
    said = json.loads(event_data(text("abc")))
    spaced = b"event:content_block_delta\r\ndata:" + json.dumps(said, indent=1).replace("\n", "\r\ndata:").encode()
    for each in (data_event(json.dumps(said).encode()), spaced + b"\r\n\r\n", sse({"index": 0, **said})):
        assert observed(each).text_bytes == 3


def test_no_usage_is_none() -> None:
    seen = observed(
        event("message_start", message={"usage": {"input_tokens": 0, "output_tokens": 0}}) + OPEN + text("a")
    )
    assert seen.usage is None
    assert seen.counted_tokens(2) == 2


def test_it_is_the_wires() -> None:
    assert isinstance(WIRE.observer(1, remember=True), MessagesObserver)
    assert WIRE.name == "messages"


def test_searches_are_counted_until_they_are_told() -> None:
    """A stream that breaks off has not told them yet."""
    call = {"type": "server_tool_use", "id": "x", "name": "web_search"}
    begun = {**USAGE, "server_tool_use": {"web_search_requests": 0}}
    stream = event("message_start", message={"usage": begun, "content": []})
    for index in range(2):
        stream += event("content_block_start", index=index, content_block=call)
    assert observed(stream).services == {"web_search": 2}
    told = {"output_tokens": 9, "server_tool_use": {"web_search_requests": 0}}
    assert observed(stream + event("message_delta", delta={"stop_reason": "end_turn"}, usage=told)).services == {}
