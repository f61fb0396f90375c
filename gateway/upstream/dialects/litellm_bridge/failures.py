"""What an exception of the LiteLLM SDK means: a provider's refusal, or no answer at all. Pure.

The provider's own status and words count, where there was an answer. What the SDK says about it is not passed on: its
messages can hold file names, whole tracebacks and credentials.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec

Headers = list[tuple[bytes, bytes]]

MASK: Final = "[masked]"
_SHORTEST_SECRET = 8
_MAX_MESSAGE_CHARS = 1_000

_KINDS: dict[str, tuple[int, str, str]] = {
    "ContextWindowExceededError": (400, "invalid_request_error", "context_length_exceeded"),
    "ContentPolicyViolationError": (400, "invalid_request_error", "content_filter"),
    "UnsupportedParamsError": (400, "invalid_request_error", "unsupported_parameter"),
    "RateLimitError": (429, "rate_limit_error", "rate_limit_exceeded"),
    "AuthenticationError": (401, "invalid_request_error", "invalid_api_key"),
    "PermissionDeniedError": (403, "invalid_request_error", "permission_denied"),
    "NotFoundError": (404, "invalid_request_error", "model_not_found"),
    "UnprocessableEntityError": (422, "invalid_request_error", "invalid_request"),
    "BadRequestError": (400, "invalid_request_error", "invalid_request"),
}
"""By the SDK's exception, its most particular class first: our status, and OpenAI's type and code."""
_BY_STATUS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    422: "UnprocessableEntityError",
    429: "RateLimitError",
}
"""The SDK knows some statuses for some providers only."""
_FAILED = ("api_error", "upstream_error")
_OWN_STATUS = frozenset(("ContextWindowExceededError", "ContentPolicyViolationError", "UnsupportedParamsError"))
"""What these say is surer than the provider's status: some answer 500 where the input is too long."""
_IN_STREAMS = _OWN_STATUS | {"RateLimitError"}
"""What some providers say inside of an answer with a status of success. Anything else then is an answer that broke."""
_REFUSALS = frozenset(("UnsupportedParamsError", "BadRequestError"))
"""What the SDK says of itself, without asking the provider."""
_CREDENTIALS = re.compile(r"credential|api[ _]key|access[ _]token|could not resolve project", re.IGNORECASE)
_PARAMETERS = re.compile(r"parameters: \[([^\]]*)\]|Setting `(\w+)`")
_RETRY = (b"retry-after", b"retry-after-ms")
_ANSWERED = 300
_MESSAGES = ("message", "Message", "error_message", "detail", "msg", "error", "errors")
_MAX_DEPTH = 6


class Facts(NamedTuple):
    """What is known of a failed call."""

    kinds: tuple[str, ...]
    """The names of the exception's class and of those above it."""
    message: str
    """The SDK's own."""
    status: int | None = None
    """Of the provider's answer; None when there was none."""
    headers: Headers = []
    body: bytes = b""
    """Of the provider's answer, if that was an error."""
    sent: bool = False
    """Whether the provider may have seen the request."""


class Refusal(NamedTuple):
    """An error status, as OpenAI would answer."""

    status: int
    headers: Headers
    body: bytes


class NoAnswer(NamedTuple):
    """There is none, or none that can be read."""

    reason: str


def meaning(facts: Facts, provider: str, secrets: Iterable[str] = ()) -> Refusal | NoAnswer:
    """What the client and the breaker are told. `secrets` are masked wherever they show up."""
    kind = next((kind for kind in facts.kinds if kind in _KINDS), "")
    if facts.status is None:
        if kind in _REFUSALS and not _CREDENTIALS.search(facts.message):
            return _own_refusal(kind, facts, provider)
        if kind and kind not in _REFUSALS and not facts.sent:
            return _refusal(kind, _KINDS[kind][0], f"The LiteLLM SDK refuses the call to `{provider}`.", [])
        if not facts.sent and _CREDENTIALS.search(facts.message):
            return _refusal("AuthenticationError", 401, f"There are no credentials for `{provider}` that work.", [])
        return NoAnswer(f"the LiteLLM SDK failed with {facts.kinds[0]}")
    own_status = kind in _OWN_STATUS
    if facts.status < _ANSWERED:
        if kind not in _IN_STREAMS:
            return NoAnswer(f"the LiteLLM SDK cannot read the provider's answer ({facts.kinds[0]})")
        own_status = True
    status = _KINDS[kind][0] if own_status else facts.status
    message = masked(_words(facts.body), secrets) or f"The provider `{provider}` refuses the request."
    headers = [header for header in facts.headers if header[0] in _RETRY]
    return _refusal(kind, status, message, headers)


def masked(text: str, secrets: Iterable[str]) -> str:
    """`text` without secrets, cut to a sensible length."""
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, MASK)
    return text[:_MAX_MESSAGE_CHARS]


def _own_refusal(kind: str, facts: Facts, provider: str) -> Refusal:
    """The SDK refuses by itself: a field that the provider has no words for, or a message it cannot put."""
    found = _PARAMETERS.search(facts.message)
    names = re.findall(r"\w+", found[1] or found[2]) if found else []
    if not names:
        return _refusal(kind, 400, f"The LiteLLM SDK cannot put this request into the words of `{provider}`.", [])
    shown = ", ".join(f"`{name}`" for name in names)
    return _refusal(kind, 400, f"{shown} cannot be said to this model at `{provider}`. Leave it out.", [], names[0])


def _refusal(kind: str, status: int, message: str, headers: Headers, param: str | None = None) -> Refusal:
    if kind not in _OWN_STATUS:
        kind = _BY_STATUS.get(status, "")
    error_type, code = _KINDS[kind][1:] if kind else _FAILED
    error = {"message": message, "type": error_type, "param": param, "code": code}
    return Refusal(status, headers, msgspec.json.encode({"error": error}))


def _words(body: bytes) -> str:
    """The message inside of a provider's error, whatever its shape."""
    try:
        found = _message(msgspec.json.decode(body), 0)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "" if body.lstrip()[:1] in (b"<", b"") else body[:_MAX_MESSAGE_CHARS].decode("utf-8", "replace")
    return found or ""


def _message(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return value or None
    if depth > _MAX_DEPTH:
        return None
    if isinstance(value, dict):
        parts = (value[name] for name in _MESSAGES if name in value)
    elif isinstance(value, list):
        parts = (part for part in value[:1])
    else:
        return None
    return next((found for part in parts if (found := _message(part, depth + 1))), None)
