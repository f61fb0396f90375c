"""What one image counts for at most, by the model's family, where its maker documents it. Pure.

A family is only listed with the document that bounds it. New generations often count differently (OpenAI's from 5.2 on
take a multiplier that is documented nowhere), so that a name that is not listed is not known.

OpenAI, https://platform.openai.com/docs/guides/images-vision, "Calculating costs". An image is fitted into 2048 x 2048,
then its shorter side is brought to 768 pixels, so it has at most 2 x 4 tiles of 512 pixels: base + 8 x tile tokens.
Models that count patches of 32 pixels stop at 1,536 of them, times the model's multiplier.
Anthropic, https://docs.anthropic.com/en/docs/build-with-claude/vision, "Calculate image costs": width x height / 750,
the longer side brought to 1,568 pixels; from Opus 4.7 on larger ones are kept, so those are not listed.
"""

from __future__ import annotations

import re
from functools import lru_cache

_TILES = 8
_PATCHES = 1_536
_CLAUDE_EDGE = 1_568

_FAMILIES: tuple[tuple[str, int], ...] = (
    (r"gpt-4o-mini", 2_833 + _TILES * 5_667),
    (r"(chatgpt-4o|gpt-4o|gpt-4\.1|gpt-4\.5|gpt-4-turbo)", 85 + _TILES * 170),
    (r"gpt-4\.1-mini", _PATCHES * 162 // 100 + 1),
    (r"gpt-4\.1-nano", _PATCHES * 246 // 100 + 1),
    (r"gpt-5-(mini)", _PATCHES * 162 // 100 + 1),
    (r"gpt-5-(nano)", _PATCHES * 246 // 100 + 1),
    (r"gpt-5", 70 + _TILES * 140),
    (r"o4-mini", _PATCHES * 172 // 100 + 1),
    (r"(o1|o1-pro|o3|o3-pro)", 75 + _TILES * 150),
    (r"claude-3(-[57])?-(haiku|sonnet|opus)", _CLAUDE_EDGE * _CLAUDE_EDGE // 750 + 1),
    (r"claude-(haiku|sonnet|opus)-4([-.][0-6])?", _CLAUDE_EDGE * _CLAUDE_EDGE // 750 + 1),
)
_SUFFIX = r"([-@](\d{4}-\d\d-\d\d|\d{8}|preview|latest))*"
"""Dates and the like, which do not change how images count."""
_PATTERNS = tuple((re.compile(family + _SUFFIX), tokens) for family, tokens in _FAMILIES)


@lru_cache(maxsize=1024)
def family_image_tokens(upstream_model: str) -> int | None:
    """The most that one image counts for with a model of this name; None when its family is not documented.

    A maker's prefix is not looked at: `openai/gpt-4o` counts as `gpt-4o`.
    """
    name = upstream_model.lower().rpartition("/")[2]
    return next((tokens for pattern, tokens in _PATTERNS if pattern.fullmatch(name)), None)
