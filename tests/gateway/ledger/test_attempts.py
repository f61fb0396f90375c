"""Admission and what follows it, a rule at a time."""

from __future__ import annotations

import pytest

from gateway.ledger.book import Book
from gateway.ledger.counters import STARVED_S
from gateway.ledger.held import Settled
from gateway.ledger.operations import (
    Amounts,
    Bid,
    Claim,
    Denial,
    Granted,
    OutsideWindow,
    Rate,
    Refused,
    Ticket,
    Unit,
)
from tests.gateway.store.world import ORIGIN

NOW_S = 1_795_003_200.0


def claim(key: str = "b|all||total", limit: int = 100, unit: Unit = Unit.MONEY, **more: object) -> Claim:
    return Claim(key, unit, limit, 1, f"scope of {key}")._replace(**more)  # type: ignore[arg-type]


def bid(*claims: Claim, money: int = 60, tokens: int = 60, rates: tuple[Rate, ...] = (), **more: object) -> Bid:
    strict = Amounts(money, tokens)
    return Bid(claims, rates, strict, strict, strict, 10, ORIGIN)._replace(**more)  # type: ignore[arg-type]


def admit(book: Book, id: str, *bids: Bid, now_s: float = NOW_S) -> Granted | Refused:
    return book.admit(Ticket(id, bids), now_s)


def posted_reserved(book: Book, key: str = "b|all||total", now_s: float = NOW_S) -> tuple[int, int]:
    (state,) = book.counters([key], now_s)
    return state.posted, state.reserved


# --- admission ---


def test_the_first_bid_that_fits_is_granted() -> None:
    granted = admit(Book(), "a", bid(claim(limit=59)), bid(claim(limit=60)), bid(claim(limit=99)))
    assert isinstance(granted, Granted)
    assert granted.bid == 1
    assert granted.at_s == NOW_S


def test_a_bid_is_granted_in_all_its_scopes_or_none() -> None:
    book = Book()
    refused = admit(book, "a", bid(claim("b|one||total"), claim("b|two||total", 59)))
    assert refused == Refused((Denial("posted", "b|two||total", "scope of b|two||total", 59, 0, 0),))
    assert book.counters(None, NOW_S) == []


def test_what_is_posted_leaves_no_room_and_what_is_reserved_leaves_none_for_now() -> None:
    book = Book()
    admit(book, "a", bid(claim()))
    assert admit(book, "b", bid(claim())) == Refused(
        (Denial("reserved", "b|all||total", "scope of b|all||total", 100, 0, 60),)
    )
    book.settle("a", Amounts(50, 60), NOW_S)
    assert admit(book, "b", bid(claim())) == Refused(
        (Denial("posted", "b|all||total", "scope of b|all||total", 100, 50, 0),)
    )


def test_requests_in_flight_count_as_posted_and_slots_as_slots() -> None:
    book = Book()
    requests = claim("r|run|requests", 1, Unit.REQUESTS)
    slots = claim("c|few|", 1, Unit.SLOTS)
    admit(book, "a", bid(requests, slots))
    for one, cause in ((requests, "posted"), (slots, "slots")):
        refused = admit(book, "b", bid(one))
        assert isinstance(refused, Refused)
        assert refused.denials[0].cause == cause


def test_of_several_causes_the_gravest_is_told() -> None:
    book = Book()
    slots = claim("c|few|", 1, Unit.SLOTS)
    admit(book, "a", bid(claim(), slots))
    refused = admit(book, "b", bid(claim(), slots, claim("b|small||total", 10)))
    assert isinstance(refused, Refused)
    assert refused.denials[0].cause == "posted"
    assert refused.denials[0].key == "b|small||total"


def test_clamping_takes_any_room_of_at_least_the_least() -> None:
    book = Book()
    clamped = bid(claim(limit=40), claim("b|wide||total", 1000), least=Amounts(40, 60))
    granted = admit(book, "a", clamped)
    assert isinstance(granted, Granted)
    assert granted.strict == granted.calibrated == Amounts(40, 60)
    assert posted_reserved(book, "b|wide||total") == (0, 40), "claims with room to spare reserve no more"
    assert isinstance(admit(Book(), "a", clamped._replace(least=Amounts(41, 60))), Refused)


