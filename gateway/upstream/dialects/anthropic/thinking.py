"""How much a model may think: `reasoning_effort` in the words of its generation."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from gateway.errors import InvalidField
from gateway.upstream.dialects.anthropic.abilities import Abilities
from gateway.upstream.dialects.anthropic.content import NULL

_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

MIN_BUDGET_TOKENS: Final = 1_024
_LEVELS: Final = {"none": -1, "minimal": 0, "low": 0, "medium": 1, "high": 2, "xhigh": 3, "max": 4}
_NAMES: Final = ("low", "medium", "high", "xhigh", "max")
_PERCENT: Final = (20, 50, 80, 90, 95)
"""Of `max_tokens`, for models that want a number: OpenAI's bound covers what is thought too."""

Fields = dict[str, msgspec.Raw]


class Thinking(NamedTuple):
    """What a request says of it; None for what it does not."""

    thinking: dict[str, Any] | msgspec.Raw | None
    effort: str | None
    on: bool
    """Whether it asks for thinking: the sampling has to be the default then."""


def read_thinking(fields: Fields, abilities: Abilities, max_tokens: int, *, impossible: bool) -> Thinking:
    """Translate `reasoning_effort`; a client's own `thinking` goes first. Raises InvalidField.

    `impossible`: the request forces a tool, or continues calls without the thoughts that led to them. The effort is a
    hint: where it cannot be followed it is left out.
    """
    level = _read_level(fields)
    effort = None if level is None else _effort(max(level, 0), abilities)
    own = fields.get("thinking", msgspec.Raw(b"null"))
    if bytes(own) not in NULL:
        return _own(own, max_tokens, None if level == -1 else effort)
    if level is None:
        return Thinking(None, None, on=False)
    if level == -1:
        return _none(effort, abilities)
    if abilities.thinking == "adaptive" and not impossible:
        adaptive = {"type": "adaptive", "display": "summarized"} if abilities.hides_thinking else {"type": "adaptive"}
        return Thinking(adaptive, effort, on=True)
    if abilities.thinking == "budget" and not impossible and max_tokens > MIN_BUDGET_TOKENS:
        budget = min(max(MIN_BUDGET_TOKENS, max_tokens * _PERCENT[level] // 100), max_tokens - 1)
        return Thinking({"type": "enabled", "budget_tokens": budget}, effort, on=True)
    return Thinking(None, effort, on=False)


def _none(effort: str | None, abilities: Abilities) -> Thinking:
    """As little as can be: switched off; else at the least effort, where the model always thinks."""
    if abilities.rest:
        return Thinking({"type": abilities.rest}, None, on=False)
    return Thinking(None, effort if abilities.always_thinks else None, on=False)


def _read_level(fields: Fields) -> int | None:
    raw = fields.get("reasoning_effort", msgspec.Raw(b"null"))
    if bytes(raw) in NULL:
        return None
    try:
        return _LEVELS[msgspec.json.decode(raw, type=str)]
    except (*_MALFORMED, KeyError):
        known = ", ".join(_LEVELS)
        raise InvalidField(f"`reasoning_effort` must be one of {known}.", param="reasoning_effort") from None


def _effort(level: int, abilities: Abilities) -> str | None:
    """The strongest effort up to `level` that the model knows."""
    known = [name for name in _NAMES[: level + 1] if name in abilities.efforts]
    return known[-1] if known else None


def _own(raw: msgspec.Raw, max_tokens: int, effort: str | None) -> Thinking:
    """The client's `thinking`, as it is but for a budget that a lowered bound leaves no room for."""
    try:
        fields = msgspec.json.decode(raw, type=dict[str, Any])
    except _MALFORMED:
        raise InvalidField("`thinking` must be an object.", param="thinking") from None
    kind, budget = fields.get("type"), fields.get("budget_tokens")
    on = kind in ("enabled", "adaptive")
    if kind == "enabled" and isinstance(budget, int) and budget >= max_tokens:
        if max_tokens <= MIN_BUDGET_TOKENS:
            return Thinking({"type": "disabled"}, effort, on=False)
        return Thinking({**fields, "budget_tokens": max_tokens - 1}, effort, on=True)
    return Thinking(raw, effort, on=on)
