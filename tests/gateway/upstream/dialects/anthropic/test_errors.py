"""What errors mean; golden files show those that Anthropic documents, these what else may come."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.upstream.dialects.anthropic.errors import complaint_of, error_body
from gateway.upstream.dialects.protocol import Complaint

PROXY = b"<html>nginx</html>"


def body(kind: str, message: str = "", code: str | None = None) -> bytes:
    details = {} if code is None else {"details": {"error_code": code}}
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **details}}).encode()


@pytest.mark.parametrize(
    ("status", "error", "complaint"),
    [
        (403, body("permission_error", code="organization_on_hold"), "account"),
        (400, body("invalid_request_error", code="organization_on_hold"), "account"),
        (429, body("rate_limit_error", code="contract_spend_limit_reached"), "account"),
        (429, body("rate_limit_error", code="ramp_limit_exceeded"), "rate_limited"),
        (
            429,
            body("rate_limit_error", "You have reached your specified API usage limits."),
            "account",
        ),
        (400, body("invalid_request_error", "This organization has been disabled."), "account"),
        (400, body("invalid_request_error", "billing_policy: Extra inputs are not permitted"), "refused"),
        (402, body("billing_error"), "account"),
        (504, body("timeout_error"), "failed"),
        (409, body("conflict_error"), "failed"),
        (400, body("of_next_year"), "refused"),
        (503, body("of_next_year"), "failed"),
        (500, body("invalid_request_error", "prompt is too long"), "failed"),
        (422, PROXY, "refused"),
        (404, PROXY, "refused"),
        (413, PROXY, "context_too_long"),
        (429, PROXY, "rate_limited"),
        (401, PROXY, "account"),
        (408, PROXY, "failed"),
        (302, PROXY, "failed"),
        (502, b"", "failed"),
    ],
)
def test_complaints(status: int, error: bytes, complaint: Complaint) -> None:
    assert complaint_of(status, error) == complaint


anything = st.one_of(
    st.binary(max_size=40),
    st.builds(lambda value: json.dumps({"error": value}).encode(), st.one_of(st.none(), st.text(), st.integers())),
    st.builds(body, st.text(max_size=8), st.text(max_size=8), st.one_of(st.none(), st.text(max_size=8))),
)


@given(st.integers(300, 599), anything)
def test_whatever_comes_is_put_as_openai_would(status: int, error: bytes) -> None:
    made: dict[str, Any] = json.loads(error_body(status, error))

    assert set(made) == {"error"}
    assert set(made["error"]) == {"message", "type", "param", "code"}
    assert isinstance(made["error"]["message"], str)
    assert complaint_of(status, error) in get_args(Complaint)
