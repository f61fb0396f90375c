from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.books import NOBODY, BilledItem, Charge, Pair, Request, compare
from routing.money import NanoUsd


def nano(amount: int) -> NanoUsd:
    return NanoUsd(amount)


def charge(request_id: str, cost: int, *, estimated: bool = False) -> Charge:
    return Charge(request_id, 10, 5, nano(cost), estimated)


def test_equal_books_match() -> None:
    books = compare([Request("r1", "coder", False)], [charge("r1", 700)], [BilledItem("r1", nano(700))], ["coder"])
    assert books.match
    assert books.total.exact == Pair(nano(700), nano(700))
    assert (books.total.requests, books.total.input_tokens, books.total.output_tokens) == (1, 10, 5)


def test_a_nano_dollar_is_a_difference() -> None:
    books = compare([Request("r1", "coder", False)], [charge("r1", 701)], [BilledItem("r1", nano(700))], ["coder"])
    assert not books.match
    assert books.total.wrong == ["r1"]
    assert books.total.exact.difference == 1


def test_two_wrongs_do_not_make_a_right() -> None:
    requests = [Request("r1", "coder", False), Request("r2", "coder", False)]
    bill = [BilledItem("r1", nano(6)), BilledItem("r2", nano(4))]
    books = compare(requests, [charge("r1", 5), charge("r2", 5)], bill, ["coder"])
    assert books.total.exact.difference == 0
    assert books.total.wrong == ["r1", "r2"]


def test_an_estimate_may_differ_and_stands_apart() -> None:
    bill = [BilledItem("r1", nano(600))]
    books = compare([Request("r1", "rogue", True)], [charge("r1", 900, estimated=True)], bill, ["rogue"])
    assert books.match
    assert books.total.exact == Pair()
    assert (books.total.estimates, books.total.estimated) == (1, Pair(nano(900), nano(600)))


def test_what_only_the_provider_knows_is_wrong() -> None:
    books = compare([], [], [BilledItem("r9", nano(1))], ["coder"])
    assert not books.match
    assert [account.agent for account in books.accounts] == ["coder", NOBODY]


def test_a_charge_without_a_request_is_wrong_even_when_the_money_is_right() -> None:
    assert not compare([], [charge("r1", 5)], [BilledItem("r1", nano(5))], []).match


def test_a_refused_request_costs_nothing_in_both_books() -> None:
    books = compare([Request("r1", "rogue", True)], [], [], ["rogue"])
    assert books.match
    assert (books.total.requests, books.total.errors) == (1, 1)


def test_all_attempts_of_a_request_count() -> None:
    bill = [BilledItem("r1", nano(5)), BilledItem("r1", nano(7))]
    assert compare([Request("r1", "coder", False)], [charge("r1", 5), charge("r1", 7)], bill, []).match


def test_an_idle_agent_has_an_account() -> None:
    assert [account.requests for account in compare([], [], [], ["coder"]).accounts] == [0]


agents = st.sampled_from(["coder", "support", "rogue"])
costs = st.integers(0, 10**12)


@given(st.lists(st.tuples(agents, costs, costs, st.booleans()), max_size=30))
def test_no_money_is_lost_between_the_accounts(calls: list[tuple[str, int, int, bool]]) -> None:
    ids = [f"r{number}" for number in range(len(calls))]
    books = compare(
        [Request(id_, agent, False) for id_, (agent, *_) in zip(ids, calls, strict=True)],
        [charge(id_, cost, estimated=flag) for id_, (_, cost, _, flag) in zip(ids, calls, strict=True)],
        [BilledItem(id_, nano(billed)) for id_, (_, _, billed, _) in zip(ids, calls, strict=True)],
        [],
    )
    total = books.total
    assert total.exact.journal + total.estimated.journal == sum(cost for _, cost, _, _ in calls)
    assert total.exact.provider + total.estimated.provider == sum(billed for _, _, billed, _ in calls)
    assert books.match == all(cost == billed for _, cost, billed, flag in calls if not flag)
