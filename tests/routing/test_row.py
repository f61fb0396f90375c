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


@given(TIMES, TIMES, st.integers(1, 8))
def test_it_says_so_when_there_are_enough_and_twice_as_many(
    began_s: list[float], others: list[float], enough: int
) -> None:
    among = [each for each in others if began_s and min(began_s) <= each <= max(began_s)]
    assert row(*began_s).says(enough, others) == (len(began_s) >= max(enough, OUTWEIGH * len(among)))
