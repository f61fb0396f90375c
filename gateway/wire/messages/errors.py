"""Errors as the Messages API says them: `{"type": "error", "error": {"type", "message"}, "request_id"}`.

The types are those of docs/errors.md for what Farebox says itself, told by the code; of a provider's own errors they
follow from the code, and where that is not known from the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from gateway.errors import InvalidField

_encode = msgspec.json.encode
_MALFORMED: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

TYPES: Final = {
    # Anthropic's type -> OpenAI's type and code
    "invalid_request_error": ("invalid_request_error", None),
    "authentication_error": ("invalid_request_error", "invalid_api_key"),
    "billing_error": ("insufficient_quota", "insufficient_quota"),
    "permission_error": ("invalid_request_error", "permission_denied"),
    "not_found_error": ("invalid_request_error", "model_not_found"),
    "request_too_large": ("invalid_request_error", "request_too_large"),
    "rate_limit_error": ("rate_limit_error", "rate_limit_exceeded"),
    "timeout_error": ("server_error", "timeout"),
    "api_error": ("server_error", "server_error"),
    "overloaded_error": ("server_error", "overloaded"),
}

_OF_CODES: Final = {
    "budget_exceeded": "billing_error",
    "insufficient_quota": "billing_error",
    "rate_limit_exceeded": "rate_limit_error",
    "service_unavailable": "overloaded_error",
    "budget_store_unavailable": "overloaded_error",
    "overloaded": "overloaded_error",
    "invalid_api_key": "authentication_error",
    "model_not_priced": "permission_error",
    "run_not_allowed": "permission_error",
    "permission_denied": "permission_error",
    "not_found": "not_found_error",
    "run_limit_exceeded": "invalid_request_error",
    "loop_detected": "invalid_request_error",
    "request_too_large": "invalid_request_error",
    "method_not_allowed": "invalid_request_error",
    "upstream_error": "api_error",
    "upstream_timeout": "api_error",
    "upstream_credentials": "api_error",
    "internal_error": "api_error",
}
"""Codes that say it whatever the status is: of `budget_exceeded` the operator chooses it."""
_OF_STATUSES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
_OF_TYPES: Final = {
    "invalid_request_error": "invalid_request_error",
    "authentication_error": "authentication_error",
    "insufficient_quota": "billing_error",
    "rate_limit_error": "rate_limit_error",
    "service_unavailable_error": "overloaded_error",
}
"""For errors inside of a stream, which have no status."""
_THREADLESS: Final = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
"""By these SDKs know that a conversation is not kept here: they go on with the whole of it in each request."""


class _Error(msgspec.Struct):
    message: msgspec.Raw = msgspec.Raw(b"")
    type: Any = None
    code: Any = None
    param: Any = None


class _Envelope(msgspec.Struct):
    error: _Error
    type: Any = None


_envelope_decoder = msgspec.json.Decoder(_Envelope)


def error_body(status: int, openai_body: bytes, request_id: str) -> bytes:
    """The body of an error status, in OpenAI's shape or none, as the Messages API would put it."""
    try:
        envelope = _envelope_decoder.decode(openai_body)
    except _MALFORMED:
        message = f"The provider answered with status {status} and no reason that can be read."
        return _body(_of_status(status), message, request_id)
    if envelope.type == "error":  # it says so already
        return openai_body
    error = envelope.error
    details = _THREADLESS if error.param == "thread" and error.code == InvalidField.code else None
    return _body(_of_code(error.code) or _of_status(status), _message(error.message), request_id, details)


def error_event(error: Mapping[str, Any], request_id: str) -> bytes:
    """The event that ends a stream with an error, which is given in OpenAI's shape: `message`, `type`, `code`."""
    kind = _of_code(error.get("code")) or _of_type(error.get("type"))
    return b"event: error\ndata: " + _body(kind, str(error.get("message") or ""), request_id) + b"\n\n"


def _body(kind: str, message: str | msgspec.Raw, request_id: str, details: Mapping[str, Any] | None = None) -> bytes:
    error = {"type": kind, "message": message} | ({"details": details} if details else {})
    return _encode({"type": "error", "error": error, "request_id": request_id})


def _message(raw: msgspec.Raw) -> str | msgspec.Raw:
    return raw if bytes(memoryview(raw)[:1]) == b'"' else bytes(raw).decode(errors="replace")


def _of_code(code: Any) -> str | None:
    return _OF_CODES.get(code) if isinstance(code, str) else None


def _of_status(status: int) -> str:
    found = _OF_STATUSES.get(status)
    if found is not None:
        return found
    return "api_error" if status >= 500 or status < 400 else "invalid_request_error"


def _of_type(kind: Any) -> str:
    return _OF_TYPES.get(kind, "api_error") if isinstance(kind, str) else "api_error"
