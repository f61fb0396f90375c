"""What differs between Gemini's generations, told from a model's name."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

_GENERATION = re.compile(r"gemini-(\d+)")
_BUDGETS = {"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576, "xhigh": 24576}
_LEVELS = {"none": "minimal", "minimal": "minimal", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
_NEWEST = 99


@lru_cache(maxsize=1024)
def _generation(model: str) -> int:
    """A name without a number, `gemini-flash-latest`, is the newest's."""
    found = _GENERATION.search(model)
    return int(found[1]) if found else _NEWEST


def needs_signatures(model: str) -> bool:
    """Whether calls that are sent back must be signed: from Gemini 3 on."""
    return "gemini" in model and _generation(model) >= 3


def thinking(model: str, effort: str) -> dict[str, Any] | None:
    """`thinkingConfig` for OpenAI's `reasoning_effort`; None for an effort that there is not.

    After ai.google.dev/gemini-api/docs/openai, "Thinking": budgets for Gemini 2.5, levels from 3 on. None of the latter
    can be kept from thinking altogether, and Pro thinks at least a little.
    """
    if effort not in _LEVELS:
        return None
    shown = {} if effort == "none" else {"includeThoughts": True}
    if _generation(model) < 3:
        return {"thinkingBudget": _BUDGETS[effort], **shown}
    level = _LEVELS[effort]
    if level == "minimal" and "pro" in model:
        level = "low"
    return {"thinkingLevel": level, **shown}
