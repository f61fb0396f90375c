"""The fixed streams are what the SDKs of these APIs take, and of the length that was asked for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import RawMessageStreamEvent
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from benchmarks.tongues import STREAMS, messages_events, responses_events


def data_of(event: bytes) -> dict[str, Any]:
    name, data = event.decode().removesuffix("\n\n").split("\n")
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    assert name == f"event: {found['type']}"
    return found


@pytest.mark.parametrize("count", [9, 20, 100])
def test_messages(count: int) -> None:
    events = [data_of(event) for event in messages_events(count)]
    assert len(events) == count
    taken: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
    for event in events:
        if event["type"] != "ping":
            taken.validate_python(event)


@pytest.mark.parametrize("count", [9, 20, 100])
def test_responses(count: int) -> None:
    events = [data_of(event) for event in responses_events(count)]
    assert [event["sequence_number"] for event in events] == list(range(count))
    taken: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
    for event in events:
        taken.validate_python(event)
    final = Response.model_validate(events[-1]["response"])
    assert final.output_text == "".join(event.get("delta", "") for event in events)


def test_requests_are_of_one_size() -> None:
    sizes = {name: len(asked.body) for name, asked in STREAMS.items()}
    assert max(sizes.values()) - min(sizes.values()) < 150, sizes
