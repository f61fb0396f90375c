from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.hedge import FirstByte, HedgeBudget, HedgeSettings, hedge_at_s

SECONDS = st.floats(0.006, 500)


@given(st.lists(SECONDS, min_size=1, max_size=200), st.sampled_from((0.5, 0.9, 0.95, 0.99, 1.0)))
def test_a_quantile_is_at_most_a_tenth_too_high(seen: list[float], share: float) -> None:
    known = FirstByte()
    for each in seen:
        known.observe(each)
    exact = sorted(seen)[max(0, -int(-len(seen) * share // 1) - 1)]
    found = known._find(share)
    assert found is not None
    assert exact * (1 - 1e-6) <= found <= exact * 1.1 * (1 + 1e-6)


def test_the_kept_quantile_follows_after_sixteen_observations() -> None:
    known = FirstByte()
    known.observe(0.1)
    first = known.quantile(0.5)
    for _ in range(16):
        known.observe(10)
    assert first is not None
    assert first < 0.2
    assert known.quantile(0.5) == pytest.approx(10, rel=0.1)


def test_nothing_is_known_of_what_was_never_called() -> None:
    assert FirstByte().quantile(0.95) is None


def test_values_beyond_the_scale_land_at_its_ends() -> None:
    known = FirstByte()
    known.observe(0.0)
    assert known.quantile(1.0) == pytest.approx(0.005)
    known = FirstByte()
    known.observe(1e9)
    assert known.quantile(1.0) == pytest.approx(600, rel=0.1)


def test_a_deployment_that_became_slow_is_followed() -> None:
    known = FirstByte()
    for _ in range(5000):
        known.observe(0.1)
    for _ in range(3000):
        known.observe(2.0)
    assert known.quantile(0.5) == pytest.approx(2.0, rel=0.1)


def test_what_is_held_is_bounded() -> None:
    known = FirstByte()
    for step in range(10_000):
        known.observe(0.1 + step % 7)
        assert known.total <= 1024
    assert known.count == 10_000


def test_hedges_whose_calls_were_cut_do_not_lower_the_quantile() -> None:
    """A twentieth is slow and always hedged: cut at the time of the hedge and a little more, and observed as such."""
    known, settings = FirstByte(), HedgeSettings()
    for step in range(20_000):
        late_s = hedge_at_s(known, settings, 0.0)
        if step % 20:
            known.observe(0.2)
        else:
            known.observe(2.0 if late_s is None else min(2.0, late_s + 0.2))
    late_s = hedge_at_s(known, settings, 0.0)
    assert late_s is not None
    assert late_s > 0.2 * 1.4


def test_no_hedge_before_enough_is_known_nor_earlier_than_the_least() -> None:
    settings = HedgeSettings(min_calls=50, min_s=0.05)
    known = FirstByte()
    for _ in range(49):
        known.observe(0.006)
    assert hedge_at_s(known, settings, 100.0) is None
    known.observe(0.006)
    assert hedge_at_s(known, settings, 100.0) == 100.05


@given(st.lists(st.booleans(), max_size=2000))
def test_hedges_never_exceed_their_share_of_requests(wanted: list[bool]) -> None:
    budget = HedgeBudget(HedgeSettings(ratio=0.02))
    hedges = 0
    for requests, wants in enumerate(wanted, 1):
        budget.began()
        hedges += wants and budget.take()
        assert hedges <= 0.02 * requests + 1e-6


def test_every_fiftieth_request_can_be_hedged_and_few_are_saved_up() -> None:
    budget = HedgeBudget(HedgeSettings(ratio=0.02, burst=10))
    for _ in range(50):
        assert not budget.take()
        budget.began()
    assert budget.take()
    assert not budget.take()
    for _ in range(5000):
        budget.began()
    assert sum(budget.take() for _ in range(100)) == 10


def test_what_is_used_of_the_budget() -> None:
    budget = HedgeBudget(HedgeSettings(ratio=0.5, burst=4))
    used = []
    for _ in range(9):
        budget.began()
        used.append(budget.used_ratio)
    assert used == [1.0, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125, 0.0, 0.0], "there is none until one is paid for"
