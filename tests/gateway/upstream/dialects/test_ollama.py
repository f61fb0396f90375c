from __future__ import annotations

from tests.gateway.upstream.dialects.speaking import ask, outgoing, sent


def test_the_name_that_it_ignores_is_not_used() -> None:
    body = sent("ollama", max_completion_tokens=7)

    assert body["max_tokens"] == 7
    assert "max_completion_tokens" not in body


def test_all_else_goes_as_it_came() -> None:
    request = ask(model="large", max_tokens=7)

    assert outgoing("ollama", request).body is request.body