def test_strict_and_calibrated_claims_are_clamped_apart() -> None:
    book = Book()
    claims = (claim("b|strict||total", 50), claim("b|calibrated||total", 20, calibrated=True))
    asked = bid(*claims, money=60, calibrated=Amounts(30, 60), least=Amounts(5, 60))
    granted = admit(book, "a", asked)
    assert isinstance(granted, Granted)
    assert (granted.strict.money, granted.calibrated.money) == (50, 20)


def test_calibrated_amounts_never_exceed_the_clamped_strict_ones() -> None:
    claims = (claim("b|strict||total", 10), claim("b|calibrated||total", 100, calibrated=True))
    granted = admit(Book(), "a", bid(*claims, calibrated=Amounts(30, 60), least=Amounts(5, 60)))
    assert isinstance(granted, Granted)
    assert granted.calibrated.money == 10


def test_shadow_claims_refuse_nothing_and_are_named() -> None:
    book = Book()
    granted = admit(book, "a", bid(claim("b|watch||total", 10, enforced=False)))
    assert isinstance(granted, Granted)
    assert granted.over == ("b|watch||total",)
    assert granted.tightest is None
    assert posted_reserved(book, "b|watch||total") == (0, 60)


def test_the_tightest_budget_is_told_with_the_room_that_is_left() -> None:
    granted = admit(Book(), "a", bid(claim(), claim("b|tight||total", 70), claim("c|few|", 1, Unit.SLOTS)))
    assert isinstance(granted, Granted)
    assert granted.tightest == ("scope of b|tight||total", 10)


def test_a_claim_for_another_window_is_refused_before_anything_changes() -> None:
    book = Book()
    for window in ({"start_s": NOW_S + 1}, {"end_s": NOW_S}):
        with pytest.raises(OutsideWindow):
            admit(book, "a", bid(claim(), claim("b|day||x", **window)))
    assert book.counters(None, NOW_S) == []


def test_the_limit_of_the_highest_version_holds_whoever_asks() -> None:
    book = Book()
    admit(book, "a", bid(claim(limit=100, version=3), money=10))
    assert isinstance(admit(book, "b", bid(claim(limit=10, version=2), money=90)), Granted)
    assert isinstance(admit(book, "c", bid(claim(limit=1000, version=2), money=1)), Refused)
    assert isinstance(admit(book, "c", bid(claim(limit=1000, version=4), money=1)), Granted)


def test_after_a_lowered_limit_nothing_is_admitted_until_it_fits() -> None:
    book = Book()
    admit(book, "a", bid(claim()))
    book.set_limit("b|all||total", 50, 2)
    assert isinstance(admit(book, "b", bid(claim(), money=0)), Refused)
    book.settle("a", Amounts(20, 0), NOW_S)
    assert isinstance(admit(book, "b", bid(claim(), money=30)), Granted)
    book.set_limit("b|all||total", 500, 1)
    assert book.counters(None, NOW_S)[0].limit == 50, "an older version changes nothing"


# --- idempotency ---


def test_an_id_that_is_pending_gets_its_first_answer_again() -> None:
    book = Book()
    first = admit(book, "a", bid(claim(limit=1)), bid(claim()))
    assert admit(book, "a", bid(claim()), now_s=NOW_S + 5) == first
    assert posted_reserved(book) == (0, 60)


@pytest.mark.parametrize("end", ["settle", "release", "orphan"])
def test_an_id_that_is_resolved_is_not_admitted_again(end: str) -> None:
    book = Book()
    admit(book, "a", bid(claim()))
    _end(book, end)
    refused = admit(book, "a", bid(claim()))
    assert isinstance(refused, Refused)
    assert refused.denials[0].cause == "closed"


def _end(book: Book, end: str) -> None:
    if end == "settle":
        book.settle("a", Amounts(10, 10), NOW_S)
    elif end == "release":
        book.release("a", NOW_S)
    else:
        book.orphan("a", NOW_S)


