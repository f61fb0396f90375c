from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.money import (
    NANO_PER_USD,
    ContextTier,
    NanoUsd,
    Price,
    PricePeriod,
    PricePoint,
    Usage,
    cost,
    format_usd,
    parse_fixed,
    parse_usd,
)

KINDS = PricePoint._fields[1:-1]

tokens = st.integers(0, 10**7)
rates = st.integers(0, 10**9)
points = st.builds(PricePoint, st.just("test"), *[rates] * len(KINDS), st.integers(0, 10**9))
any_usage = st.builds(Usage, *[tokens] * len(Usage._fields))
"""Mostly malformed: parts that exceed their totals."""


@st.composite
def sound_usage(draw: st.DrawFn) -> Usage:
    """Parts that fit into their totals."""
    cached, written, written_1h, audio, image, text = (draw(tokens) for _ in range(6))
    cached_audio = draw(st.integers(0, cached))
    out_audio, out_image, out_text = (draw(tokens) for _ in range(3))
    return Usage(
        input_tokens=cached + written + written_1h + audio + image + text,
        output_tokens=out_audio + out_image + out_text,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=written_1h,
        input_audio_tokens=audio + cached_audio,
        cache_read_audio_tokens=cached_audio,
        input_image_tokens=image,
        output_audio_tokens=out_audio,
        output_image_tokens=out_image,
        reasoning_tokens=draw(st.integers(0, out_text)),
    )


def exact_pico(usage: Usage, point: PricePoint) -> int:
    """The sum over disjoint kinds, each token counted once."""
    cached_text = usage.cache_read_tokens - usage.cache_read_audio_tokens
    fresh_audio = usage.input_audio_tokens - usage.cache_read_audio_tokens
    other_input = usage.cache_read_tokens + fresh_audio + usage.cache_write_tokens
    other_input += usage.cache_write_1h_tokens + usage.input_image_tokens
    counts = {
        "input": usage.input_tokens - other_input,
        "output": usage.output_tokens - usage.output_audio_tokens - usage.output_image_tokens,
        "cache_read": cached_text,
        "cache_write": usage.cache_write_tokens,
        "cache_write_1h": usage.cache_write_1h_tokens,
        "input_audio": fresh_audio,
        "cache_read_audio": usage.cache_read_audio_tokens,
        "input_image": usage.input_image_tokens,
        "output_audio": usage.output_audio_tokens,
        "output_image": usage.output_image_tokens,
    }
    assert sum(counts.values()) == usage.input_tokens + usage.output_tokens
    return sum(count * getattr(point, kind) for kind, count in counts.items())


@given(sound_usage(), points)
def test_every_token_is_charged_once_and_the_sum_rounded_up_once(usage: Usage, point: PricePoint) -> None:
    charged = (cost(usage, point) - point.request_nano_usd) * 1000
    assert 0 <= charged - exact_pico(usage, point) < 1000


def test_rounding_is_up_and_never_twice() -> None:
    point = PricePoint("p", *[1] * len(KINDS))
    assert cost(Usage(), point) == 0
    assert cost(Usage(1, 1), point) == 1  # 2 pico-USD
    assert cost(Usage(500, 500), point) == 1
    assert cost(Usage(500, 501), point) == 2
    assert cost(Usage(3, 3, 1, 1, 0, 0, 0, 1, 1, 1), point) == 1  # eight kinds, one rounding


@given(any_usage, points)
def test_a_cost_is_never_negative_nor_less_than_its_parts(usage: Usage, point: PricePoint) -> None:
    charged = cost(usage, point)
    assert charged >= point.request_nano_usd
    parts_only = usage._replace(input_tokens=0, output_tokens=0)
    assert charged >= cost(parts_only, point)


@given(any_usage, points, tokens)
def test_more_tokens_of_a_total_never_cost_less(usage: Usage, point: PricePoint, more: int) -> None:
    for total in ("input_tokens", "output_tokens"):
        longer = usage._replace(**{total: getattr(usage, total) + more})
        assert cost(longer, point) >= cost(usage, point)


PARENT_OF_PART = {
    "cache_read_tokens": ("input_tokens", "cache_read"),
    "cache_write_tokens": ("input_tokens", "cache_write"),
    "cache_write_1h_tokens": ("input_tokens", "cache_write_1h"),
    "input_audio_tokens": ("input_tokens", "input_audio"),
    "input_image_tokens": ("input_tokens", "input_image"),
    "output_audio_tokens": ("output_tokens", "output_audio"),
    "output_image_tokens": ("output_tokens", "output_image"),
}


@given(sound_usage(), points, st.sampled_from(sorted(PARENT_OF_PART)), tokens)
def test_a_dearer_part_never_costs_less(usage: Usage, point: PricePoint, part: str, more: int) -> None:
    """Moving tokens into a part never makes a charge smaller when the part's rate is not below its total's."""
    total, kind = PARENT_OF_PART[part]
    parent_rate = point.input if total == "input_tokens" else point.output
    dearer = point._replace(**{kind: max(getattr(point, kind), parent_rate)})
    if kind == "cache_read":  # a cached-audio token is cut out of both
        usage = usage._replace(cache_read_audio_tokens=0)
    moved = usage._replace(**{part: getattr(usage, part) + more})
    assert cost(moved, dearer) >= cost(usage, dearer)


