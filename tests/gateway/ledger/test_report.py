from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.ledger.budgets import Budget
from gateway.ledger.report import TOO_EARLY, BudgetLine, counter_key, value_of
from gateway.ledger.scopes import Scope
from gateway.ledger.windows import Window
from routing.money import NanoUsd

MONTH = Window("month")
START_S = MONTH.at(1_796_000_000.0).start_s
LENGTH_S = MONTH.at(START_S).end_s - START_S


def line(posted: int, reserved: int = 0, share: float = 0.5, limit: int = 1_000, **changes: Any) -> BudgetLine:
    budget = Budget("b", Scope("agent", "a"), NanoUsd(limit), changes.pop("window", MONTH))
    now_s = START_S + share * LENGTH_S
    return BudgetLine(budget, "a", budget.window.at(now_s), limit, posted, reserved, now_s)


def test_spending_the_limit_by_the_end_is_a_burn_of_one() -> None:
    assert line(500).burn_rate == pytest.approx(1.0)
    assert line(500).projected == 1_000
    assert line(250).burn_rate == pytest.approx(0.5)
    assert line(1_000).projected == 2_000


def test_what_is_left_and_used() -> None:
    assert (line(300, 200).remaining, line(300, 200).used_ratio) == (500, 0.5)
    assert line(1_200).remaining == -200


def test_too_early_to_tell() -> None:
    early = line(500, share=TOO_EARLY / 2)
    assert (early.burn_rate, early.projected) == (None, None)


def test_a_total_budget_has_no_pace() -> None:
    total = line(500, window=Window("total"))
    assert (total.resets_at_s, total.burn_rate, total.projected) == (None, None, None)


def test_a_rolling_budget_burns_what_it_holds() -> None:
    rolling = line(500, window=Window("rolling", length_s=3600))
    assert (rolling.resets_at_s, rolling.burn_rate, rolling.projected) == (None, 0.5, None)


def test_a_limit_of_nothing() -> None:
    assert (line(0, limit=0).used_ratio, line(1, limit=0).used_ratio, line(0, limit=0).burn_rate) == (0.0, 1.0, None)


@given(posted=st.integers(0, 10**18), share=st.floats(TOO_EARLY, 0.999999))
def test_a_projection_is_no_less_than_what_is_spent(posted: int, share: float) -> None:
    projected = line(posted, share=share).projected
    assert projected is not None
    assert projected >= posted


@given(st.text(max_size=20), st.sampled_from(["b", "b|", "other"]))
def test_a_key_gives_its_value_back(value: str, name: str) -> None:
    budget = Budget(name, Scope("user", "*"), NanoUsd(1), MONTH)
    span = MONTH.at(START_S)
    assert value_of(counter_key(budget, value, span), budget, span.id) == value
    assert value_of(f"b|{name}x|{value}|{span.id}", budget, span.id) is None
    assert value_of(f"b|{name}|{value}|2020-01", budget, span.id) is None
