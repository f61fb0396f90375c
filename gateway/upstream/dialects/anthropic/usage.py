"""Anthropic's token counts in OpenAI's words. `gateway.wire.usage` reads them back without losing one.

Anthropic's `input_tokens` leave out what was read from the cache or written to it; OpenAI's `prompt_tokens` are all.
"""

from __future__ import annotations

from typing import Any

import msgspec

_TIERS = {"standard": "default", "priority": "priority", "batch": "batch"}


class CacheCreation(msgspec.Struct):
    """What was written to the cache, by how long it is kept."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """Parts of the output."""

    thinking_tokens: int | None = None


class AnthropicUsage(msgspec.Struct):
    """`usage` of a message, or of a stream's events, which say again what has grown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None
    output_tokens_details: OutputDetails | None = None
    server_tool_use: msgspec.Raw = msgspec.Raw(b"null")
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None

    def updated(self, later: AnthropicUsage) -> AnthropicUsage:
        """This usage with what a later event of the stream says."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None and (name != "server_tool_use" or bytes(value) != b"null"):
                values[name] = value
        return AnthropicUsage(**values)


def service_tier_of(usage: AnthropicUsage) -> str | None:
    """The tier that served the request, by OpenAI's name for it."""
    tier = usage.service_tier
    return None if tier is None else _TIERS.get(tier, tier)


def openai_usage(usage: AnthropicUsage) -> dict[str, Any]:
    """The `usage` object."""
    read = usage.cache_read_input_tokens or 0
    written_1h, written = _written(usage)
    prompt = (usage.input_tokens or 0) + read + written
    completion = usage.output_tokens or 0
    thought = usage.output_tokens_details.thinking_tokens if usage.output_tokens_details else None
    out: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {
            "cached_tokens": read,
            "cache_write_tokens": written,
            "cache_write_1h_tokens": written_1h,
        },
    }
    if thought is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": thought}
    if bytes(usage.server_tool_use) != b"null":
        out["server_tool_use"] = usage.server_tool_use
    for name in ("speed", "inference_geo"):
        value = getattr(usage, name)
        if value is not None:
            out[name] = value
    return out


def _written(usage: AnthropicUsage) -> tuple[int, int]:
    """Tokens written to the cache for an hour, and all that were written. The larger sum counts if two disagree."""
    kinds = usage.cache_creation
    hour = (kinds.ephemeral_1h_input_tokens or 0) if kinds else 0
    minutes = (kinds.ephemeral_5m_input_tokens or 0) if kinds else 0
    return hour, max(hour + minutes, usage.cache_creation_input_tokens or 0)