@pytest.mark.parametrize("end", ["settle", "release"])
@pytest.mark.parametrize("again", ["settle", "release", "orphan"])
def test_what_is_resolved_stays_as_it_is(end: str, again: str) -> None:
    book = Book()
    admit(book, "a", bid(claim()))
    _end(book, end)
    before = posted_reserved(book)
    _end(book, again)
    assert posted_reserved(book) == before
    assert book.extend("a", Amounts(1, 1), NOW_S) == "gone"


def test_resolved_ids_are_remembered_within_bounds() -> None:
    book = Book(keep_finished=10)
    for number in range(100):
        admit(book, str(number), bid(claim()))
        book.release(str(number), NOW_S)
    assert isinstance(admit(book, "99", bid(claim())), Refused)
    assert isinstance(admit(book, "95", bid(claim())), Refused)
    assert isinstance(admit(book, "1", bid(claim())), Granted), "long forgotten"


# --- settlement ---


def test_a_settlement_posts_what_was_spent_and_gives_the_rest_back() -> None:
    book = Book()
    claims = (
        claim(),
        claim("r|run|tokens", 100, Unit.TOKENS),
        claim("r|run|requests", 5, Unit.REQUESTS),
        claim("c|few|", 5, Unit.SLOTS),
    )
    admit(book, "a", bid(*claims))
    assert book.settle("a", Amounts(25, 30), NOW_S) == Settled("settled", Amounts(25, 30), 60, 0, NOW_S)
    assert [posted_reserved(book, each.key) for each in claims] == [(25, 0), (30, 0), (1, 0), (0, 0)]


def test_an_overrun_is_posted_in_full_and_told() -> None:
    book = Book()
    admit(book, "a", bid(claim()))
    assert book.settle("a", Amounts(130, 0), NOW_S).overrun == 70
    assert posted_reserved(book) == (130, 0)


def test_without_a_counter_of_money_nothing_is_an_overrun() -> None:
    book = Book()
    admit(book, "a", bid(claim("c|few|", 5, Unit.SLOTS)))
    assert book.settle("a", Amounts(130, 0), NOW_S) == Settled("settled", Amounts(130, 0), 0, 0, NOW_S)


def test_a_release_gives_everything_back() -> None:
    book = Book()
    requests = claim("r|run|requests", 5, Unit.REQUESTS)
    admit(book, "a", bid(claim(), requests))
    assert book.release("a", NOW_S) == Settled("released", Amounts(0, 0), 60, 0, NOW_S)
    assert posted_reserved(book) == posted_reserved(book, requests.key) == (0, 0)


def test_operations_on_unknown_ids_change_nothing() -> None:
    book = Book()
    assert book.settle("x", Amounts(5, 5), NOW_S) == Settled("none")
    assert book.release("x", NOW_S) == Settled("none")
    assert book.orphan("x", NOW_S) is None


# --- extension ---


def test_an_extension_adds_to_calibrated_claims_only_all_or_nothing() -> None:
    book = Book()
    claims = (
        claim("b|strict||total"),
        claim("b|one||total", 30, calibrated=True),
        claim("b|two||total", 50, calibrated=True),
    )
    admit(book, "a", bid(*claims, calibrated=Amounts(10, 10)))
    assert book.extend("a", Amounts(20, 0), NOW_S) == "extended"
    assert [posted_reserved(book, each.key)[1] for each in claims] == [60, 30, 30]
    assert book.extend("a", Amounts(1, 0), NOW_S) == "no_room"
    assert [posted_reserved(book, each.key)[1] for each in claims] == [60, 30, 30]


def test_an_extension_goes_by_the_newest_limit() -> None:
    book = Book()
    admit(book, "a", bid(claim(calibrated=True), calibrated=Amounts(10, 10)))
    book.set_limit("b|all||total", 15, 2)
    assert book.extend("a", Amounts(6, 0), NOW_S) == "no_room"
    assert book.extend("a", Amounts(5, 0), NOW_S) == "extended"


