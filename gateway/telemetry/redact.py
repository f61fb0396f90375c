"""Takes secrets out of text before anybody can read it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

MASK = "***"

# What keys, bearer tokens and base64 are made of; never a quote, so JSON stays JSON.
_SYMBOL = r"[A-Za-z0-9._~+/=-]"

# A Farebox key's first 11 characters are its public name; the rest is the secret.
_OWN_KEY = re.compile(r"(?<![A-Za-z0-9])(fb-[A-Za-z0-9_-]{8})[A-Za-z0-9_-]+")
# Keys that are recognisable by how they begin: OpenAI, Anthropic and OpenRouter (sk-), Groq, xAI, Hugging Face,
# Replicate, Perplexity, NVIDIA, Google, AWS, GitHub.
_FOREIGN_KEY = re.compile(
    r"(?<![A-Za-z0-9])(sk-|gsk_|xai-|hf_|r8_|pplx-|nvapi-|AIza|AKIA|gh[opsu]_)(?=[A-Za-z0-9_-]{8})[A-Za-z0-9_-]+"
)
_SCHEME = re.compile(rf"\b(bearer|basic)(\s+)(?!(?:auth|token)(?!{_SYMBOL})){_SYMBOL}{{4,}}", re.IGNORECASE)
# `x-api-key: value`, `"api_key": "value"`, `b'authorization', b'value'`, `?key=value`; also with the quotes of JSON
# inside JSON.
_NAMED = re.compile(
    r"((?:\b|_)(?:api[-_]?key|authorization|proxy-authorization|password|passwd|secret|access[-_]?token|admin[-_]?key"
    r"|(?<=[?&])key)(?:\\*[\"'])?\s*[:=,]\s*(?:b?\\*[\"'])?)(?!\s*(?:bearer|basic)\s)" + rf"(?!\*\*\*){_SYMBOL}{{3,}}",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"(://[^/\s:@\"'\\]*:)[^/\s@\"'\\]+(?=@)")


_STEPS: Final = (
    (_OWN_KEY, rf"\1{MASK}"),
    (_FOREIGN_KEY, rf"\1{MASK}"),
    (_SCHEME, rf"\1\2{MASK}"),
    (_NAMED, rf"\1{MASK}"),
    (_URL_PASSWORD, rf"\1{MASK}"),
)
PART_CHARS: Final = 8_192
"""A regular expression holds the interpreter for as long as it searches: half a millisecond for so much."""
OVERLAP_CHARS: Final = 1_024
"""Longer than what leads to a secret: its name, quotes and spaces."""


def redact(text: str) -> str:
    """`text` with everything that looks like a key, token or password masked.

    What may be shown of a Farebox key, its display prefix, stays. Masks contain no quotes or backslashes and neither
    does what they replace: a line of JSON stays one.
    """
    for pattern, mask in _STEPS:
        text = pattern.sub(mask, text)
    return text


def redact_long(text: str, pause: Callable[[], object]) -> str:
    """As `redact`, for a body of any length, in a thread of its own: `pause` lets others go on, part after part."""
    for pattern, mask in _STEPS:
        text = _mask(pattern, mask, text, pause)
    return text


def _mask(pattern: re.Pattern[str], mask: str, text: str, pause: Callable[[], object]) -> str:
    pieces: list[str] = []
    written, at, length = 0, 0, len(text)
    while at < length:
        end = min(length, at + PART_CHARS)
        found = pattern.search(text, at, end)
        if found is not None and found.end() == end < length:  # it may go on
            begun = found.start()
            found = pattern.match(text, begun)
            if found is None:
                at = begun + 1
                continue
        if found is not None:
            pieces += (text[written : found.start()], found.expand(mask))
            at = written = found.end()
        elif end == length:
            break
        else:
            at = max(at + 1, end - OVERLAP_CHARS)
            pause()
    return "".join((*pieces, text[written:]))
