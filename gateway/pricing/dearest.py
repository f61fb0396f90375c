"""The dearest rates that a request may come to pay: over service tiers, context tiers and the next hour. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from routing.money import ContextTier, Price, PricePeriod, PricePoint

HORIZON_S = 3_600
"""How long after its admission a request's price may still be decided: no attempt lasts longer."""
AUTO = "auto"
"""The service tier by which a client leaves the choice to the provider: any of the price's."""

_STEP_S = 60
_KEPT = 4_096


class Rates(NamedTuple):
    """Upper bounds in pico-USD a token, and a fee in nano-USD. Input that is read from a cache is never dearer."""

    input: int
    """Text that is neither image nor audio, not written to a cache."""
    written: int
    """Text that the provider may write to a prompt cache."""
    image: int
    audio: int
    output: int
    """Text, or images, which some models add without being asked."""
    output_audio: int
    request_nano_usd: int


def dearest(price: Price, service_tier: str, input_tokens: int, now_s: float) -> Rates:
    """The most that each kind of token can cost in a request of at most `input_tokens`, made at Unix time `now_s`.

    A provider may serve the default tier instead of the one asked for, so it counts along; under `auto` all do.
    """
    minute = int(now_s // _STEP_S)
    steps = _kept.get((id(price), service_tier))
    if steps is None or steps.price is not price or (steps.minute is not None and steps.minute != minute):
        steps = _compile(price, service_tier, minute)
    above = steps.above
    if not above or input_tokens <= above[0]:  # the usual price, of one context tier
        return steps.rates[0]
    reached = sum(input_tokens > bound for bound in above)
    return steps.rates[reached]


class _Steps(NamedTuple):
    """What `dearest` found for one price and service tier."""

    price: Price
    """Kept alive, so that its `id()` is not another's."""
    minute: int | None
    """Since 1970, when the price changes with time."""
    above: tuple[int, ...]
    rates: tuple[Rates, ...]
    """One more than `above`: each the dearest of all tiers up to there."""


_kept: dict[tuple[int, str], _Steps] = {}


def _compile(price: Price, service_tier: str, minute: int) -> _Steps:
    from_s = minute * _STEP_S
    periods = tuple(in_force(price.periods, from_s, from_s + _STEP_S + HORIZON_S))
    cards = [contexts for period in periods for contexts in _asked(period, service_tier)]
    above = sorted({tier.above_input_tokens for card in cards for tier in card[1:]})
    rates = [_rates([card[0].point for card in cards])]
    for bound in above:
        points = [tier.point for card in cards for tier in card[1:] if tier.above_input_tokens == bound]
        rates.append(_most([rates[-1], _rates(points)]))
    steps = _Steps(price, minute if len(price.periods) > 1 else None, tuple(above), tuple(rates))
    if len(_kept) >= _KEPT:  # clients choose the tier's name, configurations come and go
        _kept.clear()
    _kept[id(price), service_tier] = steps
    return steps


def in_force(periods: Sequence[PricePeriod], from_s: float, to_s: float) -> Iterator[PricePeriod]:
    """The periods that may count at some moment from `from_s` to `to_s`: the first that covers each moment does."""
    for period in periods[:-1]:
        if _overlaps(period, from_s, to_s):
            yield period
            if period.daily_from_s is None and (period.starts_at_s is None or period.starts_at_s <= from_s):
                return
    yield periods[-1]


def _overlaps(period: PricePeriod, from_s: float, to_s: float) -> bool:
    if period.starts_at_s is not None and to_s < period.starts_at_s:
        return False
    if period.daily_from_s is None or period.daily_to_s is None:
        return True
    begins = from_s % 86_400
    return any(
        _meets(period.daily_from_s, period.daily_to_s, begins + shift, begins + shift + to_s - from_s)
        for shift in (0, -86_400)
    )


def _meets(daily_from_s: int, daily_to_s: int, from_s: float, to_s: float) -> bool:
    """Whether the stretch from `from_s` to `to_s`, in seconds of a day, meets a daily one, which may wrap midnight."""
    if daily_from_s <= daily_to_s:
        return from_s < daily_to_s and to_s >= daily_from_s
    return from_s < daily_to_s or to_s >= daily_from_s


def _asked(period: PricePeriod, service_tier: str) -> Iterable[tuple[ContextTier, ...]]:
    tiers = period.tiers
    if service_tier == AUTO:
        return tiers.values()
    asked = tiers.get(service_tier)
    return (tiers["default"],) if asked is None else (tiers["default"], asked)


def _rates(points: Sequence[PricePoint]) -> Rates:
    return _most([_of_point(point) for point in points])


def _of_point(point: PricePoint) -> Rates:
    plain = max(point.input, point.cache_read)
    return Rates(
        plain,
        max(plain, point.cache_write, point.cache_write_1h),
        max(plain, point.input_image),
        max(plain, point.input_audio, point.cache_read_audio),
        max(point.output, point.output_image),
        max(point.output, point.output_image, point.output_audio),
        point.request_nano_usd,
    )


def _most(rates: Sequence[Rates]) -> Rates:
    return Rates(*map(max, zip(*rates, strict=True)))
