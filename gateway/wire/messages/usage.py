"""Token counts of the Messages API: as Anthropic says them, as OpenAI does, and as they are billed.

Anthropic's `input_tokens` leave out what was read from the cache or written to it; OpenAI's `prompt_tokens`, and ours,
are all.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.wire.answers import NO_SERVICES
from gateway.wire.usage import MAX_COUNT, WireUsage, normalise
from routing.money import Usage

_TIERS: Final = {"standard": "default", "priority": "priority", "batch": "batch"}
_TIERS_BACK: Final = {"default": "standard", "auto": "standard", "flex": "standard"}
_NOTHING: Final = (b"", b"null")
_RAW: Final = ("server_tool_use", "iterations")
_APART: Final = ("compaction", "advisor_message")
"""Passes that are billed beside the totals: over a context that is made smaller, and of a model that was asked for its
advice, which is taken for this one, for want of a better price."""


class CacheCreation(msgspec.Struct):
    """What was written to the cache, by how long it is kept."""

    ephemeral_5m_input_tokens: int | None = None
    ephemeral_1h_input_tokens: int | None = None


class OutputDetails(msgspec.Struct):
    """Parts of the output."""

    thinking_tokens: int | None = None


class Counts(msgspec.Struct):
    """What one pass of a model took."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    cache_creation: CacheCreation | None = None


class _Iteration(Counts):
    type: str = ""


class AnthropicUsage(Counts):
    """`usage` of a message, or of a stream's events, which say again what has grown."""

    output_tokens_details: OutputDetails | None = None
    server_tool_use: msgspec.Raw = msgspec.Raw(b"null")
    iterations: msgspec.Raw = msgspec.Raw(b"null")
    """The passes that the answer took. Some of them are not in the totals above."""
    service_tier: str | None = None
    speed: str | None = None
    inference_geo: str | None = None

    def updated(self, later: AnthropicUsage) -> AnthropicUsage:
        """This usage with what a later event of the stream says."""
        values = {name: getattr(self, name) for name in self.__struct_fields__}
        for name in self.__struct_fields__:
            value = getattr(later, name)
            if value is not None and (name not in _RAW or bytes(value) not in _NOTHING):
                values[name] = value
        return AnthropicUsage(**values)


def service_tier_of(usage: AnthropicUsage) -> str | None:
    """The tier that served the request, by OpenAI's name for it."""
    tier = usage.service_tier
    return None if tier is None else _TIERS.get(tier, tier)


def openai_usage(usage: AnthropicUsage) -> dict[str, Any]:
    """The `usage` object of a chat answer. `gateway.wire.usage` reads it back without losing a count."""
    prompt, completion, read, written, written_1h = _totals(usage)
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


def money_usage(usage: AnthropicUsage | None) -> Usage | None:
    """The usage as it is billed; None when the provider did not say: absent, all zero, or with an impossible count."""
    if usage is None:
        return None
    prompt, completion, read, written, written_1h = _totals(usage)
    details = usage.output_tokens_details
    found = Usage(
        input_tokens=prompt,
        output_tokens=completion,
        cache_read_tokens=read,
        cache_write_tokens=max(0, written - written_1h),
        cache_write_1h_tokens=written_1h,
        reasoning_tokens=(details.thinking_tokens or 0) if details else 0,
    )
    possible = min(found) >= 0 and 0 < max(found) <= MAX_COUNT
    return found if possible else None


class _Totals(NamedTuple):
    prompt: int
    """All of the input."""
    completion: int
    read: int
    """Of it, from the cache."""
    written: int
    """Of it, to the cache."""
    written_1h: int
    """Of that, for an hour."""


def _totals(usage: AnthropicUsage) -> _Totals:
    """What is billed, together."""
    found = _counted(usage)
    if bytes(memoryview(usage.iterations)[:1]) != b"[":
        return found
    try:
        passes = _iterations_decoder.decode(usage.iterations)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return found
    for each in passes:
        if each.type in _APART:
            found = _Totals(*(one + other for one, other in zip(found, _counted(each), strict=True)))
    return found


def _counted(counts: Counts) -> _Totals:
    """The counts of a pass. Of tokens written to the cache the larger sum counts if two disagree."""
    kinds = counts.cache_creation
    hour = (kinds.ephemeral_1h_input_tokens or 0) if kinds else 0
    minutes = (kinds.ephemeral_5m_input_tokens or 0) if kinds else 0
    written, read = max(hour + minutes, counts.cache_creation_input_tokens or 0), counts.cache_read_input_tokens or 0
    return _Totals((counts.input_tokens or 0) + read + written, counts.output_tokens or 0, read, written, hour)


_iterations_decoder = msgspec.json.Decoder(list[_Iteration])


class _ServerToolUse(msgspec.Struct):
    web_search_requests: int | None = None
    web_fetch_requests: int | None = None


_tool_use_decoder = msgspec.json.Decoder(_ServerToolUse)


def services_of(usage: AnthropicUsage | None) -> dict[str, int]:
    """What was run at the provider and is billed beside the tokens: calls by name."""
    if usage is None or bytes(usage.server_tool_use) in _NOTHING:
        return NO_SERVICES
    try:
        read = _tool_use_decoder.decode(usage.server_tool_use)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return NO_SERVICES
    calls = {"web_search": read.web_search_requests or 0, "web_fetch": read.web_fetch_requests or 0}
    return {name: count for name, count in calls.items() if 0 < count <= MAX_COUNT} or NO_SERVICES


# --- from chat ---


class ChatUsage(WireUsage):
    """`usage` of a chat answer, with what is not counted in tokens."""

    server_tool_use: msgspec.Raw = msgspec.Raw(b"null")


def messages_usage(usage: Usage) -> dict[str, Any]:
    """The `usage` object of a message."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    out: dict[str, Any] = {
        "input_tokens": max(0, usage.input_tokens - usage.cache_read_tokens - written),
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
    }
    if written:
        out["cache_creation"] = {
            "ephemeral_5m_input_tokens": usage.cache_write_tokens,
            "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
        }
    if usage.reasoning_tokens:
        out["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return out


def translated_usage(chat: ChatUsage | None, service_tier: str | None) -> dict[str, Any]:
    """The `usage` of a chat answer as a message's, with the cost if that is in it. All zero when there was none."""
    out = messages_usage(normalise(chat) or Usage())
    if service_tier is not None:
        out["service_tier"] = _TIERS_BACK.get(service_tier, service_tier)
    if chat is not None and bytes(chat.server_tool_use) not in _NOTHING:
        out["server_tool_use"] = chat.server_tool_use
    if chat is not None and bytes(chat.cost) not in _NOTHING:
        out["cost"] = chat.cost
    return out
