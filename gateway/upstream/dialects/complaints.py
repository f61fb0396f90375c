"""What an error status of the OpenAI wire means, by its status and the words of its body."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from gateway.upstream.dialects.protocol import Complaint

_MAX_SAID_CHARS = 4096
_MAX_DEPTH = 8
_SAYS_NOTHING = frozenset(("input", "ctx", "loc", "url", "failed_generation", "flagged_input", "request_id"))
"""Fields that repeat the request, or point somewhere: a prompt about errors is none."""

CONTEXT_TOO_LONG: Final = ("context_length_exceeded", "maximum context length", "context window", "context length")
CONTENT_FILTER: Final = ("content_filter", "content_policy_violation", "content management policy")
ACCOUNT: Final = (
    *("insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credit balance"),
    *("invalid_api_key", "incorrect api key", "api key not valid"),
)


_OTHERWISE: dict[int, Complaint] = {403: "account", 413: "context_too_long", 429: "rate_limited"}
"""What a status means whatever its words: a request too large for one provider may fit another."""


class Words:
    """The words by which one dialect's errors are told apart, in lower case; OpenAI's count everywhere."""

    __slots__ = ("_words",)

    def __init__(
        self,
        *,
        context_too_long: tuple[str, ...] = (),
        content_filter: tuple[str, ...] = (),
        account: tuple[str, ...] = (),
    ) -> None:
        self._words: tuple[tuple[Complaint, tuple[str, ...]], ...] = (
            ("context_too_long", CONTEXT_TOO_LONG + context_too_long),
            ("content_filter", CONTENT_FILTER + content_filter),
            ("account", ACCOUNT + account),
        )

    def complaint(self, status: int, body: bytes) -> Complaint:
        """What an error status with this body means."""
        if status in (401, 402):
            return "account"
        if status == 408 or status >= 500 or status < 400:
            return "failed"
        text = said(body)
        for complaint, words in self._words:
            if any(word in text for word in words):
                return complaint
        return _OTHERWISE.get(status, "refused")


def said(body: bytes) -> str:
    """The text of an error's body in lower case, at most 4096 characters: not what it repeats of the request."""
    try:
        error = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body[:_MAX_SAID_CHARS].decode("utf-8", "replace").lower()
    return "\n".join(_texts(error, 0))[:_MAX_SAID_CHARS].lower()


def _texts(value: Any, depth: int) -> Iterator[str]:
    if isinstance(value, str):
        yield value[:_MAX_SAID_CHARS]
    elif depth < _MAX_DEPTH and isinstance(value, dict):
        for name, part in value.items():
            if name not in _SAYS_NOTHING:
                yield from _texts(part, depth + 1)
    elif depth < _MAX_DEPTH and isinstance(value, list):
        for part in value[:100]:
            yield from _texts(part, depth + 1)
