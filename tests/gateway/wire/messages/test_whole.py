"""Whole messages: read as chat's answers are, and said as one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from gateway.upstream.dialects.anthropic.answer import whole_answer
from gateway.wire.answers import MalformedAnswer, is_filtered, read_answer
from gateway.wire.messages import WIRE
from tests.gateway.wire.messages.streams import WHOLE
from tests.gateway.wire.messages.test_assemble import messages
from tests.gateway.wire.messages.test_round_trips import summary


@pytest.mark.parametrize("folder", WHOLE)
def test_it_is_read_as_its_translation_is(folder: Path) -> None:
    body = (folder / "answer.provider.json").read_bytes()
    found, translated = WIRE.read_answer(body), read_answer(whole_answer(body, 0, json_tool=False))
    assert (found.usage, found.service_tier) == (translated.usage, translated.service_tier)
    assert (found.failed, found.cut) == (translated.failed, translated.cut)
    assert is_filtered(found.choices) is is_filtered(translated.choices)


@given(messages)
def test_as_chat_it_is_what_the_dialect_makes_of_it(message: dict[str, Any]) -> None:
    body = json.dumps(message).encode()
    assert summary(WIRE.as_chat(body)) == summary(whole_answer(body, 0, json_tool=False))


def read(**fields: Any) -> Any:
    return WIRE.read_answer(json.dumps({"type": "message", "content": [], **fields}).encode())


def test_what_is_told_of_it() -> None:
    found = read(
        content=[{"type": "text", "text": "a"}, {"type": "tool_use", "id": "x", "name": "f", "input": {}}],
        stop_reason="tool_use",
        usage={"input_tokens": 1, "output_tokens": 2, "server_tool_use": {"web_search_requests": 1}},
    )
    assert found.services == {"web_search": 1}
    assert found.text_bytes > 0
    assert json.loads(bytes(found.choices)) == [
        {"message": {"content": "...", "tool_calls": [{"type": "function"}]}, "finish_reason": "tool_calls"}
    ]


@pytest.mark.parametrize(
    ("reason", "cut", "filtered"),
    [("max_tokens", True, False), ("model_context_window_exceeded", True, False), ("refusal", False, True)],
)
def test_why_it_stopped(reason: str, cut: bool, filtered: bool) -> None:
    found = read(stop_reason=reason)
    assert found.cut is cut
    assert is_filtered(found.choices) is filtered


def test_an_error_in_the_guise_of_an_answer() -> None:
    found = WIRE.read_answer(b'{"type":"error","error":{"type":"api_error","message":"m"}}')
    assert found.failed
    assert found.usage is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"content":"x"}', b'{"content":[7]}', b"<html>"])
def test_what_is_none(body: bytes) -> None:
    with pytest.raises(MalformedAnswer):
        WIRE.read_answer(body)
    with pytest.raises(MalformedAnswer):
        WIRE.as_chat(body)


def test_searches_of_a_message_without_usage_are_counted() -> None:
    search = {"type": "server_tool_use", "id": "x", "name": "web_search", "input": {}}
    assert read(content=[search, search]).services == {"web_search": 2}
    assert read(content=[search], usage={"input_tokens": 1, "output_tokens": 1}).services == {}
