"""Failures one after another, beside calls that are under way."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.row import OUTWEIGH, Row

TIMES = st.lists(st.integers(0, 20).map(float), max_size=12)


def row(*began_s: float) -> Row:
    made = Row()
    for each in began_s:
        made.add(each)
    return made


def test_alone_their_number_decides() -> None:
    assert not row(1, 2, 3, 4).says(5, ())
    assert row(1, 2, 3, 4, 5).says(5, ())


def test_only_calls_that_began_among_them_count() -> None:
    assert row(1, 2, 3).says(3, [0.0] * 9 + [4.0] * 9)
    assert not row(1, 2, 3).says(3, [1.0, 3.0])
    assert row(1, 2, 3, 3).says(3, [1.0, 3.0])


def test_who_ended_first_need_not_have_begun_first() -> None:
    assert not row(3, 1).says(2, [1.5, 2.0, 2.5])


def test_after_a_good_end_it_begins_anew() -> None:
    again = row(1, 2, 3)
    again.length = 0
    again.add(5)
    assert again.says(1, [1.0, 2.0, 3.0])
    assert not again.says(2, ())


def test_an_outage_is_not_hidden_by_a_failure_long_before_it() -> None:
    assert row(0, 20, 21, 22, 23, 24).says(5, [float(each) for each in range(1, 20)])


def outweighs(failed: list[float], others: list[float]) -> bool:
    return len(failed) >= OUTWEIGH * len([each for each in others if min(failed) <= each <= max(failed)])


@given(TIMES, TIMES, st.integers(1, 8))
def test_it_says_so_when_enough_outweigh_the_others(began_s: list[float], others: list[float], enough: int) -> None:
    known = len(began_s) >= enough and (outweighs(began_s, others) or outweighs(began_s[-enough:], others))
    assert row(*began_s).says(enough, others) == known
