"""Thoughts that nobody signed are known again by our mark: Anthropic never sees them, other models do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.wire.messages import AnswerTranslator, read
from gateway.wire.messages.plain import plain
from gateway.wire.requests import CHAT, read_request


def request_of(*content: Any) -> bytes:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": [*content]},
        {"role": "user", "content": "b"},
    ]
    return json.dumps({"model": "m", "max_tokens": 9, "messages": turns, "top_k": 3}).encode()


OURS = json.loads(
    AnswerTranslator(model="m", request_id="r").whole(
        b'{"choices":[{"message":{"content":"t","reasoning_content":"hm"},"finish_reason":"stop"}]}'
    )
)["content"]
THEIRS = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}


def test_an_answer_of_another_model_goes_back() -> None:
    assert OURS == [{"type": "thinking", "thinking": "hm", "signature": "farebox"}, {"type": "text", "text": "t"}]
    chat, native = read(request_of(*OURS))
    sent = json.loads(native.upstream_body("m"))
    assert sent["messages"][1] == {"role": "assistant", "content": [{"type": "text", "text": "t"}]}
    assert sent["top_k"] == 3
    said = json.loads(chat)["messages"][1]
    assert said == {"role": "assistant", "content": "t", "reasoning_content": "hm"}


@pytest.mark.parametrize("strict", [True, False])
def test_models_get_their_thoughts_back_where_the_provider_takes_them(strict: bool) -> None:
    request = read_request(CHAT, read(request_of(*OURS))[0])
    message = json.loads(plain(request, "deepseek-chat", "max_tokens", strict=strict).body)["messages"][1]
    assert message.get("reasoning_content") == (None if strict else "hm")


def test_a_message_of_nothing_else_goes_with_them() -> None:
    _, native = read(request_of(OURS[0]))
    assert [turn["content"] for turn in json.loads(native.upstream_body("m"))["messages"]] == ["a", "b"]


def test_signed_thoughts_stay_to_the_byte() -> None:
    body = request_of(THEIRS, {"type": "text", "text": 'signed "farebox"'})
    _, native = read(body)
    assert native.upstream_body("m") == body


def test_thoughts_of_other_gateways_stay() -> None:
    body = request_of({**THEIRS, "signature": ""}, {"type": "text", "text": "t"})
    chat, native = read(body)
    assert native.upstream_body("m") == body
    assert json.loads(chat)["messages"][1]["reasoning_content"] == "hm"
