"""The generic cell rate algorithm: a burst at once, then the steady rate, without drift."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.limits import gcra

NOW_S = 1_795_003_200.3

limits = st.integers(1, 1_000_000)
periods_s = st.sampled_from((1.0, 60.0, 3600.0, 86_400.0))
bursts = st.integers(1, 300)


@given(limit=limits, period_s=periods_s, burst=bursts, now_s=st.floats(2**30, 2**31 - 10**7))
def test_a_burst_passes_one_by_one_and_no_more(limit: int, period_s: float, burst: int, now_s: float) -> None:
    tat_s = 0.0
    for passed in range(burst):
        assert gcra.remaining(tat_s, now_s, limit, period_s, burst) >= burst - passed
        tat_s, wait_s = gcra.ask(tat_s, now_s, 1, limit, period_s, burst)
        assert wait_s == 0.0
    if period_s / limit > burst / gcra.GRID:  # else the steps, which are rounded down, leave room for another one
        assert gcra.ask(tat_s, now_s, 1, limit, period_s, burst)[1] > 0.0


@given(limit=st.integers(1, 5_000), burst=bursts, units=st.lists(st.integers(1, 300), max_size=20))
def test_it_passes_again_just_when_it_said(limit: int, burst: int, units: list[int]) -> None:
    tat_s, now_s = 0.0, NOW_S
    for count in units:
        after_s, wait_s = gcra.ask(tat_s, now_s, count, limit, 60.0, burst)
        if wait_s:
            assert gcra.ask(tat_s, now_s + wait_s * 0.99 - 1e-6, count, limit, 60.0, burst)[1] > 0.0
            now_s += wait_s
            after_s, wait_s = gcra.ask(tat_s, now_s, count, limit, 60.0, burst)
        assert wait_s < 1e-6
        tat_s = after_s


@given(limit=limits, period_s=periods_s, burst=bursts, units=st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_what_passed_in_shadow_tells_how_long_it_should_have_waited(
    limit: int, period_s: float, burst: int, units: list[int]
) -> None:
    tat_s = 0.0
    for count in units:
        tat_s, wait_s = gcra.ask(tat_s, NOW_S, count, limit, period_s, burst)
        assume(tat_s < 2**31)
        assert gcra.waited_s(tat_s - NOW_S, count, limit, period_s, burst) == wait_s


@given(limit=limits, period_s=periods_s, units=st.lists(st.integers(0, 10_000), max_size=50))
def test_sums_are_exact(limit: int, period_s: float, units: list[int]) -> None:
    tat_s = NOW_S
    for count in units:
        tat_s, _ = gcra.ask(tat_s, NOW_S, count, limit, period_s, 1)
    assume(tat_s < 2**31)  # in 2038 doubles become coarser than the grain of a step
    exact = Fraction(NOW_S) + sum(Fraction(floor(count * period_s / limit * gcra.GRID) / gcra.GRID) for count in units)
    assert Fraction(tat_s) == exact


@given(limit=limits, period_s=periods_s, counted=st.integers(0, 10_000), actual=st.integers(0, 10_000))
def test_a_correction_ends_where_the_right_count_would_have(
    limit: int, period_s: float, counted: int, actual: int
) -> None:
    wrong_s, _ = gcra.ask(0.0, NOW_S, counted, limit, period_s, 10_000)
    right_s, _ = gcra.ask(0.0, NOW_S, actual, limit, period_s, 10_000)
    # Beyond 2**31 s (the year 2038) doubles are coarser than a step's grain, and a sum rounds once.
    assert abs(gcra.correct(wrong_s, NOW_S, counted, actual, limit, period_s) - right_s) <= 2**-21


def test_requests_beyond_the_burst_pass_at_the_steady_rate() -> None:
    tat_s = 0.0
    for _ in range(3):
        tat_s, wait_s = gcra.ask(tat_s, NOW_S, 1, 60, 60.0, 3)
        assert wait_s == 0.0
    assert gcra.ask(tat_s, NOW_S, 1, 60, 60.0, 3)[1] == 1.0
    assert gcra.ask(tat_s, NOW_S + 1.0, 1, 60, 60.0, 3)[1] == 0.0


def test_more_than_a_burst_passes_when_a_whole_burst_would_and_is_paid_in_full() -> None:
    tat_s, wait_s = gcra.ask(0.0, NOW_S, 10, 60, 60.0, 3)
    assert wait_s == 0.0
    assert tat_s == NOW_S + 10.0
    assert gcra.ask(tat_s, NOW_S, 1, 60, 60.0, 3)[1] == 8.0


def test_remaining_counts_down_and_is_never_negative() -> None:
    assert gcra.remaining(0.0, NOW_S, 60, 60.0, 3) == 3
    assert gcra.remaining(NOW_S + 1.0, NOW_S, 60, 60.0, 3) == 2
    assert gcra.remaining(NOW_S + 10.0, NOW_S, 60, 60.0, 3) == 0


def test_a_cell_long_idle_takes_no_correction() -> None:
    """So that a store may forget it: what is not there is as what is long past."""
    past_s = NOW_S - gcra.IDLE_S
    assert gcra.correct(past_s, NOW_S, 0, 10_000, 60, 60.0) == past_s
    assert gcra.correct(past_s + 1.0, NOW_S, 0, 10_000, 60, 60.0) > NOW_S


@given(limit=limits, period_s=periods_s, burst=bursts, units=st.lists(st.integers(0, 400), min_size=1, max_size=20))
def test_taking_is_asking_and_looking_at_what_remains(
    limit: int, period_s: float, burst: int, units: list[int]
) -> None:
    tat_s, now_s = 0.0, NOW_S
    for count in units:
        after_s, wait_s = gcra.ask(tat_s, now_s, count, limit, period_s, burst)
        left = gcra.remaining(after_s, now_s, limit, period_s, burst)
        assert gcra.take(tat_s, now_s, count, limit, period_s, burst) == (after_s, wait_s, left)
        tat_s, now_s = after_s, now_s + count / 7