@given(sound_usage(), sound_usage(), points)
def test_two_charges_cost_at_least_one_and_at_most_a_nano_more(one: Usage, two: Usage, point: PricePoint) -> None:
    point = point._replace(request_nano_usd=0)
    both = Usage(*(a + b for a, b in zip(one, two, strict=True)))
    apart = cost(one, point) + cost(two, point)
    assert cost(both, point) <= apart <= cost(both, point) + 1


@given(sound_usage(), points)
def test_reasoning_is_output(usage: Usage, point: PricePoint) -> None:
    assert cost(usage, point) == cost(usage._replace(reasoning_tokens=0), point)


@given(sound_usage(), points)
def test_the_short_cut_for_plain_text_gives_the_same(usage: Usage, point: PricePoint) -> None:
    flat = point._replace(cache_write=point.input)
    plain = Usage(usage.input_tokens + 1, usage.output_tokens)
    assert cost(plain, flat) == cost(plain._replace(cache_write_tokens=1), flat)


def test_huge_numbers_stay_exact() -> None:
    point = PricePoint("p", *[10**12] * len(KINDS))
    assert cost(Usage(10**18, 10**18), point) == 2 * 10**27


# reading and writing amounts


@given(st.integers(-(10**30), 10**30).map(NanoUsd))
def test_an_amount_survives_writing_and_reading(amount: NanoUsd) -> None:
    assert parse_usd(format_usd(amount)) == amount


@given(st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**12), max_value=10**12))
def test_reading_is_exact(value: Decimal) -> None:
    assert parse_usd(f"{value:f}") == value * NANO_PER_USD


@pytest.mark.parametrize(
    ("text", "nano"),
    [
        ("12.50", 12_500_000_000),
        ("0", 0),
        ("0.000000001", 1),
        (".5", 500_000_000),
        ("5.", 5_000_000_000),
        ("-1.5", -1_500_000_000),
        ("+2", 2_000_000_000),
        ("1.0000000000000", 1_000_000_000),
        ("007", 7_000_000_000),
    ],
)
def test_plain_decimals(text: str, nano: int) -> None:
    assert parse_usd(text) == nano


@pytest.mark.parametrize(
    "text",
    ["", ".", "-", "abc", "1e3", "NaN", "inf", "-Infinity", "1,5", "1_000", " 1", "1\n", "$5", "0x10", "٣", "--1"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a decimal amount of USD"):
        parse_usd(text)


def test_finer_than_a_nano_dollar_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'0\.0000000001' has more than the 9 decimals of USD"):
        parse_usd("0.0000000001")


def test_a_very_long_number_is_refused_without_work() -> None:
    with pytest.raises(ValueError, match="is not a decimal amount") as refused:
        parse_usd("9" * 1_000_000)
    assert len(str(refused.value)) < 100


@given(st.text(max_size=20), st.integers(0, 12))
def test_any_text_is_read_exactly_or_refused(text: str, places: int) -> None:
    try:
        amount = parse_fixed(text, places)
    except ValueError:
        return
    assert Decimal(text) * 10**places == amount


@pytest.mark.parametrize(
    ("nano", "text"),
    [(0, "0.00"), (125_000, "0.000125"), (5_000_000_000, "5.00"), (-1, "-0.000000001"), (1_230_000_000, "1.23")],
)
def test_format(nano: int, text: str) -> None:
    assert format_usd(NanoUsd(nano)) == text


# choosing the rates


def point(name: str) -> PricePoint:
    return PricePoint(name, *[1] * len(KINDS))


def flat(name: str) -> dict[str, tuple[ContextTier, ...]]:
    return {"default": (ContextTier(-1, point(name)),)}


LONG = (ContextTier(-1, point("short")), ContextTier(200_000, point("long")), ContextTier(400_000, point("longest")))


@pytest.mark.parametrize(
    ("input_tokens", "name"),
    [(0, "short"), (200_000, "short"), (200_001, "long"), (400_000, "long"), (400_001, "longest"), (10**9, "longest")],
)
def test_a_context_tier_begins_after_its_bound(input_tokens: int, name: str) -> None:
    assert Price((PricePeriod({"default": LONG}),)).at(input_tokens, 0.0).id == name


def test_a_service_tier_without_rates_pays_the_default_ones() -> None:
    price = Price((PricePeriod({**flat("default"), "flex": (ContextTier(-1, point("flex")),)}),))
    assert [price.at(1, 0.0, tier).id for tier in ("default", "flex", "scale")] == ["default", "flex", "default"]


def test_the_first_period_that_covers_the_moment_counts() -> None:
    periods = (
        PricePeriod(flat("new"), starts_at_s=1_000_000),
        PricePeriod(flat("night"), daily_from_s=59_400, daily_to_s=1_800),
        PricePeriod(flat("old")),
    )
    price = Price(periods)
    assert price.at(1, 999_999.9).id == "old"
    assert price.at(1, 1_000_000.0).id == "new"
    assert [price.at(1, float(s)).id for s in (0, 1_799, 1_800, 59_399, 59_400, 86_399)] == [
        *["night"] * 2,
        *["old"] * 2,
        *["night"] * 2,
    ]


def test_a_daily_stretch_within_one_day() -> None:
    period = PricePeriod(flat("day"), daily_from_s=3_600, daily_to_s=7_200)
    assert [period.covers(86_400.0 * 3 + s) for s in (3_599, 3_600, 7_199, 7_200)] == [False, True, True, False]
