"""Money, prices and the one function that turns usage into a cost.

Money is an integer count of nano-USD (1e-9 USD). Prices are integer pico-USD (1e-12 USD) a token, so that
"USD per million tokens" is exact down to a millionth of a dollar per million. A charge is rounded once, up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple, NewType

NanoUsd = NewType("NanoUsd", int)
"""An amount of money in nano-USD."""

NANO_PER_USD = 1_000_000_000
PICO_PER_NANO = 1_000
ZERO = NanoUsd(0)


def parse_usd(text: str) -> NanoUsd:
    """Read a decimal amount of USD such as `"12.50"`, exactly.

    Raises ValueError when it is no plain decimal number (exponents, NaN and infinities are none) or finer than a
    nano-dollar.
    """
    try:
        return NanoUsd(parse_fixed(text, 9))
    except ValueError as error:
        raise ValueError(f"{error} of USD") from None


def parse_fixed(text: str, places: int) -> int:
    """Read a plain decimal number as an integer count of its `places`th decimals: `("2.5", 3)` is 2500.

    Raises ValueError, which quotes the text, when it is something else or has more decimals than that.
    """
    found = _PLAIN_DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError(f"{text[:_QUOTED]!r} is not a decimal amount")
    sign, whole, decimals = found["sign"], found["whole"], (found["decimals"] or "").rstrip("0")
    if len(decimals) > places:
        raise ValueError(f"{text[:_QUOTED]!r} has more than the {places} decimals")
    return int(f"{sign}{whole or 0}{decimals:0<{places}}")


_PLAIN_DECIMAL = re.compile(r"(?P<sign>[+-]?)(?=\.?[0-9])(?P<whole>[0-9]{0,1000})(?:\.(?P<decimals>[0-9]{0,1000}))?")
_QUOTED = 40


def format_usd(amount: NanoUsd) -> str:
    """Write an amount exactly, with at least two decimals and no trailing zeros past them: `"0.000125"`, `"5.00"`."""
    sign = "-" if amount < 0 else ""
    dollars, nano = divmod(abs(amount), NANO_PER_USD)
    decimals = f"{nano:09d}".rstrip("0")
    return f"{sign}{dollars}.{decimals:0<2}"


class Usage(NamedTuple):
    """Token counts of one attempt, none below zero. Totals include their parts, as OpenAI counts them.

    Dialects that count otherwise (Anthropic leaves cached tokens out of the input) are converted where they are read.
    """

    input_tokens: int = 0
    """All input tokens: cached, audio and image ones included."""
    output_tokens: int = 0
    """All output tokens: reasoning, audio and image ones included."""
    cache_read_tokens: int = 0
    """Part of the input, read from a prompt cache; includes `cache_read_audio_tokens`."""
    cache_write_tokens: int = 0
    """Part of the input, written to a prompt cache with the default time to live (Anthropic: 5 minutes)."""
    cache_write_1h_tokens: int = 0
    """Part of the input, written to a prompt cache for an hour."""
    input_audio_tokens: int = 0
    """Part of the input; includes `cache_read_audio_tokens`."""
    cache_read_audio_tokens: int = 0
    """Part of the input that is both audio and read from a cache."""
    input_image_tokens: int = 0
    """Part of the input."""
    output_audio_tokens: int = 0
    """Part of the output."""
    output_image_tokens: int = 0
    """Part of the output."""
    reasoning_tokens: int = 0
    """Part of the output. Billed as output; kept for reports."""


class PricePoint(NamedTuple):
    """The rates of one attempt, in pico-USD a token. What a provider does not list costs as its parent does."""

    id: str
    """Where the rates come from, as the journal keeps it: `genai-prices:openai/gpt-5-mini`, `config:gpt-5-mini`."""
    input: int
    output: int
    cache_read: int
    cache_write: int
    cache_write_1h: int
    input_audio: int
    cache_read_audio: int
    input_image: int
    output_audio: int
    output_image: int
    request_nano_usd: int = 0
    """A fee per request, in nano-USD."""


def cost(usage: Usage, point: PricePoint) -> NanoUsd:
    """What `usage` costs at `point`: the one function for estimates and settlements, rounded up once.

    Parts that exceed their total (a provider's mistake) are charged in full at their own rates: never less than said.
    """
    if usage[_FIRST_PART:_REASONING] == _NO_PARTS:  # the usual request: plain text in, plain text out
        return cost_of_text(usage.input_tokens, usage.output_tokens, point)
    pico = _input_pico_usd(usage, point) + _output_pico_usd(usage, point)
    return NanoUsd(-(-pico // PICO_PER_NANO) + point.request_nano_usd)


def cost_of_text(input_tokens: int, output_tokens: int, point: PricePoint) -> NanoUsd:
    """As `cost`, of so much plain text."""
    pico = input_tokens * point.input + output_tokens * point.output
    return NanoUsd(-(-pico // PICO_PER_NANO) + point.request_nano_usd)


_FIRST_PART = Usage._fields.index("cache_read_tokens")
_REASONING = Usage._fields.index(
    "reasoning_tokens"
)  # the last field: billed as output, so no part with a rate of its own
_NO_PARTS = (0,) * (_REASONING - _FIRST_PART)


def _input_pico_usd(usage: Usage, point: PricePoint) -> int:
    cached_audio = min(usage.cache_read_audio_tokens, usage.cache_read_tokens)
    cached = usage.cache_read_tokens - cached_audio
    audio = max(0, usage.input_audio_tokens - cached_audio)
    written, written_1h, image = usage.cache_write_tokens, usage.cache_write_1h_tokens, usage.input_image_tokens
    rest = usage.input_tokens - cached - cached_audio - audio - written - written_1h - image
    return (
        max(0, rest) * point.input
        + cached * point.cache_read
        + cached_audio * point.cache_read_audio
        + audio * point.input_audio
        + written * point.cache_write
        + written_1h * point.cache_write_1h
        + image * point.input_image
    )


def _output_pico_usd(usage: Usage, point: PricePoint) -> int:
    audio, image = usage.output_audio_tokens, usage.output_image_tokens
    rest = max(0, usage.output_tokens - audio - image)
    return rest * point.output + audio * point.output_audio + image * point.output_image


class ContextTier(NamedTuple):
    """Rates from a total input of `above_input_tokens` (exclusive) upwards. The whole request pays them."""

    above_input_tokens: int
    point: PricePoint


@dataclass(frozen=True, slots=True)
class PricePeriod:
    """The rates in force in a stretch of time, by service tier.

    `tiers["default"]` is always there; a service tier without rates of its own pays the default ones.
    """

    tiers: dict[str, tuple[ContextTier, ...]]
    """Per service tier, ordered by `above_input_tokens`; the first is the base and its bound is not looked at."""
    starts_at_s: int | None = None
    """In force from this Unix time on (UTC midnight of a start date)."""
    daily_from_s: int | None = None
    daily_to_s: int | None = None
    """In force between these seconds of the UTC day (may wrap midnight); both or neither."""

    def covers(self, now_s: float) -> bool:
        """Whether the period is in force at Unix time `now_s`."""
        if self.starts_at_s is not None and now_s < self.starts_at_s:
            return False
        if self.daily_from_s is None or self.daily_to_s is None:
            return True
        second_of_day = now_s % 86_400
        if self.daily_from_s <= self.daily_to_s:
            return self.daily_from_s <= second_of_day < self.daily_to_s
        return second_of_day >= self.daily_from_s or second_of_day < self.daily_to_s


@dataclass(frozen=True, slots=True)
class Price:
    """What a model costs at a provider, over time, service tiers and context lengths."""

    periods: tuple[PricePeriod, ...]
    """The first that covers the moment counts; the last one always covers."""

    def at(self, input_tokens: int, now_s: float, service_tier: str = "default") -> PricePoint:
        """The rates for a request with `input_tokens` in total, made at Unix time `now_s` in `service_tier`."""
        period = self.periods[0]
        if len(self.periods) > 1:
            period = next((p for p in self.periods if p.covers(now_s)), self.periods[-1])
        tiers = period.tiers.get(service_tier) or period.tiers["default"]
        point = tiers[0].point
        for tier in tiers[1:]:
            if input_tokens <= tier.above_input_tokens:
                break
            point = tier.point
        return point
