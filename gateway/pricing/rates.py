"""A rate card: pico-USD a token by kind, and what a kind costs that a card leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal

from routing.money import PricePoint

PARENTS: dict[str, tuple[str, ...]] = {
    "output": ("input",),
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("cache_write", "input"),
    "input_audio": ("input",),
    "cache_read_audio": ("cache_read", "input_audio", "input"),
    "input_image": ("input",),
    "output_audio": ("output", "input"),
    "output_image": ("output", "input"),
}
"""For each kind of token that may be missing from a card: whose rate it takes, the first one listed.

It is genai-prices' rule: a token of an unlisted kind stays with its parent. (A cached-audio rate is listed wherever
both of its parents are, or genai-prices refuses the card.) That output falls back to input is ours: an embedding lists
none and has no output; where there is some all the same, an unknown price must not be zero.
"""

RATE_NAMES = PricePoint._fields[1:-1]
"""Every kind of token with a rate, in `PricePoint`'s order."""

PICO_PER_TOKEN_OF_USD_PER_MTOK = 1_000_000
"""1 USD per million tokens is 1e6 pico-USD a token."""


def whole(amount: Decimal) -> tuple[int, bool]:
    """`amount` as an integer, rounded up, and whether that was exact."""
    rounded = int(amount.to_integral_value(ROUND_CEILING))
    return rounded, rounded == amount


def complete(listed: Mapping[str, int]) -> tuple[int, ...]:
    """Rates for `RATE_NAMES`, from a card that has at least `input`."""
    rates = []
    for name in RATE_NAMES:
        source = next(kind for kind in (name, *PARENTS.get(name, ())) if kind in listed)
        rates.append(listed[source])
    return tuple(rates)
