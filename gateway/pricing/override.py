"""Prices that the configuration gives: decimal strings in USD per million tokens, turned into a `Price`."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.pricing.rates import RATE_NAMES, complete
from routing.money import ContextTier, Price, PricePeriod, PricePoint, parse_fixed

_PLACES = {**dict.fromkeys(RATE_NAMES, 6), "request": 9}
"""Decimals that a field may have: a rate down to a pico-USD a token, a fee down to a nano-USD."""

_Card = dict[str, int]
"""What is listed: pico-USD a token by kind, and nano-USD under `request`."""


def compile_override(spec: Mapping[str, Any], id: str) -> Price:
    """The price that `spec` describes; its price points are called `id`, with `+tier` and `>tokens` where they differ.

    Fields: the kinds of `RATE_NAMES` in USD per million tokens, `request` in USD a request; `context_tiers`, a list of
    mappings of the same fields and `above_input_tokens` (a request pays a tier's rates for everything once its input is
    longer); `service_tiers`, mappings of all these fields by the tier's name. Amounts are decimal strings; None is an
    absent field; an explicit `"0"` is a price. `input` is required; what else is absent follows docs/money.md.

    Raises ValueError with a message that begins with the field's path.
    """
    base = _card(spec, {"context_tiers", "service_tiers"}, "")
    if "input" not in base:
        raise ValueError("input: a price needs at least this field, in USD per million tokens")
    long = _context_cards(spec.get("context_tiers"), base, "context_tiers")
    tiers = {"default": _points(id, base, long)}
    for name, value in _mapping(spec.get("service_tiers") or {}, "service_tiers").items():
        path = f"service_tiers.{name}"
        fields = _mapping(value, path)
        if name == "default":
            raise ValueError(f"{path}: the default tier's rates are the price's own fields")
        if long and fields.get("context_tiers") is None:
            raise ValueError(f"{path}.context_tiers: say what a long input costs in this tier too; [] if the same")
        card = {**base, **_card(fields, {"context_tiers"}, f"{path}.")}
        own = _context_cards(fields.get("context_tiers"), card, f"{path}.context_tiers")
        tiers[name] = _points(f"{id}+{name}", card, own)
    return Price((PricePeriod(tiers),))


def _card(fields: Mapping[str, Any], also: set[str], path: str) -> _Card:
    """The amounts among `fields`; everything else must be one of `also`."""
    card = {}
    for name, value in fields.items():
        if name in _PLACES:
            if value is not None:
                card[name] = _amount(value, _PLACES[name], f"{path}{name}")
        elif name not in also:
            raise ValueError(f"{path}{name}: unknown field; a price has {', '.join([*_PLACES, *sorted(also)])}")
    return card


def _amount(value: object, places: int, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        message = f"{path}: must be a decimal string in quotes, for money is never a float; got {value!r}"
        raise ValueError(message)  # noqa: TRY004 all mistakes in a configuration are ValueErrors
    try:
        amount = parse_fixed(f"{value:f}" if isinstance(value, Decimal) else str(value), places)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if amount < 0:
        raise ValueError(f"{path}: {value} is below zero")
    return amount


def _context_cards(tiers: object, base: _Card, path: str) -> list[tuple[int, _Card]]:
    """Each context tier's bound and card. A field that a tier leaves out costs as in the tier below it."""
    if tiers is None:
        return []
    if not isinstance(tiers, list | tuple):
        raise ValueError(f"{path}: must be a list; got {tiers!r}")  # noqa: TRY004 as above
    cards = []
    above, card = 0, base
    for index, tier in enumerate(tiers):
        here = f"{path}[{index}]"
        fields = _mapping(tier, here)
        bound = fields.get("above_input_tokens")
        if isinstance(bound, bool) or not isinstance(bound, int) or bound <= above:
            raise ValueError(f"{here}.above_input_tokens: must be an integer above {above}; got {bound!r}")
        above, card = bound, {**card, **_card(fields, {"above_input_tokens"}, f"{here}.")}
        cards.append((above, card))
    return cards


def _points(name: str, base: _Card, long: list[tuple[int, _Card]]) -> tuple[ContextTier, ...]:
    cards = [(-1, name, base), *((above, f"{name}>{above}", card) for above, card in long)]
    return tuple(ContextTier(above, _point(point_name, card)) for above, point_name, card in cards)


def _point(name: str, card: _Card) -> PricePoint:
    return PricePoint._make((name, *complete(card), card.get("request", 0)))


def _mapping(value: object, path: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{path}: must be a mapping; got {value!r}")  # noqa: TRY004 as above
    return value
