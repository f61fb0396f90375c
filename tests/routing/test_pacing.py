"""Lambda steers spending to the end of the window, whatever money is worth and however requests come."""

from __future__ import annotations

from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing.decision import Budget
from routing.money import NANO_PER_USD, NanoUsd
from routing.pacing import MAX_PRICE, MIN_MEMORY, RESERVE, Pacer, Pacers
from routing.value import net_value, worth_usd

shares = st.floats(0, 2, allow_nan=False)


@given(st.lists(st.tuples(shares, st.floats(0, 1)), max_size=300))
def test_it_is_bounded_whatever_it_sees(seen: list[tuple[float, float]]) -> None:
    pacer = Pacer()
    for spent, elapsed in seen:
        price = pacer.observe(spent, elapsed)
        assert 1.0 <= price <= MAX_PRICE * (1 + 1e-9)


@given(st.floats(0.001, 0.9), st.floats(0.001, 0.9))
def test_it_moves_smoothly(spent: float, elapsed: float) -> None:
    """One step is worth a factor of e^1.5 at most, at the least memory."""
    pacer, price = Pacer(100.0), 100.0
    for number in range(200):
        now = pacer.observe(min(1.0, spent * number / 20), elapsed)
        assert exp(-10 / MIN_MEMORY) * 0.999 < now / price < exp(10 / MIN_MEMORY) * 1.001
        price = now


def spend(pacer: Pacer, scale: float, seed: int, requests: int = 4_000) -> tuple[float, list[float]]:
    """A window of requests that would cost 1/0.6 of the budget at lambda 1: dearer ones pay where lambda is lower."""
    chance, spent, prices = Random(seed), 0.0, []
    for number in range(requests):
        price = pacer.observe(spent, number / requests)
        gain_for_a_dollar = scale * chance.lognormvariate(0, 1.5)
        cost = 1 / (0.6 * requests) if gain_for_a_dollar > price else 0.1 / (0.6 * requests)
        if spent + cost <= 1.0:
            spent += cost
        prices.append(price)
    return spent, prices


@pytest.mark.parametrize("scale", [30.0, 1e3, 1e5])
def test_the_budget_lasts_and_is_used(scale: float) -> None:
    spent, prices = spend(Pacer(), scale, 1)
    assert 0.97 <= spent <= 1.0 - RESERVE / 2
    settled = prices[1_000:3_500]
    assert max(settled) / min(settled) < 20


def test_lambda_hastens_where_it_has_a_long_way_to_go() -> None:
    """Requests are a little too dear until lambda is some 400,000: a quarter of the window pays for a quarter."""
    for seed in range(3):
        pacer, chance, spent, requests = Pacer(), Random(seed), 0.0, 4_000
        for number in range(requests):
            price = pacer.observe(spent, number / requests)
            cost = (1.0 if exp(chance.uniform(10, 17)) > price else 0.5) / (0.8 * requests)
            spent += cost if spent + cost <= 1.0 else 0.0
            if number == requests // 4:
                assert 0.24 < spent < 0.265
        assert 0.97 <= spent <= 1.0 - RESERVE / 2


def test_money_that_is_not_short_is_spent_as_it_is_worth() -> None:
    pacer = Pacer()
    assert {pacer.observe(number / 4_000, number / 2_000) for number in range(2_000)} == {1.0}


def test_the_next_window_begins_where_the_last_one_ended() -> None:
    pacer = Pacer()
    spend(pacer, 1e3, 1)
    price = pacer.price
    assert pacer.observe(0.0, 0.0) == price
    spent, prices = spend(pacer, 1e3, 2)
    assert 0.97 <= spent <= 1.0
    assert min(prices) > price / 20


def test_spending_evens_out() -> None:
    """Each tenth of the window gets its share of the money."""
    pacer, chance, spent, before = Pacer(), Random(3), 0.0, 0.0
    for number in range(10_000):
        price = pacer.observe(spent, number / 10_000)
        spent += (1.0 if 500 * chance.lognormvariate(0, 1.5) > price else 0.1) / 6_000
        if number % 1_000 == 999:
            if number > 1_000:  # it has found lambda by then
                assert 0.07 < spent - before < 0.13
            before = spent


# --- several budgets ---


def test_the_shortest_budget_decides_and_each_counter_has_its_own() -> None:
    pacers = Pacers()
    ample = Budget("ample", NanoUsd(1), 0.0, 0.5)
    for number in range(200):
        short = Budget("users", NanoUsd(1), min(1.0, number / 100), 0.1 + number / 10_000, key="users|ann")
        price = pacers.observe((ample, short))
    assert price > 1.0
    assert pacers.observe((ample,)) == 1.0
    assert pacers.observe((Budget("users", NanoUsd(1), 0.1, 0.5, key="users|bob"),)) == 1.0


def test_budgets_without_an_end_and_of_one_model_steer_nothing() -> None:
    pacers = Pacers()
    for _ in range(200):
        assert pacers.observe((Budget("total", NanoUsd(0), 1.0), Budget("m", NanoUsd(0), 1.0, 0.5, model="m"))) == 1.0


def test_the_number_of_counters_is_bounded() -> None:
    pacers = Pacers(most=2)
    for number in range(400):
        pacers.observe((Budget("b", NanoUsd(1), min(1.0, number / 100), 0.1),))
    dear = pacers.observe((Budget("b", NanoUsd(1), 1.0, 0.1),))
    assert dear > 1.0
    for name in "cd":
        pacers.observe((Budget(name, NanoUsd(1), 0.1, 0.5),))
    assert pacers.observe((Budget("b", NanoUsd(1), 1.0, 0.1),)) == 1.0  # forgotten


# --- value ---


def test_value_is_what_was_declared_up_to_the_cap() -> None:
    half, two, three = (NanoUsd(int(usd * NANO_PER_USD)) for usd in (0.5, 2, 3))
    assert worth_usd(None, None, None) == 0.0
    assert worth_usd(None, two, None) == 2.0
    assert worth_usd(three, two, None) == 3.0
    assert worth_usd(three, None, half) == 0.5
    assert worth_usd(NanoUsd(0), two, None) == 0.0
    assert worth_usd(NanoUsd(-1), None, half) == 0.0


def test_net_value() -> None:
    assert net_value(10.0, 0.5, 1.0, 2.0) == 3.0
