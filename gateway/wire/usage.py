"""Usage as OpenAI-wire providers report it, turned into `routing.money.Usage`.

Two families count differently from OpenAI and are recognised by their totals: where `total_tokens` exceeds prompt plus
completion (Gemini's compatible endpoint, xAI), the rest is reasoning that is billed as output.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal

import msgspec

from routing.money import NANO_PER_USD, NanoUsd, Usage


class PromptDetails(msgspec.Struct):
    """`prompt_tokens_details`."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    """All that was written to a prompt cache."""
    cache_write_1h_tokens: int | None = None
    """Part of these: what is kept for an hour. Our own field, for providers that price it otherwise (Anthropic)."""
    cache_creation_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class CompletionDetails(msgspec.Struct):
    """`completion_tokens_details`. Rejected predictions are billed as output and are part of `completion_tokens`."""

    reasoning_tokens: int | None = None
    audio_tokens: int | None = None
    image_tokens: int | None = None


class WireUsage(msgspec.Struct):
    """The `usage` object of chat, completions and embeddings."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: PromptDetails | None = None
    completion_tokens_details: CompletionDetails | None = None
    prompt_cache_hit_tokens: int | None = None
    """DeepSeek's name for cached tokens."""
    cost: msgspec.Raw = msgspec.Raw(b"")
    """What the provider says that it charges its account, in USD; other providers mean other things by it."""
    is_byok: msgspec.Raw = msgspec.Raw(b"")
    """OpenRouter's: true when the account's own key at the model's provider was used, and is billed there."""


MAX_COUNT = 1_000_000_000
"""More tokens than any call has. A count above it is a provider's mistake, and could not be added up in 64 bits."""

_NO_PROMPT_DETAILS = PromptDetails()
_NO_COMPLETION_DETAILS = CompletionDetails()


_NUMBER = re.compile(rb"[0-9]{1,12}(?:\.[0-9]{1,40})?(?:[eE][+-]?[0-9]{1,2})?")
_MOST_USD = 1_000_000


def reported_cost(wire: WireUsage | None) -> NanoUsd | None:
    """What the provider says that the call costs its account, rounded up to a nano-dollar; None when it does not say.

    A number of USD, not negative. With a key of one's own (`is_byok`) it is only a part of the cost, and None.
    """
    if wire is None:
        return None
    text = bytes(wire.cost)
    if not text or not _NUMBER.fullmatch(text) or bytes(wire.is_byok) == b"true":
        return None
    usd = Decimal(text.decode())
    if usd > _MOST_USD:
        return None
    return NanoUsd(int((usd * NANO_PER_USD).to_integral_value(ROUND_CEILING)))


def normalise(wire: WireUsage | None) -> Usage | None:
    """The usage, or None when the provider did not say: absent, empty, all zero, or with an impossible count."""
    if wire is None or wire.prompt_tokens is None:
        return None
    prompt = wire.prompt_tokens
    completion = wire.completion_tokens or 0
    if wire.total_tokens is not None and wire.total_tokens > prompt + completion:
        completion = wire.total_tokens - prompt
    inputs = wire.prompt_tokens_details or _NO_PROMPT_DETAILS
    outputs = wire.completion_tokens_details or _NO_COMPLETION_DETAILS
    written = inputs.cache_write_tokens or inputs.cache_creation_tokens or 0
    written_1h = inputs.cache_write_1h_tokens or 0
    usage = Usage(  # by position: by name it takes twice as long
        prompt,
        completion,
        inputs.cached_tokens or wire.prompt_cache_hit_tokens or 0,
        max(0, written - written_1h),
        written_1h,
        inputs.audio_tokens or 0,
        0,  # who caches audio does not say so
        inputs.image_tokens or 0,
        outputs.audio_tokens or 0,
        outputs.image_tokens or 0,
        outputs.reasoning_tokens or 0,
    )
    possible = min(usage) >= 0 and 0 < max(usage) <= MAX_COUNT
    return usage if possible else None
