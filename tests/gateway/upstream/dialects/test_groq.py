from __future__ import annotations

import pytest

from gateway.upstream.dialects.groq import DIALECT
from gateway.upstream.dialects.protocol import Complaint
from tests.gateway.upstream.dialects.speaking import ask, outgoing, sent


def test_what_other_providers_wrote_into_answers_is_left_out() -> None:
    answer: dict[str, object] = {
        "role": "assistant",
        "content": "hi",
        "refusal": None,
        "annotations": [],
        "reasoning_content": "hm",
    }
    user = {"role": "user", "content": 'a "refusal"', "name": "u"}

    body = sent("groq", messages=[answer, {**answer, "reasoning": "own"}, user])

    assert body["messages"] == [
        {"role": "assistant", "content": "hi"},
        {"role": "assistant", "content": "hi", "reasoning": "own"},
        user,
    ]


def test_other_requests_go_as_they_came() -> None:
    request = ask(model="large", messages=[{"role": "assistant", "content": "hi"}])

    assert outgoing("groq", request).body is request.body


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (413, b'{"error":{"message":"Request too large for model","type":"tokens","code":"rate_limit_exceeded"}}',
         "context_too_long"),
        (429, b'{"error":{"message":"Rate limit reached","code":"rate_limit_exceeded"}}', "rate_limited"),
        (498, b"", "rate_limited"),
        (400, b'{"error":{"code":"tool_use_failed","failed_generation":"context_length_exceeded"}}', "refused"),
    ],
)  # fmt: skip
def test_its_errors(status: int, body: bytes, complaint: Complaint) -> None:
    assert DIALECT.complaint(status, body) == complaint
