"""Anthropic's errors: what they mean, and how OpenAI would put them.

Theirs is `{"type": "error", "error": {"type": "overloaded_error", "message": ...}, "request_id": ...}`, as the body of
a status or as an event inside of a stream.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from gateway.upstream.dialects.protocol import Complaint
from gateway.wire.messages.errors import TYPES

_encode = msgspec.json.encode


class ErrorDetails(msgspec.Struct):
    """What tells two errors of one type apart."""

    error_code: str | None = None


class ErrorBody(msgspec.Struct):
    """The error itself."""

    type: str = "api_error"
    message: str = ""
    details: ErrorDetails | None = None


class _Envelope(msgspec.Struct):
    error: ErrorBody


_envelope_decoder = msgspec.json.Decoder(_Envelope)
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

_TOO_LONG: Final = re.compile(
    r"prompt is too long|exceed (?:the )?context (?:limit|window)|maximum context length|too many (?:total )?tokens",
    re.I,
)
_OUR_ACCOUNT: Final = re.compile(
    r"credit balance|plans & billing|reached your [\w ]*usage limit|organization (?:has been|is) disabled", re.I
)
_FILTERED: Final = re.compile(r"content filter", re.I)

COMPLAINTS: Final[dict[str, Complaint]] = {
    "authentication_error": "account",
    "billing_error": "account",
    "permission_error": "account",
    "rate_limit_error": "rate_limited",
    "request_too_large": "context_too_long",
    "overloaded_error": "failed",
    "api_error": "failed",
    "timeout_error": "failed",
}
_STATUSES: Final[dict[int, Complaint]] = {
    401: "account",
    402: "account",
    403: "account",
    408: "failed",
    409: "failed",
    413: "context_too_long",
    429: "rate_limited",
}


def read_error(body: bytes) -> ErrorBody | None:
    """The error in a body, or None when it is not of Anthropic's shape: a proxy's page, say."""
    try:
        return _envelope_decoder.decode(body).error
    except _MALFORMED:
        return None


def complaint_of(status: int, body: bytes) -> Complaint:
    """What an error status with this body means."""
    error = read_error(body)
    if error is not None:
        if _is_our_account(error):
            return "account"
        if error.type == "invalid_request_error" and status < 500:
            if _TOO_LONG.search(error.message):
                return "context_too_long"
            return "content_filter" if _FILTERED.search(error.message) else _STATUSES.get(status, "refused")
        if error.type in COMPLAINTS:
            return COMPLAINTS[error.type]
    if status >= 500 or status < 400:
        return "failed"
    return _STATUSES.get(status, "refused")


def _is_our_account(error: ErrorBody) -> bool:
    """Whether our money or organisation is the matter, whatever the type says."""
    code = (error.details.error_code if error.details else None) or ""
    if code.endswith(("spend_limit_reached", "billing_unavailable")) or code.startswith("organization_"):
        return True
    return error.type in ("invalid_request_error", "rate_limit_error") and bool(_OUR_ACCOUNT.search(error.message))


def as_openai(error: ErrorBody) -> bytes:
    """The error as the body that OpenAI would send."""
    kind, code = TYPES.get(error.type, (error.type, None))
    if error.type == "invalid_request_error":
        if _TOO_LONG.search(error.message):
            code = "context_length_exceeded"
        elif _FILTERED.search(error.message):
            code = "content_filter"
    return _encode({"error": {"message": error.message, "type": kind, "param": None, "code": code}})


def error_body(status: int, body: bytes) -> bytes:
    """The body of an error status, as OpenAI would put it."""
    error = read_error(body)
    if error is None:
        kind = "server_error" if status >= 500 else "invalid_request_error"
        message = f"The provider answered with status {status} and no reason that can be read."
        return _encode({"error": {"message": message, "type": kind, "param": None, "code": None}})
    return as_openai(error)
