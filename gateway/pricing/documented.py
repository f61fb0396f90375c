"""What makers document of their fees, where genai-prices does not list them. Pure.

OpenAI, https://platform.openai.com/docs/pricing: "Built-in tools" (code interpreter 0.03 USD a container of 1 GB,
larger ones by their size; file search 2.50 and web search 10 USD per 1,000 calls; `web_search_preview` 25 USD per
1,000 calls with models that do not reason, so that it counts as that with all), "Image generation" (DALL-E 3 and 2 by
size and quality), and https://platform.openai.com/docs/guides/moderation ("The moderation endpoint is free to use").
Anthropic, https://docs.anthropic.com/en/docs/agents-and-tools/tool-use/web-search-tool ("10 USD per 1,000 searches")
and .../web-fetch-tool ("no additional charges beyond standard token costs").

What a maker bills by the hour and beyond a free allowance (Anthropic's code execution, storage) is not here: a call of
it has no fee of its own that could be told. The configuration's `tariff` may set one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_MILLI: Final = 1_000_000
"""Nano-USD of a thousandth of a dollar."""
_OPENAI: Final[Mapping[str, int]] = {
    "web_search": 10 * _MILLI,
    "web_search_preview": 25 * _MILLI,
    "file_search": 2_500_000,
    "code_interpreter": 30 * _MILLI,
    "code_interpreter:1g": 30 * _MILLI,
    "code_interpreter:4g": 120 * _MILLI,
    "code_interpreter:16g": 480 * _MILLI,
    "code_interpreter:64g": 1_920 * _MILLI,
}
_ANTHROPIC: Final[Mapping[str, int]] = {"web_search": 10 * _MILLI, "web_fetch": 0}
_DALL_E_3: Final[Mapping[str, int]] = {
    "image": 40 * _MILLI,
    "image:1024x1024:standard": 40 * _MILLI,
    "image:1024x1024:hd": 80 * _MILLI,
    "image:1024x1792": 80 * _MILLI,
    "image:1024x1792:hd": 120 * _MILLI,
    "image:1792x1024": 80 * _MILLI,
    "image:1792x1024:hd": 120 * _MILLI,
}
_DALL_E_2: Final[Mapping[str, int]] = {
    "image": 20 * _MILLI,
    "image:1024x1024": 20 * _MILLI,
    "image:512x512": 18 * _MILLI,
    "image:256x256": 16 * _MILLI,
}
_SELLERS: Final[Mapping[str, Mapping[str, int]]] = {"openai": _OPENAI, "anthropic": _ANTHROPIC}
_IMAGES: Final = {"dall-e-3": _DALL_E_3, "dall-e-2": _DALL_E_2}
_SOLD_BY: Final = ("openai", "azure")
_MODERATION: Final = re.compile(r"(omni|text)-moderation(-(latest|stable|\d{3}|\d{4}-\d\d-\d\d))?")


def documented(seller: str, model: str) -> Mapping[str, int]:
    """Nano-USD of each unit that the provider (by genai-prices' id) bills beside tokens for this model."""
    fees = _SELLERS.get(seller, {})
    images = _IMAGES.get(model.lower()) if seller in _SOLD_BY else None
    return fees if images is None else {**fees, **images}


def free_apis(seller: str, model: str) -> frozenset[str]:
    """The APIs of the model that cost nothing."""
    return frozenset(("moderations",)) if seller in _SOLD_BY and _MODERATION.fullmatch(model.lower()) else frozenset()
