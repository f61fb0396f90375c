"""No moment of the next hour, no tier that may be served and no input that is possible costs more than the dearest."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.pricing.dearest import AUTO, HORIZON_S, Rates, dearest
from gateway.pricing.modalities import family_image_tokens
from routing.money import ContextTier, Price, PricePeriod, PricePoint

DAY_S = 86_400
NOON_S = 20_000 * DAY_S + 43_200


def point(rate: int) -> PricePoint:
    return PricePoint(f"test:{rate}", *[rate] * 10)


def period(rate: int, **when: int) -> PricePeriod:
    return PricePeriod({"default": (ContextTier(-1, point(rate)),)}, **when)


def rate(price: Price, now_s: float, tokens: int = 1, tier: str = "default") -> int:
    return dearest(price, tier, tokens, now_s).input


# --- time ---


def test_a_price_that_rises_within_the_hour() -> None:
    price = Price((period(9, starts_at_s=NOON_S), period(1)))
    assert rate(price, NOON_S - HORIZON_S - 120) == 1
    assert rate(price, NOON_S - HORIZON_S + 1) == 9
    assert rate(price, NOON_S + 120) == 9


def test_a_price_that_falls_counts_as_it_was_until_then() -> None:
    price = Price((period(1, starts_at_s=NOON_S), period(9)))
    assert rate(price, NOON_S - 60) == 9
    assert rate(price, NOON_S + 60) == 1, "the old one is over"


def test_cheap_hours_end() -> None:
    price = Price((period(1, daily_from_s=43_200, daily_to_s=57_600), period(9)))
    assert rate(price, NOON_S + 600) == 9, "what follows a daily period may be near: it always counts"
    price = Price((period(9, daily_from_s=43_200, daily_to_s=57_600), period(1)))
    assert rate(price, NOON_S - HORIZON_S - 120) == 1
    assert rate(price, NOON_S - HORIZON_S + 60) == 9
    assert rate(price, NOON_S + 14_400 + 60) == 1


_AT = st.integers(NOON_S - DAY_S, NOON_S + DAY_S)
_DAILY = st.integers(0, 24).map(lambda hour: hour * 3_600)
_PERIODS = st.builds(
    lambda value, starts, daily, window: period(
        value,
        **({"starts_at_s": starts} if starts else {}),
        **({"daily_from_s": daily[0], "daily_to_s": daily[1]} if window else {}),
    ),
    st.integers(0, 50),
    st.none() | _AT,
    st.tuples(_DAILY, _DAILY),
    st.booleans(),
)


@given(st.lists(_PERIODS, min_size=1, max_size=4), _AT, st.integers(0, HORIZON_S))
@settings(deadline=None)
def test_no_moment_of_the_next_hour_is_dearer(periods: list[PricePeriod], now_s: int, later_s: int) -> None:
    price = Price(tuple(periods))
    assert price.at(1, now_s + later_s).input <= rate(price, now_s)


def test_a_price_is_not_taken_for_another() -> None:
    for value in range(200):  # objects at the same address, one after the other
        assert rate(Price((period(value),)), NOON_S) == value


def test_any_number_of_tier_names_may_come() -> None:
    price = Price((period(3),))
    assert {rate(price, NOON_S, tier=f"tier-{number}") for number in range(5_000)} == {3}


# --- tiers ---

_POINTS = st.builds(PricePoint, st.just("p"), *[st.integers(0, 50)] * 10, st.integers(0, 9))
_CARDS = st.lists(st.tuples(st.integers(0, 100), _POINTS), min_size=1, max_size=4, unique_by=lambda card: card[0]).map(
    lambda cards: tuple(ContextTier(above, each) for above, each in sorted(cards, key=lambda card: card[0]))
)


@given(
    st.dictionaries(st.sampled_from(["flex", "priority"]), _CARDS),
    _CARDS,
    st.sampled_from(["default", "flex", "priority", "x", AUTO]),
    st.integers(0, 120),
    st.data(),
)
@settings(deadline=None)
def test_no_tier_within_reach_is_dearer(
    tiers: dict[str, tuple[ContextTier, ...]],
    base: tuple[ContextTier, ...],
    asked: str,
    tokens: int,
    data: st.DataObject,
) -> None:
    price = Price((PricePeriod({"default": base, **tiers}),))
    most = dearest(price, asked, tokens, NOON_S)
    served = data.draw(st.sampled_from([*tiers, "default"] if asked == AUTO else [asked, "default"]))
    found = price.at(data.draw(st.integers(0, tokens)), NOON_S, served)
    assert max(found.input, found.cache_read) <= most.input
    assert max(most.input, found.cache_write, found.cache_write_1h) <= most.written
    assert max(most.input, found.input_image) <= most.image
    assert max(most.input, found.input_audio, found.cache_read_audio) <= most.audio
    assert max(found.output, found.output_image) <= most.output
    assert max(most.output, found.output_audio) <= most.output_audio
    assert found.request_nano_usd <= most.request_nano_usd


def test_tiers_out_of_reach_do_not_count() -> None:
    price = Price((PricePeriod({"default": (ContextTier(-1, point(1)), ContextTier(100, point(5)))}),))
    assert dearest(price, "default", 100, NOON_S) == Rates(1, 1, 1, 1, 1, 1, 0)
    assert dearest(price, "default", 101, NOON_S).input == 5


# --- images ---


def test_families_whose_images_are_documented() -> None:
    assert family_image_tokens("gpt-4o") == 1_445
    assert family_image_tokens("openai/GPT-4o-2024-08-06") == 1_445
    assert family_image_tokens("gpt-4.1-mini-2025-04-14") == 2_489
    assert family_image_tokens("gpt-5-2025-08-07") == 1_190
    assert family_image_tokens("o3") == 1_275
    assert family_image_tokens("claude-3-5-sonnet-20241022") == 3_279
    assert family_image_tokens("anthropic/claude-opus-4.6") == 3_279


def test_other_names_are_not_known() -> None:
    for name in (
        "gpt-5.2",
        "gpt-4o-audio-preview",
        "gpt-6",
        "claude-opus-4-7",
        "claude-opus-5",
        "gemini-3-pro",
        "sim-small",
        "",
    ):
        assert family_image_tokens(name) is None, name
