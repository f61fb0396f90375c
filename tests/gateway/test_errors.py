"""The error tree against the contract, the bodies and headers made of it, and the words its messages may not use."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway
from gateway import errors
from gateway.api.admin import AdminRoleRequired
from gateway.api.connection import HeadTooLarge, RequestTooSlow
from gateway.api.errors import error_body, error_headers
from gateway.errors import FareboxError, UpstreamFailure

SOURCE = Path(gateway.__file__).parent
INVALID, UPSTREAM, UNAVAILABLE = "invalid_request_error", "upstream_error", "service_unavailable_error"

CONTRACT: dict[type[FareboxError], tuple[int, str, str, str]] = {
    FareboxError: (500, "api_error", "internal_error", "api_error"),
    errors.BadRequest: (400, INVALID, "invalid_request", INVALID),
    errors.InvalidJson: (400, INVALID, "invalid_json", INVALID),
    errors.InvalidForm: (400, INVALID, "invalid_form", INVALID),
    errors.InvalidHeader: (400, INVALID, "invalid_header", INVALID),
    errors.InvalidField: (400, INVALID, "invalid_value", INVALID),
    errors.MissingField: (400, INVALID, "missing_required_parameter", INVALID),
    errors.CostUnbounded: (400, INVALID, "cost_unbounded", INVALID),
    errors.ContextTooLong: (400, INVALID, "context_length_exceeded", INVALID),
    errors.NoModelFits: (400, INVALID, "no_model_fits", INVALID),
    errors.RunNotAllowed: (403, INVALID, "run_not_allowed", "permission_error"),
    errors.BudgetExceeded: (402, "insufficient_quota", "budget_exceeded", "billing_error"),
    errors.LimitReached: (429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    errors.BudgetReserved: (429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    errors.RateExceeded: (429, "rate_limit_error", "rate_limit_exceeded", "rate_limit_error"),
    errors.RunLimitExceeded: (422, INVALID, "run_limit_exceeded", INVALID),
    errors.LoopDetected: (422, INVALID, "loop_detected", INVALID),
    errors.BudgetStoreUnavailable: (503, UNAVAILABLE, "budget_store_unavailable", "overloaded_error"),
    errors.BodyTooLarge: (413, INVALID, "request_too_large", INVALID),
    errors.InvalidKey: (401, INVALID, "invalid_api_key", "authentication_error"),
    errors.ModelNotAllowed: (403, INVALID, "model_not_found", "permission_error"),
    errors.ModelNotFound: (404, INVALID, "model_not_found", "not_found_error"),
    errors.ModelNotPriced: (403, INVALID, "model_not_priced", "permission_error"),
    errors.NotFound: (404, INVALID, "not_found", "not_found_error"),
    errors.MethodNotAllowed: (405, INVALID, "method_not_allowed", INVALID),
    errors.ServiceUnavailable: (503, UNAVAILABLE, "service_unavailable", "overloaded_error"),
    errors.UpstreamFailure: (502, UPSTREAM, "upstream_error", "api_error"),
    errors.UpstreamCredentials: (502, UPSTREAM, "upstream_credentials", "api_error"),
    errors.UpstreamTimeout: (504, UPSTREAM, "upstream_timeout", "api_error"),
    HeadTooLarge: (431, INVALID, "request_header_fields_too_large", INVALID),
    RequestTooSlow: (408, INVALID, "request_timeout", INVALID),
    AdminRoleRequired: (403, INVALID, "admin_role_required", "permission_error"),
}


def subclasses(root: type[FareboxError]) -> Iterator[type[FareboxError]]:
    yield root
    for child in root.__subclasses__():
        yield from subclasses(child)


def test_every_error_has_its_place_in_the_contract() -> None:
    assert set(subclasses(FareboxError)) == set(CONTRACT)
    for error, expected in CONTRACT.items():
        assert (error.status, error.type, error.code, error.anthropic_type) == expected, error


def test_the_drawing_is_the_tree() -> None:
    drawn = re.findall(r"[├└]── (\w+) +(\d+)", errors.__doc__ or "")
    defined = {cls.__name__: str(cls.status) for cls in subclasses(FareboxError) if cls.__module__ == errors.__name__}
    del defined["FareboxError"]
    assert dict(drawn) == defined


def test_a_body() -> None:
    error = errors.ModelNotAllowed("Not you.", param="model", reason="model_not_allowed")
    assert json.loads(error_body(error, "req_1")) == {
        "error": {
            "message": "Not you.",
            "type": INVALID,
            "param": "model",
            "code": "model_not_found",
            "metadata": {"reason": "model_not_allowed", "request_id": "req_1"},
        }
    }


@given(
    st.text(st.characters(exclude_categories=("Cs",))), st.none() | st.text(st.characters(exclude_categories=("Cs",)))
)
def test_any_message_can_be_written(message: str, param: str | None) -> None:
    body = json.loads(error_body(FareboxError(message, param=param), "r"))["error"]
    assert (body["message"], body["param"]) == (message, param)
    assert str(FareboxError(message)) == message


@pytest.mark.parametrize("error", CONTRACT)
def test_headers(error: type[FareboxError]) -> None:
    headers = dict(error_headers(error("Because."), "req_1"))
    assert headers.pop(b"content-type") == b"application/json"
    assert headers.pop(b"x-request-id") == b"req_1"
    assert headers == {
        errors.InvalidKey: {b"www-authenticate": b"Bearer"},
        errors.ServiceUnavailable: {b"retry-after": b"1"},
        errors.UpstreamCredentials: {b"x-should-retry": b"false"},
        errors.BudgetExceeded: {b"x-should-retry": b"false"},
        errors.LimitReached: {b"retry-after": b"1"},
        errors.BudgetReserved: {b"retry-after": b"1"},
        errors.RateExceeded: {b"retry-after": b"1"},
        errors.RunLimitExceeded: {b"x-should-retry": b"false"},
        errors.LoopDetected: {b"x-should-retry": b"false"},
        errors.BudgetStoreUnavailable: {b"retry-after": b"2"},
    }.get(error, {})


@pytest.mark.parametrize("error", [cls for cls in CONTRACT if issubclass(cls, UpstreamFailure)])
def test_the_upstreams_status_is_told(error: type[UpstreamFailure]) -> None:
    headers = dict(error_headers(error("Because.", upstream_status=429, reason="x"), "r"))
    assert headers[b"x-farebox-upstream-status"] == b"429"


# --- words that agent frameworks decide on ---

_FORBIDDEN = re.compile(r"rate.?limit|429|too many tokens|too many requests|maximum context length", re.IGNORECASE)


def _texts(call: ast.Call) -> str:
    """The literal parts of a call's message."""
    parts = [node.value for arg in call.args for node in ast.walk(arg) if isinstance(node, ast.Constant)]
    return " ".join(part for part in parts if isinstance(part, str))


def _messages() -> Iterator[tuple[str, str]]:
    names = {cls.__name__ for cls in CONTRACT if cls.status != 429 and cls is not errors.ContextTooLong}
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
                name = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
                if name in names:
                    yield f"{path.relative_to(SOURCE)}:{node.lineno}", _texts(node)


def test_no_message_sounds_like_a_rate_limit() -> None:
    found = list(_messages())
    assert len(found) > 20
    assert [place for place, text in found if _FORBIDDEN.search(text)] == []
