"""Claims that come again and again are granted just as others are, and what is kept of them never outlives its use."""

from __future__ import annotations

from collections import Counter as Count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.ledger.counters import STARVED_S
from gateway.ledger.operations import Amounts, Bid, Claim, Granted, OutsideWindow, Rate, Refused, Ticket, Unit
from gateway.ledger.usual import KEPT, Usual, Usuals
from gateway.store.live import LiveBook
from tests.gateway.store.world import ORIGIN

NOW_S = 1_795_003_200.0
RATES = (Rate("g|few||requests", Unit.REQUESTS, 30, 60.0, 8, "global"),)


def money(budget: str, limit: int = 300, **more: Any) -> Claim:
    return Claim(f"b|{budget}||total", Unit.MONEY, limit, 1, f"scope of {budget}")._replace(**more)


ROLLING = money("rolling", bucket_s=5)._replace(key="b|rolling||rolling:300")
HOUR = money("hour", start_s=NOW_S, end_s=NOW_S + 100)
SLOTS = Claim("c|few|", Unit.SLOTS, 4, 1, "global")
METERED = (money("one", calibrated=True), money("two", calibrated=True))
POOL: tuple[tuple[Claim, ...], ...] = (
    (money("one"), money("two"), money("three", 200)),
    (money("one"), ROLLING),
    (HOUR, money("two")),
    (money("two"), SLOTS),
    METERED,
    (money("one"), money("watched", 40, enforced=False)),
    (money("one", 500, version=2), money("three", 100, version=2)),
    (),
)
amounts = st.builds(Amounts, st.integers(0, 90), st.integers(0, 9))
steps = st.one_of(
    st.tuples(st.just("admit"), st.integers(0, len(POOL) - 1), amounts, st.booleans()),
    st.tuples(st.just("admit"), st.integers(0, len(POOL) - 1), amounts, st.booleans()),
    st.tuples(st.just("settle"), st.integers(0, 30), amounts),
    st.tuples(st.just("release"), st.integers(0, 30)),
    st.tuples(st.just("orphan"), st.integers(0, 30)),
    st.tuples(st.just("extend"), st.integers(0, 30), amounts),
    st.tuples(st.just("pass"), st.sampled_from((1.0, 3.0, 60.0, 90_000.0))),
    st.tuples(st.just("limit"), st.sampled_from(("one", "two", "three")), st.integers(0, 400), st.integers(1, 3)),
    st.tuples(st.just("drop"), st.sampled_from(("one", "two", "rolling"))),
    st.tuples(st.just("cover"), st.sampled_from((money("late"), ROLLING))),
)


class Pair:
    """Two books that are asked the same; only one is told that claims come again."""

    def __init__(self) -> None:
        self.books = (LiveBook(), LiveBook())
        self.now_s = NOW_S
        self.admitted = 0

    def do(self, name: str, *given: Any) -> None:
        if name == "pass":
            self.now_s += given[0]
            name, given = "expire", ()
        first, second = (self._one(book, name, given, recurs) for book, recurs in zip(self.books, (True, False)))  # noqa: B905 -- two of each
        assert first == second
        self.admitted += name == "admit"

    def _one(self, book: LiveBook, name: str, given: tuple[Any, ...], recurs: bool) -> Any:
        now_s = self.now_s
        if name == "admit":
            claims, asked, rated = POOL[given[0]], given[1], given[2]
            expected = Amounts(asked.money // 2, asked.tokens // 2)
            bid = Bid(claims, RATES if rated else (), asked, expected, Amounts(5, 0), 3, ORIGIN, recurs)
            try:
                return book.admit(Ticket(f"a{self.admitted}", (bid,)), now_s)
            except OutsideWindow as error:
                return str(error)
        if name == "limit":
            return book.set_limits(*given)
        if name == "drop":
            return book.drop_budget(given[0])
        if name == "cover":
            return book.cover(lambda held: (given[0],), lambda run, via: ())
        if name == "expire":
            return book.expire(now_s)
        return getattr(book, name)(f"a{given[0]}", *given[1:], now_s)

    def check(self) -> None:
        one, other = ({state.key: state for state in book.counters(None, self.now_s)} for book in self.books)
        assert one == other
        first, second = (book.pending() for book in self.books)
        assert first == [each._replace(ticket=_recurring(each.ticket)) for each in second]


def _recurring(ticket: Ticket) -> Ticket:
    return ticket._replace(bids=tuple(bid._replace(recurs=True) for bid in ticket.bids))


@settings(max_examples=300, deadline=None)
@given(st.lists(steps, max_size=60))
def test_they_are_granted_as_others_are(found: list[tuple[Any, ...]]) -> None:
    pair = Pair()
    for step in found:
        pair.do(*step)
        pair.check()


def recurring(claims: tuple[Claim, ...], money: int = 1) -> Bid:
    asked = Amounts(money, 1)
    return Bid(claims, (), asked, asked, asked, 1, ORIGIN, True)


def test_they_are_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    book, planned = LiveBook(), Count[str]()
    plan = book._plan

    def counted(*given: Any) -> Any:
        planned["times"] += 1
        return plan(*given)

    monkeypatch.setattr(book, "_plan", counted)
    for number in range(5):
        book.admit(Ticket(f"a{number}", (recurring(POOL[0]),)), NOW_S)
    assert planned["times"] == 1


def test_a_stream_under_way_comes_first_with_them_too() -> None:
    book, limit = LiveBook(), METERED[0].limit
    book.admit(Ticket("a", (recurring(METERED),)), NOW_S)
    assert book.extend("a", Amounts(limit, 0), NOW_S) == "no_room"
    refused = book.admit(Ticket("b", (recurring(METERED),)), NOW_S + STARVED_S / 2)
    assert isinstance(refused, Refused)
    assert refused.denials[0].cause == "reserved"
    assert isinstance(book.admit(Ticket("b", (recurring(METERED),)), NOW_S + STARVED_S), Granted)


def test_no_more_are_kept_than_are_worth_it() -> None:
    book, usuals = LiveBook(), Usuals()
    bids = [recurring((money(f"{number}"),)) for number in range(KEPT + 1)]
    for bid in bids:
        usuals.learn(bid, [book._adopted(claim) for claim in bid.claims])
    assert usuals.get(bids[0], NOW_S) is None
    assert isinstance(usuals.get(bids[-1], NOW_S), Usual)
