"""A stream whose money has run out ends as if it had reached its bound, wherever it is cut."""

from __future__ import annotations

import json
from typing import Any

from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from gateway.wire.ending import Stream
from gateway.wire.messages import WIRE
from gateway.wire.sse import event_data
from routing.money import NanoUsd, Usage
from tests.gateway.wire.messages.streams import observed, streamed
from tests.gateway.wire.messages.test_assemble import assembled, messages

_event: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
STREAM = Stream("messages", 1, include_usage=True, request_id="r1", model="m", created_s=0)
USAGE = Usage(input_tokens=100, output_tokens=7, cache_read_tokens=40, cache_write_tokens=10)


def ending_of(events: list[bytes]) -> list[bytes]:
    return WIRE.ending(STREAM, observed(b"".join(events)), USAGE, NanoUsd(1_500))


@given(messages, st.integers(0, 30))
def test_any_stream_ends_properly(message: dict[str, Any], shown: int) -> None:
    events = streamed(message)[:shown]
    before = observed(b"".join(events))
    ending = ending_of(events)
    whole = observed(b"".join([*events, *ending]))
    assert whole.complete
    assert whole.open_blocks == []
    if before.done:
        assert ending == []
        return
    for each in ending:
        _event.validate_json(event_data(each), strict=True)
    said = assembled([*events, *ending])
    assert said["stop_reason"] == (message["stop_reason"] if before.stopped else "max_tokens")
    if not before.stopped:
        assert whole.cut
        assert whole.usage == USAGE


def test_what_it_cost_is_told() -> None:
    events = [json.loads(event_data(each)) for each in ending_of([])]
    assert [each["type"] for each in events] == ["message_start", "message_delta", "message_stop"]
    assert events[0]["message"]["id"] == "msg_r1"
    usage = events[1]["usage"]
    assert (usage["input_tokens"], usage["output_tokens"], usage["cost"]) == (50, 7, 0.0000015)
