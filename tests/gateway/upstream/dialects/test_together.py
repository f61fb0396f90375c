from __future__ import annotations

import pytest

from gateway.upstream.dialects.together import DIALECT
from gateway.wire.requests import EMBEDDINGS
from tests.gateway.upstream.dialects.speaking import ask, sent, stream, whole, wish_for

TEXT = 'says "finish_reason":"eos" itself'


def test_eos_is_a_stop() -> None:
    answer = {"choices": [{"message": {"content": TEXT}, "finish_reason": "eos"}]}

    assert whole("together", answer) == {"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_in_streams_too(size: int) -> None:
    last = b'data: {"choices":[{"delta":{},"finish_reason": "eos"}]}\n\n'

    told = stream("together", [{"choices": [{"delta": {"content": TEXT}}]}, last, b"data: [DONE]\n\n"], size=size)

    assert told == [
        {"choices": [{"delta": {"content": TEXT}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        "[DONE]",
    ]


def test_requests_and_errors() -> None:
    too_long = b'{"error":{"message":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4097."}}'

    assert sent("together", max_completion_tokens=5)["max_tokens"] == 5
    assert DIALECT.complaint(422, too_long) == "context_too_long"
    request = ask(EMBEDDINGS, input="a")
    assert DIALECT.translation(request, wish_for(request)) is None
