"""What a Claude model takes, told from its name: the API refuses a request that asks an older or newer model for more.

After Anthropic's model pages (effort, thinking, structured outputs, mid-conversation system messages), November 2026. A
Claude that is not known here is taken for the newest; any other name for a model behind somebody else's endpoint that
speaks this wire.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple


class Abilities(NamedTuple):
    """What a model's requests may say."""

    sampling: bool
    """`temperature`, `top_p` and `top_k`. Models from 4.7 on refuse them."""
    one_sampler: bool
    """Only one of `temperature` and `top_p`."""
    thinking: Literal["none", "budget", "adaptive"]
    """Not at all; with `budget_tokens`; or as much as the model finds right."""
    hides_thinking: bool
    """Thinking stays unseen unless `display` asks for it."""
    rest: str
    """The `thinking.type` that stops a model which thinks of its own accord; empty where none is needed, or known."""
    always_thinks: bool
    """Nothing stops it."""
    efforts: tuple[str, ...]
    """Values of `output_config.effort`, weakest first."""
    formats: bool
    """`output_config.format` and strict tools."""
    system_turns: bool
    """System messages between the turns of a conversation."""
    forced_tools: bool
    """A `tool_choice` that forces a call."""


OTHERS = Abilities(
    sampling=True,
    one_sampler=False,
    thinking="budget",
    hides_thinking=False,
    rest="",
    always_thinks=False,
    efforts=(),
    formats=True,
    system_turns=False,
    forced_tools=True,
)
"""For models that are no Claude."""

_CLAUDE = re.compile(
    r"claude-(?:(?P<family>[a-z]+)-?)?(?:(?P<major>\d{1,2})(?:[-.](?P<minor>\d{1,2}))?(?!\d))?(?:-(?P<late>[a-z]+))?"
)
_NEWEST = (99, 0)
_LARGEST = ("fable", "mythos")


@lru_cache(maxsize=1024)
def abilities_of(model: str) -> Abilities:
    """The abilities of `claude-opus-4-5-20251101`, `claude-3-7-sonnet-latest`, `anthropic/claude-sonnet-5`..."""
    found = _CLAUDE.search(model.lower())
    if found is None:
        return OTHERS
    family = found["family"] or found["late"] or ""
    version = _NEWEST if found["major"] is None else (int(found["major"]), int(found["minor"] or 0))
    largest = family in _LARGEST
    strictest = version >= (5, 1) and family != "haiku"
    rest = _rest(family, version)
    return Abilities(
        sampling=not largest and version < (4, 7),
        one_sampler=version >= (4, 1),
        thinking="adaptive" if largest or version >= (4, 6) else "budget" if version >= (3, 7) else "none",
        hides_thinking=largest or version >= (4, 7),
        rest=rest,
        always_thinks=largest or (version >= (5, 0) and not rest),
        efforts=_efforts(family, version),
        formats=largest or version >= (4, 5) or (family == "opus" and version == (4, 1)),
        system_turns=largest or version >= (5, 1) or (family == "opus" and version >= (4, 8)),
        forced_tools=not strictest,
    )


def _rest(family: str, version: tuple[int, int]) -> str:
    if version < (5, 0) or family not in ("opus", "sonnet", "haiku"):
        return ""
    if version == (5, 0) or family == "haiku":
        return "disabled"
    return "between_tools" if family == "sonnet" else ""


def _efforts(family: str, version: tuple[int, int]) -> tuple[str, ...]:
    if family in _LARGEST or version >= (4, 7):
        return ("low", "medium", "high", "xhigh", "max")
    if version == (4, 6):
        return ("low", "medium", "high", "max") if family == "opus" else ("low", "medium", "high")
    return ("low", "medium", "high") if family == "opus" and version == (4, 5) else ()
