"""What a provider's error means, told by its status and its words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.complaints import Words, said
from gateway.upstream.dialects.protocol import Complaint

TOO_LONG = (
    b'{"error":{"message":"This model\'s maximum context length is 8192 tokens.","code":"context_length_exceeded"}}'
)
FILTERED = b'{"error":{"message":"The response was filtered","code":"content_filter"}}'
POOR = b'{"error":{"message":"You exceeded your current quota","type":"insufficient_quota"}}'
BAD_KEY = b'{"error":{"message":"Incorrect API key provided: sk-1234","code":null}}'
ECHO = b'{"detail":[{"msg":"Field required","input":"my error is context_length_exceeded"}]}'


@pytest.mark.parametrize(
    ("status", "body", "complaint"),
    [
        (400, TOO_LONG, "context_too_long"),
        (413, TOO_LONG, "context_too_long"),
        (400, FILTERED, "content_filter"),
        (403, FILTERED, "content_filter"),
        (403, b"", "account"),
        (413, b"<html>", "context_too_long"),
        (401, TOO_LONG, "account"),
        (402, b"", "account"),
        (400, BAD_KEY, "account"),
        (429, POOR, "account"),
        (429, b'{"error":{"message":"Rate limit reached"}}', "rate_limited"),
        (400, b'{"error":{"message":"Invalid value"}}', "refused"),
        (404, b"<html>", "refused"),
        (422, ECHO, "refused"),
        (408, b"", "failed"),
        (500, POOR, "failed"),
        (503, b"", "failed"),
        (301, b"", "failed"),
    ],
)
def test_openais_errors(status: int, body: bytes, complaint: Complaint) -> None:
    assert Words().complaint(status, body) == complaint


def test_a_dialect_adds_words_of_its_own() -> None:
    words = Words(context_too_long=("prompt is too big",), content_filter=("naughty",), account=("out of credits",))

    assert words.complaint(400, b'{"message":"Prompt is too big"}') == "context_too_long"
    assert words.complaint(400, b"naughty") == "content_filter"
    assert words.complaint(429, b'["Out of credits"]') == "account"
    assert words.complaint(400, TOO_LONG) == "context_too_long"


@given(st.integers(300, 599), st.binary(max_size=200) | st.just(b"[" * 5000) | st.just(b'{"a":' * 2000))
def test_any_body_is_read(status: int, body: bytes) -> None:
    assert Words().complaint(status, body)


def test_only_so_much_is_read() -> None:
    assert len(said(b'{"message":"' + b"x" * 100_000 + b'"}')) == 4096
    assert len(said(b"x" * 100_000)) == 4096
