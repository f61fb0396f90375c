from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.tariff import UNIT, apis_of, fee, may_vary, rate, units_text

TARIFF = {"web_search": 10, "image": 40, "image:1024x1024:hd": 80, "image:1792x1024": 60, "image:1792x1024:hd": 120}


@pytest.mark.parametrize(
    ("unit", "nano_usd"),
    [
        ("web_search", 10),
        ("web_fetch", None),
        ("image", 40),
        ("image:512x512", 40),
        ("image:512x512:hd", 40),
        ("image:1024x1024", 40),
        ("image:1024x1024:hd", 80),
        ("image:1792x1024:standard", 60),
        ("image:auto:hd", 120),
        ("image:auto", 60),
        ("image:auto:auto", 120),
        ("image:1024x1024:auto", 80),
        ("computer:auto", None),
    ],
)
def test_what_a_unit_costs(unit: str, nano_usd: int | None) -> None:
    assert rate(TARIFF, unit) == nano_usd


def test_fees_add_up_and_what_has_no_tariff_costs_nothing() -> None:
    assert fee(TARIFF, {"web_search": 3, "image:auto:hd": 1, "computer": 9}) == 150
    assert fee(TARIFF, {}) == fee({}, {"web_search": 3}) == 0
    assert fee(TARIFF, {"web_search": -3}) == 0


parts = st.sampled_from(("256x256", "1024x1024", "hd", "low", "auto"))
units = st.lists(parts, max_size=2).map(lambda found: ":".join(("image", *found)))


@given(st.dictionaries(units.filter(lambda unit: "auto" not in unit), st.integers(0, 99), min_size=1), units, parts)
def test_what_is_left_open_never_costs_less_than_what_it_becomes(
    tariff: dict[str, int], unit: str, becomes: str
) -> None:
    became = rate(tariff, unit.replace("auto", becomes))
    bound = rate(tariff, unit)
    if became is not None and becomes != "auto":
        assert bound is not None
        assert bound >= became


def test_the_apis_that_a_tariff_is_a_price_for() -> None:
    assert apis_of({"image:1024x1024": 1}) == {"images", "image_edits", "image_variations"}
    assert apis_of({"web_search": 1}) == frozenset()
    assert apis_of({"second": 1, "character": 1}) == {"transcriptions", "translations", "speech"}


def test_units_as_the_journal_keeps_them() -> None:
    assert units_text({"web_search": 2, "a": 1, "none": 0}) == "a=1,web_search=2"
    assert UNIT.fullmatch("image:1024x1024:hd")
    assert not UNIT.fullmatch("Image 5")


@pytest.mark.parametrize(
    ("unit", "varies"),
    [
        ("image", False),
        ("image:64x64", False),
        ("image:auto", True),
        ("image:auto:hd", True),
        ("image:64x64:auto", False),
        ("second", False),
    ],
)
def test_what_is_left_open_may_cost_less(unit: str, varies: bool) -> None:
    assert may_vary({"image:64x64": 1, "image:128x128": 2, "second": 3}, unit) is varies
    assert not may_vary({"image": 5}, unit)
    assert not may_vary({"image:auto": 5, "image:auto:hd": 6, "image:64x64": 1}, unit)
