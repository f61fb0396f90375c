"""Usage as the Responses API reports it, and as chat does: the same counts under other names."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from gateway.wire import usage as chat
from gateway.wire.responses.raw import ABSENT, MALFORMED, Fields, is_null, read_fields
from routing.money import NanoUsd, Usage

_RENAMED: Final = {
    "input_tokens": "prompt_tokens",
    "output_tokens": "completion_tokens",
    "total_tokens": "total_tokens",
    "input_tokens_details": "prompt_tokens_details",
    "output_tokens_details": "completion_tokens_details",
}
_IN_CHAT: Final = frozenset(_RENAMED.values())
_MOST_DIGITS: Final = 15


class WireUsage(msgspec.Struct):
    """The `usage` object of a response."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None
    input_tokens_details: chat.PromptDetails | None = None
    output_tokens_details: chat.CompletionDetails | None = None
    cost: msgspec.Raw = ABSENT
    is_byok: msgspec.Raw = ABSENT


_usage_decoder = msgspec.json.Decoder(WireUsage | None)


def read_usage(raw: msgspec.Raw) -> tuple[Usage | None, NanoUsd | None]:
    """The usage, and what the provider says that it costs; None for what it does not say, or says oddly."""
    if is_null(raw):
        return None, None
    try:
        wire = _usage_decoder.decode(raw)
    except MALFORMED:
        return None, None
    if wire is None:
        return None, None
    said = chat.WireUsage(
        wire.input_tokens,
        wire.output_tokens,
        wire.total_tokens,
        wire.input_tokens_details,
        wire.output_tokens_details,
        cost=wire.cost,
        is_byok=wire.is_byok,
    )
    return chat.normalise(said), chat.reported_cost(said)


def from_chat(raw: msgspec.Raw | None) -> dict[str, Any] | None:
    """A chat answer's usage in the words of a response, its cost and whatever else beside it; None without any."""
    said = _read(raw)
    if said is None:
        return None
    prompt, completion = _count(said.get("prompt_tokens")), _count(said.get("completion_tokens"))
    inputs, outputs = _details(said.get("prompt_tokens_details")), _details(said.get("completion_tokens_details"))
    inputs.setdefault("cached_tokens", _count(said.get("prompt_cache_hit_tokens")))
    inputs.setdefault("cache_write_tokens", inputs.get("cache_creation_tokens", 0))
    outputs.setdefault("reasoning_tokens", 0)
    return {
        "input_tokens": prompt,
        "input_tokens_details": inputs,
        "output_tokens": completion,
        "output_tokens_details": outputs,
        "total_tokens": _count(said.get("total_tokens")) or prompt + completion,
        **{name: value for name, value in said.items() if name not in _IN_CHAT},
    }


def as_chat(raw: msgspec.Raw | None) -> dict[str, Any] | None:
    """A response's usage in the words of chat; None without any."""
    said = _read(raw)
    if said is None:
        return None
    return {_RENAMED.get(name, name): value for name, value in said.items()}


def of_usage(usage: Usage) -> dict[str, Any]:
    """Usage that was counted here."""
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cache_read_tokens,
            "cache_write_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _read(raw: msgspec.Raw | None) -> Fields | None:
    if raw is None or is_null(raw):
        return None
    try:
        return read_fields(raw)
    except MALFORMED:
        return None


def _count(raw: msgspec.Raw | None) -> int:
    digits = b"" if raw is None else bytes(raw)
    return int(digits) if digits.isdigit() and len(digits) <= _MOST_DIGITS else 0


def _details(raw: msgspec.Raw | None) -> dict[str, int]:
    """The counts of a usage's details; others are left out."""
    if raw is None or is_null(raw):
        return {}
    try:
        found = read_fields(raw)
    except MALFORMED:
        return {}
    return {name: _count(value) for name, value in found.items() if bytes(value).isdigit()}