def test_shadow_claims_are_extended_beyond_their_limit() -> None:
    book = Book()
    admit(book, "a", bid(claim(limit=1, calibrated=True, enforced=False), calibrated=Amounts(10, 10)))
    assert book.extend("a", Amounts(50, 0), NOW_S) == "extended"
    assert posted_reserved(book) == (0, 60)


# --- orphans ---


def test_an_orphan_is_charged_what_was_set_aside_in_all_its_counters() -> None:
    book = Book()
    claims = (claim("b|strict||total"), claim("b|calibrated||total", calibrated=True))
    admit(book, "a", bid(*claims, calibrated=Amounts(10, 10)))
    book.extend("a", Amounts(5, 5), NOW_S)
    orphaned = book.orphan("a", NOW_S + 9)
    assert orphaned is not None
    assert (orphaned.charged, orphaned.origin, orphaned.at_s) == (Amounts(15, 15), ORIGIN, NOW_S)
    assert [posted_reserved(book, each.key) for each in claims] == [(15, 0), (15, 0)]
    assert book.orphan("a", NOW_S) is None


def test_a_late_settlement_posts_one_correction() -> None:
    book = Book()
    requests = claim("r|run|requests", 5, Unit.REQUESTS)
    admit(book, "a", bid(claim(), requests))
    book.orphan("a", NOW_S)
    assert book.settle("a", Amounts(20, 90), NOW_S) == Settled("correction", Amounts(-40, 30), 60, 0, NOW_S)
    assert book.settle("a", Amounts(20, 90), NOW_S) == Settled("none")
    assert posted_reserved(book) == (20, 0)
    assert posted_reserved(book, requests.key) == (1, 0)


def test_a_late_release_takes_the_whole_charge_back() -> None:
    book = Book()
    requests = claim("r|run|requests", 5, Unit.REQUESTS)
    admit(book, "a", bid(claim(), requests))
    book.orphan("a", NOW_S)
    assert book.release("a", NOW_S).change == Amounts(-60, -60)
    assert posted_reserved(book) == posted_reserved(book, requests.key) == (0, 0)


# --- rolling windows ---


def test_a_rolling_window_forgets_late_and_never_early() -> None:
    book = Book()
    rolling = claim(bucket_s=10)
    admit(book, "a", bid(rolling), now_s=NOW_S + 9)
    book.settle("a", Amounts(60, 0), NOW_S + 300)
    assert posted_reserved(book, now_s=NOW_S + 609) == (60, 0), "600 s after it was reserved it still counts"
    assert posted_reserved(book, now_s=NOW_S + 609.9) == (60, 0)
    assert posted_reserved(book, now_s=NOW_S + 610) == (0, 0)
    assert isinstance(admit(book, "b", bid(rolling, money=100), now_s=NOW_S + 610), Granted)


def test_a_charge_lands_in_the_bucket_it_was_reserved_in() -> None:
    book = Book()
    admit(book, "a", bid(claim(bucket_s=10)))
    book.settle("a", Amounts(60, 0), NOW_S + 700)
    assert posted_reserved(book, now_s=NOW_S + 700) == (0, 0), "its window is over"


# --- rates ---

REQUESTS = Rate("g|few||requests", Unit.REQUESTS, 60, 60.0, 2, "global")
TOKENS = Rate("g|few||tokens", Unit.TOKENS, 60, 60.0, 20, "global")


def test_a_rate_refuses_and_says_when_the_request_would_pass() -> None:
    book = Book()
    for id in "ab":
        assert isinstance(admit(book, id, bid(rates=(REQUESTS,))), Granted)
    refused = admit(book, "c", bid(claim(), rates=(REQUESTS,)))
    assert refused == Refused((Denial("rate", REQUESTS.key, "global", 60, 0, 0, 1.0),))
    assert isinstance(admit(book, "c", bid(rates=(REQUESTS,)), now_s=NOW_S + 1), Granted)


def test_the_longest_wait_is_told() -> None:
    book = Book()
    for id in "ab":
        admit(book, id, bid(rates=(REQUESTS, TOKENS)))
    refused = admit(book, "c", bid(rates=(REQUESTS, TOKENS)))
    assert isinstance(refused, Refused)
    assert (refused.denials[0].key, refused.denials[0].retry_after_s) == (TOKENS.key, 10.0)


