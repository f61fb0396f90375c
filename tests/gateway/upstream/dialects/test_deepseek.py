from __future__ import annotations

from gateway.upstream.dialects.deepseek import DIALECT
from gateway.wire.requests import COMPLETIONS
from tests.gateway.upstream.dialects.speaking import ask, outgoing, sent


def test_texts_in_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "b"}]
    image = [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": "https://a/b.png"}}]

    body = sent("deepseek", messages=[{"role": "user", "content": parts}, {"role": "user", "content": image}])

    assert body["messages"] == [{"role": "user", "content": "a\nb"}, {"role": "user", "content": image}]


def test_plain_messages_stay() -> None:
    messages = [
        {"role": "assistant", "content": None, "reasoning_content": "r", "tool_calls": []},
        {"role": "user", "content": 'the word "text"'},
    ]

    assert sent("deepseek", messages=messages)["messages"] == messages
    request = ask(model="large", messages=[{"role": "user", "content": "plain"}])
    assert outgoing("deepseek", request).body is request.body


def test_the_bound_has_one_name() -> None:
    assert sent("deepseek", max_completion_tokens=5)["max_tokens"] == 5
    assert sent("deepseek", COMPLETIONS, prompt='"text"', max_completion_tokens=5)["max_tokens"] == 5


def test_its_errors() -> None:
    risk = b'{"error":{"message":"Content Exists Risk","type":"invalid_request_error"}}'

    assert DIALECT.complaint(400, risk) == "content_filter"
    assert DIALECT.complaint(402, b'{"error":{"message":"Insufficient Balance"}}') == "account"
