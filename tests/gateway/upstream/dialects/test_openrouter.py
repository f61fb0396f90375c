from __future__ import annotations

import pytest

from gateway.errors import InvalidField
from gateway.upstream.dialects.openrouter import DIALECT
from gateway.wire.answers import StreamObserver, read_answer
from tests.gateway.upstream.dialects.speaking import ask, outgoing


def test_other_models_are_not_let_in() -> None:
    with pytest.raises(InvalidField) as caught:
        outgoing("openrouter", ask(models=["dear/model"]))

    assert caught.value.param == "models"


def test_all_else_goes_as_it_came() -> None:
    request = ask(model="large", provider={"order": ["a"]}, transforms=[])

    assert outgoing("openrouter", request).body is request.body


def test_moderation_and_permissions_are_told_apart() -> None:
    flagged = b'{"error":{"code":403,"message":"Your input was flagged","metadata":{"reasons":["violence"]}}}'

    assert DIALECT.complaint(403, flagged) == "content_filter"
    assert DIALECT.complaint(403, b'{"error":{"code":403,"message":"Forbidden"}}') == "account"
    assert DIALECT.complaint(402, b'{"error":{"code":402,"message":"Insufficient credits"}}') == "account"
    assert DIALECT.complaint(429, b'{"error":{"code":429,"message":"Provider returned error"}}') == "rate_limited"


def test_errors_under_status_200_are_errors() -> None:
    observer = StreamObserver(1)
    observer.observe(
        b'data: {"id":"x","error":{"code":502,"message":"Provider disconnected"},"choices":[{"index":0,'
        b'"delta":{"content":""},"finish_reason":"error"}]}\n\n'
    )

    assert observer.failed
    assert not observer.complete
    assert read_answer(b'{"error":{"code":502,"message":"No answer"},"user_id":"u"}').failed
