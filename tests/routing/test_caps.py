"""Budgets of a backtest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.caps import Cap, Moment, Spending, denied, let_in
from routing.money import NanoUsd
from tests.routing.recordings import recorded


def cap(limit: int, **fields: object) -> Cap:
    return Cap("c", NanoUsd(limit), lambda row, model, _provider: (row.agent, model), lambda s: Moment(str(s), 0.5))


costs = st.lists(st.integers(0, 100), max_size=20)


@given(st.integers(0, 500), costs)
def test_what_fitted_fits_again(limit: int, paid: list[int]) -> None:
    here, today, row = Spending([cap(limit)]), Spending([cap(limit)]), recorded()
    keys = here.keys(row, "m", "p")
    for cost in paid:
        today.post(keys, cost)
        assert not denied(keys, cost, here, today)
        here.post(keys, cost)
    assert not let_in(keys, 1, here, today)  # nothing was saved


@given(st.integers(1, 500), costs, costs)
def test_nothing_dearer_passes_the_limit(limit: int, paid: list[int], asked: list[int]) -> None:
    here, today, row = Spending([cap(limit)]), Spending([cap(limit)]), recorded()
    keys = here.keys(row, "m", "p")
    for was, cost in zip(paid, asked, strict=False):
        today.post(keys, was)
        if not denied(keys, cost, here, today):
            here.post(keys, cost)
    for _, key in keys:
        assert here.spent(key) <= max(limit, today.spent(key))


def test_the_router_sees_what_is_left() -> None:
    spending, row = Spending([cap(100)]), recorded()
    spending.post(spending.keys(row, "", ""), 30)
    first = spending.budgets(row)[0]
    assert (first.id, first.left, first.spent_share, first.elapsed_share, first.downgrade) == ("c", 70, 0.3, 0.5, False)