def test_a_refused_ticket_moves_no_cell() -> None:
    book = Book()
    assert isinstance(admit(book, "a", bid(claim(limit=1), rates=(REQUESTS,))), Refused)
    granted = admit(book, "b", bid(rates=(REQUESTS,)))
    assert isinstance(granted, Granted)
    assert [(state.remaining, state.reset_s) for state in granted.rates] == [(1, 1.0)]


def test_a_shadow_rate_counts_and_never_refuses() -> None:
    book = Book()
    rate = TOKENS._replace(enforced=False)
    for id in "abcd":
        granted = admit(book, id, bid(rates=(rate,)))
    assert isinstance(granted, Granted)
    assert granted.rates[0].remaining == 0


def test_tokens_are_corrected_by_a_settlement_and_given_back_by_a_release() -> None:
    book = Book()
    for id, spent in (("a", Amounts(0, 3)), ("b", None)):
        admit(book, id, bid(rates=(TOKENS,)))
        if spent is not None:
            book.settle(id, spent, NOW_S)
        else:
            book.release(id, NOW_S)
    granted = admit(book, "c", bid(rates=(TOKENS,), rate_tokens=1))
    assert isinstance(granted, Granted)
    assert granted.rates[0].remaining == 16


# --- a stream under way that finds no room for its extension comes first ---


def metered(key: str = "b|all||total", **more: object) -> Bid:
    return bid(claim(key, calibrated=True), money=200, calibrated=Amounts(40, 40), least=Amounts(10, 10), **more)


def starving() -> Book:
    """`a` and `b` hold 80 of 100, and `a` has asked for more than there is."""
    book = Book()
    admit(book, "a", metered())
    admit(book, "b", metered())
    assert book.extend("a", Amounts(30, 30), NOW_S) == "no_room"
    return book


def test_while_a_stream_waits_for_more_nothing_new_is_let_in() -> None:
    book = starving()
    assert admit(book, "c", bid(claim(), money=5)) == Refused(
        (Denial("reserved", "b|all||total", "scope of b|all||total", 100, 0, 80),)
    )
    assert isinstance(admit(book, "d", bid(claim(enforced=False), money=5)), Granted), "what is only watched goes on"
    assert book.extend("b", Amounts(5, 5), NOW_S) == "extended", "another stream is no new one"


def test_only_where_it_found_no_room() -> None:
    book = Book()
    both = bid(claim("b|one||total", calibrated=True), claim("b|two||total", 1_000, calibrated=True), money=90)
    admit(book, "a", both)
    assert book.extend("a", Amounts(20, 20), NOW_S) == "no_room"
    assert isinstance(admit(book, "b", bid(claim("b|two||total", 1_000), money=5)), Granted)
    assert isinstance(admit(book, "c", bid(claim("b|one||total"), money=5)), Refused)


@pytest.mark.parametrize("end", ["extended", "settled", "released", "orphaned", "late"])
def test_it_keeps_others_off_until_it_is_fed_or_over(end: str) -> None:
    book, now_s = starving(), NOW_S
    if end == "extended":
        assert book.extend("a", Amounts(10, 10), NOW_S) == "extended"
    elif end == "settled":
        book.settle("a", Amounts(40, 40), NOW_S)
    elif end == "released":
        book.release("a", NOW_S)
    elif end == "orphaned":
        book.orphan("a", NOW_S)
    else:
        now_s += STARVED_S
        assert isinstance(admit(book, "c", bid(claim(), money=5), now_s=now_s - 0.01), Refused)
    assert isinstance(admit(book, "c", bid(claim(), money=5), now_s=now_s), Granted)


def test_what_is_spent_is_told_as_such_all_the_same() -> None:
    book = starving()
    book.settle("b", Amounts(45, 45), NOW_S)
    assert book.extend("a", Amounts(30, 30), NOW_S) == "no_room"
    refused = admit(book, "c", bid(claim(), money=60))
    assert isinstance(refused, Refused)
    assert refused.denials[0].cause == "posted"
