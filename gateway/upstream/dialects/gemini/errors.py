"""Gemini's errors as OpenAI's: `{"error": {"code", "message", "status", "details"}}`, alone or in an array."""

from __future__ import annotations

import re
from typing import Any

import msgspec

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}
_TOO_LONG = re.compile(r"exceeds the maximum number of tokens allowed \((\d+)\)")


class _Status(msgspec.Struct):
    code: int = 0
    message: str = ""
    status: str = ""


class _Body(msgspec.Struct):
    error: _Status


_decoder = msgspec.json.Decoder(_Body | list[_Body])
_status_decoder = msgspec.json.Decoder(_Status)


def openai_error(status: int, body: bytes) -> bytes:
    """The body of an error status in OpenAI's shape; one that is not Gemini's is told of by its status only."""
    try:
        told = _decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return msgspec.json.encode({"error": _error(status, _Status(message=f"The provider answered with {status}."))})
    if isinstance(told, list):
        told = told[0] if told else _Body(_Status())
    return msgspec.json.encode({"error": _error(status, told.error)})


def told_inside(raw: msgspec.Raw) -> dict[str, Any]:
    """The `error` of an event, or of an answer under a status of success."""
    try:
        told = _status_decoder.decode(raw)
    except msgspec.ValidationError:
        told = _Status(message="The provider reported an error that cannot be read.")
    return _error(told.code or 500, told)


def _error(status: int, told: _Status) -> dict[str, Any]:
    message, code = told.message, told.status.lower() or None
    long = _TOO_LONG.search(message)
    if long is not None:  # the words that frameworks look for
        message = f"This model's maximum context length is {long[1]} tokens. {message}"
        code = "context_length_exceeded"
    return {"message": message, "type": _TYPES.get(status, "server_error"), "param": None, "code": code}
