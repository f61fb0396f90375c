"""Requests of other tongues, as dialects can say them."""

from __future__ import annotations

import msgspec
import pytest

from gateway.upstream.dialects.plainly import in_words_of
from gateway.upstream.dialects.protocol import Wish
from gateway.wire.requests import ModelRequest
from gateway.wire.tongues import read_any

WISH = Wish("gpt-5", None, "max_completion_tokens", None, False, "req_1", [])
MESSAGE = msgspec.json.encode(
    {
        "model": "m",
        "max_tokens": 900,
        "thinking": {"type": "enabled", "budget_tokens": 512},
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}]}
        ],
    }
)


def said(dialect: str, api: str = "messages", body: bytes = MESSAGE) -> ModelRequest:
    return in_words_of(dialect, read_any(api, body), WISH)


@pytest.mark.parametrize("dialect", ["anthropic", "litellm"])
def test_whoever_knows_the_words_hears_them(dialect: str) -> None:
    request = said(dialect)
    assert "thinking" in request.fields
    assert b"cache_control" in request.body


@pytest.mark.parametrize("dialect", ["openai", "azure", "gemini", "vllm"])
def test_nobody_else_does(dialect: str) -> None:
    request = said(dialect)
    assert request.native is not None
    assert "thinking" not in request.fields
    assert b"cache_control" not in request.body
    assert request.max_completion_tokens == 900
    assert request.messages[0].role == "user"


def test_other_requests_stay_as_they_are() -> None:
    chat = read_any("chat", b'{"model":"m","messages":[{"role":"user","content":"\\"thinking_blocks\\""}]}')
    assert in_words_of("openai", chat, WISH) is chat


def test_what_labels_a_response_is_the_gateways() -> None:
    response = said("openai", "responses", b'{"model":"m","input":"Hi","metadata":{"a":"b"}}')
    assert "metadata" not in response.fields
    assert response.native is not None
