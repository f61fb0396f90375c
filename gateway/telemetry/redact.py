"""Takes secrets out of text before anybody can read it."""

from __future__ import annotations

import re

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


def redact(text: str) -> str:
    """`text` with everything that looks like a key, token or password masked.

    What may be shown of a Farebox key, its display prefix, stays. Masks contain no quotes or backslashes and neither
    does what they replace: a line of JSON stays one.
    """
    text = _OWN_KEY.sub(rf"\1{MASK}", text)
    text = _FOREIGN_KEY.sub(rf"\1{MASK}", text)
    text = _SCHEME.sub(rf"\1\2{MASK}", text)
    text = _NAMED.sub(rf"\1{MASK}", text)
    return _URL_PASSWORD.sub(rf"\1{MASK}", text)
