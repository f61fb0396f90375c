from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from routing.retry_budget import RetryBudget, RetryBudgetSettings
from routing.sliding import BUCKETS

SETTINGS = RetryBudgetSettings(ratio=0.2, floor=3, window_s=10)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 12), st.integers(0, 6)), max_size=60))
def test_retries_stay_within_a_share_of_recent_requests_and_a_floor(steps: list[tuple[int, int, int]]) -> None:
    budget = RetryBudget(SETTINGS)
    now_s, requests, retries = 0, [], []
    for passed_s, begun, wanted in steps:
        now_s += passed_s
        for _ in range(begun):
            budget.began(now_s)
            requests.append(now_s)
        for _ in range(wanted):
            allowed = budget.allows(now_s)
            assert budget.take(now_s) is allowed
            if allowed:
                retries.append(now_s)
                recent = sum(at_s > now_s - SETTINGS.window_s for at_s in requests)
                surely_recent = now_s - SETTINGS.window_s * (BUCKETS - 1) / BUCKETS
                made = sum(at_s > surely_recent for at_s in retries)
                assert made <= SETTINGS.floor + SETTINGS.ratio * recent


def test_a_lone_request_may_use_both_of_its_retries() -> None:
    budget = RetryBudget(RetryBudgetSettings())
    budget.began(0)
    assert budget.take(0.1)
    assert budget.take(0.5)


def test_an_outage_is_not_amplified() -> None:
    """Everybody wants two retries of everything; the provider gets 1.2 calls a request, and the floor."""
    budget = RetryBudget(RetryBudgetSettings())
    calls = 0
    for tick in range(3000):  # 100 requests a second for 30 s
        now_s = tick / 100
        budget.began(now_s)
        calls += 1 + budget.take(now_s) + budget.take(now_s)
    assert 1.15 * 3000 < calls <= 1.2 * 3000 + 3 * 4


def test_room_comes_back_when_the_window_has_passed() -> None:
    budget = RetryBudget(RetryBudgetSettings(floor=1))
    assert budget.take(0)
    assert not budget.allows(5)
    assert budget.allows(11)


def test_what_is_used_of_it() -> None:
    budget = RetryBudget(RetryBudgetSettings(ratio=0.5, floor=2, window_s=10))
    assert budget.used_ratio(0) == 0
    for _ in range(4):
        budget.began(0)
    assert budget.take(0)
    assert budget.used_ratio(0) == 1 / 4, "one retry, of two and a half of one for each request"
    assert budget.used_ratio(11) == 0
    assert RetryBudget(RetryBudgetSettings(ratio=0.5, floor=0)).used_ratio(0) == 1, "of none, all is used"


def test_what_holds_unless_it_is_configured() -> None:
    budget = RetryBudget(RetryBudgetSettings())
    assert [budget.take(0) for _ in range(4)] == [True, True, True, False]
    assert not budget.allows(8)
    assert budget.allows(10)
