"""What is billed by other units than tokens: a search, an image, a second of speech. Pure.

A unit's name may say more after colons: `image:1024x1024:hd` is an image of that size and quality. What a tariff does
not list costs as the same with less said of it; a part that the request leaves open (`auto`, or nothing) may turn out
to be any, so it costs as the dearest that it can be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from routing.money import ZERO, NanoUsd

Tariff = Mapping[str, int]
"""Nano-USD of one unit, by its name."""

NO_TARIFF: Final[Tariff] = {}
OPEN: Final = "auto"
"""A part of a unit's name that the provider decides on."""
UNIT: Final = re.compile(r"[a-z][a-z0-9_]{0,39}(:[A-Za-z0-9._-]{1,40}){0,2}")

BILLED_AS: Final[Mapping[str, frozenset[str]]] = {
    "image": frozenset(("images", "image_edits", "image_variations")),
    "second": frozenset(("transcriptions", "translations")),
    "character": frozenset(("speech",)),
    "search_unit": frozenset(("rerank",)),
}
"""The APIs whose answers are billed by a unit alone, so that a model without a price of tokens can serve them."""


def rate(tariff: Tariff, unit: str) -> int | None:
    """Nano-USD of one `unit`, at most what the provider may come to bill; None where the tariff says nothing of it."""
    exact = tariff.get(unit)
    if exact is not None:
        return exact
    parts = unit.split(":")
    if OPEN in parts:
        return max((nano for name, nano in tariff.items() if _may_be(parts, name.split(":"))), default=None)
    while len(parts) > 1:
        parts.pop()
        exact = tariff.get(":".join(parts))
        if exact is not None:
            return exact
    return None


def _may_be(parts: list[str], listed: list[str]) -> bool:
    """Whether a unit of which some is open may turn out as the listed one."""
    return len(listed) <= len(parts) and all(
        ours in (theirs, OPEN) for ours, theirs in zip(parts, listed, strict=False)
    )


def may_vary(tariff: Tariff, unit: str) -> bool:
    """Whether what a unit costs depends on what the request leaves open: then `rate` is only the most."""
    parts = unit.split(":")
    if OPEN not in parts or unit in tariff:
        return False
    return len({nano for name, nano in tariff.items() if _may_be(parts, name.split(":"))}) > 1


def fee(tariff: Tariff, counts: Mapping[str, int]) -> NanoUsd:
    """What so many of each unit cost. What has no tariff costs nothing here: no enforced budget lets it through."""
    if not counts:
        return ZERO
    return NanoUsd(sum(count * (rate(tariff, unit) or 0) for unit, count in counts.items() if count > 0))


def apis_of(tariff: Tariff) -> frozenset[str]:
    """The APIs that the tariff alone sets a price for."""
    names = {unit.partition(":")[0] for unit in tariff}
    return frozenset[str]().union(*(apis for name, apis in BILLED_AS.items() if name in names))


def units_text(counts: Mapping[str, int]) -> str:
    """Counts as the journal keeps them: `code_interpreter=1,web_search=2`, in the order of the names."""
    return ",".join(f"{unit}={count}" for unit, count in sorted(counts.items()) if count)
