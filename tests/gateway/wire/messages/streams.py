"""Streams of the Messages API for these tests: as the dialect's golden files have them, and made of whole messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.wire.messages.observer import MessagesObserver
from gateway.wire.sse import EventSplitter
from tests.gateway.upstream.dialects.anthropic.test_stream import events_of, sse
from tests.gateway.upstream.dialects.test_golden import GOLDEN

ANTHROPICS = GOLDEN / "anthropic"
STREAMS = [
    pytest.param(path.parent, id=path.parent.name)
    for path in sorted(ANTHROPICS.glob("*/answer.provider.sse"))
    if path.parent.name != "stream_unreadable"
]
"""Folders of the dialect's golden streams, as far as their events can be read."""
WHOLE = [
    pytest.param(path.parent, id=path.parent.name)
    for path in sorted(ANTHROPICS.glob("*/answer.provider.json"))
    if json.loads(path.read_bytes()).get("type") == "message"
]


def about(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "case.json").read_bytes())
    return found


def events_in(stream: bytes) -> list[bytes]:
    splitter = EventSplitter()
    return [*splitter.feed(stream), *([splitter.rest] if splitter.rest else [])]


def observed(stream: bytes) -> MessagesObserver:
    observer = MessagesObserver()
    for event in events_in(stream):
        observer.observe(event)
    return observer


def streamed(message: dict[str, Any], cut: int = 3) -> list[bytes]:
    """A message as the API streams it."""
    begun = {**message, "content": [], "stop_reason": None}
    if "usage" in message:
        begun["usage"] = {**message["usage"], "output_tokens": 1}
    said: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, block in enumerate(message["content"]):
        said += events_of(index, block, cut)
    delta = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    said.append({"type": "message_delta", "delta": delta, "usage": message.get("usage", {"output_tokens": 0})})
    said.append({"type": "message_stop"})
    return [sse(event) for event in said]


def event(kind: str, **fields: Any) -> bytes:
    return sse({"type": kind, **fields})


def text(piece: str, index: int = 0) -> bytes:
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": piece})
